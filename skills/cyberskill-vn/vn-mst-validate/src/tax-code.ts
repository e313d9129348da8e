// The Vietnamese tax code (mã số thuế): its forms and its check digit. scripts/tax_code.py is its twin, and other
// skills that check tax codes take both from here.

const WEIGHTS = [31, 29, 23, 19, 17, 13, 7, 5, 3] as const;
const BASE_LENGTH = 10;
const BRANCH_LENGTH = 13;
const PERSONAL_ID_LENGTH = 12;
const ASCII_SPACE = " \t\n\v\f\r";

/** The date of the rules, and what to say with them. */
export const AS_OF = "2026-11-20";
export const PERSONAL_ID_VALID_FROM = "2025-07-01";

export const REASONS = {
  empty: "the tax code is empty",
  unexpected_character: "a tax code has only the digits 0 to 9 and, before a branch number, one hyphen",
  misplaced_hyphen: "the only place for a hyphen is after the tenth digit, before a branch number",
  wrong_length: "a tax code has 10 digits, 13 with a branch number, or the 12 of a personal ID",
  all_zero: "a tax code is never all zeros",
  serial_zero: "the third to ninth digits count from 0000001",
  branch_zero: "branch numbers run from 001 to 999",
  check_digit_mismatch: "the tenth digit is not the check digit of the first nine",
  check_digit_impossible: "no tax code starts with these nine digits, because they have no check digit",
} as const;

export type Reason = keyof typeof REASONS;
export type Format = "10-digit" | "13-digit-branch" | "12-digit-personal-id";

export interface TaxCode {
  readonly format: Format;
  readonly base: string;
  readonly branch: string | null;
}

/** Takes a tax code apart, or gives the reason why it is none; blanks of ASCII at both ends do not count. */
export function recognise(given: string): TaxCode | Reason {
  const text = trimAscii(given);
  if (text === "") return "empty";
  if (!/^[0-9-]+$/.test(text)) return "unexpected_character";
  const hyphen = text.indexOf("-");
  if (hyphen !== -1 && (hyphen !== BASE_LENGTH || text.lastIndexOf("-") !== hyphen)) return "misplaced_hyphen";
  const digits = text.replace("-", "");
  if (digits.length === PERSONAL_ID_LENGTH && hyphen === -1) {
    return isZero(digits) ? "all_zero" : { format: "12-digit-personal-id", base: digits, branch: null };
  }
  if (digits.length !== BRANCH_LENGTH && (digits.length !== BASE_LENGTH || hyphen !== -1)) return "wrong_length";
  const base = digits.slice(0, BASE_LENGTH);
  if (isZero(base)) return "all_zero";
  if (isZero(base.slice(2, 9))) return "serial_zero";
  if (digits.length === BASE_LENGTH) return { format: "10-digit", base, branch: null };
  const branch = digits.slice(BASE_LENGTH);
  return isZero(branch) ? "branch_zero" : { format: "13-digit-branch", base, branch };
}

/** What is wrong with the check digit of a tax code; null if it is right, or if none is due. */
export function checkDigitFault(code: TaxCode): Reason | null {
  const expected = expectedCheckDigit(code);
  if (code.format === "12-digit-personal-id" || code.base.slice(-1) === expected) return null;
  return expected === null ? "check_digit_impossible" : "check_digit_mismatch";
}

/** The tenth digit that the first nine ask for; null where none fits or none is due. */
export function expectedCheckDigit({ format, base }: TaxCode): string | null {
  if (format === "12-digit-personal-id") return null;
  const sum = WEIGHTS.reduce((total, weight, index) => total + weight * Number(base.charAt(index)), 0);
  const remainder = sum % 11;
  // The rule gives 10, which is no digit: such a code is never issued.
  return remainder === 0 ? null : String(10 - remainder);
}

/** The code as it is written: a hyphen before the branch number. */
export function normalized({ base, branch }: TaxCode): string {
  return branch === null ? base : `${base}-${branch}`;
}

function isZero(digits: string): boolean {
  return /^0+$/.test(digits);
}

function trimAscii(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && ASCII_SPACE.includes(text.charAt(start))) start += 1;
  while (end > start && ASCII_SPACE.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}
