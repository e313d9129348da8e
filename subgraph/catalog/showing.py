"""Text of a skill's author, made fit to be shown: it hides nothing and turns nothing around."""

from __future__ import annotations

import re

UNSEEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
"""For a class of a regular expression: what XML 1.0 cannot hold (section 2.2), and characters that turn,
hide or break text unseen. Tabs and the ends of lines are not among them."""

_UNSHOWABLE = re.compile(f"[{UNSEEN}]")


def shown(text: str) -> str:
    """Put U+FFFD in the place of each character that is not seen as itself; lines and tabs stay."""
    return _UNSHOWABLE.sub("\ufffd", text)


def shown_in_line(text: str, length: int) -> str:
    """Show a text within one line, of at most `length` characters; `…` stands for the rest."""
    line = " ".join(shown(text[: 4 * length]).split())
    return line if len(line) <= length and len(text) <= 4 * length else f"{line[: length - 1]}…"
