// The invoices of a directory: which count, which are left out and why. scripts/collect.py is the twin.

import { listDir, readFile } from "cyberos:skill/host@0.1.0";

import { XmlRefused, localName, readXml } from "cyberos-guest/xml_reader.ts";

import { recognise } from "../../vn-mst-validate/src/tax-code.ts";
import { FileFault } from "./elements.ts";
import { invoiceIn, readGdt } from "./gdt.ts";
import type { Invoice } from "./invoice.ts";
import type { Period } from "./period.ts";
import { Refused } from "./refusals.ts";
import { readSimple } from "./simple.ts";

/** Each takes a call of the host, of which a run has 20,000; a directory that the host lists has as many names. */
const MAX_FILES = 10_000;

/** Bytes of one file: an invoice of some 4,000 lines. */
const MAX_BYTES = 1024 * 1024;

/** A file and what was found in it: an invoice, or why there is none. */
export interface Entry {
  readonly file: string;
  readonly invoice: Invoice | null;
  fault: FileFault | null;
  replaced: boolean;
}

export interface Listing {
  readonly entries: Entry[];
  /** Names that are no `.xml`. */
  readonly ignored: string[];
}

/** Reads every invoice of a directory, given by its parts, in the order of the names. */
export function readDirectory(directory: string): Listing {
  let listed: string[];
  try {
    listed = listDir(directory === "" ? "." : directory);
  } catch {
    throw new Refused("directory_unreadable");
  }
  const isInvoice = (name: string): boolean => /\.xml$/i.test(name) && !name.startsWith(".");
  const files = listed.filter(isInvoice);
  if (files.length > MAX_FILES) throw new Refused("too_many_files");
  const prefix = directory === "" ? "" : `${directory}/`;
  return {
    entries: files.map((file) => readEntry(file, prefix + file)),
    ignored: listed.filter((name) => !isInvoice(name)),
  };
}

function readEntry(file: string, path: string): Entry {
  try {
    return { file, invoice: readInvoice(path), fault: null, replaced: false };
  } catch (thrown) {
    return { file, invoice: null, fault: faultOf(thrown), replaced: false };
  }
}

function readInvoice(path: string): Invoice {
  let text: string;
  try {
    text = readFile(path);
  } catch {
    throw new FileFault("unreadable");
  }
  const root = readXml(text, MAX_BYTES);
  return localName(root) === "Invoice" ? readSimple(root) : readGdt(invoiceIn(root));
}

function faultOf(thrown: unknown): FileFault {
  if (thrown instanceof FileFault) return thrown;
  if (thrown instanceof XmlRefused) return new FileFault(`xml_${thrown.code}`);
  throw thrown;
}

/** The tax codes that are party to every invoice. */
export function commonParties(entries: readonly Entry[]): string[] {
  let common: Set<string> | null = null;
  for (const { invoice } of entries) {
    if (invoice === null) continue;
    const parties = [invoice.seller.mst, ...(invoice.buyer.mst === null ? [] : [invoice.buyer.mst])];
    common = new Set(common === null ? parties : parties.filter((mst) => common?.has(mst)));
  }
  return [...(common ?? [])];
}

/** Whether an invoice names both of its parties: one that names the seller alone does not tell whose it is. */
export function namesTwo({ seller, buyer }: Invoice): boolean {
  return buyer.mst !== null && buyer.mst !== seller.mst && typeof recognise(buyer.mst) !== "string";
}

/** Marks what does not count for this taxpayer and period. */
export function sift(entries: readonly Entry[], taxpayer: string, { first, last }: Period): void {
  const known = new Set<string>();
  for (const entry of entries) {
    const { invoice } = entry;
    if (invoice === null) continue;
    const { seller, buyer, date, identity } = invoice;
    const parties = Number(seller.mst === taxpayer) + Number(buyer.mst === taxpayer);
    if (parties === 0) entry.fault = new FileFault("taxpayer_not_a_party");
    else if (parties === 2) entry.fault = new FileFault("seller_is_buyer");
    else if (date < first) entry.fault = new FileFault("date_before_period");
    else if (date > last) entry.fault = new FileFault("date_after_period");
    else if (identity !== null && known.has(identity)) entry.fault = new FileFault("duplicate");
    else if (identity !== null) known.add(identity);
  }
  markReplaced(entries);
}

/** Takes replaced invoices out. Those that replace each other in a circle are refused: one of them is wrong. */
function markReplaced(entries: readonly Entry[]): void {
  const byIdentity = new Map<string, Counted>();
  const replacedOnes = new Set<string>();
  for (const entry of counted(entries)) {
    const { identity, replaces } = entry.invoice;
    if (identity !== null) byIdentity.set(identity, entry);
    if (replaces === null) continue;
    if (replacedOnes.has(replaces)) entry.fault = new FileFault("replaced_already");
    else replacedOnes.add(replaces);
  }
  const inCircles = new Set(counted(entries));
  for (const last of inCircles) {
    const { identity } = last.invoice;
    if (identity !== null && replacedOnes.has(identity)) continue;
    // From one that nothing replaces back to the first of its line.
    let entry: Counted | undefined = last;
    while (entry !== undefined) {
      inCircles.delete(entry);
      const { replaces }: Invoice = entry.invoice;
      entry = replaces === null ? undefined : byIdentity.get(replaces);
      if (entry?.fault !== null) break;
      entry.replaced = true;
    }
  }
  for (const entry of inCircles) entry.fault = new FileFault("replaced_in_a_circle");
}

export type Counted = Entry & { readonly invoice: Invoice };

export function counted(entries: readonly Entry[]): Counted[] {
  return entries.filter((entry): entry is Counted => entry.invoice !== null && entry.fault === null && !entry.replaced);
}
