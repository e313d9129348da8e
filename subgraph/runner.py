"""Runs skills for whoever asks: what a call may say, and what is made ready before one comes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from subgraph.capabilities import Authority, Broker
from subgraph.catalog import Catalog, SkillHeader, exact_name
from subgraph.catalog.activation_events import ON_SKILL
from subgraph.errors import ExecutionFailed, InputInvalid, SourceInvalid
from subgraph.execution.invocation import Executor, Invocation, InvocationRequest, encode_input
from subgraph.execution.invoker import Invoker
from subgraph.principal import Principal, Scope
from subgraph.readiness import Readiness
from subgraph.routing import SkillEntry

_REQUESTED_LIMIT = 64  # capabilities in one request; the vocabulary has eight names
_TIMEOUT_LEAST_MS, _TIMEOUT_MOST_MS = 10, 600_000  # as of CYBEROS_TIME_LIMIT_MS


class Runner:
    """Runs skills. A method that takes a principal needs `skill:invoke`, and raises `Forbidden` without it.

    `readiness` is None in a process that runs no skills.
    """

    def __init__(
        self,
        catalog: Catalog,
        authority: Authority,
        broker: Broker,
        invoker: Invoker,
        readiness: Readiness | None,
        *,
        input_limit_bytes: int,
    ) -> None:
        self._catalog = catalog
        self._authority = authority
        self._broker = broker
        self._invoker = invoker
        self._readiness = readiness
        self._input_limit_bytes = input_limit_bytes

    async def invoke(
        self,
        principal: Principal,
        name: str,
        value: object,
        capabilities: Sequence[str] | None = None,
        *,
        executor: Executor | None = None,
        timeout_ms: int | None = None,
    ) -> Invocation:
        """Run a skill; see `Invoker.invoke` and `encode_input` for what is refused.

        `capabilities` None lets it use all that were granted. `timeout_ms` can only shorten its time. Raises
        `ExecutionFailed` in a process that runs no skills.
        """
        principal.require(Scope.INVOKE)
        readiness = self._running()
        if capabilities is not None and len(capabilities) > _REQUESTED_LIMIT:
            raise InputInvalid(f"more than {_REQUESTED_LIMIT} capabilities in one request")
        if timeout_ms is not None and not _TIMEOUT_LEAST_MS <= timeout_ms <= _TIMEOUT_MOST_MS:
            raise InputInvalid(f"a timeout is within {_TIMEOUT_LEAST_MS} and {_TIMEOUT_MOST_MS} ms")
        request = self._request(principal, name, value, capabilities, executor, timeout_ms)
        invocation = await self._invoker.invoke(request)
        readiness.notice(f"{ON_SKILL}{invocation.skill_path}")
        return invocation

    async def is_trusted(self, name: str) -> bool:
        """Tell whether the operator chose a skill, or trusts the bytes that it has, and has not revoked it.

        Raises as `Catalog.activate`.
        """
        skill = await self._catalog.activate(name)
        return self._broker.tier(skill).trusted and self._authority.revocation_of(skill.header.path) is None

    async def check_needs(
        self, principal: Principal, planned: SkillEntry, value: object, needed: Collection[str] | None
    ) -> None:
        """Refuse a skill that `invoke` would refuse, or that has nothing granted of what it needs.

        `needed` are names of capabilities, None for all that it declares. Refusals are recorded, and an
        operator is asked for what is lacking. Raises `SourceInvalid` where the skill no longer declares what
        its run was planned by.
        """
        principal.require(Scope.INVOKE)
        name = exact_name(planned.path)
        if not planned.declares_as((await self._catalog.activate(name)).header):
            raise SourceInvalid(f"{planned.path} changed since it was picked; ask again")
        await self._invoker.check(self._request(principal, name, value), needed)

    async def make_ready(self, principal: Principal, event: str) -> list[SkillHeader]:
        """Make the skills ready that wait for an event, such as `onCommand:pay`.

        See `Readiness.activate` for what that means, and is refused.
        """
        principal.require(Scope.INVOKE)
        return await self._running().activate(event)

    def _request(
        self,
        principal: Principal,
        name: str,
        value: object,
        capabilities: Sequence[str] | None = None,
        executor: Executor | None = None,
        timeout_ms: int | None = None,
    ) -> InvocationRequest:
        return InvocationRequest(
            skill=name,
            input=encode_input(value, self._input_limit_bytes),
            actor=principal.actor,
            capabilities=None if capabilities is None else tuple(capabilities),
            executor=executor,
            timeout_ms=timeout_ms,
        )

    def _running(self) -> Readiness:
        if self._readiness is None:
            raise ExecutionFailed("this process runs no skills")
        return self._readiness
