"""What the counted invoices add up to, and what a careful reader would say of it.

The twin of `src/review.ts`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collect import Entry, Listing
from filing_period import Deadline, form_for
from invoice import Invoice
from request import Request
from return_xml import Taxpayer
from tax_code import check_digit_fault, recognise

# Capitals of Latin letters, whose small ones are the same in every version of Unicode.
_CAPITALS = re.compile("[A-Z\u00c0-\u00de\u0100-\u01b0\u1ea0-\u1eff]")
_BLANK = " \t\r\n"

Counted = Sequence[tuple[Entry, Invoice]]


class Sums(NamedTuple):
    """What the rows of sales and all purchases add up to, and whether rates without a row are among them."""

    rows: dict[str, int]
    input_amount: int
    input_tax: int
    sales: int
    reduced: bool
    other: bool


class Facts(NamedTuple):
    """What is known when the return is judged."""

    request: Request
    listing: Listing
    invoices: Counted
    sums: Sums
    taxpayer: Taxpayer
    indicators: Mapping[str, int]
    deadline: Deadline
    skipped: int


def sums_of(invoices: Counted, taxpayer: str) -> Sums:
    """Add the invoices up."""
    amounts = dict.fromkeys(("exempt", "undeclared", "zero", "five", "ten"), 0)
    taxes = dict(amounts)
    input_amount = input_tax = sales = 0
    notes: set[str | None] = set()
    for _, invoice in invoices:
        sold = invoice.seller.mst == taxpayer
        sales += sold
        for rate, amount, tax in invoice.groups:
            if sold:
                amounts[rate.row] += amount
                taxes[rate.row] += tax
                notes.add(rate.note)
            else:
                input_amount += amount
                input_tax += tax
    rows = {
        "ct26": amounts["exempt"],
        "ct29": amounts["zero"],
        "ct30": amounts["five"],
        "ct31": taxes["five"],
        "ct32": amounts["ten"],
        "ct33": taxes["ten"],
        "ct32a": amounts["undeclared"],
    }
    return Sums(rows, input_amount, input_tax, sales, "reduced" in notes, "other" in notes)


def not_ready_because(facts: Facts) -> list[str]:
    """Return codes of what a person mends before the return may go to the authority."""
    request, invoices, taxpayer = facts.request, facts.invoices, facts.taxpayer
    code = recognise(taxpayer.mst)
    form = form_for(request.period)[1]
    deductible = request.deductible
    return _codes_of(
        ("files_skipped", facts.skipped > 0),
        ("draft_invoices", any(invoice.draft for _, invoice in invoices)),
        ("no_invoices", not invoices and not request.no_activity),
        ("no_activity_contradicted", request.no_activity and (bool(invoices) or _has_figures(request))),
        ("deductible_exceeds_input", deductible is not None and deductible > facts.indicators["ct24"]),
        ("replaced_invoice_not_there", _replaces_unknown(invoices, facts.listing)),
        # Where one party alone is named it may be the other who files.
        ("taxpayer_uncertain", _is_uncertain(request, invoices)),
        ("taxpayer_name_missing", not (taxpayer.name or "").strip(_BLANK)),
        ("taxpayer_check_digit", isinstance(code, str) or check_digit_fault(code) is not None),
        ("period_not_over", request.today is not None and request.today <= request.period.last),
        (form or "", form is not None),
    )


def _is_uncertain(request: Request, invoices: Counted) -> bool:
    return request.taxpayer_mst is None and any(invoice.buyer.mst is None for _, invoice in invoices)


def _has_figures(request: Request) -> bool:
    """Tell whether the input has amounts that a period without activity has not."""
    amounts = (
        *request.imports,
        request.deductible or 0,
        request.adjust_down,
        request.adjust_up,
        request.other_deducted,
        request.investment_offset,
    )
    return any(amount > 0 for amount in amounts)


def warnings_of(facts: Facts) -> list[str]:
    """Return codes of what a person should know."""
    request, invoices = facts.request, facts.invoices
    deductible, ct24 = request.deductible, facts.indicators["ct24"]
    return _codes_of(
        ("taxpayer_inferred", request.taxpayer_mst is None),
        ("taxpayer_names_differ", _names_differ(invoices, facts.taxpayer)),
        ("signatures_not_verified", any(not invoice.draft for _, invoice in invoices)),
        ("carried_in_assumed_zero", request.carried_in is None),
        ("deductible_assumed_full", deductible is None and ct24 != 0),
        ("reduced_rate_appendix_not_written", facts.sums.reduced),
        ("other_rate_placed", facts.sums.other),
        ("possible_duplicates", _has_twins(invoices)),
        ("files_ignored", bool(facts.listing.ignored)),
        ("holidays_unknown", not facts.deadline.certain),
        ("deadline_passed", request.today is not None and request.today > facts.deadline.day),
    )


def _codes_of(*entries: tuple[str, bool]) -> list[str]:
    return [code for code, holds in entries if holds]


def _names_differ(invoices: Counted, taxpayer: Taxpayer) -> bool:
    own = _folded(taxpayer.name or "")
    for _, invoice in invoices:
        party = invoice.seller if invoice.seller.mst == taxpayer.mst else invoice.buyer
        if party.name is not None and _folded(party.name) != own:
            return True
    return False


def _folded(name: str) -> str:
    """Return a name without what two writers of it may do differently."""
    small = _CAPITALS.sub(lambda found: found.group().lower(), unicodedata.normalize("NFC", name))
    return " ".join(part for part in small.split(" ") if part)


def _replaces_unknown(invoices: Counted, listing: Listing) -> bool:
    known = {entry.invoice.identity for entry in listing.entries if entry.invoice is not None}
    return any(invoice.replaces is not None and invoice.replaces not in known for _, invoice in invoices)


def _has_twins(invoices: Counted) -> bool:
    """Tell whether drafts without a number are alike in all that counts."""
    known: set[tuple[object, ...]] = set()
    for _, invoice in invoices:
        if invoice.identity is not None:
            continue
        figures = tuple((group.rate.label, group.amount, group.tax) for group in invoice.groups)
        key = (invoice.seller.mst, invoice.buyer.mst or "", invoice.date, figures)
        if key in known:
            return True
        known.add(key)
    return False
