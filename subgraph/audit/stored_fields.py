"""The fields of an entry that is read back: of the type that is expected, or the entry cannot be read.

PostgreSQL accepts as an entry whatever has an id, a kind, a level, a time and an actor, so whoever has the
service's role can append what this program never writes. `audit fsck` finds it; readers must not fail on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson

_LARGEST = 2**31 - 1
"""Integers of entries that GraphQL shows are within 32 bits; a run of 600 s takes a third of that."""


@dataclass(frozen=True, slots=True)
class StoredFields:
    """The fields of an object. Each method raises `ValueError` where one is missing or of another type."""

    values: Mapping[str, Any]

    @classmethod
    def decode(cls, encoded: bytes, kind: str) -> Self:
        """Read the bytes of an entry of a kind."""
        fields = cls.of(orjson.loads(encoded))
        if fields.values.get("kind") != kind:
            raise ValueError(f"an entry of kind {fields.values.get('kind')!r} is not {kind}")
        return fields

    @classmethod
    def of(cls, value: object) -> Self:
        """Take a value that is an object."""
        if not isinstance(value, dict):
            raise ValueError("an entry holds something else than an object")  # noqa: TRY004 -- one error for all
        return cls(value)

    def text(self, name: str) -> str:
        """Return a text."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text")  # noqa: TRY004
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None."""
        return None if self._is_null(name) else self.text(name)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer within 32 bits; `default` is what entries of older versions mean that lack it."""
        value = self.values.get(name, default)
        if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{name} is no integer within 32 bits")
        return value

    def place(self, name: str) -> int:
        """Return the number of an entry, or a count of bytes."""
        value = self.values.get(name)
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is no number from 0")
        return value

    def optional_place(self, name: str) -> int | None:
        """Return the number of an entry, or a count of bytes, or None."""
        return None if self._is_null(name) else self.place(name)

    def moment(self, name: str) -> datetime:
        """Return a time with a zone."""
        moment = datetime.fromisoformat(self.text(name))
        if moment.tzinfo is None:
            raise ValueError(f"{name} has no zone")
        return moment

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name} is no list of texts")
        return tuple(value)

    def objects(self, name: str) -> list[StoredFields]:
        """Return a list of objects; none where there is no list, as in entries of older versions."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")  # noqa: TRY004
        return [StoredFields.of(item) for item in value]

    def optional_object(self, name: str) -> StoredFields | None:
        """Return an object, or None."""
        return None if self._is_null(name) else StoredFields.of(self.values[name])

    def _is_null(self, name: str) -> bool:
        if name not in self.values:
            raise ValueError(f"{name} is missing")
        return self.values[name] is None
