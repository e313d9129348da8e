// What the counted invoices add up to, and what a careful reader would say of it. scripts/review.py is the twin.

import { checkDigitFault, recognise } from "../../vn-mst-validate/src/tax-code.ts";
import type { Counted, Listing } from "./collect.ts";
import type { Indicators } from "./indicators.ts";
import type { Row } from "./invoice.ts";
import { type Deadline, formFor } from "./period.ts";
import type { Request } from "./request.ts";
import type { Taxpayer } from "./return-xml.ts";

// Capitals of Latin letters, whose small ones are the same in every version of Unicode.
const CAPITALS = /[A-Z\u00c0-\u00de\u0100-\u01b0\u1ea0-\u1eff]/g;

export interface Sums {
  readonly rows: Readonly<Record<"ct26" | "ct29" | "ct30" | "ct31" | "ct32" | "ct33" | "ct32a", bigint>>;
  readonly inputAmount: bigint;
  readonly inputTax: bigint;
  readonly sales: number;
  /** Sales at 8%, and at rates that have no row of their own. */
  readonly reduced: boolean;
  readonly other: boolean;
}

export interface Facts {
  readonly request: Request;
  readonly listing: Listing;
  readonly invoices: readonly Counted[];
  readonly sums: Sums;
  readonly taxpayer: Taxpayer;
  readonly indicators: Indicators;
  readonly deadline: Deadline;
  readonly skipped: number;
}

export function sumsOf(invoices: readonly Counted[], taxpayer: string): Sums {
  const amounts: Record<Row, bigint> = { exempt: 0n, undeclared: 0n, zero: 0n, five: 0n, ten: 0n };
  const taxes: Record<Row, bigint> = { ...amounts };
  let [inputAmount, inputTax, sales] = [0n, 0n, 0];
  const notes = new Set<string | null>();
  for (const { invoice } of invoices) {
    const sold = invoice.seller.mst === taxpayer;
    if (sold) sales += 1;
    for (const { rate, amount, tax } of invoice.groups) {
      if (sold) {
        amounts[rate.row] += amount;
        taxes[rate.row] += tax;
        notes.add(rate.note);
      } else {
        inputAmount += amount;
        inputTax += tax;
      }
    }
  }
  return {
    rows: {
      ct26: amounts.exempt,
      ct29: amounts.zero,
      ct30: amounts.five,
      ct31: taxes.five,
      ct32: amounts.ten,
      ct33: taxes.ten,
      ct32a: amounts.undeclared,
    },
    inputAmount,
    inputTax,
    sales,
    reduced: notes.has("reduced"),
    other: notes.has("other"),
  };
}

/** Codes of what a person mends before the return may go to the authority. */
export function notReadyBecause(facts: Facts): string[] {
  const { request, invoices, taxpayer } = facts;
  const code = recognise(taxpayer.mst);
  const form = formFor(request.period).notReady;
  return codesOf([
    ["files_skipped", facts.skipped > 0],
    ["draft_invoices", invoices.some(({ invoice }) => invoice.draft)],
    ["no_invoices", invoices.length === 0 && !request.noActivity],
    ["no_activity_contradicted", request.noActivity && (invoices.length > 0 || hasFigures(request))],
    ["deductible_exceeds_input", request.deductible !== null && request.deductible > facts.indicators.ct24],
    ["replaced_invoice_not_there", replacesUnknown(invoices, facts.listing)],
    // Where one party alone is named it may be the other who files.
    ["taxpayer_uncertain", request.taxpayerMst === null && invoices.some(({ invoice }) => invoice.buyer.mst === null)],
    ["taxpayer_name_missing", taxpayer.name === null || /^[ \t\r\n]*$/.test(taxpayer.name)],
    ["taxpayer_check_digit", typeof code === "string" || checkDigitFault(code) !== null],
    ["period_not_over", request.today !== null && request.today <= request.period.last],
    [form ?? "", form !== null],
  ]);
}

/** Whether the input has amounts that a period without activity has not. */
function hasFigures(request: Request): boolean {
  const { imports, deductible, adjustDown, adjustUp, otherDeducted, investmentOffset } = request;
  const amounts = [imports.amount, imports.tax, deductible ?? 0n, adjustDown, adjustUp, otherDeducted, investmentOffset];
  return amounts.some((amount) => amount > 0n);
}

/** Codes of what a person should know. */
export function warningsOf(facts: Facts): string[] {
  const { request, listing, invoices, sums, taxpayer, indicators, deadline } = facts;
  const { today, deductible } = request;
  return codesOf([
    ["taxpayer_inferred", request.taxpayerMst === null],
    ["taxpayer_names_differ", namesDiffer(invoices, taxpayer)],
    ["signatures_not_verified", invoices.some(({ invoice }) => !invoice.draft)],
    ["carried_in_assumed_zero", request.carriedIn === null],
    ["deductible_assumed_full", deductible === null && indicators.ct24 !== 0n],
    ["reduced_rate_appendix_not_written", sums.reduced],
    ["other_rate_placed", sums.other],
    ["possible_duplicates", hasTwins(invoices)],
    ["files_ignored", listing.ignored.length > 0],
    ["holidays_unknown", !deadline.certain],
    ["deadline_passed", today !== null && today > deadline.day],
  ]);
}

function codesOf(entries: readonly (readonly [string, boolean])[]): string[] {
  return entries.filter(([, holds]) => holds).map(([code]) => code);
}

function namesDiffer(invoices: readonly Counted[], { mst, name }: Taxpayer): boolean {
  return invoices.some(({ invoice: { seller, buyer } }) => {
    const written = seller.mst === mst ? seller.name : buyer.name;
    return written !== null && folded(written) !== folded(name ?? "");
  });
}

/** A name without what two writers of it may do differently. */
function folded(name: string): string {
  const small = name.normalize("NFC").replace(CAPITALS, (letter) => letter.toLowerCase());
  return small.split(" ").filter(Boolean).join(" ");
}

function replacesUnknown(invoices: readonly Counted[], { entries }: Listing): boolean {
  const known = new Set(entries.map(({ invoice }) => invoice?.identity ?? ""));
  return invoices.some(({ invoice: { replaces } }) => replaces !== null && !known.has(replaces));
}

/** Drafts without a number that are alike in all that counts. */
function hasTwins(invoices: readonly Counted[]): boolean {
  const known = new Set<string>();
  for (const { invoice } of invoices) {
    if (invoice.identity !== null) continue;
    const { seller, buyer, date, groups } = invoice;
    const figures = groups.map(({ rate, amount, tax }) => `${rate.label} ${amount} ${tax}`);
    const key = [seller.mst, buyer.mst ?? "", date, ...figures].join(" ");
    if (known.has(key)) return true;
    known.add(key);
  }
  return false;
}
