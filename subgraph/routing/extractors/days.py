"""Days: dd/mm/yyyy, "ngày 15 tháng 7 năm 2026", ISO, "15 July 2026".

In digits the day stands before the month, as in Việt Nam.
"""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

from subgraph.routing.extractors.labels import Label, label_before
from subgraph.routing.extractors.text import Span, Text

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april",
            "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sep", "sept"), ("october", "oct"),
            ("november", "nov"), ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}  # fmt: skip
MONTH_NAME = "|".join(sorted(MONTHS, key=len, reverse=True))
_FIRST_YEAR = 1900

_DAY = re.compile(
    r"(?<![\w+])(?<![0-9][-.,/])(?:"
    r"(?P<iso_year>[0-9]{4})-(?P<iso_month>[0-9]{2})-(?P<iso_day>[0-9]{2})"
    r"|(?P<day>[0-9]{1,2})(?P<mark>[/.-])(?P<month>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4})"
    r"|(?:(?:ngay|mung|mong) {1,2})?(?P<said_day>[0-9]{1,2}) {1,2}thang {1,2}(?P<said_month>[0-9]{1,2})"
    r"(?: {0,2}[,/-] {0,2}| {1,2}| {1,2}nam {1,2})(?P<said_year>[0-9]{4})"
    r"|(?P<en_day>[0-9]{1,2})(?:st|nd|rd|th)? {1,2}(?:of {1,2})?"
    rf"(?P<en_month>{MONTH_NAME}),? {{1,2}}(?P<en_year>[0-9]{{4}})"
    rf"|(?P<us_month>{MONTH_NAME}) {{1,2}}(?P<us_day>[0-9]{{1,2}})(?:st|nd|rd|th)?,? {{1,2}}"
    r"(?P<us_year>[0-9]{4})"
    r")(?![\w]|[-/][0-9])"
)
_FORMS = ("iso_", "", "said_", "en_", "us_")


class Day(NamedTuple):
    """A day as `YYYY-MM-DD`, or None if no calendar has it; `birth` if it is called a date of birth."""

    value: str | None
    birth: bool
    span: Span


def days(text: Text) -> list[Day]:
    """Return every day, in the order of the text."""
    return [_day(text, match) for match in _DAY.finditer(text.folded)]


def _day(text: Text, match: re.Match[str]) -> Day:
    parts = match.groupdict()
    form = next(form for form in _FORMS if parts[f"{form}year"] is not None)
    month = parts[f"{form}month"]
    span = Span(*match.span())
    value = _iso(int(parts[f"{form}year"]), MONTHS.get(month) or int(month), int(parts[f"{form}day"]))
    return Day(value, label_before(text, span) is Label.BIRTH, span)


def _iso(year: int, month: int, day: int) -> str | None:
    if year < _FIRST_YEAR:
        return None
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return None
