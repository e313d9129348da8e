"""An invoice of the profile that vn-vat-invoice calls `simple`: never signed, so always a draft.

The twin of `src/simple.ts`.
"""

from __future__ import annotations

import re

from elements import Elements, FileFault
from invoice import (
    Group,
    Invoice,
    Line,
    Party,
    buyer_mst,
    check_groups,
    check_same,
    exchange_rate,
    in_dong,
    rate_of,
    seller_mst,
    tolerance_for,
)
from skill_xml_reader import XmlElement

_NAMESPACE = "urn:vn:gdt:v3"
_CURRENCY = re.compile("[A-Z]{3}")


def read_simple(root: XmlElement) -> Invoice:
    """Read an invoice; raises FileFault."""
    if root.attributes.get("xmlns") != _NAMESPACE:
        raise FileFault("root_unknown")
    fields = Elements(root, "")
    seller = seller_mst(fields, "SellerTaxCode")
    date = fields.date("IssueDate")
    number = fields.optional_text("InvoiceNumber")
    currency = fields.matching("Currency", _CURRENCY)
    groups = _read_groups(root, fields, currency)
    return Invoice(
        profile="simple",
        seller=Party(seller, fields.optional_text("SellerName"), fields.optional_text("SellerAddress")),
        buyer=Party(
            buyer_mst(fields, "BuyerTaxCode"),
            fields.optional_text("BuyerName"),
            fields.optional_text("BuyerAddress"),
        ),
        date=date,
        identity=None if number is None else f"{seller} simple {number}",
        replaces=None,
        adjusts=False,
        draft=True,
        groups=in_dong(groups, exchange_rate(fields, currency, "ExchangeRate")),
    )


def _read_groups(root: XmlElement, fields: Elements, currency: str) -> list[Group]:
    lines: list[Line] = []
    groups: list[Group] = []
    for child in root.children:
        if child.name == "LineItem":
            line = Elements(child, "LineItem/")
            lines.append(Line(rate_of(line, "TaxRate"), line.number("Amount"), line.number("TaxAmount")))
        elif child.name == "TaxTotal":
            total = Elements(child, "TaxTotal/")
            groups.append(Group(rate_of(total, "TaxRate"), total.number("Amount"), total.number("TaxAmount")))
    if not lines:
        raise FileFault("field_missing", "LineItem")
    tolerance = tolerance_for(currency, len(lines))
    check_groups(lines, groups, tolerance, "TaxTotal")
    amount, tax = sum(group.amount for group in groups), sum(group.tax for group in groups)
    check_same(fields.number("TotalAmount"), amount, tolerance, "TotalAmount")
    check_same(fields.number("TotalTaxAmount"), tax, tolerance, "TotalTaxAmount")
    check_same(fields.number("GrandTotal"), amount + tax, tolerance, "GrandTotal")
    return groups
