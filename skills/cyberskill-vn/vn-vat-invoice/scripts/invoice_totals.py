"""The figures of an invoice, exact.

An amount of money is a whole number of the currency's smallest unit: đồng for VND, hundredths for any other.
The twin of `src/totals.ts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from invoice_rates import Rate
from invoice_refusals import refused
from invoice_request import Line, Request
from skill_decimal import ONE, decimal_text, divide_rounded

PLACES = 6
MILLIONTHS_OF_A_HUNDREDTH = 10_000
# 2^53 - 1: beyond it a number of JSON is not exact. Numbers with a fraction are exact up to 15 digits.
MOST_WHOLE = 9_007_199_254_740_991
MOST_WITH_PLACES = 999_999_999_999_999


class LineFigures(NamedTuple):
    """A line with its rate, which is None for a note.

    `amount` is what the line adds: negative for a line that is a discount, 0 for a promotion or a note.
    """

    line: Line
    rate: Rate | None
    discount: int
    amount: int
    tax: int


class RateFigures(NamedTuple):
    """What the lines of one rate come to."""

    label: str
    amount: int
    tax: int


class Figures(NamedTuple):
    """All figures; `rates` are in the order in which the lines name them."""

    lines: list[LineFigures]
    rates: list[RateFigures]
    discount: int
    amount: int
    tax: int
    grand: int


def places_of(currency: str) -> int:
    """Return the decimal places of a currency's amounts."""
    return 0 if currency == "VND" else 2


def money_text(amount: int, currency: str) -> str:
    """Write an amount of money with its point."""
    return str(amount) if currency == "VND" else decimal_text(amount * MILLIONTHS_OF_A_HUNDREDTH)


def figures_of(request: Request, rates: Sequence[Rate | None]) -> Figures:
    """Compute every figure; raises Refused."""
    places = places_of(request.currency)
    lines = [_line_figures(line, rates[index], places) for index, line in enumerate(request.lines)]
    groups = _rate_figures(lines, request.rounding == "rate_group")
    amount = sum(group.amount for group in groups)
    tax = sum(group.tax for group in groups)
    discount = sum(-line.amount if line.line.kind == "discount" else line.discount for line in lines)
    for total in (amount, discount, amount + tax):
        _check_size(total, places, "lines")
    return Figures(lines, groups, discount, amount, tax, amount + tax)


def _line_figures(line: Line, rate: Rate | None, places: int) -> LineFigures:
    if line.quantity < 0:
        raise refused("negative_amount", f"{line.place}.qty")
    if line.unit_price < 0:
        raise refused("negative_amount", f"{line.place}.unit_price")
    gross = divide_rounded(line.quantity * line.unit_price, 10 ** (2 * PLACES - places))
    _check_size(gross, places, line.place)
    if line.kind in ("promotion", "note"):
        return LineFigures(line, rate, 0, 0, 0)
    discount = _discount_of(line, gross, places)
    amount = -gross if line.kind == "discount" else gross - discount
    return LineFigures(line, rate, discount, amount, _tax_of(amount, rate))


def _discount_of(line: Line, gross: int, places: int) -> int:
    if line.discount_rate is not None:
        return divide_rounded(gross * line.discount_rate, ONE)
    if line.discount is None:
        return 0
    field = f"{line.place}.discount"
    if line.discount < 0:
        raise refused("negative_amount", field)
    discount = divide_rounded(line.discount, 10 ** (PLACES - places))
    if discount > gross:
        raise refused("discount_exceeds_amount", field)
    return discount


def _rate_figures(lines: Sequence[LineFigures], together: bool) -> list[RateFigures]:
    groups: dict[str, tuple[Rate, int, int]] = {}
    for line in lines:
        if line.rate is None or line.line.kind == "promotion":
            continue
        rate, amount, tax = groups.get(line.rate.label, (line.rate, 0, 0))
        groups[rate.label] = (rate, amount + line.amount, tax + line.tax)
    figures = []
    for rate, amount, tax in groups.values():
        if amount < 0 or (not together and tax < 0):
            raise refused("discount_exceeds_goods", "lines")
        figures.append(RateFigures(rate.label, amount, _tax_of(amount, rate) if together else tax))
    return figures


def _tax_of(amount: int, rate: Rate | None) -> int:
    if rate is None or rate.rate is None:
        return 0
    return divide_rounded(amount * rate.rate, ONE)


def _check_size(amount: int, places: int, field: str) -> None:
    if amount > (MOST_WITH_PLACES if places else MOST_WHOLE):
        raise refused("amount_too_large", field)
