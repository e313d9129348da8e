"""Fitting text into a width: on words, then at the marks within names, and only then anywhere."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from rich.cells import cell_len, chop_cells

_WORD = re.compile(r"\S+")
_PIECE = re.compile(r"[^/:,(_-]*[/:,(_-]+|[^/:,(_-]+")
"""A part of a name that it may be broken after: `cyberskill-vn/vn-mst-validate` has five."""


def column_widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Share `room` out among columns of cells, of which the first has names that are copied.

    As long as there is room no word is broken, then none of the first column, then only where names may be.
    """
    natural = [max(map(cell_len, cells), default=1) or 1 for cells in columns]
    words = [_longest(cells, _words) for cells in columns]
    pieces = [_longest(cells, _pieces) for cells in columns]
    least = next(
        (each for each in (words, [words[0], *pieces[1:]], pieces) if sum(each) <= room), [1] * len(columns)
    )
    # The widest column gives way first: the largest bound is sought that all fit below.
    widths = least
    for bound in itertools.count(1):
        wider = [max(low, min(most, bound)) for low, most in zip(least, natural, strict=True)]
        if sum(wider) > room:
            return widths
        widths = wider
        if wider == natural:
            return natural
    raise AssertionError


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most a width, in the cells of a terminal."""
    lines = []
    for line in text.split("\n"):
        parts = [part for word in _words(line) for part in _fitting(word, width)]
        lines += _filled(parts, width) if cell_len(line) > width else [line]
    return lines


def wrapped_words(text: str, width: int) -> list[str]:
    """Break a text on its spaces alone: a word that is longer than the width stays whole."""
    lines = []
    for line in text.split("\n"):
        lines += _filled([(word, True) for word in _words(line)], width) if cell_len(line) > width else [line]
    return lines


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _pieces(text: str) -> list[str]:
    return [piece for word in _words(text) for piece in _PIECE.findall(word)]


def _longest(cells: Sequence[str], split: Callable[[str], list[str]]) -> int:
    return max((cell_len(part) for cell in cells for part in split(cell)), default=1)


def _fitting(word: str, width: int) -> list[tuple[str, bool]]:
    """Split a word that is too long; with each part whether a space comes before it."""
    if cell_len(word) <= width:
        return [(word, True)]
    parts = [part for piece in _PIECE.findall(word) for part in chop_cells(piece, width)]
    return [(part, number == 0) for number, part in enumerate(parts)]


def _filled(parts: Sequence[tuple[str, bool]], width: int) -> list[str]:
    lines: list[str] = []
    for part, spaced in parts:
        space = " " if spaced else ""
        if lines and cell_len(lines[-1]) + len(space) + cell_len(part) <= width:
            lines[-1] += space + part
        else:
            lines.append(part)
    return lines or [""]
