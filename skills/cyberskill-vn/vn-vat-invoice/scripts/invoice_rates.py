"""The tax rates, as numbers and as the labels of the GDT format.

The twin of `src/rates.ts`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from invoice_refusals import Refused, refused
from skill_decimal import decimal_of

_TABLE = json.loads((Path(__file__).parents[1] / "assets" / "tax-rates.json").read_text(encoding="utf-8"))
AS_OF: str = _TABLE["as_of"]


class Rate(NamedTuple):
    """A rate; `rate` is None where no tax is computed, which is something else than a rate of zero."""

    label: str
    rate: int | None
    warning: str | None
    valid_from: str | None = None
    valid_to: str | None = None


_RATES = [
    Rate(entry["label"], decimal_of(entry["rate"]), entry["warning"], entry["valid_from"], entry["valid_to"])
    for entry in _TABLE["rates"]
]
_BY_LABEL = {rate.label: rate for rate in _RATES}
_BY_RATE = {rate.rate: rate for rate in _RATES if rate.rate is not None}
_OTHER = re.compile(r"KHAC:([0-9]{2}\.[0-9]{2})%")


def rate_of(given: int | str, date: str, field: str) -> Rate:
    """Find the rate that a line names, if it is in force on that day; raises Refused."""
    rate = _BY_LABEL.get(given) if isinstance(given, str) else _BY_RATE.get(given)
    if rate is None:
        return _other_rate(given, field)
    # Days as YYYY-MM-DD sort as text.
    if (rate.valid_from and date < rate.valid_from) or (rate.valid_to and date > rate.valid_to):
        window = f"from {rate.valid_from or 'any day'} to {rate.valid_to or 'any day'}"
        raise Refused("rate_not_in_force", field, f"{rate.label} is not in force on {date}, but {window}")
    return rate


def _other_rate(given: int | str, field: str) -> Rate:
    found = _OTHER.fullmatch(given) if isinstance(given, str) else None
    percent = decimal_of(found.group(1)) if found else None
    if found is None or percent is None:
        raise refused("rate_not_known", field)
    rate = percent // 100
    # Or else KHAC:08.00% would be a way round the dates of 8%.
    if rate in _BY_RATE:
        raise refused("rate_has_label", field)
    return Rate(found.group(), rate, "other_rate")
