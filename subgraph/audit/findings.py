"""What an examination of the audit log found: a code for programs, a sentence for people, and the place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MAX_FINDINGS = 1000
"""That are listed of one examination; of more than these nobody reads the rest, and memory has a bound."""


class FindingCode(StrEnum):
    """What is wrong. Codes are part of the interface and never change."""

    ENTRY_MISSING = "ENTRY_MISSING"
    ENTRY_CHANGED = "ENTRY_CHANGED"
    ENTRY_UNEXPECTED = "ENTRY_UNEXPECTED"
    ENTRY_MALFORMED = "ENTRY_MALFORMED"
    COLUMN_DIFFERS = "COLUMN_DIFFERS"
    TILE_MISSING = "TILE_MISSING"
    TILE_CHANGED = "TILE_CHANGED"
    TILE_UNEXPECTED = "TILE_UNEXPECTED"
    HEAD_MISSING = "HEAD_MISSING"
    HEAD_DIFFERS = "HEAD_DIFFERS"
    ROOT_DIFFERS = "ROOT_DIFFERS"
    TAIL_CUT = "TAIL_CUT"
    FORK = "FORK"
    ROLLUP_DIFFERS = "ROLLUP_DIFFERS"
    TRIGGER_DIFFERS = "TRIGGER_DIFFERS"
    FUNCTION_DIFFERS = "FUNCTION_DIFFERS"
    PRIVILEGE_EXCESSIVE = "PRIVILEGE_EXCESSIVE"
    TABLE_DIFFERS = "TABLE_DIFFERS"
    PARTITION_MISSING = "PARTITION_MISSING"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    DECISION_DIFFERS = "DECISION_DIFFERS"
    MORE = "MORE"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, within the entries `first_seq` to `last_seq`; these are None if it is not about entries."""

    code: FindingCode
    message: str
    first_seq: int | None = None
    last_seq: int | None = None


_Found: TypeAlias = tuple[FindingCode, str, int | None, int | None]


class Findings:
    """Collects findings, at most `MAX_FINDINGS` of them. Those of one sort that adjoin become one."""

    def __init__(self) -> None:
        self._found: list[_Found] = []
        self._unlisted = 0

    def add(
        self, code: FindingCode, text: str, first_seq: int | None = None, last_seq: int | None = None
    ) -> None:
        """Note a fault; the message is the text, after the entries that it is about."""
        found = (code, text, first_seq, last_seq)
        if _join(self._found, found):
            return
        if len(self._found) < MAX_FINDINGS:
            self._found.append(found)
        else:
            self._unlisted += 1

    def listed(self) -> tuple[Finding, ...]:
        """All findings, those about the first entries first; the last one tells how many more there were."""
        joined: list[_Found] = []
        for found in sorted(self._found, key=lambda found: (found[2] is None, found[2] or 0, found[0])):
            if not _join(joined, found):
                joined.append(found)
        findings = [
            Finding(code, f"{_place(first, last)}{text}", first, last) for code, text, first, last in joined
        ]
        if self._unlisted:
            findings.append(Finding(FindingCode.MORE, f"{self._unlisted} further findings are not listed."))
        return tuple(findings)


def _join(found: list[_Found], further: _Found) -> bool:
    """Make a finding that continues the last one a part of it."""
    code, text, first, last = further
    if not found or first is None:
        return False
    before, said, start, end = found[-1]
    if (before, said) != (code, text) or end is None or end + 1 != first:
        return False
    found[-1] = (code, text, start, last)
    return True


def _place(first: int | None, last: int | None) -> str:
    if first is None:
        return ""
    return f"Entry {first}: " if last in (first, None) else f"Entries {first} to {last}: "
