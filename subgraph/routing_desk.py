"""Where queries are brought: the catalogue as it is routed in now, and what is decided about a query."""

from __future__ import annotations

import asyncio
import bisect
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from subgraph.capabilities import Authority, OperatorBank
from subgraph.cascade.supervisor import Supervisor
from subgraph.catalog import Catalog, SkillHeader
from subgraph.errors import InputInvalid, SourceInvalid
from subgraph.lifecycle import Decided, Lifecycle
from subgraph.principal import Principal, Scope
from subgraph.routing import (
    CatalogueSnapshot,
    ChainBroken,
    ChainNode,
    Decision,
    KeywordBank,
    Persona,
    RoutingDataInvalid,
    SkillEntry,
    State,
    builtin_bank,
    builtin_personas,
    load_bank,
    merged,
    plan_chain,
    route,
)
from subgraph.routing.evaluation import Case, Prediction, Report, measure
from subgraph.routing.extractors import EXTRACTORS_VERSION, extract, has_extractor, to_input
from subgraph.single_flight import SingleFlight

_ASKED_AT_ONCE = 8  # queries of an evaluation that a gateway is asked about at the same time

_State: TypeAlias = "tuple[int, frozenset[str], OperatorBank | None]"
"""What a snapshot was taken of: the generation of the catalogue, the skills that are revoked, and the
operator's keyword bank."""

LATENCY_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)
"""Bounds of the histogram of decisions, in seconds, about the 5 ms that 95 % of them are to keep."""


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


@dataclass(slots=True)
class Latencies:
    """How long decisions by rules took in this process. `counts` are by `LATENCY_BOUNDS`, the last beyond."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one decision."""
        self.counts[bisect.bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.seconds += seconds


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
    removed, revoked or reinstated, and after an operator set a keyword bank. A skill that is revoked is in no
    snapshot, and so is never picked. Nothing is invoked here and nothing recorded.
    """

    def __init__(self, catalog: Catalog, authority: Authority, supervisor: Supervisor | None = None) -> None:
        self._catalog = catalog
        self._authority = authority
        self._supervisor = supervisor
        self._taken: _Taken | None = None
        self._taking: SingleFlight[_State, _Taken] = SingleFlight()
        self._versions: tuple[int, int] | None = None
        self.latencies = Latencies()
        self._revoked: frozenset[str] = frozenset()

    async def preview(self, principal: Principal, query: str, persona: str | None = None) -> Decision:
        """Decide about a query (`cuo:route`); see `route` for what is refused.

        `persona` routes within that persona alone. The decision has an ID of its own and names the caller.
        """
        return (await self.decide(principal, query, persona)).decision

    async def decide(self, principal: Principal, query: str, persona: str | None = None) -> Decided:
        """Decide as `preview` does."""
        principal.require(Scope.ROUTE)
        lifecycle = Lifecycle()
        lifecycle.reach(State.RECEIVED)
        snapshot = await self.snapshot()
        lifecycle.reach(State.ROUTING)
        supervisor = self._supervisor
        began = time.perf_counter()
        decision = route(query, snapshot, extract, persona=persona, cascade=supervisor is not None)
        self.latencies.add(time.perf_counter() - began)
        decision = decision.stamped(str(uuid.uuid4()), principal.actor)
        lifecycle.reach(decision.state)
        if supervisor is not None:
            decision = await supervisor.settled(decision, snapshot)
            lifecycle.reach(decision.state)
        return Decided(decision, snapshot, lifecycle)

    async def chain_of(self, header: SkillHeader) -> ChainNode:
        """Plan the runs of a skill. Raises `SourceInvalid` for a chain that cannot be run."""
        snapshot = await self.snapshot()
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

    def personas(self, principal: Principal) -> list[Persona]:
        """List the seats in their order (`skill:read`)."""
        principal.require(Scope.READ)
        return list(builtin_personas().personas.values())

    async def snapshot(self) -> CatalogueSnapshot:
        """Return the catalogue as it is routed in at this moment, for other parts of the service.

        Raises `StorageUnavailable`, and `RoutingDataInvalid` where this version of the service cannot read
        the keyword bank that an operator set: then nothing is routed, rather than by other words than his.
        """
        return (await self._current()).snapshot

    async def evaluate(
        self, principal: Principal, cases: Sequence[Case], *, by_model: bool = False
    ) -> Report:
        """Route labelled queries, and compare what is decided with what is expected (`cuo:route`).

        `by_model` asks the gateway about those that rules leave open. Raises `InputInvalid` without one.
        """
        principal.require(Scope.ROUTE)
        if by_model and self._supervisor is None:
            raise InputInvalid("no model can be asked: set CYBEROS_LLM_URL and CYBEROS_LLM_MODEL")
        snapshot = (await self._current()).snapshot
        decisions = await asyncio.to_thread(_decisions, snapshot, cases, cascade=by_model)
        if by_model and self._supervisor is not None:
            judged = []
            for at in range(0, len(decisions), _ASKED_AT_ONCE):
                together = decisions[at : at + _ASKED_AT_ONCE]
                judged += await asyncio.gather(*(self._supervisor.judged(one, snapshot) for one in together))
            decisions = judged
        return measure(cases, [Prediction.of(decision) for decision in decisions])

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
        return versions[0], self._revoked, self._authority.bank


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
    _, revoked, own = state
    routable = (header for header in headers if header.path not in revoked)
    snapshot = CatalogueSnapshot.of(routable, extractors=EXTRACTORS_VERSION, bank=_bank(own), revoked=revoked)
    _ = snapshot.fingerprint, snapshot.index  # made here, in a thread, and not in the event loop
    return _Taken(state, at, snapshot)


def _bank(own: OperatorBank | None) -> KeywordBank | None:
    if own is None:
        return None  # the built-in one
    try:
        return merged(builtin_bank(), read_bank(own.text, "the operator's keyword bank"))
    except RoutingDataInvalid as error:
        raise RoutingDataInvalid(
            f"nothing is routed until it is set anew or cleared: {error.message}"
        ) from None


def read_bank(text: str, name: str) -> KeywordBank:
    """Read an operator's file of keywords. Raises `RoutingDataInvalid` with the line of the first fault."""
    seats = [code for code, persona in builtin_personas().personas.items() if not persona.is_emerging]
    return load_bank(text, name, seats)


def _entry(skill: SkillEntry, snapshot: CatalogueSnapshot, *, routable: bool) -> Entry:
    bank = snapshot.bank.skills.get(skill.path)
    required = extract(skill.name, "").missing  # an empty query gives nothing
    keywords = () if bank is None else bank.keywords
    return Entry(skill, keywords, has_extractor(skill.name), required, routable)


def _decisions(snapshot: CatalogueSnapshot, cases: Sequence[Case], *, cascade: bool) -> list[Decision]:
    return [route(case.text, snapshot, extract, cascade=cascade) for case in cases]
