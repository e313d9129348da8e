"""Audit entries: what is recorded, and the one way to write it as bytes.

An entry is a JSON object in canonical form: keys sorted, no white space, UTF-8, integers only. Its bytes
are what is stored, hashed and proved later, so equal entries must have equal bytes on every machine.
Names in the JSON are camelCase, as in the GraphQL schema.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

import orjson

from subgraph.errors import ExecutionFailed

SCHEMA = "cyberos.audit/2"

MAX_ENTRY_BYTES = 128 * 1024
"""Size of one entry: 200 times a usual one (700 bytes). The longest hold two sealed payloads of 22 KB."""

MAX_DEPTH = 8
"""Nesting of an entry; ours reach 2."""

MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

MAX_TEXT_CHARACTERS = 2000
"""Free text (a skill's error message, a note) is cut to this: it must never keep an entry out of the log."""

MAX_ACTOR_CHARACTERS = 256
"""OpenID Connect Core bounds `sub` at 255."""

MAX_LIST_ITEMS = 64
MAX_ITEM_CHARACTERS = 100
"""Capabilities and limits of one entry: the vocabulary is far smaller, what a caller sends may not be. With
each character escaped in 6 bytes, all free text of an entry is within `MAX_ENTRY_BYTES`."""


class EntryRefused(ExecutionFailed):
    """The audit log does not accept this entry."""


def canonical(entry: Mapping[str, object]) -> bytes:
    """Write an entry as canonical bytes.

    Values are str, int, bool, None, lists and objects of them. Raises `EntryRefused` for anything else,
    floats and the character U+0000 among them, and for more than `MAX_ENTRY_BYTES`.
    """
    _check(entry, MAX_DEPTH)
    try:
        encoded = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise EntryRefused(f"An audit entry cannot be written as JSON: {error}.") from error
    # PostgreSQL's text cannot hold it, so no column could be derived from the entry.
    if b"\\u0000" in encoded and _holds_nul(entry):
        raise EntryRefused("An audit entry holds the character U+0000.")
    if len(encoded) > MAX_ENTRY_BYTES:
        raise EntryRefused(f"An audit entry of {len(encoded)} bytes exceeds {MAX_ENTRY_BYTES}.")
    return encoded


def _check(value: object, depth: int) -> None:
    """Refuse what readers would read differently. Texts and keys are looked at once they are encoded."""
    if isinstance(value, str | bool) or value is None:
        return
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise EntryRefused("An audit entry holds an integer beyond 53 bits, which readers would round.")
        return
    if depth == 0:
        raise EntryRefused(f"An audit entry is nested deeper than {MAX_DEPTH}.")
    if isinstance(value, dict):
        items: Collection[object] = value.values()
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise EntryRefused(f"An audit entry holds a value of type {type(value).__name__}.")
    for item in items:
        if type(item) is not str:  # most are
            _check(item, depth - 1)


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nul, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always of one length. Raises `EntryRefused` without a zone."""
    if moment.tzinfo is None:
        raise EntryRefused("An audit entry holds a time without a zone.")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def text(value: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Cut free text to `limit` characters, and replace those that UTF-8 or PostgreSQL cannot hold."""
    cut = value[:limit].replace("\0", "\ufffd")
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def names(values: Sequence[str]) -> list[str]:
    """Cut a list of capabilities or limits to what an entry holds."""
    return [text(value, MAX_ITEM_CHARACTERS) for value in values[:MAX_LIST_ITEMS]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(ABC):
    """What all kinds share."""

    kind: ClassVar[str]
    level: ClassVar[str] = "info"

    actor: str
    entry_id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=_now)

    def encode(self) -> bytes:
        """The entry's canonical bytes. Raises `EntryRefused` for a value that cannot be written."""
        return canonical(
            {
                "schema": SCHEMA,
                "id": self.entry_id,
                "kind": self.kind,
                "level": self._level(),
                "at": timestamp(self.at),
                "actor": text(self.actor, MAX_ACTOR_CHARACTERS),
                **self._subject(),
                **self._details(),
            }
        )

    def _level(self) -> str:
        return self.level

    def _subject(self) -> dict[str, object]:
        return {}

    @abstractmethod
    def _details(self) -> dict[str, object]:
        """The fields of this kind alone, by their names in the JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillEntry(Entry):
    """What is about a skill: `skill` is its path, `content_hash` that of its files."""

    skill: str
    content_hash: str

    def _subject(self) -> dict[str, object]:
        return {"skill": self.skill, "contentHash": self.content_hash}
