"""Tax codes: 10 digits, 13 with a branch number, or the 12 of a personal ID that is called a tax code."""

from __future__ import annotations

import re
from typing import NamedTuple

from subgraph.routing.extractors.labels import Label, Labelled, joined, labelled
from subgraph.routing.extractors.text import Span, Text

_CODE = re.compile("[0-9]{10}(?:-?[0-9]{3})?")
_PERSONAL = re.compile("[0-9]{12}")
_CALLED = frozenset({Label.MST, Label.SELLER, Label.BUYER})
_CALLED_ELSE = frozenset(
    {Label.CCCD, Label.ACCOUNT, Label.CARD, Label.PHONE, Label.AMOUNT, Label.BIRTH, Label.OTHER}
)


class TaxCodes(NamedTuple):
    """Distinct tax codes by the party they belong to, in the order of the text; `unclear` ones may go on."""

    own: tuple[str, ...]
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    unclear: bool
    spans: tuple[Span, ...]


def tax_codes(text: Text) -> TaxCodes:
    """Find the tax codes. Those that are called so count alone, if there are any."""
    numbers = labelled(text)
    called = [one for one in numbers if one.label in _CALLED and _has_form(text, one, personal=True)]
    open_ = [one for one in numbers if one.label not in _CALLED_ELSE and _has_form(text, one, personal=False)]
    chosen = called or open_
    parties: dict[Label, dict[str, None]] = {Label.MST: {}, Label.SELLER: {}, Label.BUYER: {}}
    for one in chosen:
        parties[_party(one)][text.folded[one.span.start : one.span.end]] = None
    return TaxCodes(
        own=tuple(parties[Label.MST]),
        seller=tuple(parties[Label.SELLER]),
        buyer=tuple(parties[Label.BUYER]),
        unclear=any(joined(one, numbers) for one in chosen),
        spans=tuple(one.span for one in chosen),
    )


def _has_form(text: Text, one: Labelled, *, personal: bool) -> bool:
    digits = text.folded[one.span.start : one.span.end]
    called = one.label is Label.MST
    return _CODE.fullmatch(digits) is not None or (
        personal and called and _PERSONAL.fullmatch(digits) is not None
    )


def _party(one: Labelled) -> Label:
    parties = [label for label in one.labels if label in (Label.SELLER, Label.BUYER)]
    return parties[-1] if parties else Label.MST
