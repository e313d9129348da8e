"""The period of a return, its last day for filing, and the form in force.

The twin of `src/period.ts`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from skill_dates import date_text, day_at, day_of, days_in, weekday

ASSETS = Path(__file__).parents[1] / "assets"
FORMS = json.loads((ASSETS / "forms.json").read_text(encoding="utf-8"))

_PERIOD = re.compile(r"(20[0-9]{2})-(?:Q([1-4])|(0[1-9]|1[0-2]))")
_SATURDAY = 6
_DAY_OF_MONTHLY = 20

_YEARS = json.loads((ASSETS / "holidays.json").read_text(encoding="utf-8"))["years"]
_HOLIDAYS = {day["date"] for days in _YEARS.values() for day in days}


class Period(NamedTuple):
    """A month or a quarter; `on_form` is `2/2026` or `06/2026`."""

    text: str
    quarterly: bool
    on_form: str
    first: int
    last: int
    year: int
    last_month: int


class Deadline(NamedTuple):
    """The last day for filing; `certain` if the calendar of the year is known."""

    day: int
    date: str
    rule: str
    moved_from: str | None
    certain: bool


def period_of(text: str) -> Period | None:
    """Read `2026-Q2` or `2026-06`; None if it is neither."""
    found = _PERIOD.fullmatch(text)
    if found is None:
        return None
    year, quarter = int(found.group(1)), found.group(2)
    last_month = int(found.group(3)) if quarter is None else 3 * int(quarter)
    return Period(
        text,
        quarter is not None,
        f"{quarter or found.group(3)}/{year}",
        day_at(year, last_month if quarter is None else last_month - 2, 1),
        day_at(year, last_month, days_in(year, last_month)),
        year,
        last_month,
    )


def deadline_of(period: Period) -> Deadline:
    """Return the last day for filing: one that is a working day."""
    month = period.last_month % 12 + 1
    year = period.year + period.last_month // 12
    due = day_at(year, month, days_in(year, month) if period.quarterly else _DAY_OF_MONTHLY)
    day = due
    while weekday(day) >= _SATURDAY or date_text(day) in _HOLIDAYS:
        day += 1
    return Deadline(
        day,
        date_text(day),
        "last day of the first month of the next quarter" if period.quarterly else "20th of the next month",
        None if day == due else date_text(due),
        date_text(due)[:4] in _YEARS and date_text(day)[:4] in _YEARS,
    )


def form_for(period: Period) -> tuple[str, str | None]:
    """Return what the form for a period is, and what keeps the return from being ready, if anything."""
    fitting = [
        entry
        for entry in FORMS["in_force"]
        if entry["periods_from"] is None or period.last >= (day_of(entry["periods_from"]) or 0)
    ]
    return fitting[-1]["form_version"], fitting[-1]["not_ready"]
