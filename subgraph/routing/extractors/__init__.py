"""What a query says that a skill needs: pure functions, without a clock, a model or a file.

`extract` names what it found as the skill's own input does, with one exception: for vn-vat-invoice the
documented names are `mst` and `amount_vnd`, and `to_input` turns those into a buyer and a line. What can be
read in two ways is reported, never chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from subgraph.routing.extractors.banks import TABLE_DIGEST
from subgraph.routing.extractors.language import is_vietnamese
from subgraph.routing.extractors.questions import question_for
from subgraph.routing.extractors.skills import EXTRACTORS, invoice_input
from subgraph.routing.extractors.text import text_of

__all__ = ["EXTRACTORS_VERSION", "Extraction", "extract", "has_extractor", "to_input"]

EXTRACTORS_VERSION = f"1+banks.{TABLE_DIGEST[:12]}"
"""Changes whenever the same query can give other arguments: with the banks by itself, with code by hand."""

_ALTERNATIVES = {"account": "card"}


class Extraction(NamedTuple):
    """What a query gives a skill.

    `missing` are required fields that were not found, `ambiguous` ones have more than one reading; `question`
    asks for both, in the language of the query. A field is in at most one of the three.
    """

    arguments: Mapping[str, object]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    question: str | None


def has_extractor(skill_name: str) -> bool:
    """Tell whether a skill, given by short name or path, takes more than the query itself."""
    return _short(skill_name) in EXTRACTORS


def extract(skill_name: str, query: str) -> Extraction:
    """Read the arguments of a skill, given by short name or path, out of a query.

    A skill without an extractor is a text that an agent follows; it gets the request beside it, as `query`.
    Of a query longer than `QUERY_LIMIT` code points the rest is not looked at.
    """
    text = text_of(query)
    extractor = EXTRACTORS.get(_short(skill_name))
    if extractor is None:
        return Extraction(MappingProxyType({"query": text.original.strip()}), (), (), None)
    found = extractor(text)
    ambiguous = tuple(dict.fromkeys(found.ambiguous))
    missing = tuple(
        name
        for name in found.needed
        if name not in found.arguments
        and name not in ambiguous
        and _ALTERNATIVES.get(name) not in {*found.arguments, *ambiguous}
    )
    question = question_for(missing, ambiguous, vietnamese=is_vietnamese(text))
    return Extraction(MappingProxyType(found.arguments), missing, ambiguous, question)


def to_input(skill_name: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """Turn arguments into the input that the skill takes; only vn-vat-invoice takes another than they are."""
    return invoice_input(arguments) if _short(skill_name) == "vn-vat-invoice" else dict(arguments)


def _short(skill_name: str) -> str:
    return skill_name.rpartition("/")[2]
