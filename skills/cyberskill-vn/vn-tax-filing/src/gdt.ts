// An invoice in the tax authority's format (QĐ 1271). scripts/gdt_profile.py is the twin.

import type { Decimal } from "cyberos-guest/decimal.ts";
import { type XmlElement, localName } from "cyberos-guest/xml_reader.ts";

import { Elements, FileFault } from "./elements.ts";
import {
  type Group,
  type Invoice,
  type Line,
  type Party,
  buyerMst,
  checkGroups,
  checkSame,
  exchangeRate,
  inDong,
  rateOf,
  sellerMst,
  sumOf,
  toleranceFor,
} from "./invoice.ts";

const FORM = /^[0-9]$/;
const VAT_INVOICE = "1";
const SERIAL = /^[0-9A-Za-z/]{1,12}$/;
const SERIAL_LENGTH = 6;
const NUMBER = /^[0-9]{1,8}$/;

// A point before three digits is more often one of thousands: 25.000 is not 25 đồng.
const EXCHANGE_RATE = /^[0-9]{1,15}(?:\.[0-9]{1,2})?$/;

// More than `\s` takes here: what `\s` of either twin takes.
const NOT_BLANK = /[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]/;

// What a line is. A promotion and a note add nothing to the totals; goods and services (1) and specials (5) do.
const NATURE = /^[1-5]$/;
const PROMOTION = "2";
const DISCOUNT = "3";
const NOTE = "4";

const REPLACES = "1";
const ADJUSTS = "2";

/** The invoice in what a provider sends: alone, or in an envelope. */
export function invoiceIn(root: XmlElement): XmlElement {
  let element = root;
  if (localName(element) === "TDiep") element = new Elements(element, "TDiep/").element("DLieu");
  if (localName(element) === "DLieu") {
    const invoices = element.children.filter((child) => localName(child) === "HDon");
    if (invoices.length > 1) throw new FileFault("several_invoices");
    element = invoices[0] ?? element;
  }
  if (localName(element) !== "HDon") throw new FileFault("root_unknown");
  return element;
}

export function readGdt(hdon: XmlElement): Invoice {
  const invoice = new Elements(hdon, "");
  const data = invoice.inside("DLHDon");
  const general = data.inside("TTChung");
  const content = data.inside("NDHDon");
  if (general.matching("KHMSHDon", FORM) !== VAT_INVOICE) throw new FileFault("not_a_vat_invoice");

  const draft = !isSigned(invoice);
  const sellerFields = content.inside("NBan");
  const seller = sellerMst(sellerFields, "MST");
  const buyer = content.inside("NMua");
  const date = general.date("NLap");
  const currency = general.matching("DVTTe", /^[A-Z]{3}$/);
  if (currency !== "VND") general.matching("TGia", EXCHANGE_RATE);
  const identity = identityOf(general, seller, draft);
  return {
    profile: "gdt",
    seller: { ...partyOf(sellerFields), mst: seller },
    buyer: { ...partyOf(buyer), mst: buyerMst(buyer, "MST") },
    date,
    identity,
    ...relationOf(general, seller),
    draft,
    groups: inDong(readGroups(content, currency), exchangeRate(general, currency, "TGia")),
  };
}

function partyOf(fields: Elements): Omit<Party, "mst"> {
  return { name: fields.optionalText("Ten"), address: fields.optionalText("DChi") };
}

/** Signed by the seller, as far as one sees: the signature itself is not verified. */
function isSigned(invoice: Elements): boolean {
  const signatures = invoice.optional("DSCKS");
  const own = signatures === undefined ? undefined : new Elements(signatures, "DSCKS/").optional("NBan");
  const open = own === undefined ? [] : [...own.children];
  for (let element = open.pop(); element !== undefined; element = open.pop()) {
    if (localName(element) === "SignatureValue" && NOT_BLANK.test(element.text)) return true;
    for (const child of element.children) open.push(child);
  }
  return false;
}

