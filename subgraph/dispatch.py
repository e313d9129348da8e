"""From a query to a run: decided, recorded, invoked through the broker as any call is, and recorded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from subgraph.audit import ErrorNote
from subgraph.catalog import Catalog, exact_name
from subgraph.decision_log import DecisionLog, RecordedDecision
from subgraph.errors import Overloaded, StorageUnavailable, SubgraphError
from subgraph.execution.invocation import Invocation
from subgraph.principal import Principal, Scope
from subgraph.routing import Decision, State
from subgraph.routing.extractors import to_input
from subgraph.routing_desk import RoutingDesk, skill_input


class Invoke(Protocol):
    """Runs a skill, and refuses what the broker refuses: `Service.invoke`."""

    async def __call__(self, principal: Principal, name: str, value: object) -> Invocation:
        """Run it."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A decision, its record where it has one, and the run where there was one."""

    decision: Decision
    state: State
    recorded: RecordedDecision | None
    invocation: Invocation | None

    @property
    def invoked_at(self) -> datetime | None:
        """When the skill started."""
        return None if self.invocation is None else self.invocation.started_at


class Dispatcher:
    """Acts on decisions. Each method names the scopes that it needs."""

    def __init__(self, catalog: Catalog, desk: RoutingDesk, log: DecisionLog, invoke: Invoke) -> None:
        self._catalog = catalog
        self._desk = desk
        self._log = log
        self._invoke = invoke

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
        3. Any other is invoked as every call is: by the same broker, under the same grants.
        4. How that ended is recorded, also where it was refused; then the refusal is raised.
        """
        principal.require(Scope.ROUTE)
        if invoke:
            principal.require(Scope.INVOKE)
        decision, snapshot = await self._desk.decide(principal, query, persona)
        given = skill_input(decision) if invoke and decision.may_invoke else None
        state = decision.state if given is None else State.INVOKING
        recorded = await self._log.record(decision, snapshot, state) if record else None  # 1
        if given is None or decision.skill_name is None:
            return Dispatched(decision, state, recorded, None)  # 2
        try:
            invocation = await self._invoke(principal, exact_name(decision.skill_name), given)  # 3
        except SubgraphError as error:
            if recorded is not None:
                await self._finish(recorded, None, ErrorNote(code=error.code, message=error.message))  # 4
            raise
        state = State.SUCCEEDED if invocation.error is None else State.FAILED
        if recorded is not None:
            await self._finish(recorded, invocation, invocation.error)  # 4
        return Dispatched(decision, state, recorded, invocation)

    async def dispatch(self, principal: Principal, name: str, arguments: Mapping[str, object]) -> Invocation:
        """Run a skill with arguments as decisions name them (`skill:invoke`)."""
        principal.require(Scope.INVOKE)
        header = await self._catalog.current(name)
        return await self._invoke(principal, exact_name(header.path), to_input(header.path, arguments))

    async def _finish(
        self, recorded: RecordedDecision, invocation: Invocation | None, error: ErrorNote | None
    ) -> None:
        invocation_id = None if invocation is None else invocation.invocation_id
        try:
            await self._log.finish(recorded, invocation_id, error)
        except (StorageUnavailable, Overloaded) as failure:
            if invocation is None:
                return  # what is raised then says more; the decision stays `invoking`
            raise StorageUnavailable(
                "the skill ran and its run is recorded, but that it was of this decision is not, so its "
                "answer is withheld; make sure that running it twice is harmless, and try again"
            ) from failure
