// Writes a Vietnamese VAT invoice (hóa đơn giá trị gia tăng) as XML. scripts/make_invoice.py is the reference: for
// every input the two give the same bytes, so a change here is a change there.

import { writeFile } from "cyberos:skill/host@0.1.0";

import { gdtXml } from "./gdt.ts";
import { type Invoice, invoiceOf } from "./invoice.ts";
import { AS_OF } from "./rates.ts";
import { Refused, refused } from "./refusals.ts";
import { type Request, readRequest } from "./request.ts";
import { simpleXml } from "./simple.ts";
import { moneyText } from "./totals.ts";

const VERIFY =
  "A draft by the rules as of 2026-11-20; confirm rates, tax codes and format with the tax authority.";

export function run(input: string): string {
  const request = readRequest(input);
  try {
    return answer(request);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { reason, message, field } = error;
    return JSON.stringify({ ok: false, reason, message, field, as_of: AS_OF, verify: VERIFY });
  }
}

function answer(request: Request): string {
  const invoice = invoiceOf(request);
  const document = request.profile === "gdt" ? gdtXml(invoice) : simpleXml(invoice, VERIFY);
  // A script's line end after its answer is no part of it to a host, so the answer has none.
  const xml = document.trimEnd();
  if (request.outputPath !== null) write(request.outputPath, xml);
  if (request.output === "xml") return xml;
  return JSON.stringify({
    ok: true,
    profile: request.profile,
    rounding: request.rounding,
    draft: true,
    totals: totalsOf(invoice),
    warnings: invoice.warnings,
    as_of: AS_OF,
    verify: VERIFY,
    xml,
    written: request.outputPath,
  });
}

function totalsOf({ figures, request: { currency }, inWords }: Invoice): object {
  const number = (amount: bigint): number => Number(moneyText(amount, currency));
  return {
    currency,
    amount: number(figures.amount),
    tax: number(figures.tax),
    discount: number(figures.discount),
    grand_total: number(figures.grand),
    in_words: inWords,
    by_rate: figures.rates.map(({ label, amount, tax }) => ({
      tax_rate: label,
      amount: number(amount),
      tax: number(tax),
    })),
  };
}

function write(path: string, xml: string): void {
  try {
    writeFile(path, xml);
  } catch {
    // The host's text is for the skill, not for its caller.
    throw refused("not_written", "output_path");
  }
}
