"""The invoice as a small document of our own, for programs and people.

The twin of `src/simple.ts`; references/simple-profile.md describes every element.
"""

from __future__ import annotations

from invoice import Invoice
from invoice_rates import AS_OF
from invoice_totals import LineFigures, money_text
from skill_decimal import decimal_text
from skill_xml_writer import XmlWriter

NAMESPACE = "urn:vn:gdt:v3"
# A note has no rate. Of the labels this one says that nothing is declared, and with amounts of 0 nothing is.
RATE_OF_A_NOTE = "KKKNT"


def simple_xml(invoice: Invoice, verify: str) -> str:
    """Write the document."""
    request, figures = invoice.request, invoice.figures
    rate, currency = request.exchange_rate, request.currency
    xml = (
        XmlWriter()
        .open("Invoice", {"xmlns": NAMESPACE})
        .optional_leaf("BuyerTaxCode", invoice.buyer_mst)
        .leaf("SellerTaxCode", invoice.seller_mst)
        .optional_leaf("BuyerName", request.buyer.name)
        .optional_leaf("BuyerAddress", request.buyer.address)
        .optional_leaf("SellerName", request.seller.name)
        .optional_leaf("SellerAddress", request.seller.address)
        .optional_leaf("InvoiceNumber", request.number)
        .optional_leaf("IssueDate", request.issue_date)
        .leaf("Currency", currency)
        .optional_leaf("ExchangeRate", None if rate is None else decimal_text(rate))
    )
    for number, line in enumerate(figures.lines, start=1):
        _write_line(xml, line, number, currency)
    for label, amount, tax in figures.rates:
        xml.open("TaxTotal").leaf("TaxRate", label).leaf("Amount", money_text(amount, currency))
        xml.leaf("TaxAmount", money_text(tax, currency)).close()
    xml.leaf("TotalAmount", money_text(figures.amount, currency))
    xml.leaf("TotalTaxAmount", money_text(figures.tax, currency))
    xml.leaf("GrandTotal", money_text(figures.grand, currency))
    xml.leaf("AmountInWords", invoice.in_words)
    xml.open("Warnings", {"asOf": AS_OF, "verify": verify})
    for code, field, message in invoice.warnings:
        xml.leaf("Warning", message, {"code": code} if field is None else {"code": code, "field": field})
    return str(xml.close().close())


def _write_line(xml: XmlWriter, figures: LineFigures, number: int, currency: str) -> None:
    line, rate = figures.line, figures.rate
    discounted = line.discount_rate is not None or line.discount is not None
    xml.open("LineItem")
    xml.leaf("LineNumber", str(number))
    xml.optional_leaf("Code", line.code)
    xml.leaf("Item", line.item)
    xml.optional_leaf("Unit", line.unit)
    xml.leaf("Quantity", decimal_text(line.quantity))
    xml.leaf("UnitPrice", decimal_text(line.unit_price))
    xml.optional_leaf("DiscountAmount", money_text(figures.discount, currency) if discounted else None)
    xml.leaf("Amount", money_text(figures.amount, currency))
    xml.leaf("TaxRate", RATE_OF_A_NOTE if rate is None else rate.label)
    xml.leaf("TaxAmount", money_text(figures.tax, currency))
    xml.close()
