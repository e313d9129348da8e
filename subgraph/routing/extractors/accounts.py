"""Numbers of bank accounts and cards."""

from __future__ import annotations

import re
from typing import NamedTuple

from subgraph.routing.extractors.amounts import is_paid
from subgraph.routing.extractors.labels import Label, joined, labelled
from subgraph.routing.extractors.text import Span, Text

# No bank is known here to number accounts with fewer digits; a shorter one must be asked for.
_ACCOUNT = re.compile("[0-9]{6,19}")
_CARD = re.compile("[0-9]{16}|[0-9]{19}")
_SET_APART = re.compile(
    r"(?<![\w+])(?<![0-9][-.,/ ])([0-9]{4})([ -])([0-9]{4})\2([0-9]{4})\2([0-9]{4})(?:\2([0-9]{3}))?"
    r"(?![-.,/ ]?[0-9])(?!\w)"
)
_LETTERED = re.compile(
    r"(?<!\w)(?:stk|so tai khoan|so tk|tai khoan|tk|account(?: (?:number|no))?|acct?)\.?[ ]?[:=]?[ ]?"
    r"(?=[a-z]{0,18}[0-9])(?=[0-9]{0,18}[a-z])([a-z0-9]{4,19})(?![\w-])"
)
_NAPAS = re.compile(r"(?<!\w)napas {0,2}24/?7(?!\w)")
# A year is no amount.
_BARE = re.compile("(?!19|20)[1-9][0-9]{3}|[1-9][0-9]{4,12}|[1-9][0-9]{0,2}(?:[.,][0-9]{3})+")
_CALLED_ELSE = frozenset({Label.MST, Label.CCCD, Label.PHONE, Label.AMOUNT, Label.BIRTH, Label.OTHER})


class Accounts(NamedTuple):
    """Distinct numbers, in the order of the text. `unclear` ones may be more than one thing."""

    accounts: tuple[str, ...]
    cards: tuple[str, ...]
    unclear: bool
    spans: tuple[Span, ...]


def accounts(text: Text) -> Accounts:
    """Find the accounts and cards. Those that are called so count alone, if there are any."""
    cards: dict[str, None] = {}
    spans: list[Span] = []
    for match in _SET_APART.finditer(text.folded):
        cards["".join(part for part in match.group(1, 3, 4, 5, 6) if part)] = None
        spans.append(Span(*match.span()))
    text = text.without(spans)
    numbers = labelled(text)
    found: dict[str, None] = {}
    for match in _LETTERED.finditer(text.folded):
        found[text.written(Span(*match.span(1)))] = None
        spans.append(Span(*match.span(1)))
    shaped = [one for one in numbers if _ACCOUNT.fullmatch(text.folded, *one.span)]
    called = [one for one in shaped if one.label in (Label.ACCOUNT, Label.CARD)]
    rest = [one for one in shaped if one.label not in _CALLED_ELSE]
    chosen = called or ([] if found or cards else rest)
    unclear = False
    for one in chosen:
        digits = text.folded[one.span.start : one.span.end]
        if one.label is Label.CARD and _CARD.fullmatch(digits):
            cards[digits] = None
        else:
            found[digits] = None
            # Sixteen digits that nobody calls an account may be a card.
            unclear |= one.label is not Label.ACCOUNT and _CARD.fullmatch(digits) is not None
        unclear |= joined(one, numbers)
    spans += [one.span for one in chosen]
    return Accounts(tuple(found), tuple(cards), unclear, tuple(spans))


def unread(text: Text) -> list[Span]:
    """Return numbers that may be an amount: those of a thousand and more, and any after "gửi" or "pay".

    `text` is without the accounts that were found, so a word for one names none of these.
    """
    text = text.without(Span(*match.span()) for match in _NAPAS.finditer(text.folded))
    names = (None, Label.ACCOUNT, Label.CARD)
    return [
        one.span
        for one in labelled(text)
        if one.label in names and (_BARE.fullmatch(text.folded, *one.span) or is_paid(text, one.span))
    ]