/** A draft may lack its serial and number, which come last. */
function identityOf(general: Elements, seller: string, draft: boolean): string | null {
  if (draft && (general.optionalText("KHHDon") === null || general.optionalText("SHDon") === null)) return null;
  return `${seller} ${VAT_INVOICE} ${serialIn(general, "KHHDon", VAT_INVOICE)} ${numberIn(general, "SHDon")}`;
}

function relationOf(general: Elements, seller: string): { replaces: string | null; adjusts: boolean } {
  if (general.optional("TTHDLQuan") === undefined) return { replaces: null, adjusts: false };
  const related = general.inside("TTHDLQuan");
  const kind = related.matching("TCHDon", /^[12]$/);
  if (kind === ADJUSTS) return { replaces: null, adjusts: true };
  const form = related.matching("KHMSHDCLQuan", FORM);
  const serial = serialIn(related, "KHHDCLQuan", form);
  const replaces = `${seller} ${form} ${serial} ${numberIn(related, "SHDCLQuan")}`;
  return { replaces: kind === REPLACES ? replaces : null, adjusts: false };
}

/** A serial in capitals, and without the digit of the form that some write before it. */
function serialIn(fields: Elements, name: string, form: string): string {
  const serial = fields.matching(name, SERIAL).toUpperCase();
  return serial.length === SERIAL_LENGTH + 1 && serial.startsWith(form) ? serial.slice(1) : serial;
}

function numberIn(fields: Elements, name: string): string {
  return String(Number(fields.matching(name, NUMBER)));
}

function readGroups(content: Elements, currency: string): Group[] {
  const lines = readLines(content.element("DSHHDVu"));
  const payment = content.inside("TToan");
  const groups: Group[] = [];
  for (const child of payment.optional("THTTLTSuat")?.children ?? []) {
    if (!isNamed(child, "LTSuat", /^ltsuat$/i)) continue;
    const fields = new Elements(child, "LTSuat/");
    const rate = rateOf(fields, "TSuat");
    // Where there is no tax, some leave the field out.
    const tax = rate.charged === 0n ? fields.optionalNumber("TThue") : fields.number("TThue");
    groups.push({ rate, amount: fields.number("ThTien"), tax });
  }
  const tolerance = toleranceFor(currency, lines.length);
  checkGroups(lines, groups, tolerance, "LTSuat");
  checkTotals(payment, groups, tolerance);
  return groups;
}

function readLines(list: XmlElement): Line[] {
  const lines: Line[] = [];
  let found = false;
  for (const child of list.children) {
    if (!isNamed(child, "HHDVu", /^hhdvu$/i)) continue;
    found = true;
    const fields = new Elements(child, "HHDVu/");
    const nature = fields.matching("TChat", NATURE);
    if (nature === NOTE || nature === PROMOTION) continue;
    const rate = fields.optionalText("TSuat") === null ? null : rateOf(fields, "TSuat");
    const amount = fields.number("ThTien");
    lines.push({ rate, amount: nature === DISCOUNT ? -amount : amount, tax: null });
  }
  if (!found) throw new FileFault("field_missing", "HHDVu");
  return lines;
}

/** Whether an element has a name; one that differs by case alone would be left out unseen, so it is refused. */
function isNamed(element: XmlElement, name: string, anyCase: RegExp): boolean {
  const written = localName(element);
  if (written === name) return true;
  if (anyCase.test(written)) throw new FileFault("field_invalid", name);
  return false;
}

function checkTotals(payment: Elements, groups: readonly Group[], tolerance: Decimal): void {
  const sum = sumOf(groups);
  const stated = payment.number("TgTCThue");
  // Some write what is not taxable beside the total, some within it.
  const apart = payment.optionalNumber("TGTKCThue");
  const missing = sum.amount - stated;
  const whole = missing > tolerance || -missing > tolerance ? stated + apart : stated;
  checkSame(whole, sum.amount, tolerance, "TToan/TgTCThue");
  checkSame(payment.number("TgTThue"), sum.tax, tolerance, "TToan/TgTThue");
}
