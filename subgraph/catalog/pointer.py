"""JSON Pointers (RFC 6901): places within JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

DEPTH_LIMIT = 8
"""Bound of the keys of one pointer."""


_STRAY_TILDE = re.compile(r"~(?![01])")


class PointerInvalid(ValueError):
    """A text is no JSON Pointer."""


class Missing:
    """What stands for a place that a value does not have; null is a value."""


MISSING = Missing()


class Pointer(NamedTuple):
    """A place, by the keys that lead to it; none lead to the whole value."""

    keys: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pointer:
        """Read a pointer. Raises `PointerInvalid`."""
        if not text:
            return cls(())
        first, *keys = text.split("/")
        if first:
            raise PointerInvalid("is no JSON Pointer: it must begin with a slash")
        if len(keys) > DEPTH_LIMIT:
            raise PointerInvalid(f"is deeper than {DEPTH_LIMIT} keys")
        if _STRAY_TILDE.search(text):
            raise PointerInvalid("is no JSON Pointer: ~ is written ~0, and / is ~1")
        return cls(tuple(key.replace("~1", "/").replace("~0", "~") for key in keys))

    def __str__(self) -> str:
        return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in self.keys)

    def read(self, value: object) -> object:
        """Return what stands at the place; `MISSING` where there is no such place."""
        for key in self.keys:
            if isinstance(value, Mapping):
                value = value.get(key, MISSING)
            elif isinstance(value, Sequence) and not isinstance(value, str):
                value = value[int(key)] if _is_index(key) and int(key) < len(value) else MISSING
            else:
                return MISSING
        return value

    def written(self, value: object, new: object) -> dict[str, Any]:
        """Return a copy of an object with something else at the place; what leads there is made.

        What stood in the way there and is no object is replaced. The whole value is no place to write to.
        """
        key, *rest = self.keys
        copy = dict(value) if isinstance(value, Mapping) else {}
        copy[key] = Pointer(tuple(rest)).written(copy.get(key), new) if rest else new
        return copy


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) <= 9
