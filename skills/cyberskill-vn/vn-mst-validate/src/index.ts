// Validates a Vietnamese tax code (mã số thuế). scripts/validate_mst.py is the reference: for every input the
// two give the same bytes, so a change here is a change there.

const AS_OF = "2026-11-20";
const PERSONAL_ID_VALID_FROM = "2025-07-01";
const VERIFY = "Checks form and arithmetic alone; confirm with the tax authority that the code is registered and active.";

// A legitimate input has under 100 characters and one level; the bounds only keep hostile ones cheap.
const MAX_CHARACTERS = 4096;
const MAX_DEPTH = 16;

const WEIGHTS = [31, 29, 23, 19, 17, 13, 7, 5, 3] as const;
const BASE_LENGTH = 10;
const BRANCH_LENGTH = 13;
const PERSONAL_ID_LENGTH = 12;
const ASCII_SPACE = " \t\n\v\f\r";

const REASONS = {
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

type Reason = keyof typeof REASONS;
type Format = "10-digit" | "13-digit-branch" | "12-digit-personal-id";

interface Request {
  readonly mst: string;
  readonly strict: boolean;
}

interface TaxCode {
  readonly format: Format;
  readonly base: string;
  readonly branch: string | null;
}

export function run(input: string): string {
  return JSON.stringify(validate(readRequest(input)));
}

function invalid(detail: string): Error {
  return new Error(`input_invalid: ${detail}`);
}

function readRequest(input: string): Request {
  if (hasMoreCharacters(input, MAX_CHARACTERS)) {
    throw invalid(`the input has more than ${MAX_CHARACTERS} characters`);
  }
  if (nestsDeeper(input, MAX_DEPTH)) throw invalid(`the input nests deeper than ${MAX_DEPTH} levels`);
  let value: unknown;
  try {
    value = JSON.parse(input);
  } catch {
    throw invalid("the input is not valid JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("the input must be a JSON object");
  }
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const name of fields.keys()) {
    if (name !== "mst" && name !== "strict") {
      throw invalid('there is an unknown field; the fields are "mst" and "strict"');
    }
  }
  if (!fields.has("mst")) throw invalid('the field "mst" is missing');
  const mst = fields.get("mst");
  if (typeof mst !== "string") {
    throw invalid('the field "mst" must be a string, because a number loses its leading zeros');
  }
  const strict = fields.has("strict") ? fields.get("strict") : false;
  if (typeof strict !== "boolean") throw invalid('the field "strict" must be true or false');
  return { mst, strict };
}

function hasMoreCharacters(text: string, limit: number): boolean {
  if (text.length <= limit) return false;
  // A character takes at most two UTF-16 units.
  if (text.length > 2 * limit) return true;
  let count = 0;
  for (const _ of text) count += 1;
  return count > limit;
}

// Before parsing, because parsers differ in how deep they can go and in how they fail beyond.
function nestsDeeper(text: string, limit: number): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quoted) {
      if (character === "\\") at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') {
      quoted = true;
    } else if (character === "{" || character === "[") {
      depth += 1;
      if (depth > limit) return true;
    } else if (character === "}" || character === "]") {
      depth -= 1;
    }
  }
  return false;
}

function validate({ mst, strict }: Request): object {
  const code = recognise(trimAscii(mst));
  if (typeof code === "string") return { ok: false, format: null, ...because(code), as_of: AS_OF, verify: VERIFY };

  const personal = code.format === "12-digit-personal-id";
  const expected = personal ? null : checkDigit(code.base);
  const fault = personal || code.base.slice(-1) === expected ? null : faultOf(expected);
  const refused = strict ? fault : null;
  return {
    ok: refused === null,
    format: code.format,
    ...(refused === null ? {} : because(refused)),
    checksum_ok: personal ? null : fault === null,
    expected_check_digit: expected,
    warnings: fault === null ? [] : [fault],
    checksum: personal ? "not_applicable" : "mod11",
    normalized: code.branch === null ? code.base : `${code.base}-${code.branch}`,
    base: code.base,
    branch: code.branch,
    valid_from: personal ? PERSONAL_ID_VALID_FROM : null,
    as_of: AS_OF,
    verify: VERIFY,
  };
}

function because(reason: Reason): { reason: Reason; message: string } {
  return { reason, message: REASONS[reason] };
}

function faultOf(expected: string | null): Reason {
  return expected === null ? "check_digit_impossible" : "check_digit_mismatch";
}

function recognise(text: string): TaxCode | Reason {
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

/** The tenth digit from the first nine; null where the rule gives 10, which is never issued. */
function checkDigit(base: string): string | null {
  const sum = WEIGHTS.reduce((total, weight, index) => total + weight * Number(base.charAt(index)), 0);
  const remainder = sum % 11;
  return remainder === 0 ? null : String(10 - remainder);
}
