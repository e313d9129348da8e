"""Banks: by code, name, BIN or a Vietnamese name, all of the table that vn-bank-transfer has.

No part of a name and no similar name is taken, because a transfer to a similar bank is one to the wrong bank.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from subgraph.routing.extractors.text import Span, Text
from subgraph.settings import bundled

_CONTENT = (bundled("skills") / "cyberskill-vn" / "vn-bank-transfer" / "assets" / "banks.json").read_bytes()
_TABLE = json.loads(_CONTENT)
TABLE_DIGEST = hashlib.sha256(_CONTENT).hexdigest()

# Names that people say; each is of one bank of the table.
_SPOKEN = {
    "vietcom": "VCB", "techcom": "TCB", "vietin": "ICB", "sacom": "STB",
}  # fmt: skip
# Names in Vietnamese, which are words of other things too: they count after "ngân hàng" alone.
_VIETNAMESE = {
    "ngoai thuong": "VCB", "ky thuong": "TCB", "quan doi": "MB", "dau tu va phat trien": "BIDV",
    "cong thuong": "ICB", "a chau": "ACB", "viet nam thinh vuong": "VPB", "tien phong": "TPB",
    "sai gon thuong tin": "STB", "nong nghiep": "VBA", "quoc te": "VIB", "sai gon ha noi": "SHB",
    "hang hai": "MSB", "phuong dong": "OCB", "xuat nhap khau": "EIB", "ban viet": "VCCB", "bac a": "BAB",
    "dai chung": "PVCB", "kien long": "KLB", "viet a": "VAB", "nam a": "NAB", "bao viet": "BAOVIET",
    "dong nam a": "SEAB", "an binh": "ABB", "viet nam thuong tin": "VIETBANK", "hop tac xa": "COOPBANK",
    "quoc dan": "NCB",
}  # fmt: skip
# Codes that are words: "5 MB", "a cake".
_WORDS = frozenset({"mb", "cake"})
# A name of several words is recognised when written apart; a short code is not, for "s h b" is no code.
_LEAST_APART = 5
_MOST_WORDS = 3


def _squashed(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


_BY_NAME = {
    _squashed(name): row["code"]
    for row in _TABLE["banks"]
    for name in (row["code"], row["name"], *row["aliases"])
} | _SPOKEN
_BY_BIN = {row["bin"]: row["code"] for row in _TABLE["banks"]}
_TWO_BANKS = frozenset(_squashed(row["code"]) for row in _TABLE["ambiguous"])

_WORD = re.compile(r"(?<!\w)[a-z0-9]+(?!\w)")
_NAMED = re.compile(
    r"(?<!\w)(?:ngan hang|nh)(?: (?:tmcp|thuong mai co phan|nha nuoc|nn|tm|thuong mai)){0,2} ("
    + "|".join(sorted(_VIETNAMESE, key=len, reverse=True)).replace(" ", "[ -]{1,3}")
    + r")(?!\w)"
)
_FROM = re.compile(r"(?:tu|from)(?: (?:tk|stk|tai khoan|ngan hang|account|my|the))* {1,2}\Z")
_FROM_REACH = 40
_BANK_BEFORE = re.compile(r"(?:ngan hang|bank|nh|tk|tai khoan|vao|qua|sang) {1,2}\Z")
_SIZE_BEFORE = re.compile(r"(?<![0-9])[0-9]{1,5} ?\Z")
_REACH = 12


class Banks(NamedTuple):
    """Codes of distinct banks, in the order of the text; `unclear` if a name is that of two banks."""

    codes: tuple[str, ...]
    unclear: bool
    spans: tuple[Span, ...]


class _Named(NamedTuple):
    code: str
    span: Span


def banks(text: Text) -> Banks:
    """Find the banks; one that money comes from ("từ Techcombank") counts only if there is no other."""
    named = [
        _Named(_VIETNAMESE[" ".join(re.split("[ -]+", match.group(1)))], Span(*match.span()))
        for match in _NAMED.finditer(text.folded)
    ]
    rest = text.without(one.span for one in named)
    words = list(_WORD.finditer(rest.folded))
    unclear = any(word.group() in _TWO_BANKS for word in words)
    at = 0
    while at < len(words):
        count, one = _named_at(rest, words, at)
        if one is not None:
            named.append(one)
        at += count
    sources = {one.code for one in named if _is_source(text, one.span)}
    targets = [one for one in named if one.code not in sources] or named
    ordered = dict.fromkeys(one.code for one in sorted(targets, key=lambda one: one.span))
    return Banks(tuple(ordered), unclear, tuple(one.span for one in named))


def _named_at(text: Text, words: list[re.Match[str]], at: int) -> tuple[int, _Named | None]:
    """Return how many words the name that starts here has, and its bank; one word and None without one."""
    for count in range(min(_MOST_WORDS, len(words) - at), 0, -1):
        group = words[at : at + count]
        span = Span(group[0].start(), group[-1].end())
        name = "".join(word.group() for word in group)
        if count > 1 and (len(name) < _LEAST_APART or span.end - span.start > len(name) + 2 * (count - 1)):
            continue
        code = _BY_NAME.get(name) or _BY_BIN.get(name)
        if code is not None and (name not in _WORDS or _is_meant(text, span)):
            return count, _Named(code, span)
    return 1, None


def _is_meant(text: Text, span: Span) -> bool:
    """Tell whether "mb" or "cake" is a bank: after a word for one, or written as a name and not as a size."""
    before = max(0, span.start - _REACH)
    if _BANK_BEFORE.search(text.folded, before, span.start):
        return True
    if _SIZE_BEFORE.search(text.folded, before, span.start):
        return False
    return text.written(span)[0].isupper()


def _is_source(text: Text, span: Span) -> bool:
    return _FROM.search(text.folded, max(0, span.start - _FROM_REACH), span.start) is not None
