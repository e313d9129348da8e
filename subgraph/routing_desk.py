"""Where queries are brought: the catalogue as it is routed in now, and what is decided about a query."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from subgraph.capabilities import Authority
from subgraph.catalog import Catalog, SkillHeader
from subgraph.errors import SourceInvalid
from subgraph.principal import Principal, Scope
from subgraph.routing import (
    CatalogueSnapshot,
    ChainBroken,
    ChainNode,
    Decision,
    SkillEntry,
    plan_chain,
    route,
)
from subgraph.routing.evaluation import Case, Outcome, Report, measure
from subgraph.routing.extractors import EXTRACTORS_VERSION, extract, has_extractor, to_input
from subgraph.single_flight import SingleFlight

_State: TypeAlias = "tuple[int, frozenset[str]]"
"""What a snapshot was taken of: the generation of the catalogue, and the skills that are revoked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A skill as routing sees it. `required` are the arguments that it cannot do without.

    `has_extractor` is False for a skill that gets the query itself, and `routable` for one that is revoked.
    """

    skill: SkillEntry
    keywords: tuple[str, ...]
    has_extractor: bool
    required: tuple[str, ...]
    routable: bool


@dataclass(frozen=True, slots=True)
class Entries:
    """The skills that are routed to, in the order of their paths, and since when these are so."""

    fingerprint: str
    scanned_at: datetime
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Taken:
    state: _State
    at: datetime
    snapshot: CatalogueSnapshot


class RoutingDesk:
    """Decides about queries. Each method names the scope that it needs.

    A snapshot of the catalogue is taken when somebody first asks, and anew after a skill was added, changed,
    removed, revoked or reinstated. A skill that is revoked is in no snapshot, and so is never picked.
    Nothing is invoked here and nothing recorded.
    """

    def __init__(self, catalog: Catalog, authority: Authority) -> None:
        self._catalog = catalog
        self._authority = authority
        self._taken: _Taken | None = None
        self._taking: SingleFlight[_State, _Taken] = SingleFlight()
        self._versions: tuple[int, int] | None = None
        self._revoked: frozenset[str] = frozenset()

    async def preview(self, principal: Principal, query: str, persona: str | None = None) -> Decision:
        """Decide about a query (`cuo:route`); see `route` for what is refused.

        `persona` routes within that persona alone. The decision has an ID of its own and names the caller.
        """
        return (await self.decide(principal, query, persona))[0]

    async def decide(
        self, principal: Principal, query: str, persona: str | None = None
    ) -> tuple[Decision, CatalogueSnapshot]:
        """Decide as `preview` does, and return with it the catalogue that the decision rests on."""
        principal.require(Scope.ROUTE)
        snapshot = (await self._current()).snapshot
        decision = route(query, snapshot, extract, persona=persona)
        return decision.stamped(str(uuid.uuid4()), principal.actor), snapshot

    async def chain_of(self, header: SkillHeader) -> ChainNode:
        """Plan the runs of a skill. Raises `SourceInvalid` for a chain that cannot be run."""
        snapshot = (await self._current()).snapshot
        try:
            return plan_chain(SkillEntry.of(header, snapshot.bank, snapshot.personas), snapshot)
        except ChainBroken as broken:
            raise SourceInvalid(f"{header.path} cannot be run: {broken}") from broken

    async def entries(self, principal: Principal) -> Entries:
        """List the skills that are routed to (`skill:read`)."""
        principal.require(Scope.READ)
        taken = await self._current()
        snapshot = taken.snapshot
        return Entries(
            snapshot.fingerprint,
            taken.at,
            tuple(_entry(skill, snapshot, routable=True) for skill in snapshot.skills),
        )

    async def bank_of(self, principal: Principal, name: str) -> Entry:
        """Say what routing knows of a skill (`skill:read`). Raises `SkillNotFound`, `SkillAmbiguous`."""
        principal.require(Scope.READ)
        header = await self._catalog.current(name)
        snapshot = (await self._current()).snapshot
        skill = SkillEntry.of(header, snapshot.bank, snapshot.personas)
        return _entry(skill, snapshot, routable=self._authority.revocation_of(header.path) is None)

    async def evaluate(self, principal: Principal, cases: Sequence[Case]) -> Report:
        """Route labelled queries, and compare what is decided with what is expected (`cuo:route`)."""
        principal.require(Scope.ROUTE)
        snapshot = (await self._current()).snapshot
        return await asyncio.to_thread(_evaluate, snapshot, cases)

    async def _current(self) -> _Taken:
        """Return the snapshot of what is known at this moment. Raises `StorageUnavailable`."""
        self._authority.ensure_current()
        while (taken := self._taken) is None or taken.state != self._state():
            state, headers = self._state(), self._catalog.headers()
            self._taken = await self._taking.run(state, lambda: asyncio.to_thread(_take, state, headers))  # noqa: B023
        return taken

    def _state(self) -> _State:
        # Most decisions of people are no revocations, and leave the snapshot as it is.
        versions = self._catalog.generation, self._authority.version
        if versions != self._versions:
            headers = self._catalog.headers()
            self._revoked = frozenset(
                header.path for header in headers if self._authority.revocation_of(header.path) is not None
            )
            self._versions = versions
        return versions[0], self._revoked


def skill_input(decision: Decision) -> dict[str, object] | None:
    """Give the arguments of a decision as the skill takes them, None where no skill is picked.

    It has holes where the decision names what is missing. The decision itself keeps the arguments as they
    are documented: what they mean to a skill may change, and what was decided may not.
    """
    if decision.skill_name is None:
        return None
    return to_input(decision.skill_name, decision.arguments)


def _take(state: _State, headers: Sequence[SkillHeader]) -> _Taken:
    at = datetime.now(UTC)
    revoked = state[1]
    routable = (header for header in headers if header.path not in revoked)
    snapshot = CatalogueSnapshot.of(routable, extractors=EXTRACTORS_VERSION)
    _ = snapshot.fingerprint, snapshot.index  # made here, in a thread, and not in the event loop
    return _Taken(state, at, snapshot)


def _entry(skill: SkillEntry, snapshot: CatalogueSnapshot, *, routable: bool) -> Entry:
    bank = snapshot.bank.skills.get(skill.path)
    required = extract(skill.name, "").missing  # an empty query gives nothing
    keywords = () if bank is None else bank.keywords
    return Entry(skill, keywords, has_extractor(skill.name), required, routable)


def _evaluate(snapshot: CatalogueSnapshot, cases: Sequence[Case]) -> Report:
    decisions = [route(case.text, snapshot, extract) for case in cases]
    return measure(cases, [_outcome(decision) for decision in decisions])


def _outcome(decision: Decision) -> Outcome:
    return Outcome(
        skill=decision.skill_name,
        confidence=decision.confidence,
        arguments=decision.arguments,
        persona=decision.persona,
        deferred=None if decision.deferral is None else decision.deferral.seat,
        activated=decision.may_invoke,
    )
