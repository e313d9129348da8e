// The number of a Vietnamese citizen identity card (CCCD): what its digits say. scripts/citizen_id.py is its twin, and
// assets/provinces.json the table of both.

import table from "../assets/provinces.json";

export const AS_OF = table.as_of;

const LENGTH = 12;
const ASCII_SPACE = " \t\n\v\f\r";

export const REASONS = {
  empty: "the citizen ID is empty",
  unexpected_character: "a citizen ID has only the digits 0 to 9",
  wrong_length: "a citizen ID has 12 digits",
  all_zero: "a citizen ID is never all zeros",
} as const;

export type Reason = keyof typeof REASONS;

export interface CitizenId {
  readonly digits: string;
  readonly provinceCode: string;
  /** Null if the table does not have the code. */
  readonly provinceName: string | null;
  /** The digit of century and sex. */
  readonly century: string;
  readonly gender: string;
  readonly birthYear: number;
  readonly serial: string;
}

const provinces = new Map(table.provinces.map(({ code, name }) => [code, name]));

/** Takes a citizen ID apart, or gives the reason why it is none; blanks of ASCII at both ends do not count. */
export function citizenIdOf(given: string): CitizenId | Reason {
  const digits = trimAscii(given);
  if (digits === "") return "empty";
  if (!/^[0-9]+$/.test(digits)) return "unexpected_character";
  if (digits.length !== LENGTH) return "wrong_length";
  if (/^0+$/.test(digits)) return "all_zero";
  const provinceCode = digits.slice(0, 3);
  const century = digits.charAt(3);
  const { gender, first_year } = table.centuries[Number(century)]!;
  return {
    digits,
    provinceCode,
    provinceName: provinces.get(provinceCode) ?? null,
    century,
    gender,
    birthYear: first_year + Number(digits.slice(4, 6)),
    serial: digits.slice(6),
  };
}

function trimAscii(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && ASCII_SPACE.includes(text.charAt(start))) start += 1;
  while (end > start && ASCII_SPACE.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}
