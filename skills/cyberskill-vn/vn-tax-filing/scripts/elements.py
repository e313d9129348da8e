"""Fields of an invoice's elements, by local name.

The twin of `src/elements.ts`.
"""

from __future__ import annotations

import re
from typing import NoReturn

from skill_dates import day_of
from skill_decimal import decimal_of
from skill_xml_reader import XmlElement

MAX_TEXT = 400
"""Characters of a name or an address, as the invoice format has it."""

_BLANK = " \t\n"


class FileFault(Exception):
    """Why a file is not counted: a code, and the field if one is to blame."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


class Elements:
    """The children of one element; of two alike neither may be asked for, because it would be a guess."""

    def __init__(self, element: XmlElement, place: str) -> None:
        self._place = place
        self._found: dict[str, XmlElement | None] = {}
        for child in element.children:
            name = child.name
            if ":" in name:
                name = name.rpartition(":")[2]
            self._found[name] = None if name in self._found else child

    def optional(self, name: str) -> XmlElement | None:
        """Return a child, None if there is none."""
        if name not in self._found:
            return None
        child = self._found[name]
        if child is None:
            raise FileFault("field_repeated", self._place + name)
        return child

    def element(self, name: str) -> XmlElement:
        """Return a child that must be there."""
        return self.optional(name) or self._missing(name)

    def inside(self, name: str) -> Elements:
        """Return the children of a child."""
        return Elements(self.element(name), f"{self._place}{name}/")

    def optional_text(self, name: str) -> str | None:
        """Return the text without the blanks around it; None if there is none."""
        child = self.optional(name)
        text = "" if child is None else child.text.strip(_BLANK)
        if not text:
            return None
        if len(text) > MAX_TEXT:
            self.invalid(name)
        return text

    def text(self, name: str) -> str:
        """Return the text of a child that must be there."""
        return self.optional_text(name) or self._missing(name)

    def number(self, name: str) -> int:
        """Return a decimal in millionths."""
        number = decimal_of(self.text(name))
        return self.invalid(name) if number is None else number

    def optional_number(self, name: str) -> int:
        """Return a decimal in millionths, 0 if there is none."""
        return 0 if self.optional_text(name) is None else self.number(name)

    def date(self, name: str) -> int:
        """Return a day."""
        day = day_of(self.text(name))
        return self.invalid(name) if day is None else day

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        """Return a text that a pattern takes as a whole."""
        text = self.text(name)
        return text if pattern.fullmatch(text) else self.invalid(name)

    def invalid(self, name: str) -> NoReturn:
        """Raise that a field is not as it should be."""
        raise FileFault("field_invalid", self._place + name)

    def _missing(self, name: str) -> NoReturn:
        raise FileFault("field_missing", self._place + name)
