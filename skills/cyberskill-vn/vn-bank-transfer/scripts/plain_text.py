"""Folds text to what a transfer can carry: ASCII letters, digits, blanks and a few marks.

The twin of `src/plain-text.ts`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_D_WITH_STROKE = str.maketrans({"\u0111": "d", "\u0110": "D"})


class Plain(NamedTuple):
    """A folded text, None if nothing is left; whether more than blanks changed; whether it was too long."""

    text: str | None
    folded: bool
    cut: bool


NOTHING = Plain(None, False, False)


def plain(given: str, most: int) -> Plain:
    """Take accents off, turn what is not allowed into blanks, join them, keep the first characters."""
    # The marks of Latin letters. Engines differ in which others they know; those become blanks.
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", given)).translate(_D_WITH_STROKE)
    text = _joined(re.sub("[^A-Za-z0-9 ._/:-]", " ", bare))
    return Plain(text[:most].rstrip(" ") or None, text != _joined(given), len(text) > most)


def _joined(text: str) -> str:
    return re.sub(" +", " ", text).strip(" ")
