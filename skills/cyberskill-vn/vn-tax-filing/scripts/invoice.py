"""One invoice, reduced to what a return asks of it.

The twin of `src/invoice.ts`; references/reading-invoices.md says what is checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from elements import Elements, FileFault
from skill_decimal import ONE, divide_rounded
from tax_code import normalized, recognise

_PERCENT_HUNDREDTHS = 10_000
_MIDDLE = 750
_OTHER = re.compile(r"KHAC:([0-9]{1,2})\.([0-9]{2})%")


class Rate(NamedTuple):
    """A rate: its row in the return, and what is charged in hundredths of a percent."""

    label: str
    row: str
    charged: int
    note: str | None


_RATES = {
    rate.label: rate
    for rate in (
        Rate("10%", "ten", 1000, None),
        Rate("8%", "ten", 800, "reduced"),
        Rate("5%", "five", 500, None),
        Rate("0%", "zero", 0, None),
        Rate("KCT", "exempt", 0, None),
        Rate("KKKNT", "undeclared", 0, None),
    )
}


class Group(NamedTuple):
    """What an invoice has at one rate."""

    rate: Rate
    amount: int
    tax: int


class Line(NamedTuple):
    """A line; `tax` is None where lines have no tax of their own."""

    rate: Rate | None
    amount: int
    tax: int | None


class Party(NamedTuple):
    """A seller or a buyer, whose tax code may be one of another country."""

    mst: str | None
    name: str | None
    address: str | None


class Invoice(NamedTuple):
    """An invoice; its groups are in whole đồng."""

    profile: str
    seller: Party
    buyer: Party
    date: int
    identity: str | None
    replaces: str | None
    adjusts: bool
    draft: bool
    groups: list[Group]


def rate_of(elements: Elements, name: str) -> Rate:
    """Take a rate by its label; raises that the field is not one."""
    label = elements.text(name)
    known = _RATES.get(label)
    if known is not None:
        return known
    found = _OTHER.fullmatch(label)
    if found is None:
        elements.invalid(name)
    charged = int(found.group(1) + found.group(2))
    row = "zero" if charged == 0 else "five" if charged < _MIDDLE else "ten"
    return Rate(label, row, charged, "other")


def seller_mst(elements: Elements, name: str) -> str:
    """Return the tax code of a seller."""
    code = recognise(elements.text(name))
    return elements.invalid(name) if isinstance(code, str) else normalized(code)


def buyer_mst(elements: Elements, name: str) -> str | None:
    """Return the code of a buyer, who may have none, or one of another country."""
    text = elements.optional_text(name)
    if text is None:
        return None
    code = recognise(text)
    return text if isinstance(code, str) else normalized(code)


def tolerance_for(currency: str, lines: int) -> int:
    """Return what lines and totals may differ by: 1 đ a line, a hundredth in another currency."""
    return max(lines, 1) * (ONE if currency == "VND" else ONE // 100)


def check_same(one: int, other: int, tolerance: int, field: str) -> None:
    """Raise that two figures contradict each other."""
    if abs(one - other) > tolerance:
        raise FileFault("totals_contradict", field)


def check_groups(lines: Sequence[Line], groups: Sequence[Group], tolerance: int, field: str) -> None:
    """Hold the totals of each rate to the lines and to the rate.

    Lines without a rate leave only the whole to compare.
    """
    by_rate: dict[str, tuple[int, int]] = {}
    for rate, amount, tax in groups:
        amounts, taxes = by_rate.get(rate.label, (0, 0))
        by_rate[rate.label] = amounts + amount, taxes + tax
        due = tax * _PERCENT_HUNDREDTHS - amount * rate.charged
        most = (0 if rate.charged == 0 else tolerance) * _PERCENT_HUNDREDTHS
        if abs(due) > most:
            raise FileFault("totals_contradict", field)
    check_same(sum(line.amount for line in lines), sum(group.amount for group in groups), tolerance, field)
    if any(line.rate is None for line in lines):
        return
    taxed = bool(lines) and lines[0].tax is not None
    for line in lines:
        label = line.rate.label if line.rate else ""
        amounts, taxes = by_rate.get(label, (0, 0))
        by_rate[label] = amounts - line.amount, taxes - (line.tax or 0)
    for amount, tax in by_rate.values():
        check_same(amount, 0, tolerance, field)
        if taxed:
            check_same(tax, 0, tolerance, field)


def in_dong(groups: Sequence[Group], rate: int) -> list[Group]:
    """Return whole đồng of amounts in a currency."""
    scale = ONE * ONE
    return [
        Group(group.rate, divide_rounded(group.amount * rate, scale), divide_rounded(group.tax * rate, scale))
        for group in groups
    ]


def exchange_rate(elements: Elements, currency: str, name: str) -> int:
    """Return what one unit of an invoice's currency is in đồng."""
    if currency == "VND":
        return ONE
    rate = elements.number(name)
    return rate if rate > 0 else elements.invalid(name)
