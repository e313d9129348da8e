// Reads a Vietnamese citizen ID and prepares a request to VNeID. scripts/check_citizen_id.py is the reference: for every
// input the two give the same bytes, so a change here is a change there.

import { dayOf } from "cyberos-guest/dates.ts";
import { type Bounds, type Fields, readFields } from "cyberos-guest/input.ts";
import { AS_OF, type CitizenId, REASONS, citizenIdOf } from "./citizen-id.ts";

// A legitimate input has under 1,000 characters and one level; the bounds only keep hostile ones cheap.
const BOUNDS: Bounds = { characters: 4096, depth: 16 };
const MOST_NAME = 100;
const MOST_PURPOSE = 200;
const MOST_REFERENCE = 100;
const DATE_CHARACTERS = 10;

const FIELDS = ["cccd", "reference_date", "purpose", "consent_reference", "full_name", "date_of_birth"] as const;

const LEGAL_BASIS = "Law 91/2025/QH15 and Decree 356/2025";
const NEXT_ACTION =
  "POST to https://vneid.gov.vn/api/v2/verify (requires consent flow): before anything is sent, the caller has the " +
  "person's consent to this one purpose on record; this skill neither asks for it nor sends anything.";
const VERIFY =
  "Reads what the digits say; only the authority can tell whether the card was issued, to whom, and whether it is valid.";

interface Request {
  readonly cccd: string;
  readonly referenceDate: string;
  readonly purpose: string | null;
  readonly consentReference: string | null;
  readonly fullName: string | null;
  readonly dateOfBirth: string | null;
}

export function run(input: string): string {
  const fields = readFields(input, BOUNDS, FIELDS);
  return JSON.stringify(
    check({
      cccd: fields.text("cccd", BOUNDS.characters, ", because a number loses its leading zeros"),
      referenceDate: dateOf(fields, "reference_date") ?? AS_OF,
      purpose: filled(fields, "purpose", MOST_PURPOSE),
      consentReference: filled(fields, "consent_reference", MOST_REFERENCE),
      fullName: filled(fields, "full_name", MOST_NAME),
      dateOfBirth: dateOf(fields, "date_of_birth"),
    }),
  );
}

/** A text that has more than blanks; null otherwise. */
function filled(fields: Fields, name: string, most: number): string | null {
  const text = fields.optionalText(name, most);
  return text === null || /^[ \t\n\v\f\r]*$/.test(text) ? null : text;
}

function dateOf(fields: Fields, name: string): string | null {
  if (!fields.has(name)) return null;
  const text = fields.text(name, DATE_CHARACTERS);
  if (dayOf(text) === null) fields.refuse(name, "must be a day from 1900 on, written YYYY-MM-DD");
  return text;
}

function check(request: Request): object {
  const id = citizenIdOf(request.cccd);
  if (typeof id === "string") {
    return {
      valid: false,
      structure: null,
      reason: id,
      message: REASONS[id],
      checksum: "not_applicable",
      as_of: AS_OF,
      verify: VERIFY,
    };
  }
  const { purpose, consentReference, fullName, dateOfBirth } = request;
  return {
    valid: true,
    structure: {
      province_code: id.provinceCode,
      year_of_birth_century: id.century,
      gender_code: id.gender === "male" ? "0" : "1",
      province_name: id.provinceName,
      gender: id.gender,
      birth_year: id.birthYear,
      serial: id.serial,
    },
    checksum: "not_applicable",
    warnings: warningsOf(id, request),
    vneid_request_payload: {
      citizen_id: id.digits,
      full_name: fullName,
      date_of_birth: dateOfBirth,
      purpose,
      consent: { required: true, reference: consentReference, legal_basis: LEGAL_BASIS },
    },
    needs: [...(consentReference === null ? ["consent_reference"] : []), ...(purpose === null ? ["purpose"] : [])],
    next_action: NEXT_ACTION,
    as_of: AS_OF,
    verify: VERIFY,
  };
}

function warningsOf(id: CitizenId, { referenceDate, dateOfBirth }: Request): string[] {
  const warnings: string[] = [];
  if (id.provinceName === null) warnings.push("province_unknown");
  if (id.birthYear > yearOf(referenceDate)) warnings.push("birth_year_in_future");
  if (dateOfBirth !== null && yearOf(dateOfBirth) !== id.birthYear) warnings.push("birth_year_mismatch");
  return warnings;
}

function yearOf(date: string): number {
  return Number(date.slice(0, 4));
}
