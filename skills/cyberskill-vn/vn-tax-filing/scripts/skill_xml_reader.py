"""Reads XML 1.0 into a tree, strictly and without a document type.

The twin of the guest library's `xml_reader.ts`: for every text the two give the same tree, or the same code.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from skill_xml_writer import is_xml_text

MAX_TAGS = 100_000
"""Of a document, with its comments and sections: what a tree of them takes stays within a guest's memory."""

MAX_DEPTH = 32
"""Elements in each other."""

MAX_ATTRIBUTES = 64
"""Of one element; the widest that real documents have is a dozen."""

MAX_NAME = 256
"""Characters of a name."""

# Of Unicode's first plane alone; names of documents that are meant for programs are letters of ASCII.
_STARTS = (
    ":A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
)
_NAME = re.compile(f"[{_STARTS}][-.0-9\u00b7\u0300-\u036f\u203f\u2040{_STARTS}]*")
_XML_START = re.compile(r"<\?xml[ \t\n]")
_DECLARATION = re.compile(
    r"<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:\"1\.0\"|'1\.0')"
    r"(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*(?:\"([A-Za-z0-9._-]{1,40})\"|'([A-Za-z0-9._-]{1,40})'))?"
    r"(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*(?:\"(?:yes|no)\"|'(?:yes|no)'))?[ \t\n]*\?>"
)
_REFERENCE = re.compile("&(?:#0*([0-9]{1,7})|#x0*([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));|&")
# Most texts have none of the characters that ask for a closer look, and one search tells.
_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f&\\]\ufffe\uffff]")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_BLANKS = re.compile("[ \t\n]*")
_BLANK = " \t\n"
_NO_ATTRIBUTES: dict[str, str] = {}
_NO_CHILDREN: list[XmlElement] = []

_names: set[str] = set()
"""Names that were checked, of this document or one before."""

_NAMES_KEPT = 1000


