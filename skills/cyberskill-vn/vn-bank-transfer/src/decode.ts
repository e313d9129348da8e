// Reads a VietQR string and tells what is wrong with it. scripts/decode.py is its twin.

import { AS_OF, bankOfBin } from "./banks.ts";
import { plain } from "./plain-text.ts";
import { COUNTRY, CURRENCY, GUID, MOST_MEMO, ONE_TIME, REUSABLE, SERVICE, type Method, crcOf } from "./vietqr.ts";

export const MOST_CHARACTERS = 512;
const VERIFY =
  "Reads what the code says; confirm the bank and the holder's name in the bank's own application before money moves.";

export const REASONS = {
  empty: "there is nothing to read",
  unexpected_character: "a VietQR has printable ASCII characters alone",
  bad_length: "a tag or a length is not two digits, or a length is not that of what follows",
  trailing_bytes: "something follows the check sum, which ends a VietQR",
  duplicate_tag: "a tag stands twice at the same level",
  crc_missing: "tag 63 with the four digits of the check sum is missing at the end",
  crc_mismatch: "the check sum is not that of the text",
  unknown_format: "tag 00 is not 01, the only format there is",
  unknown_initiation: "tag 01 is neither 11 for a reusable code nor 12 for one payment",
  unknown_guid: "tag 38 does not name Napas, so this is another scheme's code",
  unknown_service: "the service is neither a transfer to an account nor one to a card",
  bad_beneficiary: "the beneficiary is not a BIN of six digits with an account or card number",
  foreign_currency: "the currency is not 704, the Vietnamese đồng",
  foreign_country: "the country is not VN",
  bad_amount: "the amount is not one to thirteen digits without a zero in front",
} as const;

export type Reason = keyof typeof REASONS;

interface Field {
  readonly id: string;
  readonly length: number;
  readonly value: string;
  readonly fields?: readonly Field[];
}

/** Tags whose values have tags of their own, by the way to them. */
const NESTED: ReadonlySet<string> = new Set(["38", "38.01", "62"]);

export function decode(text: string): object {
  const read = readAll(text);
  const end = read.fields.at(-1);
  const whole = read.fault === null && end?.id === "63" && end.length === 4;
  const expected = whole ? crcOf(text.slice(0, -4)) : null;
  const crcOk = whole ? end.value.toUpperCase() === expected : null;
  const warnings: string[] = [];
  if (crcOk && end?.value !== expected) warnings.push("crc_lower_case");
  const found = read.fault ?? (!whole ? "crc_missing" : !crcOk ? "crc_mismatch" : meaning(read.fields, warnings));
  const checks = { crc_ok: crcOk, expected_crc: expected, fields: read.fields, warnings, as_of: AS_OF, verify: VERIFY };
  if (typeof found === "string") return { ok: false, reason: found, message: REASONS[found], ...checks };
  return { ok: true, ...found, ...checks };
}

interface Read {
  readonly fields: Field[];
  readonly fault: Reason | null;
}

function readAll(text: string): Read {
  if (text === "") return { fields: [], fault: "empty" };
  if (!/^[ -~]*$/.test(text)) return { fields: [], fault: "unexpected_character" };
  return readFields(text, "");
}

/** Reads the fields of one level, up to the first that is not as it should be. */
function readFields(text: string, way: string): Read {
  const fields: Field[] = [];
  const seen = new Set<string>();
  for (let start = 0; start < text.length; ) {
    if (way === "" && seen.has("63")) return { fields, fault: "trailing_bytes" };
    const head = text.slice(start, start + 4);
    if (!/^[0-9]{4}$/.test(head)) return { fields, fault: "bad_length" };
    const id = head.slice(0, 2);
    const length = Number(head.slice(2));
    const value = text.slice(start + 4, start + 4 + length);
    if (value.length < length) return { fields, fault: "bad_length" };
    if (seen.has(id)) return { fields, fault: "duplicate_tag" };
    seen.add(id);
    const inner = NESTED.has(way + id) ? readFields(value, `${way}${id}.`) : null;
    fields.push(inner === null ? { id, length, value } : { id, length, value, fields: inner.fields });
    if (inner?.fault) return { fields, fault: inner.fault };
    start += 4 + length;
  }
  return { fields, fault: null };
}

/** What a VietQR says, or why it is none. */
function meaning(fields: readonly Field[], warnings: string[]): object | Reason {
  const root = byTag(fields);
  const scheme = byTag(root.get("38")?.fields);
  const beneficiary = byTag(scheme.get("01")?.fields);
  const valueOf = (level: ReadonlyMap<string, Field>, tag: string): string | null => level.get(tag)?.value ?? null;

  const initiation = valueOf(root, "01");
  const service = valueOf(scheme, "02");
  const bin = valueOf(beneficiary, "00") ?? "";
  const number = valueOf(beneficiary, "01") ?? "";
  const amount = valueOf(root, "54");
  const memo = valueOf(byTag(root.get("62")?.fields), "08");
  const method: Method = service === SERVICE.card ? "card" : "account";
  const form = method === "card" ? /^([0-9]{16}|[0-9]{19})$/ : /^[0-9A-Za-z]{1,19}$/;

  if (valueOf(root, "00") !== "01") return "unknown_format";
  if (initiation !== null && initiation !== REUSABLE && initiation !== ONE_TIME) return "unknown_initiation";
  if (valueOf(scheme, "00") !== GUID) return "unknown_guid";
  if (service !== SERVICE.account && service !== SERVICE.card) return "unknown_service";
  if (!/^[0-9]{6}$/.test(bin) || !form.test(number)) return "bad_beneficiary";
  if (valueOf(root, "53") !== CURRENCY) return "foreign_currency";
  if (valueOf(root, "58") !== COUNTRY) return "foreign_country";
  if (amount !== null && !/^[1-9][0-9]{0,12}$/.test(amount)) return "bad_amount";

  const bank = bankOfBin(bin);
  if (bank.bank_code === null) warnings.push("unknown_bin");
  if (initiation === null) warnings.push("initiation_missing");
  if (initiation === REUSABLE && amount !== null) warnings.push("reusable_with_amount");
  if (initiation === ONE_TIME && amount === null) warnings.push("one_time_without_amount");
  if (memo !== null && plain(memo, MOST_MEMO).text !== memo) warnings.push("memo_not_plain");
  return {
    bank,
    [method]: number,
    amount_vnd: amount === null ? null : Number(amount),
    memo,
    one_time: initiation === ONE_TIME,
  };
}

function byTag(fields: readonly Field[] = []): ReadonlyMap<string, Field> {
  return new Map(fields.map((field) => [field.id, field]));
}
