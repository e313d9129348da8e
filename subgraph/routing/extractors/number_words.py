"""Vietnamese number words: "ba trăm nghìn", "hai tỷ rưỡi".

Read with their marks alone. Without them "muoi" is ten or tens, and "nam" is five or a year.
"""

from __future__ import annotations

import re

from subgraph.routing.extractors.text import Found, Span, Text

_ONES = {
    "không": 0, "một": 1, "hai": 2, "ba": 3, "bốn": 4, "năm": 5, "sáu": 6, "bảy": 7, "bẩy": 7, "tám": 8,
    "chín": 9,
}  # fmt: skip
# What the last digit is called after tens.
_LAST = {**_ONES, "mốt": 1, "tư": 4, "lăm": 5, "nhăm": 5}
_SCALES = {"nghìn": 10**3, "ngàn": 10**3, "triệu": 10**6, "tỷ": 10**9, "tỉ": 10**9}
_BILLION = frozenset({"tỷ", "tỉ"})
_ZERO = frozenset({"linh", "lẻ"})
_LAST_AFTER_ZERO = {"tư": "bốn"}
_PAIR = 2
_LEAST = 1000
_HALF = "rưỡi"
_STARTS = frozenset({*_ONES, "mười"})
_BLANK = re.compile(r"[^\S\n]")
# Words without their marks, of which it is clear only that an amount is meant.
_UNMARKED = re.compile(
    r"(?<!\w)(?:mot|hai|ba|bon|nam|sau|bay|tam|chin|muoi)"
    r"(?: {1,2}(?:mot|hai|ba|bon|nam|lam|sau|bay|tam|chin|muoi|tram))*"
    r" {1,2}(?:nghin|trieu|(?<!nam )ty(?! {1,2}gia))(?!\w)"
)
_NAMES = frozenset({*_LAST, *_SCALES, *_ZERO, _HALF, "mười", "mươi", "trăm"})

_RUN = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})"
    rf"(?:[ ,]{{1,2}}(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})(?!\w))*(?!\w)"
)
MOST_WORDS = 40
"""The longest name of a number below 10^18 has fewer."""


def value_of(words: list[str]) -> int | None:
    """Read the name of a number of a thousand and more; None if the words are not one, or may be two.

    "hai triệu năm trăm" is 2,500,000 in speech and 2,000,500 on an invoice, so it is neither.
    """
    if len(words) > MOST_WORDS:
        return None
    half = 0
    if words[-1] == _HALF:
        words = words[:-1]
        half = _SCALES.get(words[-1], 0) // 2
        if not half:
            return None
    at = max((place for place, word in enumerate(words) if word in _BILLION), default=-1)
    billions = _below_a_billion(words[:at], inside=False) if at >= 0 else 0
    rest = _below_a_billion(words[at + 1 :], inside=at >= 0)
    if billions is None or rest is None:
        return None
    total = billions * 10**9 + rest + half
    return total if total >= _LEAST else None


def _below_a_billion(words: list[str], *, inside: bool) -> int | None:
    """Read millions, thousands and the rest; `inside`: billions stand before. No words are zero."""
    total, before = 0, 10**9 if inside else 0
    while words:
        at = next((place for place, word in enumerate(words) if word in _SCALES), len(words))
        group = _group(words[:at], inside=bool(before))
        scale = _SCALES[words[at]] if at < len(words) else 1
        if group is None or (before and scale >= before):
            return None
        if scale == 1 and before and (before > _LEAST or "trăm" not in words):
            return None
        total, before = total + group * scale, scale
        words = words[at + 1 :]
    return total


def _group(words: list[str], *, inside: bool) -> int | None:
    """Read up to three digits; `inside`: something stands before, so that zero hundreds are named."""
    if len(words) > 1 and words[1] == "trăm":
        hundreds = _ONES.get(words[0])
        if hundreds is None or (hundreds == 0 and not inside):
            return None
        rest = words[2:]
        if len(rest) == _PAIR and rest[0] in _ZERO:
            rest = [_LAST_AFTER_ZERO.get(rest[1], rest[1])]
        tail = _two_digits(rest) if rest else 0
        return None if tail is None else hundreds * 100 + tail
    return _two_digits(words)


def _two_digits(words: list[str]) -> int | None:
    if len(words) == 1:
        return 10 if words[0] == "mười" else _ONES.get(words[0])
    if len(words) == _PAIR and words[0] == "mười":
        ones = _LAST.get(words[1])
        return None if ones is None else 10 + ones
    if _PAIR <= len(words) <= _PAIR + 1 and words[1] == "mươi":
        tens, ones = _ONES.get(words[0]), _LAST.get(words[2]) if len(words) > _PAIR else 0
        return None if tens is None or ones is None else tens * 10 + ones
    return None


def is_digit_word(word: str) -> bool:
    """Tell whether a word as it is written is the name of a digit."""
    return word in _ONES


def amounts_in_words(text: Text) -> list[Found[int | None]]:
    """Return every run of number words that has a scale; None for one that cannot be read with certainty."""
    # Folding keeps the length but for marks that NFC did not compose; such a text is not read.
    marked = [] if len(text.original) != len(text.folded) else _marked(text)
    rest = text.without(one.span for one in marked)
    unmarked: list[Found[int | None]] = [
        Found(None, Span(*match.span())) for match in _UNMARKED.finditer(rest.folded)
    ]
    return [*marked, *unmarked]


def _marked(text: Text) -> list[Found[int | None]]:
    found: list[Found[int | None]] = []
    for match in _RUN.finditer(_BLANK.sub(" ", text.original.lower())):
        words = match.group().replace(",", " ").split()
        # "3 trăm nghìn" begins with digits and is read with them.
        if _SCALES.keys().isdisjoint(words) or words[0] not in _STARTS:
            continue
        found.append(Found(value_of(words), Span(*match.span())))
    return found
