"""From a query to a run: decided, recorded, invoked through the broker as any call is, and recorded again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from subgraph.audit import EntryRefused, ErrorNote
from subgraph.catalog import Catalog
from subgraph.chain_run import ChainRun, SkillRunner, StepRun, run_chain
from subgraph.decision_log import DecisionLog
from subgraph.errors import ExecutionFailed, Overloaded, StorageUnavailable, SubgraphError
from subgraph.execution.invocation import Invocation
from subgraph.lifecycle import Lifecycle, Moment
from subgraph.principal import Principal, Scope
from subgraph.recorded_decision import RecordedDecision
from subgraph.routing import ChainNode, Decision, State, plan_chain
from subgraph.routing.extractors import to_input
from subgraph.routing_desk import RoutingDesk, skill_input


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A decision, its record where it has one, and its runs where there were any.

    `moments` are the states that it went through, and `state` the last one before it was recorded.
    """

    decision: Decision
    state: State
    moments: tuple[Moment, ...]
    recorded: RecordedDecision | None
    run: ChainRun | None

    @property
    def invocation(self) -> Invocation | None:
        """The run of the skill that was picked."""
        return None if self.run is None else self.run.invocation

    @property
    def steps(self) -> tuple[StepRun, ...]:
        """The runs of a chain; empty for a skill that runs alone."""
        return () if self.run is None else self.run.chained

    @property
    def error(self) -> ErrorNote | None:
        """Why it failed."""
        return None if self.run is None else self.run.error

    @property
    def invoked_at(self) -> datetime | None:
        """When the skill started."""
        return None if self.invocation is None else self.invocation.started_at


class Dispatcher:
    """Acts on decisions. Each method names the scopes that it needs."""

    def __init__(self, catalog: Catalog, desk: RoutingDesk, log: DecisionLog, runner: SkillRunner) -> None:
        self._catalog = catalog
        self._desk = desk
        self._log = log
        self._runner = runner

    async def route(
        self,
        principal: Principal,
        query: str,
        persona: str | None = None,
        *,
        invoke: bool = True,
        record: bool = True,
    ) -> Dispatched:
        """Decide about a query (`cuo:route`), and invoke what may be (`skill:invoke`).

        1. A decision that is to be recorded is in the log before anything runs.
        2. One that leaves something to ask, or that a person has to make, is returned as it is.
        3. Any other is invoked after the skills that it has run before it, each as every call is: by the same
           broker, under the same grants. Nothing is begun before all that they need is granted.
        4. How that ended is recorded, also where it was refused; then the refusal is raised, with the ID of
           the request, by which the record is found.
        """
        principal.require(Scope.ROUTE)
        if invoke:
            principal.require(Scope.INVOKE)
        decided = await self._desk.decide(principal, query, persona)
        decision, snapshot, lifecycle = decided
        given = skill_input(decision) if invoke and decision.may_invoke else None
        state = decision.state if given is None else State.INVOKING
        lifecycle.reach(state)
        recorded = await self._log.record(decided, state) if record else None  # 1
        if given is None or decision.skill_name is None:
            return Dispatched(decision, state, tuple(lifecycle.moments), recorded, None)  # 2
        chain = plan_chain(snapshot.by_path[decision.skill_name], snapshot)
        try:
            run, ended = await self._run(principal, chain, given, decision.stamp[0], recorded)  # 3, 4
        except SubgraphError as refusal:
            if recorded is not None:
                refusal.request_id = decision.request_id
            raise
        moments = (*lifecycle.moments, *ended.moments)
        return Dispatched(decision, ended.moments[0].state, moments, recorded, run)

    async def dispatch(self, principal: Principal, name: str, arguments: Mapping[str, object]) -> Invocation:
        """Run a skill as `dispatch_chain` does, and return its own run.

        Raises `ExecutionFailed` where a step of the chain stopped it.
        """
        run = await self.dispatch_chain(principal, name, arguments)
        if run.invocation is None:
            raise ExecutionFailed(None if run.error is None else run.error.message)
        return run.invocation

    async def dispatch_chain(
        self, principal: Principal, name: str, arguments: Mapping[str, object]
    ) -> ChainRun:
        """Run a skill, after its chain, with arguments as decisions name them (`skill:invoke`).

        Raises what kept a run from beginning, and `SourceInvalid` for a chain that cannot be run.
        """
        principal.require(Scope.INVOKE)
        header = await self._catalog.current(name)
        chain = await self._desk.chain_of(header)
        given = to_input(header.path, arguments)
        run, _ = await self._run(principal, chain, given, str(uuid.uuid4()), None)
        return run

    async def _run(
        self,
        principal: Principal,
        chain: ChainNode,
        given: Mapping[str, object],
        request_id: str,
        recorded: RecordedDecision | None,
    ) -> tuple[ChainRun, Lifecycle]:
        """Run a chain, and record how it ended; raises what kept a run of it from beginning."""
        run = await run_chain(self._runner, principal, chain, given)
        ended = Lifecycle.of(State.SUCCEEDED if run.error is None else State.FAILED)
        try:
            if run.chained:
                await self._log.finish_chain(principal.actor, request_id, run)
            if recorded is not None:
                ended = await self._log.finish(recorded, run.invocation, run.error)
        except (StorageUnavailable, Overloaded, EntryRefused) as failure:
            run.raise_refusal()  # it says more; the decision stays `invoking`
            raise StorageUnavailable(
                "the skill ran and its run is recorded, but that it was of this decision is not, so its "
                "answer is withheld; make sure that running it twice is harmless, and try again"
            ) from failure
        run.raise_refusal()
        return run, ended
