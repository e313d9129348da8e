"""Words that say what the number after them is."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from subgraph.routing.extractors.text import BLOT, Span, Text, clusters

REACH = 64
"""How far a label reaches, in characters: over the name of a bank or a company, not over a sentence."""


CLOSE = 4
"""How far words such as "order" reach, which also mean something else: over "order #", "order no. "."""

_GROUP = 3
"""Digits that somebody sets apart by blanks: `0100109106 001`."""


class Label(StrEnum):
    """What a number can be called."""

    MST = "mst"
    SELLER = "seller"
    BUYER = "buyer"
    CCCD = "cccd"
    ACCOUNT = "account"
    CARD = "card"
    PHONE = "phone"
    AMOUNT = "amount"
    RATE = "rate"
    DISCOUNT = "discount"
    BIRTH = "birth"
    OTHER = "other"


_PHRASES = {
    Label.MST: (
        "mst", "ma so thue", "ma thue", "tax code", "tax codes", "tax id", "tax number", "taxpayer",
        "vat number",
    ),
    Label.SELLER: (
        "mst ben ban", "ma so thue ben ban", "mst nguoi ban", "ma so thue nguoi ban", "ben ban", "nguoi ban",
        "don vi ban", "ben minh", "cong ty minh", "cong ty toi", "seller", "our tax code", "our company",
    ),
    Label.BUYER: (
        "mst ben mua", "ma so thue ben mua", "mst nguoi mua", "ma so thue nguoi mua", "ben mua", "nguoi mua",
        "don vi mua", "khach hang", "buyer", "customer", "client",
    ),
    Label.CCCD: (
        "cccd", "can cuoc", "can cuoc cong dan", "so dinh danh", "dinh danh ca nhan", "cmnd", "cmt",
        "chung minh nhan dan", "citizen id", "id card", "national id", "personal id", "identity number",
    ),
    Label.ACCOUNT: (
        "stk", "so tai khoan", "tai khoan", "so tk", "tk", "account", "account number", "account no",
        "acc", "acct",
    ),
    Label.CARD: ("so the", "the atm", "the ngan hang", "the tin dung", "card", "card number", "card no"),
    Label.PHONE: (
        "sdt", "so dien thoai", "dien thoai", "dt", "hotline", "phone", "tel", "mobile", "zalo", "call",
        "goi",
        "fax",
    ),
    Label.AMOUNT: (
        "so tien", "tong tien", "tong cong", "tong so tien", "tri gia", "gia tri", "don gia", "thanh tien",
        "tien hang", "gia", "amount", "total", "sum", "price", "value", "worth",
    ),
    Label.RATE: (
        "vat", "thue suat", "thue", "gtgt", "thue vat", "thue gtgt", "tax rate", "tax", "rate", "vat rate",
    ),
    Label.DISCOUNT: (
        "giam", "giam gia", "chiet khau", "khuyen mai", "coc", "dat coc", "discount", "off", "deposit",
        "lai suat",
        "interest", "tang", "phi",
    ),
    Label.BIRTH: (
        "ngay sinh", "sinh ngay", "sinh", "date of birth", "birth date", "birthday", "dob", "born", "born on",
    ),
    Label.OTHER: (
        "hoa don so", "so hoa don", "hop dong", "hop dong so", "so hop dong", "so hd", "hd so",
        "don hang", "ma don", "ma don hang",
        "invoice no", "invoice number", "contract", "contract no", "order", "order no", "po", "ref",
        "so seri",
        "serial", "ma khach hang", "ma van don",
    ),
}  # fmt: skip

_KIND = {phrase: label for label, phrases in _PHRASES.items() for phrase in phrases}
_LABEL = re.compile(
    r"(?<!\w)(?:"
    + "|".join(phrase.replace(" ", "[ ]{1,3}") for phrase in sorted(_KIND, key=len, reverse=True))
    + r")(?![^\W0-9])"
)
_DIGIT = re.compile("[0-9]")
_LINK = re.compile(r"[\s,;&/:()]*(?:(?:va|and|hoac|hay|or|voi)(?!\w)[\s,;&/:()]*)?")


class Labelled(NamedTuple):
    """Digits with every label that stands between them and the digits before, the nearest last."""

    span: Span
    labels: tuple[Label, ...]

    @property
    def label(self) -> Label | None:
        """The nearest label."""
        return self.labels[-1] if self.labels else None


def labelled(text: Text) -> list[Labelled]:
    """Return all groups of digits with their labels.

    In "MST 0123456789 và 0100109106" the second number is called what the first is. A word for an amount
    names nothing behind the amount that was read.
    """
    marks = [(Span(*match.span()), _kind(match)) for match in _LABEL.finditer(text.folded)]
    found: list[Labelled] = []
    floor = mark = 0
    for span in clusters(text):
        near: list[Label] = []
        while mark < len(marks) and marks[mark][0].end <= span.start:
            place, label = marks[mark]
            reach = CLOSE if label is Label.OTHER else REACH
            cut = label is Label.AMOUNT and BLOT in text.folded[place.end : span.start]
            if place.start >= floor and span.start - place.end <= reach and not cut:
                near.append(label)
            mark += 1
        if not near and found and _LINK.fullmatch(text.folded, found[-1].span.end, span.start):
            near = list(found[-1].labels)
        found.append(Labelled(span, tuple(near)))
        floor = span.end
    return found


def label_before(text: Text, span: Span) -> Label | None:
    """Return the nearest label before a place, with no digits between the two."""
    near = list(_LABEL.finditer(text.folded, max(0, span.start - REACH), span.start))
    nearest = near[-1] if near else None
    if nearest is None or _DIGIT.search(text.folded, nearest.end(), span.start):
        return None
    return _kind(nearest)


def _kind(match: re.Match[str]) -> Label:
    return _KIND[" ".join(match.group().split())]


def joined(one: Labelled, others: list[Labelled]) -> bool:
    """Tell whether more digits stand one character before or after, so that both may be one number."""
    return any(
        other.span.end - other.span.start >= _GROUP
        and 1 in (other.span.start - one.span.end, one.span.start - other.span.end)
        for other in others
    )
