"""The banks that a transfer can go to, by code, by other names and by BIN.

The twin of `src/banks.ts`; `assets/banks.json` is the table of both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from skill_input import SkillError

_TABLE = json.loads((Path(__file__).parents[1] / "assets" / "banks.json").read_text(encoding="utf-8"))
AS_OF: str = _TABLE["as_of"]


class Bank(NamedTuple):
    """A bank; a BIN that the table does not have comes without code and name."""

    bank_code: str | None
    bank_bin: str
    bank_name: str | None


def _upper(text: str) -> str:
    """Turn ASCII letters into capitals: others would match a code in one language's rules alone."""
    return re.sub("[a-z]+", lambda found: found.group().upper(), text)


_BY_BIN = {row["bin"]: Bank(row["code"], row["bin"], row["name"]) for row in _TABLE["banks"]}
_BY_NAME = {
    _upper(known): _BY_BIN[row["bin"]]
    for row in _TABLE["banks"]
    for known in (row["code"], row["name"], *row["aliases"])
}
_AMBIGUOUS = {
    row["code"]: " or ".join(
        f"{_BY_NAME[known].bank_name} ({_BY_NAME[known].bank_bin})" for known in row["banks"]
    )
    for row in _TABLE["ambiguous"]
}


def bank_of(given: str) -> Bank:
    """Return the bank of a code, another name or a BIN; raises SkillError if there is not exactly one."""
    key = _upper(given.strip(" "))
    bank = _BY_BIN.get(key) or _BY_NAME.get(key)
    if bank is not None:
        return bank
    if key in _AMBIGUOUS:
        raise SkillError(f"bank_ambiguous: {key} can be {_AMBIGUOUS[key]}; give the BIN of the one you mean")
    raise SkillError("bank_unknown: no bank of the table has this code, name or BIN")


def bank_of_bin(bin_: str) -> Bank:
    """Return the bank of a BIN, without code and name if the table does not have it."""
    return _BY_BIN.get(bin_) or Bank(None, bin_, None)
