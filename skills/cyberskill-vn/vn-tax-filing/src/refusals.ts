// Why there is no return for an input that is understood. scripts/refusals.py is the twin.

export const REFUSALS = {
  taxpayer_mst_invalid: "the taxpayer's tax code has not the form of one",
  taxpayer_unknown: "no one code is party to all invoices, or none names both parties: give taxpayer_mst",
  directory_unreadable: "the directory of invoices is not there or cannot be listed",
  too_many_files: "the directory has more than 10000 invoices: divide it",
  files_refused: "files of the directory do not count, and bad_files asks to refuse then",
  total_too_large: "a total is beyond 9007199254740991",
  investment_offset_too_large: "investment_offset (40b) is more than the tax due (40a)",
  refund_too_large: "refund_requested (42) is more than what is carried forward (41)",
  return_not_written: "the return could not be written",
} as const;

export type Refusal = keyof typeof REFUSALS;

export class Refused extends Error {
  readonly reason: Refusal;
  /** What the answer tells besides. */
  readonly more: object;

  constructor(reason: Refusal, more: object = {}) {
    super(reason);
    this.reason = reason;
    this.more = more;
  }
}