class XmlRefusedError(Exception):
    """Why a text is not read; the message is the code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class XmlElement(NamedTuple):
    """An element; `text` is what is right in it, without the text of its children."""

    name: str
    attributes: dict[str, str]
    children: list[XmlElement]
    text: str


def read_xml(given: str, most_bytes: int) -> XmlElement:
    """Read a document of at most that many bytes of UTF-8; raises XmlRefusedError."""
    if _has_more_bytes(given, most_bytes):
        raise XmlRefusedError("too_long")
    text = given.removeprefix("\ufeff")
    plain = _SPECIAL.search(text) is None
    if not plain:
        if not is_xml_text(text):
            raise XmlRefusedError("character")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    start = _declaration_end(text)
    pieces = text[start:].split("<")
    if len(pieces) > MAX_TAGS:
        raise XmlRefusedError("too_many_tags")
    return _Reader(pieces, plain).document()


def local_name(element: XmlElement) -> str:
    """Return the name without its prefix."""
    return element.name.rpartition(":")[2]


class _Open:
    """An element while it is read."""

    __slots__ = ("attributes", "children", "name", "pieces")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[XmlElement] = []
        self.pieces: list[str] = []


class _Reader:
    """Reads the pieces of a text that was split at every `<`."""

    def __init__(self, pieces: list[str], plain: bool) -> None:
        self._pieces = pieces
        self._plain = plain
        self._stack: list[_Open] = []
        self._current = _Open("", _NO_ATTRIBUTES)
        self._next = 1

    def document(self) -> XmlElement:
        """Read all pieces."""
        pieces = self._pieces
        self._add_text(pieces[0])
        while self._next < len(pieces):
            piece = pieces[self._next]
            self._next += 1
            first = piece[:1]
            if first == "/":
                self._end_tag(piece)
            elif first == "!":
                self._special(piece)
            elif first == "?":
                raise XmlRefusedError("processing_instruction")
            else:
                self._start_tag(piece)
        if self._stack or not self._current.children:
            raise XmlRefusedError("unclosed")
        return self._current.children[0]

    def _start_tag(self, piece: str) -> None:
        end = piece.find(">")
        name = piece[: max(end, 0)]
        if name not in _names and not _is_name(name):
            self._tag_with_more(piece)
            return
        # Most elements have text alone: take such a one as a whole.
        close = f"/{name}>"
        following = self._pieces[self._next] if self._next < len(self._pieces) else ""
        if not following.startswith(close):
            self._open(name, _NO_ATTRIBUTES)
            if len(piece) > end + 1:
                self._add_text(piece[end + 1 :])
            return
        self._next += 1
        self._check_place()
        text = self._decoded(piece[end + 1 :])
        self._current.children.append(XmlElement(name, _NO_ATTRIBUTES, _NO_CHILDREN, text))
        if len(following) > len(close):
            self._add_text(following[len(close) :])

    def _tag_with_more(self, piece: str) -> None:
        """Read a start tag that is not a name alone."""
        name = _name_at(piece, 0)
        position = len(name)
        attributes: dict[str, str] = {}
        while True:
            following = _after_blanks(piece, position)
            if piece.startswith(">", following):
                self._open(name, attributes)
                self._add_text(piece[following + 1 :])
                return
            if piece.startswith("/>", following):
                self._open(name, attributes)
                self._close()
                self._add_text(piece[following + 2 :])
                return
            if following == position or following >= len(piece):
                raise XmlRefusedError("tag")
            position = self._attribute(piece, following, attributes)

    def _attribute(self, piece: str, start: int, attributes: dict[str, str]) -> int:
        name = _name_at(piece, start)
        equals = _after_blanks(piece, start + len(name))
        quote_at = _after_blanks(piece, equals + 1)
        quote = piece[quote_at : quote_at + 1]
        if not piece.startswith("=", equals) or quote not in ('"', "'"):
            raise XmlRefusedError("attribute")
        end = piece.find(quote, quote_at + 1)
        # Without an end the value goes on after a `<`, which may not stand in it.
        if end == -1 or len(attributes) == MAX_ATTRIBUTES:
            raise XmlRefusedError("attribute")
        if name in attributes:
            raise XmlRefusedError("duplicate_attribute")
        # A blank that is written as such is a space; one that is written as a reference stays what it is.
        value = piece[quote_at + 1 : end].replace("\t", " ").replace("\n", " ")
        attributes[name] = self._references(value)
        return end + 1

    def _end_tag(self, piece: str) -> None:
        name = self._current.name
        end = piece.find(">")
        if end == -1:
            raise XmlRefusedError("tag")
        # An end tag may have blanks before its end.
        last = len(name) + 1
        if not piece.startswith(name, 1) or (last != end and _after_blanks(piece, last) != end):
            raise XmlRefusedError("nesting")
        self._close()
        if len(piece) > end + 1:
            self._add_text(piece[end + 1 :])

    def _special(self, piece: str) -> None:
        """Read comments, sections of text, and what there may not be."""
        if piece.startswith("!--"):
            _, after = self._up_to("--", piece, 3)
            if not after.startswith(">"):
                raise XmlRefusedError("markup")
            self._add_text(after[1:])
        elif piece.startswith("![CDATA["):
            before, after = self._up_to("]]>", piece, 8)
            if not self._stack:
                raise XmlRefusedError("outside")
            self._current.pieces.append(before)
            self._add_text(after)
        else:
            raise XmlRefusedError("doctype" if piece.startswith("!DOCTYPE") else "markup")

    def _up_to(self, mark: str, first: str, start: int) -> tuple[str, str]:
        """Return what stands before a mark and what after it, which may be pieces away."""
        parts: list[str] = []
        piece = first[start:]
        while True:
            before, found, after = piece.partition(mark)
            parts.append(before)
            if found:
                return "<".join(parts), after
            if self._next >= len(self._pieces):
                raise XmlRefusedError("unclosed")
            piece = self._pieces[self._next]
            self._next += 1

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        self._check_place()
        self._stack.append(self._current)
        self._current = _Open(name, attributes)

    def _close(self) -> None:
        if not self._stack:
            raise XmlRefusedError("nesting")
        element = self._current
        self._current = self._stack.pop()
        self._current.children.append(
            XmlElement(element.name, element.attributes, element.children, "".join(element.pieces))
        )

    def _check_place(self) -> None:
        depth = len(self._stack)
        if depth == 0 and self._current.children:
            raise XmlRefusedError("outside")
        if depth >= MAX_DEPTH:
            raise XmlRefusedError("depth")

    def _add_text(self, piece: str) -> None:
        if self._stack:
            self._current.pieces.append(self._decoded(piece))
        elif piece.strip(_BLANK):
            raise XmlRefusedError("outside")

    def _decoded(self, piece: str) -> str:
        if not self._plain and "]]>" in piece:
            raise XmlRefusedError("markup")
        return self._references(piece)

    def _references(self, piece: str) -> str:
        return piece if self._plain else _REFERENCE.sub(_referenced, piece)


def _is_name(text: str) -> bool:
    if len(text) > MAX_NAME or not _NAME.fullmatch(text):
        return False
    if len(_names) >= _NAMES_KEPT:
        _names.clear()
    _names.add(text)
    return True


def _name_at(piece: str, start: int) -> str:
    found = _NAME.match(piece, start, start + MAX_NAME + 1)
    if found is None or len(found.group()) > MAX_NAME:
        raise XmlRefusedError("tag")
    return found.group()


def _after_blanks(piece: str, start: int) -> int:
    found = _BLANKS.match(piece, start)
    return start if found is None else max(start, found.end())


def _declaration_end(text: str) -> int:
    """Return where the XML declaration ends, 0 if there is none."""
    if not _XML_START.match(text):
        return 0
    found = _DECLARATION.match(text)
    if found is None:
        raise XmlRefusedError("declaration")
    encoding = found.group(1) or found.group(2)
    if encoding is not None and encoding.lower() != "utf-8":
        raise XmlRefusedError("encoding")
    return found.end()


def _referenced(found: re.Match[str]) -> str:
    decimal, hexadecimal, entity = found.groups()
    if entity is not None:
        return _ENTITIES[entity]
    if decimal is None and hexadecimal is None:
        raise XmlRefusedError("entity")
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    # Half of a surrogate pair makes a text that is none.
    if code > 0x10FFFF or not is_xml_text(chr(code)):
        raise XmlRefusedError("character")
    return chr(code)


def _has_more_bytes(text: str, limit: int) -> bool:
    # A character takes one to four bytes.
    return len(text) > limit or (4 * len(text) > limit and len(text.encode("utf-8", "surrogatepass")) > limit)
