// Reads what is asked for: the shape of every field, not yet whether an invoice can be made of it.
// scripts/invoice_request.py is the twin.

import { dayOf } from "cyberos-guest/dates.ts";
import { ONE, type Decimal } from "cyberos-guest/decimal.ts";
import { type Bounds, type Fields, InputInvalid, readFields } from "cyberos-guest/input.ts";
import { isXmlText } from "cyberos-guest/xml_writer.ts";

// A thousand lines with the longest names have 650,000 characters.
const BOUNDS: Bounds = { characters: 1_000_000, depth: 16 };
const MAX_LINES = 1000;
const MAX_PATH = 200;
// TGia has seven digits, two of them after the point.
const MAX_EXCHANGE_RATE: Decimal = 99_999_990_000n;
const HUNDREDTH: Decimal = 10_000n;

const FIELDS = [
  "buyer_mst", "seller_mst", "provider_mst", "buyer", "seller", "lines", "profile", "rounding", "issue_date", "form",
  "serial", "number", "payment_method", "currency", "exchange_rate", "strict", "output", "output_path",
];
const SELLER_FIELDS = ["name", "address", "phone", "email", "bank_account", "bank_name"];
const BUYER_FIELDS = [...SELLER_FIELDS, "personal_id", "representative"];
const LINE_FIELDS = [
  "item", "code", "unit", "qty", "unit_price", "tax_rate", "kind", "discount_rate", "discount",
];
const KINDS = ["goods", "promotion", "discount", "note", "special"] as const;

export type Kind = (typeof KINDS)[number];

export interface Party {
  readonly name: string | null;
  readonly address: string | null;
  readonly phone: string | null;
  readonly email: string | null;
  readonly bankAccount: string | null;
  readonly bankName: string | null;
  readonly personalId: string | null;
  readonly representative: string | null;
}

export interface Line {
  /** `lines[0]`, for messages. */
  readonly place: string;
  readonly kind: Kind;
  readonly item: string;
  readonly code: string | null;
  readonly unit: string | null;
  readonly quantity: Decimal;
  readonly unitPrice: Decimal;
  /** As given; null for a note. */
  readonly taxRate: Decimal | string | null;
  readonly discountRate: Decimal | null;
  readonly discount: Decimal | null;
}

export interface Request {
  readonly buyerMst: string | null;
  readonly sellerMst: string;
  readonly providerMst: string | null;
  readonly buyer: Party;
  readonly seller: Party;
  readonly lines: readonly Line[];
  readonly profile: "simple" | "gdt";
  readonly rounding: "line" | "rate_group";
  readonly issueDate: string | null;
  readonly form: string;
  readonly serial: string | null;
  readonly number: string | null;
  readonly paymentMethod: string;
  readonly currency: string;
  readonly exchangeRate: Decimal | null;
  readonly strict: boolean;
  readonly output: "xml" | "json";
  readonly outputPath: string | null;
}

export function readRequest(input: string): Request {
  const fields = readFields(input, BOUNDS, FIELDS);
  const profile = fields.choice("profile", ["simple", "gdt"], "simple");
  const gdt = profile === "gdt";
  const currency = fields.has("currency") ? matching(fields, "currency", /^[A-Z]{3}$/, "three letters A to Z") : "VND";
  return {
    buyerMst: fields.optionalText("buyer_mst", 100),
    sellerMst: fields.text("seller_mst", 100, ", because a number loses its leading zeros"),
    providerMst: fields.optionalText("provider_mst", 100),
    buyer: readParty(fields, "buyer", BUYER_FIELDS, false),
    seller: readParty(fields, "seller", SELLER_FIELDS, gdt),
    lines: readLines(fields),
    profile,
    rounding: fields.choice("rounding", ["line", "rate_group"], gdt ? "rate_group" : "line"),
    issueDate: readDate(fields, gdt),
    form: fields.choice("form", ["1"], "1"),
    serial: optionalMatching(fields, "serial", /^[0-9A-Z]{6}$/, "six characters 0 to 9 or A to Z", gdt),
    number: optionalMatching(fields, "number", /^[0-9]{1,8}$/, "one to eight digits", gdt),
    paymentMethod: optionalXmlText(fields, "payment_method", 50) ?? "TM/CK",
    currency,
    exchangeRate: readExchangeRate(fields, currency),
    strict: fields.flag("strict", false),
    output: fields.choice("output", ["xml", "json"], gdt ? "json" : "xml"),
    outputPath: readPath(fields),
  };
}

