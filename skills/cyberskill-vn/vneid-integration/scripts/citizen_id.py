"""The number of a Vietnamese citizen identity card (CCCD): what its digits say.

The twin of `src/citizen-id.ts`; `assets/provinces.json` is the table of both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

_TABLE = json.loads((Path(__file__).parents[1] / "assets" / "provinces.json").read_text(encoding="utf-8"))
AS_OF: str = _TABLE["as_of"]

LENGTH = 12
ASCII_SPACE = " \t\n\v\f\r"

REASONS = {
    "empty": "the citizen ID is empty",
    "unexpected_character": "a citizen ID has only the digits 0 to 9",
    "wrong_length": "a citizen ID has 12 digits",
    "all_zero": "a citizen ID is never all zeros",
}

_PROVINCES = {row["code"]: row["name"] for row in _TABLE["provinces"]}


class CitizenId(NamedTuple):
    """A citizen ID in its parts; `province_name` is None if the table does not have the code."""

    digits: str
    province_code: str
    province_name: str | None
    century: str
    """The digit of century and sex."""
    gender: str
    birth_year: int
    serial: str


def citizen_id_of(given: str) -> CitizenId | str:
    """Take a citizen ID apart, or give the reason why it is none; ASCII blanks at both ends do not count."""
    digits = given.strip(ASCII_SPACE)
    if not digits:
        return "empty"
    if not re.fullmatch("[0-9]+", digits):
        return "unexpected_character"
    if len(digits) != LENGTH:
        return "wrong_length"
    if not digits.strip("0"):
        return "all_zero"
    century = _TABLE["centuries"][int(digits[3])]
    return CitizenId(
        digits,
        digits[:3],
        _PROVINCES.get(digits[:3]),
        digits[3],
        century["gender"],
        century["first_year"] + int(digits[4:6]),
        digits[6:],
    )
