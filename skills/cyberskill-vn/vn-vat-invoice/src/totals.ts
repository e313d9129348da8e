// The figures of an invoice, exact. scripts/invoice_totals.py is the twin.
//
// An amount of money is a whole number of the currency's smallest unit: đồng for VND, hundredths for any other.

import { ONE, type Decimal, decimalText, divideRounded } from "cyberos-guest/decimal.ts";

import type { Rate } from "./rates.ts";
import { refused } from "./refusals.ts";
import type { Line, Request } from "./request.ts";

const PLACES = 6;
const MILLIONTHS_OF_A_HUNDREDTH = 10_000n;
// 2^53 − 1: beyond it a number of JSON is not exact. Numbers with a fraction are exact up to 15 digits.
const MOST_WHOLE = 9_007_199_254_740_991n;
const MOST_WITH_PLACES = 999_999_999_999_999n;

export interface LineFigures {
  readonly line: Line;
  /** Null for a note. */
  readonly rate: Rate | null;
  readonly discount: bigint;
  /** What the line adds: negative for a line that is a discount, 0 for a promotion or a note. */
  readonly amount: bigint;
  readonly tax: bigint;
}

export interface RateFigures {
  readonly label: string;
  readonly amount: bigint;
  readonly tax: bigint;
}

export interface Figures {
  readonly lines: readonly LineFigures[];
  /** In the order in which the lines name them. */
  readonly rates: readonly RateFigures[];
  readonly discount: bigint;
  readonly amount: bigint;
  readonly tax: bigint;
  readonly grand: bigint;
}

export function placesOf(currency: string): number {
  return currency === "VND" ? 0 : 2;
}

/** Writes an amount of money with its point. */
export function moneyText(amount: bigint, currency: string): string {
  return currency === "VND" ? String(amount) : decimalText(amount * MILLIONTHS_OF_A_HUNDREDTH);
}

/** Computes every figure; throws Refused. */
export function figuresOf({ lines, currency, rounding }: Request, rates: readonly (Rate | null)[]): Figures {
  const places = placesOf(currency);
  const figures = lines.map((line, index) => lineFigures(line, rates[index] ?? null, places));
  const groups = rateFigures(figures, rounding === "rate_group");
  const amount = sum(groups.map((group) => group.amount));
  const tax = sum(groups.map((group) => group.tax));
  const discount = sum(figures.map((line) => (line.line.kind === "discount" ? -line.amount : line.discount)));
  for (const total of [amount, discount, amount + tax]) checkSize(total, places, "lines");
  return { lines: figures, rates: groups, discount, amount, tax, grand: amount + tax };
}

function lineFigures(line: Line, rate: Rate | null, places: number): LineFigures {
  const { place, kind, quantity, unitPrice } = line;
  if (quantity < 0n) throw refused("negative_amount", `${place}.qty`);
  if (unitPrice < 0n) throw refused("negative_amount", `${place}.unit_price`);
  const gross = divideRounded(quantity * unitPrice, 10n ** BigInt(2 * PLACES - places));
  checkSize(gross, places, place);
  if (kind === "promotion" || kind === "note") return { line, rate, discount: 0n, amount: 0n, tax: 0n };
  const discount = discountOf(line, gross, places);
  const amount = kind === "discount" ? -gross : gross - discount;
  return { line, rate, discount, amount, tax: taxOf(amount, rate) };
}

function discountOf(line: Line, gross: bigint, places: number): bigint {
  if (line.discountRate !== null) return divideRounded(gross * line.discountRate, ONE);
  if (line.discount === null) return 0n;
  const field = `${line.place}.discount`;
  if (line.discount < 0n) throw refused("negative_amount", field);
  const discount = divideRounded(line.discount, 10n ** BigInt(PLACES - places));
  if (discount > gross) throw refused("discount_exceeds_amount", field);
  return discount;
}

function rateFigures(lines: readonly LineFigures[], together: boolean): RateFigures[] {
  const groups = new Map<string, { rate: Rate; amount: bigint; tax: bigint }>();
  for (const { line, rate, amount, tax } of lines) {
    if (rate === null || line.kind === "promotion") continue;
    const group = groups.get(rate.label) ?? { rate, amount: 0n, tax: 0n };
    groups.set(rate.label, group);
    group.amount += amount;
    group.tax += tax;
  }
  return [...groups.values()].map(({ rate, amount, tax }) => {
    if (amount < 0n || (!together && tax < 0n)) throw refused("discount_exceeds_goods", "lines");
    return { label: rate.label, amount, tax: together ? taxOf(amount, rate) : tax };
  });
}

function taxOf(amount: bigint, rate: Rate | null): bigint {
  const fraction: Decimal | null = rate?.rate ?? null;
  return fraction === null ? 0n : divideRounded(amount * fraction, ONE);
}

function checkSize(amount: bigint, places: number, field: string): void {
  if (amount > (places === 0 ? MOST_WHOLE : MOST_WITH_PLACES)) throw refused("amount_too_large", field);
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}
