"""Reads a skill's input: one JSON object, strictly.

The twin of the guest library's `input.ts`: for every text the two accept the same, and refuse in the same
words.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from skill_decimal import decimal_of

UTF8_BYTES_A_CHARACTER = 4
_MARKS = re.compile(r'"(?:[^"\\]|\\[\s\S])*"?|[\[\]{}]')


class InputInvalidError(ValueError):
    """What is wrong with an input, for the caller."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"input_invalid: {detail}")


def read_fields(text: str, characters: int, depth: int, names: Sequence[str]) -> Fields:
    """Read a text as an object that has no other fields than those named."""
    if len(text) > characters:
        raise InputInvalidError(f"the input has more than {characters} characters")
    if _nests_deeper(text, depth):
        raise InputInvalidError(f"the input nests deeper than {depth} levels")
    try:
        # Every number is one of IEEE 754, as in JavaScript.
        value = json.loads(text, parse_int=_float, parse_float=_float, parse_constant=_refuse_constant)
    except ValueError:
        raise InputInvalidError("the input is not valid JSON") from None
    if not isinstance(value, dict):
        raise InputInvalidError("the input must be a JSON object")
    return Fields(value, "", names)


class Fields:
    """The fields of one object of the input. A field that is null counts as absent."""

    def __init__(self, value: dict[str, Any], place: str, names: Sequence[str]) -> None:
        self._values = value
        self._place = place
        if not value.keys() <= set(names):
            where = f' in "{place[:-1]}"' if place else ""
            raise InputInvalidError(f"there is an unknown field{where}; the fields are {_listed(names)}")

    def has(self, name: str) -> bool:
        """Tell whether a field is given."""
        return self._values.get(name) is not None

    def refuse(self, name: str, what: str) -> NoReturn:
        """Raise that a field is not as it should be."""
        raise InputInvalidError(f'the field "{self._place}{name}" {what}')

    def text(self, name: str, most: int, why: str = "") -> str:
        """Return a text of at most that many characters."""
        value = self._required(name)
        if not isinstance(value, str):
            self.refuse(name, f"must be a string{why}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            self.refuse(name, "has half of a surrogate pair")
        if len(value) > most:
            self.refuse(name, f"has more than {most} characters")
        return value

    def optional_text(self, name: str, most: int, why: str = "") -> str | None:
        """Return a text, None where there is none."""
        return self.text(name, most, why) if self.has(name) else None

    def flag(self, name: str, absent: bool) -> bool:
        """Return true or false, `absent` where there is neither."""
        if not self.has(name):
            return absent
        value = self._values[name]
        if not isinstance(value, bool):
            self.refuse(name, "must be true or false")
        return value

    def choice(self, name: str, choices: Sequence[str], absent: str | None) -> str:
        """Return one of several words, `absent` where there is none."""
        if not self.has(name) and absent is not None:
            return absent
        value = self._required(name)
        if not isinstance(value, str) or value not in choices:
            self.refuse(name, f"must be one of {_listed(choices)}")
        return value

    def decimal(self, name: str) -> int:
        """Return a number in millionths: at most 15 digits before the point and 6 after it."""
        decimal = decimal_of(self._required(name))
        if decimal is None:
            self.refuse(name, "must be a number, of at most 15 digits before the point and 6 after it")
        return decimal

    def optional_decimal(self, name: str) -> int | None:
        """Return a number in millionths, None where there is none."""
        return self.decimal(name) if self.has(name) else None

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self._required(name)
        if not isinstance(value, float) or not value.is_integer() or not least <= value <= most:
            self.refuse(name, f"must be a whole number from {least} to {most}")
        return int(value)

    def object(self, name: str, names: Sequence[str]) -> Fields:
        """Return the fields of an object."""
        value = self._required(name)
        if not isinstance(value, dict):
            self.refuse(name, "must be an object")
        return Fields(value, f"{self._place}{name}.", names)

    def objects(self, name: str, names: Sequence[str], most: int) -> list[Fields]:
        """Return a list of objects that have the same fields."""
        value = self._required(name)
        if not isinstance(value, list):
            self.refuse(name, "must be a list")
        if len(value) > most:
            self.refuse(name, f"has more than {most} entries")
        return [self._entry(f"{name}[{index}]", entry, names) for index, entry in enumerate(value)]

    def _entry(self, place: str, entry: object, names: Sequence[str]) -> Fields:
        if not isinstance(entry, dict):
            self.refuse(place, "must be an object")
        return Fields(entry, f"{self._place}{place}.", names)

    def _required(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None:
            raise InputInvalidError(f'the field "{self._place}{name}" is missing')
        return value


def dump(value: object) -> str:
    """Write JSON as `JSON.stringify` does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def run_as_filter(run: Callable[[str], str], characters: int) -> int:
    """Answer stdin on stdout; return the exit code, 1 with the message on stderr for an error.

    The line end on a terminal is for its reader and no part of the answer.
    """
    try:
        answer = run(_read_stdin(characters))
    except (InputInvalidError, SkillError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(answer.encode("utf-8"))
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    return 0


class SkillError(Exception):
    """Why a skill gives no answer to an input that it has understood."""


def _read_stdin(characters: int) -> str:
    most = UTF8_BYTES_A_CHARACTER * characters
    raw = sys.stdin.buffer.read(most + 1)
    if len(raw) > most:
        raise InputInvalidError(f"the input has more than {characters} characters")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputInvalidError("the input is not valid JSON") from None


def _float(digits: str) -> float:
    return float(digits)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(name)


def _listed(names: Sequence[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return "".join(quoted) if len(quoted) < 2 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _nests_deeper(text: str, limit: int) -> bool:
    """Tell before parsing, because parsers differ in how deep they can go and in how they fail beyond."""
    depth = 0
    for mark in _MARKS.findall(text):
        if mark in "{[":
            depth += 1
            if depth > limit:
                return True
        elif mark in "}]":
            depth -= 1
    return False
