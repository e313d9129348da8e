// What the skill tells about an invoice besides its figures: why it writes none, and what its reader must check.
// scripts/invoice_refusals.py is the twin.

/** The reasons that have one message each; the others, of tax codes and dates, are made where they are found. */
export const REFUSALS = {
  rate_not_known: "the rates are 0, 0.05, 0.08 and 0.10, KCT and KKKNT; write another one as KHAC:AB.CD%",
  rate_has_label: "this rate has a label of its own, so it is not written as KHAC",
  negative_amount: "an invoice line has no negative figures; a line of kind discount is subtracted as it is",
  discount_exceeds_amount: "the discount is more than the line's quantity times its unit price",
  discount_exceeds_goods: "the discounts at a rate, or their tax, are more than the goods and services at that rate",
  amount_too_large: "an amount is too large to be exact in every program that reads the invoice",
  not_written: "the file could not be written",
} as const;

export const WARNINGS = {
  issue_date_missing: "without an issue date the rates are judged as of 2026-11-20",
  issue_date_after_rules: "the issue date is later than the rules known here, which are those as of 2026-11-20",
  reduced_rate_eligibility: "8% is for eligible 10% items alone; the seller must check that this one is",
  other_rate: "the seller must check that this rate applies",
  buyer_incomplete: "the invoice does not say this about the buyer",
  provider_mst_missing: "the tax code of the e-invoice provider is required; MSTTCGP is left empty",
  special_details_missing: "special goods need details of their own (TTHHDTrung), which this skill does not write",
  unsigned_draft: "an unsigned draft: no invoice before the seller's signature and, where due, the authority's code",
  not_submittable: "this form of the invoice is for programs and people; the tax authority does not take it",
} as const;

export type WarningCode = keyof typeof WARNINGS;

export interface Warning {
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
}

/** Why a well-formed request gets no invoice. */
export class Refused extends Error {
  constructor(
    readonly reason: string,
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

export function refused(reason: keyof typeof REFUSALS, field: string): Refused {
  return new Refused(reason, field, REFUSALS[reason]);
}

export function warning(code: WarningCode, field: string | null): Warning {
  return { code, field, message: WARNINGS[code] };
}
