"""What the skill tells about an invoice besides its figures.

Why it writes none, and what its reader must check. The twin of `src/refusals.ts`.
"""

from __future__ import annotations

from typing import NamedTuple

# The reasons that have one message each; the others, of tax codes and dates, are made where they are found.
REFUSALS = {
    "rate_not_known": (
        "the rates are 0, 0.05, 0.08 and 0.10, KCT and KKKNT; write another one as KHAC:AB.CD%"
    ),
    "rate_has_label": "this rate has a label of its own, so it is not written as KHAC",
    "negative_amount": (
        "an invoice line has no negative figures; a line of kind discount is subtracted as it is"
    ),
    "discount_exceeds_amount": "the discount is more than the line's quantity times its unit price",
    "discount_exceeds_goods": (
        "the discounts at a rate, or their tax, are more than the goods and services at that rate"
    ),
    "amount_too_large": "an amount is too large to be exact in every program that reads the invoice",
    "not_written": "the file could not be written",
}

WARNINGS = {
    "issue_date_missing": "without an issue date the rates are judged as of 2026-11-20",
    "issue_date_after_rules": (
        "the issue date is later than the rules known here, which are those as of 2026-11-20"
    ),
    "reduced_rate_eligibility": (
        "8% is for eligible 10% items alone; the seller must check that this one is"
    ),
    "other_rate": "the seller must check that this rate applies",
    "buyer_incomplete": "the invoice does not say this about the buyer",
    "provider_mst_missing": "the tax code of the e-invoice provider is required; MSTTCGP is left empty",
    "special_details_missing": (
        "special goods need details of their own (TTHHDTrung), which this skill does not write"
    ),
    "unsigned_draft": (
        "an unsigned draft: no invoice before the seller's signature and, where due, the authority's code"
    ),
    "not_submittable": (
        "this form of the invoice is for programs and people; the tax authority does not take it"
    ),
}


class Warned(NamedTuple):
    """Something that the reader of an invoice must know."""

    code: str
    field: str | None
    message: str


class Refused(Exception):
    """Why a well-formed request gets no invoice."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


def refused(reason: str, field: str) -> Refused:
    """Make the refusal for a reason of the table."""
    return Refused(reason, field, REFUSALS[reason])


def warned(code: str, field: str | None) -> Warned:
    """Make the warning for a code of the table."""
    return Warned(code, field, WARNINGS[code])
