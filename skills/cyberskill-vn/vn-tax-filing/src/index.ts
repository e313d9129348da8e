// Prepares a VAT return (01/GTGT) from the invoices of a period. scripts/prepare_return.py is the reference: for
// every input the two give the same bytes, so a change here is a change there. It submits nothing.

import { writeFile } from "cyberos:skill/host@0.1.0";

import { AS_OF, normalized, recognise } from "../../vn-mst-validate/src/tax-code.ts";
import { type Counted, type Listing, commonParties, counted, namesTwo, readDirectory, sift } from "./collect.ts";
import { type Indicators, INDICATORS, indicatorsOf } from "./indicators.ts";
import { type Deadline, deadlineOf, formFor } from "./period.ts";
import { REFUSALS, Refused } from "./refusals.ts";
import { type Request, readRequest } from "./request.ts";
import { type Taxpayer, returnXml } from "./return-xml.ts";
import { type Sums, notReadyBecause, sumsOf, warningsOf } from "./review.ts";

const VERIFY =
  "A draft for a person to review: rates, deductibility, deadline and form are to be checked against the rules in force, and signatures with their issuers.";
const READY = "human review then upload to https://thuedientu.gdt.gov.vn";
const NOT_READY = "mend what not_ready_because names, prepare the return again, then human review; nothing is submitted here";

export function run(input: string): string {
  const request = readRequest(input);
  try {
    return JSON.stringify(prepare(request));
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    const { reason, more } = thrown;
    return JSON.stringify({ ok: false, reason, message: REFUSALS[reason], ...more, as_of: AS_OF, verify: VERIFY });
  }
}

function prepare(request: Request): object {
  const given = request.taxpayerMst === null ? null : givenTaxpayer(request.taxpayerMst);
  const listing = readDirectory(request.directory);
  const mst = given ?? inferredTaxpayer(listing);
  sift(listing.entries, mst, request.period);
  const skipped = listing.entries.flatMap(({ file, fault }) =>
    fault === null
      ? []
      : [{ file, reason: fault.reason, ...(fault.field === null ? {} : { field: fault.field }) }],
  );
  if (request.refuseBadFiles && skipped.length > 0) throw new Refused("files_refused", { skipped });

  const invoices = counted(listing.entries);
  // Of an invoice with both parties and the one that replaces it without, the latter alone counts.
  if (given === null && invoices.length > 0 && !invoices.some(({ invoice }) => namesTwo(invoice))) {
    throw new Refused("taxpayer_unknown", { candidates: [mst] });
  }
  const sums = sumsOf(invoices, mst);
  const taxpayer = named(request, mst, invoices);
  const indicators = checked(request, sums);
  const xml = returnXml(request, taxpayer, indicators);
  const deadline = deadlineOf(request.period);
  const facts = { request, listing, invoices, sums, taxpayer, indicators, deadline, skipped: skipped.length };
  const notReady = notReadyBecause(facts);
  if (request.write) write(request.target, xml);
  return {
    period: request.period.text,
    output_vat_total: Number(indicators.ct35),
    input_vat_total: Number(indicators.ct25),
    net_vat_due: Number(indicators.ct40),
    gdt_xml_path: request.write ? request.returnPath : null,
    ready_for_submission: notReady.length === 0,
    next_action: notReady.length === 0 ? READY : NOT_READY,
    not_ready_because: notReady,
    taxpayer: { ...taxpayer, inferred: given === null },
    form_version: formFor(request.period).version,
    indicators: Object.fromEntries(INDICATORS.map((name) => [name, Number(indicators[name])])),
    deadline: deadlineAnswer(deadline),
    counts: countsOf(listing, invoices, sums, skipped.length),
    skipped,
    replaced: listing.entries.filter(({ replaced }) => replaced).map(({ file }) => file),
    ignored: listing.ignored,
    warnings: warningsOf(facts),
    ...(request.write ? {} : { gdt_xml: xml }),
    as_of: AS_OF,
    verify: VERIFY,
  };
}

function givenTaxpayer(text: string): string {
  const code = recognise(text);
  if (typeof code === "string") throw new Refused("taxpayer_mst_invalid");
  return normalized(code);
}

function inferredTaxpayer({ entries }: Listing): string {
  // A buyer abroad may have a code of another form, which is not the taxpayer's.
  const candidates = commonParties(entries).filter((mst) => typeof recognise(mst) !== "string");
  const [only] = candidates;
  const told = entries.some(({ invoice }) => invoice !== null && namesTwo(invoice));
  if (only === undefined || candidates.length > 1 || !told) throw new Refused("taxpayer_unknown", { candidates });
  return only;
}

/** The taxpayer with the name and address that are given, or that the first invoice has that bears a name. */
function named(request: Request, mst: string, invoices: readonly Counted[]): Taxpayer {
  const party = invoices
    .map(({ invoice }) => (invoice.seller.mst === mst ? invoice.seller : invoice.buyer))
    .find(({ name }) => name !== null);
  return { mst, name: request.name ?? party?.name ?? null, address: request.address ?? party?.address ?? null };
}

function checked(request: Request, sums: Sums): Indicators {
  const { imports } = request;
  const ct24 = sums.inputTax + imports.tax;
  const indicators = indicatorsOf({
    ...sums.rows,
    ct21: request.noActivity,
    ct22: request.carriedIn ?? 0n,
    ct23: sums.inputAmount + imports.amount,
    ct24,
    ct23a: imports.amount,
    ct24a: imports.tax,
    ct25: request.deductible ?? ct24,
    ct37: request.adjustDown,
    ct38: request.adjustUp,
    ct39a: request.otherDeducted,
    ct40b: request.investmentOffset,
    ct42: request.refund,
  });
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  if (Object.values(indicators).some((amount) => amount > most || -amount > most)) throw new Refused("total_too_large");
  if (indicators.ct40b > indicators.ct40a) throw new Refused("investment_offset_too_large");
  if (indicators.ct42 > indicators.ct41) throw new Refused("refund_too_large");
  return indicators;
}

function write(path: string, xml: string): void {
  try {
    writeFile(path, xml);
  } catch {
    throw new Refused("return_not_written");
  }
}

function deadlineAnswer({ date, rule, movedFrom }: Deadline): object {
  return { date, rule, ...(movedFrom === null ? {} : { moved_from: movedFrom }) };
}

function countsOf({ entries, ignored }: Listing, invoices: readonly Counted[], sums: Sums, skipped: number): object {
  return {
    files: entries.length,
    counted: invoices.length,
    sales: sums.sales,
    purchases: invoices.length - sums.sales,
    drafts: invoices.filter(({ invoice }) => invoice.draft).length,
    adjustments: invoices.filter(({ invoice }) => invoice.adjusts).length,
    replaced: entries.length - invoices.length - skipped,
    skipped,
    ignored: ignored.length,
  };
}
