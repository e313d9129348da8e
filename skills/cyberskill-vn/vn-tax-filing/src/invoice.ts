// One invoice, reduced to what a return asks of it. scripts/invoice.py is the twin; references/reading-invoices.md
// says what is checked.

import type { Day } from "cyberos-guest/dates.ts";
import { type Decimal, ONE, divideRounded } from "cyberos-guest/decimal.ts";

import { normalized, recognise } from "../../vn-mst-validate/src/tax-code.ts";
import { type Elements, FileFault } from "./elements.ts";

const PERCENT_HUNDREDTHS = 10_000n;
const MIDDLE = 750n;
const OTHER = /^KHAC:([0-9]{1,2})\.([0-9]{2})%$/;

/** Where a rate stands in the return: not taxable, not declared, 0%, 5%, or 10% with what is charged less. */
export type Row = "exempt" | "undeclared" | "zero" | "five" | "ten";

export interface Rate {
  readonly label: string;
  readonly row: Row;
  /** In hundredths of a percent. */
  readonly charged: bigint;
  readonly note: "reduced" | "other" | null;
}

const RATES: ReadonlyMap<string, Rate> = new Map(
  (
    [
      { label: "10%", row: "ten", charged: 1000n, note: null },
      { label: "8%", row: "ten", charged: 800n, note: "reduced" },
      { label: "5%", row: "five", charged: 500n, note: null },
      { label: "0%", row: "zero", charged: 0n, note: null },
      { label: "KCT", row: "exempt", charged: 0n, note: null },
      { label: "KKKNT", row: "undeclared", charged: 0n, note: null },
    ] satisfies Rate[]
  ).map((rate) => [rate.label, rate]),
);

/** What an invoice has at one rate. */
export interface Group {
  readonly rate: Rate;
  readonly amount: Decimal;
  readonly tax: Decimal;
}

export interface Line {
  readonly rate: Rate | null;
  readonly amount: Decimal;
  /** Null where lines have no tax of their own. */
  readonly tax: Decimal | null;
}

export interface Party {
  /** As it is written by rule; of a buyer abroad as it is given. */
  readonly mst: string | null;
  readonly name: string | null;
  readonly address: string | null;
}

export interface Invoice {
  readonly profile: "simple" | "gdt";
  readonly seller: Party & { readonly mst: string };
  readonly buyer: Party;
  readonly date: Day;
  /** Seller, form, serial and number; null for a draft without. */
  readonly identity: string | null;
  /** The identity of the invoice that this one replaces. */
  readonly replaces: string | null;
  readonly adjusts: boolean;
  readonly draft: boolean;
  /** In whole đồng. */
  readonly groups: readonly Group[];
}

/** Takes a rate by its label; throws that the field is not one. */
export function rateOf(elements: Elements, name: string): Rate {
  const label = elements.text(name);
  const known = RATES.get(label);
  if (known !== undefined) return known;
  const found = OTHER.exec(label);
  if (found === null) return elements.invalid(name);
  const charged = BigInt(`${found[1]}${found[2]}`);
  const row = charged === 0n ? "zero" : charged < MIDDLE ? "five" : "ten";
  return { label, row, charged, note: "other" };
}

export function sellerMst(elements: Elements, name: string): string {
  return writtenMst(elements.text(name)) ?? elements.invalid(name);
}

/** A buyer may have no tax code, or one of another country. */
export function buyerMst(elements: Elements, name: string): string | null {
  const text = elements.optionalText(name);
  return text === null ? null : (writtenMst(text) ?? text);
}

// The same few parties are in all invoices of a taxpayer.
const written = new Map<string, string | null>();
const WRITTEN_KEPT = 1000;

/** A tax code as it is written by rule; null if it is none. */
function writtenMst(text: string): string | null {
  const known = written.get(text);
  if (known !== undefined) return known;
  const code = recognise(text);
  const mst = typeof code === "string" ? null : normalized(code);
  if (written.size >= WRITTEN_KEPT) written.clear();
  written.set(text, mst);
  return mst;
}

/** Rounding that lines and totals may differ by: 1 đ for each line, a hundredth in another currency. */
export function toleranceFor(currency: string, lines: number): Decimal {
  return BigInt(Math.max(lines, 1)) * (currency === "VND" ? ONE : ONE / 100n);
}

export function checkSame(one: Decimal, other: Decimal, tolerance: Decimal, field: string): void {
  const difference = one - other;
  if (difference > tolerance || -difference > tolerance) throw new FileFault("totals_contradict", field);
}

/** Holds the totals of each rate to the lines and to the rate. Lines without a rate leave only the whole to compare. */
export function checkGroups(lines: readonly Line[], groups: readonly Group[], tolerance: Decimal, field: string): void {
  const byRate = new Map<string, { amount: Decimal; tax: Decimal }>();
  for (const { rate, amount, tax } of groups) {
    const sum = byRate.get(rate.label) ?? { amount: 0n, tax: 0n };
    byRate.set(rate.label, { amount: sum.amount + amount, tax: sum.tax + tax });
    const due = tax * PERCENT_HUNDREDTHS - amount * rate.charged;
    const most = (rate.charged === 0n ? 0n : tolerance) * PERCENT_HUNDREDTHS;
    if (due > most || -due > most) throw new FileFault("totals_contradict", field);
  }
  const total = sumOf([...byRate.values()]);
  checkSame(sumOf(lines).amount, total.amount, tolerance, field);
  if (lines.some(({ rate }) => rate === null)) return;
  for (const { rate, amount, tax } of lines) {
    const label = rate?.label ?? "";
    const sum = byRate.get(label) ?? { amount: 0n, tax: 0n };
    byRate.set(label, { amount: sum.amount - amount, tax: tax === null ? 0n : sum.tax - tax });
  }
  const taxed = lines.length > 0 && lines[0]?.tax !== null;
  for (const left of byRate.values()) {
    checkSame(left.amount, 0n, tolerance, field);
    if (taxed) checkSame(left.tax, 0n, tolerance, field);
  }
}

export function sumOf(entries: readonly { amount: Decimal; tax: Decimal | null }[]): { amount: Decimal; tax: Decimal } {
  let [amount, tax] = [0n, 0n];
  for (const entry of entries) {
    amount += entry.amount;
    tax += entry.tax ?? 0n;
  }
  return { amount, tax };
}

/** Whole đồng of amounts in a currency. */
export function inDong(groups: readonly Group[], exchangeRate: Decimal): Group[] {
  const scale = ONE * ONE;
  return groups.map(({ rate, amount, tax }) => ({
    rate,
    amount: divideRounded(amount * exchangeRate, scale),
    tax: divideRounded(tax * exchangeRate, scale),
  }));
}

/** What one unit of an invoice's currency is in đồng. */
export function exchangeRate(elements: Elements, currency: string, name: string): Decimal {
  if (currency === "VND") return ONE;
  const rate = elements.number(name);
  return rate > 0n ? rate : elements.invalid(name);
}
