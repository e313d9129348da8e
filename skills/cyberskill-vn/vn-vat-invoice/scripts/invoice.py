"""An invoice that can be written: the request with its tax codes, rates and figures.

The twin of `src/invoice.ts`.
"""

from __future__ import annotations

from typing import NamedTuple

from amount_words import amount_in_words
from invoice_rates import AS_OF, Rate, rate_of
from invoice_refusals import Refused, Warned, warned
from invoice_request import Request
from invoice_totals import Figures, figures_of
from tax_code import PERSONAL_ID_VALID_FROM, REASONS, check_digit_fault, normalized, recognise


class Invoice(NamedTuple):
    """An invoice that can be written."""

    request: Request
    buyer_mst: str | None
    seller_mst: str
    provider_mst: str | None
    figures: Figures
    in_words: str
    warnings: list[Warned]


def invoice_of(request: Request) -> Invoice:
    """Judge a request; raises Refused."""
    warnings: list[Warned] = []
    date = request.issue_date or AS_OF

    def mst(role: str, given: str) -> str:
        return _checked_mst(role, given, date, request.strict, warnings)

    seller_mst = mst("seller", request.seller_mst)
    buyer_mst = None if request.buyer_mst is None else mst("buyer", request.buyer_mst)
    provider_mst = None if request.provider_mst is None else mst("provider", request.provider_mst)
    if request.issue_date is None:
        warnings.append(warned("issue_date_missing", "issue_date"))
    if date > AS_OF:
        warnings.append(warned("issue_date_after_rules", "issue_date"))
    rates = _rates_of(request, date, warnings)
    figures = figures_of(request, rates)
    if request.profile == "gdt":
        _warn_of_gaps(request, warnings)
    warnings.append(warned("unsigned_draft" if request.profile == "gdt" else "not_submittable", None))
    in_words = amount_in_words(figures.grand, request.currency)
    return Invoice(request, buyer_mst, seller_mst, provider_mst, figures, in_words, warnings)


def _checked_mst(role: str, given: str, date: str, strict: bool, warnings: list[Warned]) -> str:
    field = f"{role}_mst"
    code = recognise(given)
    if isinstance(code, str):
        raise Refused(f"{field}_invalid", field, REASONS[code])
    if code.format == "12-digit-personal-id" and date < PERSONAL_ID_VALID_FROM:
        message = f"a personal ID serves as a tax code from {PERSONAL_ID_VALID_FROM} on"
        raise Refused(f"{field}_not_in_force", field, message)
    fault = check_digit_fault(code)
    if fault is not None:
        if strict:
            raise Refused(f"{field}_{fault}", field, REASONS[fault])
        warnings.append(Warned(f"{field}_{fault}", field, REASONS[fault]))
    return normalized(code)


def _rates_of(request: Request, date: str, warnings: list[Warned]) -> list[Rate | None]:
    """Return the rate of each line, None for a note; what a rate warns of is told once, at its first line."""
    told: set[str] = set()
    rates: list[Rate | None] = []
    for line in request.lines:
        if line.tax_rate is None:
            rates.append(None)
            continue
        field = f"{line.place}.tax_rate"
        rate = rate_of(line.tax_rate, date, field)
        if rate.warning is not None and rate.label not in told:
            told.add(rate.label)
            warnings.append(warned(rate.warning, field))
        rates.append(rate)
    return rates


def _warn_of_gaps(request: Request, warnings: list[Warned]) -> None:
    buyer = request.buyer
    if buyer.name is None and (request.buyer_mst is not None or buyer.representative is None):
        warnings.append(warned("buyer_incomplete", "buyer.name"))
    if request.buyer_mst is not None and buyer.address is None:
        warnings.append(warned("buyer_incomplete", "buyer.address"))
    if request.provider_mst is None:
        warnings.append(warned("provider_mst_missing", "provider_mst"))
    special = [line for line in request.lines if line.kind == "special"]
    if special:
        warnings.append(warned("special_details_missing", f"{special[0].place}.kind"))
