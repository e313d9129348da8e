// The invoice as a small document of our own, for programs and people. scripts/simple_profile.py is the twin;
// references/simple-profile.md describes every element.

import { decimalText } from "cyberos-guest/decimal.ts";
import { XmlWriter } from "cyberos-guest/xml_writer.ts";

import type { Invoice } from "./invoice.ts";
import { AS_OF } from "./rates.ts";
import type { LineFigures } from "./totals.ts";
import { moneyText } from "./totals.ts";

const NAMESPACE = "urn:vn:gdt:v3";
// A note has no rate. Of the labels this one says that nothing is declared, and with amounts of 0 nothing is.
const RATE_OF_A_NOTE = "KKKNT";

export function simpleXml(invoice: Invoice, verify: string): string {
  const { request, figures } = invoice;
  const { buyer, seller, currency, exchangeRate } = request;
  const money = (amount: bigint): string => moneyText(amount, currency);
  const xml = new XmlWriter()
    .open("Invoice", { xmlns: NAMESPACE })
    .optionalLeaf("BuyerTaxCode", invoice.buyerMst)
    .leaf("SellerTaxCode", invoice.sellerMst)
    .optionalLeaf("BuyerName", buyer.name)
    .optionalLeaf("BuyerAddress", buyer.address)
    .optionalLeaf("SellerName", seller.name)
    .optionalLeaf("SellerAddress", seller.address)
    .optionalLeaf("InvoiceNumber", request.number)
    .optionalLeaf("IssueDate", request.issueDate)
    .leaf("Currency", currency)
    .optionalLeaf("ExchangeRate", exchangeRate === null ? null : decimalText(exchangeRate));
  figures.lines.forEach((line, index) => writeLine(xml, line, index + 1, money));
  for (const { label, amount, tax } of figures.rates) {
    xml.open("TaxTotal").leaf("TaxRate", label).leaf("Amount", money(amount)).leaf("TaxAmount", money(tax)).close();
  }
  xml
    .leaf("TotalAmount", money(figures.amount))
    .leaf("TotalTaxAmount", money(figures.tax))
    .leaf("GrandTotal", money(figures.grand))
    .leaf("AmountInWords", invoice.inWords)
    .open("Warnings", { asOf: AS_OF, verify });
  for (const { code, field, message } of invoice.warnings) {
    xml.leaf("Warning", message, field === null ? { code } : { code, field });
  }
  return xml.close().close().toString();
}

function writeLine(xml: XmlWriter, figures: LineFigures, number: number, money: (amount: bigint) => string): void {
  const { line, rate, discount, amount, tax } = figures;
  const discounted = line.discountRate !== null || line.discount !== null;
  xml
    .open("LineItem")
    .leaf("LineNumber", String(number))
    .optionalLeaf("Code", line.code)
    .leaf("Item", line.item)
    .optionalLeaf("Unit", line.unit)
    .leaf("Quantity", decimalText(line.quantity))
    .leaf("UnitPrice", decimalText(line.unitPrice))
    .optionalLeaf("DiscountAmount", discounted ? money(discount) : null)
    .leaf("Amount", money(amount))
    .leaf("TaxRate", rate?.label ?? RATE_OF_A_NOTE)
    .leaf("TaxAmount", money(tax))
    .close();
}
