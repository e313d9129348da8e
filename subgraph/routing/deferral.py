"""What goes to a person whatever its score: actions that a query speaks of, and skills that could act so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from subgraph.capabilities.vocabulary import IRREVERSIBLE, declared_capabilities
from subgraph.routing.catalogue import CatalogueSnapshot
from subgraph.routing.index import Reading
from subgraph.routing.personas import Action, Cause
from subgraph.routing.skill_entry import SkillEntry


@dataclass(frozen=True, slots=True)
class Deferral:
    """An action that only a person does. `seat` is whose decision it is, `held` how that seat is filled.

    `action` is that of a list, or a capability and the skill that declares it.
    """

    action: str
    seat: str
    held: str
    cause: Cause

    @property
    def rationale(self) -> str:
        """Say why no skill is picked."""
        why = {
            Cause.DEFERS: f"is on the list of what {self.seat} defers to a human",
            Cause.IRREVERSIBLE: f"cannot be undone, so {self.seat} decides",
            Cause.MANIPULATION: f"speaks to the router and not of work, so {self.seat} looks at it",
        }[self.cause]
        return f'"{self.action}" {why}'


def deferral(reading: Reading, snapshot: CatalogueSnapshot) -> Deferral | None:
    """Find the action of a query that only a person does; None where there is none.

    Of several: the one that most words of the query speak of ("terminate executive" before "terminate"), else
    the first of the book. Words that would turn the router against its rules come last: where they stand
    beside an action, its seat decides.
    """
    weights: dict[Action, int] = {}
    for action, words in snapshot.index.actions(reading):
        weights[action] = max(words, weights.get(action, 0))
    if not weights:
        return None
    order = {action: number for number, action in enumerate(snapshot.personas.actions())}
    chosen = min(weights, key=lambda one: (one.cause is Cause.MANIPULATION, -weights[one], order[one]))
    return Deferral(chosen.text, chosen.seat, snapshot.personas.personas[chosen.seat].held, chosen.cause)


def irreversible_effect(skills: Iterable[SkillEntry], snapshot: CatalogueSnapshot) -> Deferral | None:
    """Find the first of some skills that could do what cannot be undone; None where there is none.

    What a skill declares counts, granted or not: it can be granted no more, and a snapshot knows no less. The
    seat is that of the skill's persona, the first of the book (the CEO) where it has none.
    """
    for skill in skills:
        for capability in declared_capabilities(skill.allowed_tools):
            if capability.name in IRREVERSIBLE:
                seat = skill.persona or next(iter(snapshot.personas.personas))
                held = snapshot.personas.personas[seat].held
                return Deferral(f"{capability.name} by {skill.path}", seat, held, Cause.IRREVERSIBLE)
    return None
