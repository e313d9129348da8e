"""Citizen IDs: 12 digits. The 9 digits of an old identity card are none; the skill does not take them."""

from __future__ import annotations

import re
from typing import NamedTuple

from subgraph.routing.extractors.labels import Label, joined, labelled
from subgraph.routing.extractors.text import Span, Text

_NUMBER = re.compile("[0-9]{12}")
_CALLED_ELSE = frozenset(
    {Label.MST, Label.SELLER, Label.BUYER, Label.ACCOUNT, Label.CARD, Label.PHONE, Label.AMOUNT, Label.OTHER}
)


class CitizenIds(NamedTuple):
    """Distinct citizen IDs, in the order of the text; `unclear` if digits stand one blank beside."""

    values: tuple[str, ...]
    unclear: bool
    spans: tuple[Span, ...]


def citizen_ids(text: Text) -> CitizenIds:
    """Find the citizen IDs. Those that are called so count alone, if there are any."""
    numbers = labelled(text)
    shaped = [one for one in numbers if _NUMBER.fullmatch(text.folded, *one.span)]
    called = [one for one in shaped if Label.CCCD in one.labels and one.label not in _CALLED_ELSE]
    chosen = called or [one for one in shaped if one.label not in _CALLED_ELSE]
    values = dict.fromkeys(text.folded[one.span.start : one.span.end] for one in chosen)
    return CitizenIds(
        tuple(values), any(joined(one, numbers) for one in chosen), tuple(one.span for one in chosen)
    )
