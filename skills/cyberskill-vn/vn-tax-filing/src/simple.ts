// An invoice of the profile that vn-vat-invoice calls `simple`: never signed, so always a draft.
// scripts/simple_profile.py is the twin.

import type { XmlElement } from "cyberos-guest/xml_reader.ts";

import { Elements, FileFault } from "./elements.ts";
import {
  type Group,
  type Invoice,
  type Line,
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

const NAMESPACE = "urn:vn:gdt:v3";

export function readSimple(root: XmlElement): Invoice {
  if (root.attributes.get("xmlns") !== NAMESPACE) throw new FileFault("root_unknown");
  const fields = new Elements(root, "");
  const seller = sellerMst(fields, "SellerTaxCode");
  const date = fields.date("IssueDate");
  const number = fields.optionalText("InvoiceNumber");
  const currency = fields.matching("Currency", /^[A-Z]{3}$/);
  const groups = readGroups(root, fields, currency);
  return {
    profile: "simple",
    seller: {
      mst: seller,
      name: fields.optionalText("SellerName"),
      address: fields.optionalText("SellerAddress"),
    },
    buyer: {
      mst: buyerMst(fields, "BuyerTaxCode"),
      name: fields.optionalText("BuyerName"),
      address: fields.optionalText("BuyerAddress"),
    },
    date,
    identity: number === null ? null : `${seller} simple ${number}`,
    replaces: null,
    adjusts: false,
    draft: true,
    groups: inDong(groups, exchangeRate(fields, currency, "ExchangeRate")),
  };
}

function readGroups(root: XmlElement, fields: Elements, currency: string): Group[] {
  const lines: Line[] = [];
  const groups: Group[] = [];
  for (const child of root.children) {
    if (child.name === "LineItem") {
      const line = new Elements(child, "LineItem/");
      lines.push({ rate: rateOf(line, "TaxRate"), amount: line.number("Amount"), tax: line.number("TaxAmount") });
    } else if (child.name === "TaxTotal") {
      const total = new Elements(child, "TaxTotal/");
      groups.push({ rate: rateOf(total, "TaxRate"), amount: total.number("Amount"), tax: total.number("TaxAmount") });
    }
  }
  if (lines.length === 0) throw new FileFault("field_missing", "LineItem");
  const tolerance = toleranceFor(currency, lines.length);
  checkGroups(lines, groups, tolerance, "TaxTotal");
  const sum = sumOf(groups);
  checkSame(fields.number("TotalAmount"), sum.amount, tolerance, "TotalAmount");
  checkSame(fields.number("TotalTaxAmount"), sum.tax, tolerance, "TotalTaxAmount");
  checkSame(fields.number("GrandTotal"), sum.amount + sum.tax, tolerance, "GrandTotal");
  return groups;
}
