"""Entries about the log itself: its signing key, and entries of it that were dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from subgraph.audit.entry import Entry, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKey(Entry):
    """Another key signs checkpoints from here on: a later one by the retired key is a forgery."""

    kind: ClassVar[str] = "key.rotated"
    level: ClassVar[str] = "warn"

    retired: str
    current: str

    def _details(self) -> dict[str, object]:
        return {"retired": text(self.retired), "current": text(self.current)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedEntries(Entry):
    """The bytes of entries were dropped; `first` is the number of the first that is left. Hashes are kept."""

    kind: ClassVar[str] = "entries.dropped"
    level: ClassVar[str] = "warn"

    first: int

    def _details(self) -> dict[str, object]:
        return {"first": self.first}
