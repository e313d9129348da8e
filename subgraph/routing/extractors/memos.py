"""Texts that are given after their name: "nội dung …", "memo: …"; and paths and VietQR strings."""

from __future__ import annotations

import re
import unicodedata

from subgraph.routing.extractors.text import Found, Span, Text

MOST_TEXT = 500
"""What the skills take of a memo or an item's name."""

MOST_PATH = 512
"""What vn-tax-filing takes of a directory."""

_QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»", "\u2018": "\u2019"}
_END = re.compile(
    r"[\n;]|(?:(?<=[,.])|(?<!\w))(?=[ ]{0,2}(?:(?:voi )?so tien|stk|so tai khoan|(?:vao )?tai khoan|ngan hang"
    r"|amount|account|bank|mst|ma so thue|tax code|thue suat|vat|don gia|gia tri|tri gia|buyer|seller|ben mua"
    r"|ben ban|nguoi mua|nguoi ban|ngay lap|issue date)(?!\w))"
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})
_JOINER = "\u200d"  # holds emoji of several parts together
_NO_CHARACTERS = frozenset("\ufffe\uffff")
_EDGES = " \t,.;:-"
_MEMO = ("noi dung chuyen khoan", "noi dung ck", "noi dung", "loi nhan", "memo")
_MEMO_WORDS = ("nd", "message", "note", "reference", "ghi chu")
_ITEM = ("noi dung", "dien giai", "mat hang", "ten hang")
_ITEM_WORDS = ("item", "san pham", "description")


def _label(names: tuple[str, ...], words: tuple[str, ...]) -> re.Pattern[str]:
    """Match names of a text; `words` mean other things too, so a colon or a quote must follow."""
    loose, tight = "|".join(names), "|".join(words)
    opening = "".join(_QUOTES)
    return re.compile(
        rf"(?<!\w)(?:(?:{loose})(?: (?:la|is))?(?!\w) {{0,2}}[:=]?"
        rf"|(?:{tight}) {{0,2}}(?:[:=]|(?=[{opening}]))) {{0,2}}"
    )


_MEMO_LABEL = _label(_MEMO, _MEMO_WORDS)
_ITEM_LABEL = _label(_ITEM, _ITEM_WORDS)

_SEGMENT = r"[\w.-]{1,100}"
_PATH_END = r"(?![^\s\"',;:)?!])"
# Words with a stroke between them are no path: "và/hoặc". One that stands by itself must look like one.
_DIRECTORY = re.compile(
    rf"(?<![^\s\"'(])((?:\./(?:{_SEGMENT}/){{0,20}}{_SEGMENT}/?)|(?:{_SEGMENT}/){{1,20}}"
    rf"|(?:invoices|hoa-don|hoa_don|hoadon)(?:/{_SEGMENT}){{1,20}}/?){_PATH_END}"
)
_DIRECTORY_NAMED = re.compile(
    rf"(?<!\w)(?:thu muc|folder|directory|dir) {{1,2}}[\"']?((?:\./)?{_SEGMENT}(?:/{_SEGMENT}){{0,20}}/?)"
    rf"{_PATH_END}"
)
_LETTER = re.compile(r"[^\W0-9]")
_MOST_QR = 512
_QR = re.compile(r"(?<!\w)000201[!-~]")
_QR_END = re.compile(r"6304[0-9a-f]{4}(?!\w)")
_BLANK = re.compile(r"\s")


def memos(text: Text) -> list[Found[str]]:
    """Return what the transfer is for, as it was written."""
    return _texts(text, _MEMO_LABEL)


def items(text: Text) -> list[Found[str]]:
    """Return what was sold, as it was written."""
    return _texts(text, _ITEM_LABEL)


def _texts(text: Text, label: re.Pattern[str]) -> list[Found[str]]:
    found: list[Found[str]] = []
    done = 0
    while (match := label.search(text.folded, done)) is not None:
        span = _extent(text, match.end())
        done = max(span.end, match.end())
        written = " ".join("".join(map(_visible, text.written(span))).split()).strip(_EDGES)
        if written:
            found.append(Found(written[:MOST_TEXT].rstrip(), Span(match.start(), span.end)))
    return found


def _visible(character: str) -> str:
    """Return a blank for what cannot be seen or written: controls, directions, halves of characters."""
    hidden = unicodedata.category(character) in _HIDDEN and character != _JOINER
    return " " if hidden or character in _NO_CHARACTERS else character


def _extent(text: Text, start: int) -> Span:
    closing = _QUOTES.get(text.folded[start : start + 1])
    if closing is not None:
        end = text.folded.find(closing, start + 1)
        if end != -1:
            return Span(start + 1, end)
    ended = _END.search(text.folded, start)
    return Span(start, ended.start() if ended is not None else len(text.folded))


def directories(text: Text) -> list[Found[str]]:
    """Return relative paths of directories; none that leads out of the workspace."""
    places = {
        match.start(1): Span(*match.span(1))
        for pattern in (_DIRECTORY, _DIRECTORY_NAMED)
        for match in pattern.finditer(text.folded)
    }
    found = (Found(text.written(places[start]).rstrip("."), places[start]) for start in sorted(places))
    return [
        one
        for one in found
        if ".." not in one.value and len(one.value) <= MOST_PATH and _LETTER.search(one.value)
    ]


def vietqr(text: Text) -> Found[str] | None:
    """Return the first VietQR string: from its head to its check sum, or to the next blank without one."""
    head = _QR.search(text.folded)
    if head is None:
        return None
    limit = min(len(text.folded), head.start() + _MOST_QR)
    end = _QR_END.search(text.folded, head.start(), limit)
    if end is None:
        end = _BLANK.search(text.folded, head.start(), limit)
    span = Span(head.start(), end.end() if end is not None else limit)
    return Found(text.written(span).rstrip(), span)
