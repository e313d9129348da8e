"""A query in two forms: as it was written, and folded for comparison, with the way back from this to that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from subgraph.routing.folding import QUERY_LIMIT

T = TypeVar("T")

MOST_MARKS = 30
"""Marks on one letter: what Unicode's Stream-Safe Text Format (UAX 15) allows; languages need four."""

_SHORT = 256  # so few marks are put in order in no time

BLOT = "\0"
"""Stands where something was read: no letter, digit or blank. Folding makes blanks of those in a query."""


class Span(NamedTuple):
    """Where something stands: from `start` up to `end`, which is not part of it."""

    start: int
    end: int


class Found(NamedTuple, Generic[T]):
    """A value and where it stands in the folded text."""

    value: T
    span: Span


class Text(NamedTuple):
    """A query: NFC, and folded. `origin[i]` is where the folded character `i` stands in the original."""

    original: str
    folded: str
    origin: range | tuple[int, ...]

    def without(self, spans: Iterable[Span]) -> Text:
        """Return the query with these places blotted out, so that nothing is read from them twice."""
        parts: list[str] = []
        done = 0
        for span in sorted(spans):
            if span.end > done:
                start = max(span.start, done)
                parts += [self.folded[done:start], BLOT * (span.end - start)]
                done = span.end
        return self._replace(folded="".join([*parts, self.folded[done:]])) if parts else self

    def written(self, span: Span) -> str:
        """Return what was written where the folded text has `span`."""
        place = self.place(span)
        return self.original[place.start : place.end]

    def place(self, span: Span) -> Span:
        """Turn a place in the folded text into one in the original."""
        if span.start >= span.end:
            return Span(0, 0)
        end = self.origin[span.end - 1] + 1
        # Marks that no composed letter takes up belong to the letter before them.
        while end < len(self.original) and unicodedata.category(self.original[end]) in _MARK:
            end += 1
        return Span(self.origin[span.start], end)


class _Folding(dict[int, str]):
    """What each character becomes, computed when it is first met; bounded by the size of Unicode."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


_FOLDING = _Folding()
_WIDE = range(0xFF01, 0xFF5F)
_MARK = frozenset({"Mn", "Me"})
_BLANK = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})


def _fold(character: str) -> str:
    """Return one character or none: a letter without its marks, in lower case, or a blank."""
    if ord(character) in _WIDE:
        character = chr(ord(character) - 0xFEE0)
    category = unicodedata.category(character)
    if category in _BLANK:
        # A zero-width character ends a word: digits on both sides of one are not one number.
        return "\n" if character == "\n" else " "
    if category in _MARK:
        return ""
    lowered = unicodedata.normalize("NFD", character.lower())
    bare = "".join(part for part in lowered if unicodedata.category(part) not in _MARK)
    return {"đ": "d"}.get(bare, bare if len(bare) == 1 else character)


def bounded(query: str) -> str:
    """Return what is looked at of a query; a word that `QUERY_LIMIT` would cut through is left out.

    The router refuses a longer one, but NFC makes some letters two or three.
    """
    if len(query) <= QUERY_LIMIT:
        return query
    head = query[:QUERY_LIMIT]
    blank = max((head.rfind(mark) for mark in " \n\t"), default=-1)
    return head[: blank + 1]


def _with_few_marks(query: str) -> str:
    """Leave out marks of one letter beyond thirty: putting n of them in order takes n² steps."""
    if len(query) <= _SHORT or query.isascii():
        return query
    kept: list[str] = []
    marks = 0
    for character in query:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def text_of(query: str) -> Text:
    """Read a query: bounded, NFC, folded."""
    original = unicodedata.normalize("NFC", _with_few_marks(bounded(query)))
    folded = original.translate(_FOLDING)
    if len(folded) == len(original):
        return Text(original, folded, range(len(original)))
    origin = tuple(index for index, character in enumerate(original) if _FOLDING[ord(character)])
    return Text(original, folded, origin)


def spelt(text: Text, span: Span, allowed: frozenset[str]) -> bool:
    """Tell whether a word is one of `allowed`, or was written without any marks.

    Folding alone cannot tell `tỉ` (a billion) from `tí` (a bit), or `nghìn` from `nghiền`.
    """
    written = text.written(span).lower()
    return written.isascii() or " ".join(written.split()) in allowed


CLUSTER = re.compile(
    r"(?:(?<![\w+])(?<![0-9][-.,/])|(?<=(?<!\w)(?:mst|stk))|(?<=(?<!\w)cccd))"
    r"[0-9]+(?:[-.,/][0-9]+)*(?!\w|[-.,/][0-9])"
)
"""Digits as they stand together; what is glued to letters is something else, but for "MST0123456789"."""


def clusters(text: Text) -> list[Span]:
    """Return the groups of digits."""
    return [Span(*match.span()) for match in CLUSTER.finditer(text.folded)]
