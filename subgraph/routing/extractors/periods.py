"""Tax periods: "quý 2/2026" is `2026-Q2`, "tháng 6 năm 2026" is `2026-06`.

Without a year there is no period, because a pure function does not know which year it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from subgraph.routing.extractors.days import MONTH_NAME, MONTHS
from subgraph.routing.extractors.text import Span, Text, spelt

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
_SAID = {"mot": 1, "hai": 2, "ba": 3, "bon": 4, "tu": 4}
_YEAR = r"20[0-9]{2}"
_TO_YEAR = r"(?=[^0-9])(?: {0,2}[/-] {0,2}| {0,2},? {0,2}(?:(?:cua|of|in) {1,2})?(?:nam {1,2})?)"

_PERIOD = re.compile(
    r"(?<![\w+])(?<![0-9][-.,/])(?:"
    rf"(?P<iso_year>{_YEAR})(?:[-/ ]| )q(?P<iso_quarter>[1-4])"
    rf"|(?P<iso_year_m>{_YEAR})-(?P<iso_month>0[1-9]|1[0-2])"
    rf"|(?P<slash_month>0?[1-9]|1[0-2])/(?P<slash_year>{_YEAR})"
    r"|(?:(?P<word>quy|qui)|q|quarter) {0,2}(?P<quarter>[1-4]|iv|i{1,3}|mot|hai|ba|bon|tu)"
    rf"(?:{_TO_YEAR}(?P<quarter_year>{_YEAR}))?"
    r"|(?P<ordinal>first|1st|second|2nd|third|3rd|fourth|4th) {1,2}quarter"
    rf"(?:{_TO_YEAR}(?P<ordinal_year>{_YEAR}))?"
    r"|(?P<month_word>thang|t)(?P<gap> {0,2})(?P<month>0?[1-9]|1[0-2])"
    rf"(?:{_TO_YEAR}(?P<month_year>{_YEAR}))?"
    rf"|(?P<name>{MONTH_NAME})(?:{_TO_YEAR}(?P<name_year>{_YEAR}))?"
    r")(?!\w|[-/.,][0-9])"
)
_QUARTER_BEFORE = re.compile(r"(?<!\w)(?:quy|qui|q|quarter) {1,2}\Z")
_REACH = 10
_QUARTER_SPELT = frozenset({"quý", "quí", "qúy"})
_MONTH_SPELT = frozenset({"tháng"})


class Period(NamedTuple):
    """A period; `value` is None if its year is not said, or if there is no such quarter."""

    value: str | None
    span: Span


def periods(text: Text) -> list[Period]:
    """Return every period, in the order of the text."""
    found = (_period(text, match) for match in _PERIOD.finditer(text.folded))
    return [one for one in found if one is not None]


def _period(text: Text, match: re.Match[str]) -> Period | None:
    part = match.groupdict()
    span = Span(*match.span())
    if part["iso_quarter"]:
        return Period(f"{part['iso_year']}-Q{part['iso_quarter']}", span)
    if part["iso_month"]:
        return Period(match.group(), span)
    if part["slash_month"]:
        if _QUARTER_BEFORE.search(text.folded, max(0, span.start - _REACH), span.start):
            return Period(None, span)  # "quý 5/2026" is no month
        return _month(int(part["slash_month"]), part["slash_year"], span)
    if part["ordinal"]:
        return _quarter(_ORDINALS[part["ordinal"]], part["ordinal_year"], span)
    if part["name"]:
        # "may" and "mar" are words; a month that stands alone needs its year.
        return _month(MONTHS[part["name"]], part["name_year"], span) if part["name_year"] else None
    if part["month_word"]:
        return _said_month(text, match, span)
    if part["word"] and not spelt(text, Span(*match.span("word")), _QUARTER_SPELT):
        return None
    said = part["quarter"]
    return _quarter(_ROMAN.get(said) or _SAID.get(said) or int(said), part["quarter_year"], span)


def _said_month(text: Text, match: re.Match[str], span: Span) -> Period | None:
    if match.group("month_word") == "t":
        # "T6/2026" is June; "T6" alone is Friday, and "t 6" is nothing.
        if match.group("gap") or not match.group("month_year"):
            return None
    elif not spelt(text, Span(*match.span("month_word")), _MONTH_SPELT):
        return None
    return _month(int(match.group("month")), match.group("month_year"), span)


def _quarter(number: int, year: str | None, span: Span) -> Period:
    return Period(f"{year}-Q{number}" if year else None, span)


def _month(number: int, year: str | None, span: Span) -> Period:
    return Period(f"{year}-{number:02d}" if year else None, span)
