"""Writes XML 1.0, indented by two blanks.

The twin of the guest library's `xml_writer.ts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_IN_TEXT = re.compile("[&<>\r]")
_IN_ATTRIBUTE = re.compile('[&<>"\t\n\r]')
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def is_xml_text(text: str) -> bool:
    """Tell whether a text can stand in XML at all: most control characters cannot, escaped or not."""
    return _ILLEGAL.search(text) is None


class XmlWriter:
    """A document that grows by elements."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open: list[str] = []

    def open(self, name: str, attributes: Mapping[str, str] | None = None) -> XmlWriter:
        """Start an element that has elements; its attributes come in the order given."""
        self._lines.append(f"{self._indent()}<{name}{_attributes_text(attributes or {})}>")
        self._open.append(name)
        return self

    def leaf(self, name: str, text: str, attributes: Mapping[str, str] | None = None) -> XmlWriter:
        """Write an element that has text."""
        # A line end is data here, and a carriage return would be read as one.
        content = _IN_TEXT.sub(_escape, text)
        self._lines.append(f"{self._indent()}<{name}{_attributes_text(attributes or {})}>{content}</{name}>")
        return self

    def optional_leaf(self, name: str, text: str | None) -> XmlWriter:
        """Write an element that has text, or nothing where there is none."""
        return self if text is None else self.leaf(name, text)

    def close(self) -> XmlWriter:
        """End the element that was opened last."""
        name = self._open.pop()
        self._lines.append(f"{self._indent()}</{name}>")
        return self

    def __str__(self) -> str:
        if self._open:
            raise ValueError("an element is open")
        return "".join(f"{line}\n" for line in self._lines)

    def _indent(self) -> str:
        return "  " * len(self._open)


def _attributes_text(attributes: Mapping[str, str]) -> str:
    escaped = ((name, _IN_ATTRIBUTE.sub(_escape, value)) for name, value in attributes.items())
    return "".join(f' {name}="{value}"' for name, value in escaped)


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES[found.group()]
