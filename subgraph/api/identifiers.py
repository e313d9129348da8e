"""IDs that callers send."""

from __future__ import annotations

from uuid import UUID

from subgraph.errors import InputInvalid

_SEQ_DIGITS = 16  # of 2**53 - 1, beyond which readers of JSON would round


def parse_seq(text: str) -> int:
    """Read the sequence number of an entry. Raises `InputInvalid`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _SEQ_DIGITS:
        raise InputInvalid("the seq of an entry is a number from 0")
    return int(text)


def parse_identifier(text: object) -> UUID | None:
    """Read an ID; None when it cannot be one."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
