// An invoice that can be written: the request with its tax codes, rates and figures. scripts/invoice.py is the twin.

import {
  PERSONAL_ID_VALID_FROM,
  REASONS,
  checkDigitFault,
  normalized,
  recognise,
} from "../../vn-mst-validate/src/tax-code.ts";
import { AS_OF, type Rate, rateOf } from "./rates.ts";
import { Refused, type Warning, warning } from "./refusals.ts";
import type { Request } from "./request.ts";
import { type Figures, figuresOf } from "./totals.ts";
import { amountInWords } from "./words.ts";

export interface Invoice {
  readonly request: Request;
  readonly buyerMst: string | null;
  readonly sellerMst: string;
  readonly providerMst: string | null;
  readonly figures: Figures;
  readonly inWords: string;
  readonly warnings: readonly Warning[];
}

/** Judges a request; throws Refused. */
export function invoiceOf(request: Request): Invoice {
  const warnings: Warning[] = [];
  const date = request.issueDate ?? AS_OF;
  const mst = (role: string, given: string): string => checkedMst(role, given, date, request.strict, warnings);
  const sellerMst = mst("seller", request.sellerMst);
  const buyerMst = request.buyerMst === null ? null : mst("buyer", request.buyerMst);
  const providerMst = request.providerMst === null ? null : mst("provider", request.providerMst);
  if (request.issueDate === null) warnings.push(warning("issue_date_missing", "issue_date"));
  if (date > AS_OF) warnings.push(warning("issue_date_after_rules", "issue_date"));
  const rates = ratesOf(request, date, warnings);
  const figures = figuresOf(request, rates);
  if (request.profile === "gdt") warnOfGaps(request, warnings);
  warnings.push(warning(request.profile === "gdt" ? "unsigned_draft" : "not_submittable", null));
  const inWords = amountInWords(figures.grand, request.currency);
  return { request, buyerMst, sellerMst, providerMst, figures, inWords, warnings };
}

function checkedMst(role: string, given: string, date: string, strict: boolean, warnings: Warning[]): string {
  const field = `${role}_mst`;
  const code = recognise(given);
  if (typeof code === "string") throw new Refused(`${field}_invalid`, field, REASONS[code]);
  if (code.format === "12-digit-personal-id" && date < PERSONAL_ID_VALID_FROM) {
    const message = `a personal ID serves as a tax code from ${PERSONAL_ID_VALID_FROM} on`;
    throw new Refused(`${field}_not_in_force`, field, message);
  }
  const fault = checkDigitFault(code);
  if (fault !== null) {
    if (strict) throw new Refused(`${field}_${fault}`, field, REASONS[fault]);
    warnings.push({ code: `${field}_${fault}`, field, message: REASONS[fault] });
  }
  return normalized(code);
}

/** The rate of each line, null for a note; what a rate warns of is told once, at its first line. */
function ratesOf({ lines }: Request, date: string, warnings: Warning[]): (Rate | null)[] {
  const told = new Set<string>();
  return lines.map(({ taxRate, place }) => {
    if (taxRate === null) return null;
    const field = `${place}.tax_rate`;
    const rate = rateOf(taxRate, date, field);
    if (rate.warning !== null && !told.has(rate.label)) {
      told.add(rate.label);
      warnings.push(warning(rate.warning, field));
    }
    return rate;
  });
}

function warnOfGaps({ buyer, buyerMst, providerMst, lines }: Request, warnings: Warning[]): void {
  if (buyer.name === null && (buyerMst !== null || buyer.representative === null)) {
    warnings.push(warning("buyer_incomplete", "buyer.name"));
  }
  if (buyerMst !== null && buyer.address === null) warnings.push(warning("buyer_incomplete", "buyer.address"));
  if (providerMst === null) warnings.push(warning("provider_mst_missing", "provider_mst"));
  const special = lines.find(({ kind }) => kind === "special");
  if (special !== undefined) warnings.push(warning("special_details_missing", `${special.place}.kind`));
}
