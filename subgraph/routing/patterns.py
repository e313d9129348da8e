"""Patterns of actions: words in their order, others between them.

`send|email .. invoice .. client` is one of the first two words, then within `GAP_WORDS` words "invoice", then
likewise "client". Each part is one or more phrases, folded as queries are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from subgraph.routing.data_file import Part
from subgraph.routing.folding import fold
from subgraph.routing.matcher import Occurrence

GAP_WORDS = 4
"""Words that may stand between two parts: "send the signed March invoice to our oldest client"."""

Pattern: TypeAlias = "tuple[tuple[str, ...], ...]"
"""The alternatives of each part, folded."""


@functools.lru_cache(maxsize=4096)
def parse_pattern(text: str) -> Pattern:
    """Read a pattern; a part that has no words is empty."""
    return tuple(
        tuple(phrase for phrase in map(fold, part.split("|")) if phrase) for part in text.split("..")
    )


def check_pattern(part: Part) -> None:
    """Refuse a pattern with an empty part. Raises `RoutingDataInvalid`."""
    if not all(parse_pattern(part.text())):
        part.fault(f"{part.text()!r} has a part without words")


@functools.lru_cache(maxsize=4096)
def literal_pattern(text: str) -> Pattern:
    """Make a pattern of a text, each of its words a part: small words may stand between them."""
    return tuple((word,) for word in fold(text).split())


def weight(pattern: Pattern, found: Mapping[str, Sequence[Occurrence]]) -> int:
    """Return how many words of a query a pattern covers at most, 0 where it does not match.

    `found` are the occurrences of each phrase. It takes one step for each, however often they repeat.
    """
    ends = {start: 0 for phrase in pattern[0] for _, start, _ in found.get(phrase, ())}
    for number, phrases in enumerate(pattern):
        reached: dict[int, int] = {}
        gap = GAP_WORDS if number else 0
        for _, start, end in (occurrence for phrase in phrases for occurrence in found.get(phrase, ())):
            before = [ends[place] for place in range(start - gap, start + 1) if place in ends]
            if before:
                reached[end] = max(reached.get(end, 0), max(before) + end - start)
        ends = reached
    return max(ends.values(), default=0)