function readParty(fields: Fields, role: string, names: readonly string[], named: boolean): Party {
  // Where a name is required, so is the object that has it.
  const party = fields.has(role) || named ? fields.object(role, names) : null;
  const text = (name: string, most: number): string | null =>
    party === null || !names.includes(name) ? null : optionalXmlText(party, name, most);
  const required = (name: string, most: number): string | null =>
    party !== null && named ? xmlText(party, name, most) : text(name, most);
  const id = party !== null && names.includes("personal_id") ? party : null;
  return {
    name: required("name", 400),
    address: required("address", 400),
    phone: text("phone", 20),
    email: text("email", 50),
    bankAccount: text("bank_account", 30),
    bankName: text("bank_name", 400),
    personalId: id === null ? null : optionalMatching(id, "personal_id", /^[0-9]{12}$/, "twelve digits", false),
    representative: text("representative", 100),
  };
}

function readLines(fields: Fields): Line[] {
  const lines = fields.objects("lines", LINE_FIELDS, MAX_LINES);
  if (lines.length === 0) fields.refuse("lines", "has no entry");
  return lines.map((line, index) => readLine(line, `lines[${index}]`));
}

function readLine(line: Fields, place: string): Line {
  const kind = line.choice("kind", KINDS, "goods");
  const named = { place, kind, item: xmlText(line, "item", 500), code: optionalXmlText(line, "code", 50) };
  if (kind !== "goods" && kind !== "special") {
    refuseAll(line, ["discount_rate", "discount"], "is for goods and services");
  }
  if (kind === "note") {
    refuseAll(line, ["unit", "qty", "unit_price", "tax_rate"], "has no place in a note");
    return { ...named, unit: null, quantity: 0n, unitPrice: 0n, taxRate: null, discountRate: null, discount: null };
  }
  const discountRate = line.optionalDecimal("discount_rate");
  if (discountRate !== null && (discountRate < 0n || discountRate >= ONE)) {
    line.refuse("discount_rate", "must be a fraction, at least 0 and less than 1");
  }
  if (discountRate !== null && line.has("discount")) line.refuse("discount", 'is given beside "discount_rate"');
  return {
    ...named,
    unit: optionalXmlText(line, "unit", 50),
    quantity: line.decimal("qty"),
    unitPrice: line.decimal("unit_price"),
    taxRate: readTaxRate(line),
    discountRate,
    discount: line.optionalDecimal("discount"),
  };
}

function refuseAll(fields: Fields, names: readonly string[], why: string): void {
  for (const name of names) if (fields.has(name)) fields.refuse(name, why);
}

/** A number, or its digits as text, or the label of a rate. */
function readTaxRate(line: Fields): Decimal | string {
  try {
    return line.decimal("tax_rate");
  } catch (error) {
    if (!(error instanceof InputInvalid) || !line.has("tax_rate")) throw error;
    return line.text("tax_rate", 50, " or a number with at most 6 places");
  }
}

function readDate(fields: Fields, required: boolean): string | null {
  if (!required && !fields.has("issue_date")) return null;
  const date = fields.text("issue_date", 50);
  if (dayOf(date) === null) fields.refuse("issue_date", "must be a day as YYYY-MM-DD");
  return date;
}

function readExchangeRate(fields: Fields, currency: string): Decimal | null {
  if (currency === "VND") {
    if (fields.has("exchange_rate")) fields.refuse("exchange_rate", "is for other currencies than VND");
    return null;
  }
  const rate = fields.decimal("exchange_rate");
  if (rate <= 0n || rate > MAX_EXCHANGE_RATE || rate % HUNDREDTH !== 0n) {
    fields.refuse("exchange_rate", "must be more than 0, at most 99999.99, with at most 2 places");
  }
  return rate;
}

function readPath(fields: Fields): string | null {
  const path = optionalXmlText(fields, "output_path", MAX_PATH);
  // No segment that is empty or climbs: such a path is absolute, or leads out of the directory that was granted.
  if (path !== null && (/^\/|\/\/|\\|\.\.|[\0-\x1f]/.test(path) || !/[^/]\.xml$/.test(path))) {
    fields.refuse("output_path", 'must be a relative path that ends in ".xml", without ".."');
  }
  return path;
}

function matching(fields: Fields, name: string, pattern: RegExp, what: string): string {
  const text = fields.text(name, 100);
  if (!pattern.test(text)) fields.refuse(name, `must be ${what}`);
  return text;
}

function optionalMatching(
  fields: Fields, name: string, pattern: RegExp, what: string, required: boolean,
): string | null {
  return required || fields.has(name) ? matching(fields, name, pattern, what) : null;
}

function xmlText(fields: Fields, name: string, most: number): string {
  const text = fields.text(name, most);
  if (text === "") fields.refuse(name, "is empty");
  if (!isXmlText(text)) fields.refuse(name, "has a character that XML cannot hold");
  return text;
}

function optionalXmlText(fields: Fields, name: string, most: number): string | null {
  return fields.has(name) ? xmlText(fields, name, most) : null;
}
