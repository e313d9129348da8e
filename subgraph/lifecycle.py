"""The states that a query goes through, each with the time at which it was reached.

They are of the log and no part of a decision, which has the same bytes whenever it is made:

    received → routing → picked, or deferred, or escalated and then one of both
    picked → invoking → succeeded or failed
    any end → recorded
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from subgraph.audit import StateNote
from subgraph.routing import CatalogueSnapshot, Decision, State


class Moment(NamedTuple):
    """A state, and when it was reached."""

    state: State
    at: datetime


@dataclass(slots=True)
class Lifecycle:
    """The states so far, in their order."""

    moments: list[Moment] = field(default_factory=list)

    @classmethod
    def of(cls, *states: State) -> Self:
        """Reach states one right after the other."""
        lifecycle = cls()
        for state in states:
            lifecycle.reach(state)
        return lifecycle

    def reach(self, state: State) -> None:
        """Note that a state is reached now; one that lasts is noted once."""
        if not self.moments or self.moments[-1].state is not state:
            self.moments.append(Moment(state, datetime.now(UTC)))

    @property
    def notes(self) -> list[StateNote]:
        """Say what the log keeps of them."""
        return [StateNote(each.state.value, each.at) for each in self.moments]


class Decided(NamedTuple):
    """A decision, the catalogue that it rests on, and the states that it went through."""

    decision: Decision
    snapshot: CatalogueSnapshot
    lifecycle: Lifecycle


def moments_of(body: Mapping[str, Any] | None) -> list[Moment]:
    """Read the states that an entry of the log tells of; none of an entry that is not there."""
    if body is None:
        return []
    return [Moment(State(each["state"]), datetime.fromisoformat(each["at"])) for each in body["lifecycle"]]
