"""Calendar days without a clock or a time zone.

The twin of the guest library's `dates.ts`. A day is the number of days since 1970-01-01.
"""

from __future__ import annotations

import re
from datetime import date

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_EPOCH = date(1970, 1, 1).toordinal()


def day_of(text: str) -> int | None:
    """Read `YYYY-MM-DD`, from the year 1900 on; None if there is no such day."""
    found = _DATE.fullmatch(text)
    if found is None or int(found.group(1)) < 1900:
        return None
    try:
        return day_at(int(found.group(1)), int(found.group(2)), int(found.group(3)))
    except ValueError:
        return None


def day_at(year: int, month: int, day: int) -> int:
    """Return the day of a date; raises ValueError if there is none."""
    return date(year, month, day).toordinal() - _EPOCH


def date_text(day: int) -> str:
    """Write `YYYY-MM-DD`."""
    return date.fromordinal(day + _EPOCH).isoformat()


def weekday(day: int) -> int:
    """Return 1 for Monday to 7 for Sunday."""
    return date.fromordinal(day + _EPOCH).isoweekday()


def days_in(year: int, month: int) -> int:
    """Return the number of days of a month."""
    return day_at(year + month // 12, month % 12 + 1, 1) - day_at(year, month, 1)
