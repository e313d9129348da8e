"""The composition root: every part, put together once. Surfaces call it and hold no rule themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from subgraph.audit import (
    Ledger,
    RecordedInvocation,
    SubjectKeys,
    Totals,
    count_invocations,
    find_invocations,
    read_totals,
)
from subgraph.audit.checkpoint_stores import BucketStore, CheckpointStore, DirectoryStore
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.interruptions import Interruptions
from subgraph.audit.log_tree import LogTree
from subgraph.audit.upkeep import Upkeep
from subgraph.audit_trail import AuditTrail
from subgraph.capabilities import Authority, Broker
from subgraph.cascade.gateway import GatewaySettings
from subgraph.cascade.supervisor import Supervisor
from subgraph.catalog import (
    ActivatedSkill,
    Catalog,
    InstallSource,
    Problem,
    SkillHeader,
    SkillRoot,
    exact_name,
)
from subgraph.catalog.activation_events import ON_SKILL, ON_STARTUP
from subgraph.catalog.prompt import available_skills, skill_prompt
from subgraph.decision_log import DecisionLog
from subgraph.dispatch import Dispatcher
from subgraph.errors import ExecutionFailed, InputInvalid, SourceInvalid, StorageUnavailable
from subgraph.execution.invocation import Executor, Invocation, InvocationRequest, encode_input
from subgraph.execution.longest_run import LONGEST_RUN
from subgraph.execution.runtime import SkillRuntime
from subgraph.history import History
from subgraph.keyword_banks import KeywordBanks
from subgraph.oversight import Oversight
from subgraph.principal import Principal, Scope
from subgraph.readiness import Readiness
from subgraph.routing import SkillEntry
from subgraph.routing_desk import Latencies, RoutingDesk
from subgraph.settings import Settings
from subgraph.storage import Database

_PING_SECONDS = 2.0
_WRAPPING_KEY = "wrapping.key"
_REQUESTED_LIMIT = 64  # capabilities in one request; the vocabulary has eight names
_TIMEOUT_LEAST_MS, _TIMEOUT_MOST_MS = 10, 600_000  # as of CYBEROS_TIME_LIMIT_MS


@dataclass(frozen=True, slots=True)
class Measures:
    """What an operator watches: `totals` of the log, None while the database cannot be reached, and this
    process. Workers are processes for components, and how many of them serve no call.
    """

    totals: Totals | None
    queued_entries: int
    queue_limit: int
    workers: int
    idle_workers: int
    checkpoint_age_seconds: float
    routing: Latencies


class Service:
    """The whole service. `async with Service(settings) as service:` starts and stops every part.

    A method that takes a principal names the scope that it needs, and raises `Forbidden` without it.
    Whatever needs the database raises `StorageUnavailable` when it cannot be reached. Decisions of people
    are made through `oversight`, the log is read through `history` and proved through `audit_trail`, and
    which skill a query is for is asked at the `routing_desk`, acted on by the `dispatcher` and kept in the
    `decision_log`; `keyword_banks` has the words that an operator adds.
    `runs_skills` False starts no processes, for whoever only reads or decides; `invoke` then raises
    `ExecutionFailed`. `loads_clients` False leaves the clients of a gateway, which take seconds, to the
    first query that needs them, for a process that may never have one.
    """

    def __init__(self, settings: Settings, *, runs_skills: bool = True, loads_clients: bool = True) -> None:
        self.settings = settings
        self._runs_skills = runs_skills
        self._database = Database(settings)
        self._ledger = Ledger(self._database)
        self._upkeep = Upkeep(self._database)
        self._interruptions = Interruptions(self._database, self._ledger, LONGEST_RUN)
        self._subjects = SubjectKeys(
            self._database, settings.audit_keys / _WRAPPING_KEY, settings.audit_payloads
        )
        self._tree = LogTree(self._database)
        self._checkpoints = Checkpoints(
            self._tree,
            _stores(settings),
            settings.audit_keys,
            settings.audit_origin,
            on_damage=self._ledger.distrust,
        )
        self.audit_trail = AuditTrail(self._database, self._tree, self._checkpoints, self._subjects)
        self._authority = Authority(self._database)
        self._broker = Broker(self._authority)
        self._catalog = Catalog(_roots(settings), settings.catalog_index)
        self._runtime = SkillRuntime(
            settings,
            database=self._database,
            catalog=self._catalog,
            authority=self._authority,
            broker=self._broker,
            ledger=self._ledger,
            subjects=self._subjects,
        )
        self._invoker = self._runtime.invoker
        self.oversight = Oversight(self._catalog, self._authority, self._broker, self._runtime.policies)
        self.history = History(self._catalog, self._database)
        gateway = GatewaySettings.of(settings)
        self._supervisor = (
            None
            if gateway is None
            else Supervisor(self._database, self._subjects, gateway, at_once=loads_clients)
        )
        self.routing_desk = RoutingDesk(self._catalog, self._authority, self._supervisor)
        self.keyword_banks = KeywordBanks(self._catalog, self._authority, self.routing_desk)
        self.decision_log = DecisionLog(self._database, self._ledger, self._subjects)
        self.dispatcher = Dispatcher(self._catalog, self.routing_desk, self.decision_log, self)
        self._readiness = Readiness(self._catalog, self._invoker)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Processes start in the background, while the database starts.
            if self._runs_skills:
                await stack.enter_async_context(self._runtime.processes())
            await stack.enter_async_context(self._database)
            await stack.enter_async_context(self._upkeep)
            await stack.enter_async_context(self._subjects)
            # After the ledger has written its last, the last checkpoint is signed.
            await stack.enter_async_context(self._checkpoints)
            await stack.enter_async_context(self._ledger)
            if self._runs_skills:
                await stack.enter_async_context(self._interruptions)
            await stack.enter_async_context(self._authority)
            await stack.enter_async_context(self._catalog)
            await stack.enter_async_context(self._runtime)
            if self._supervisor is not None:
                await stack.enter_async_context(self._supervisor)
            if self._runs_skills:
                await self._runtime.pool.started()
                await stack.enter_async_context(self._readiness)
                self._readiness.notice(ON_STARTUP)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def skills(
        self, principal: Principal, *, region: str | None = None, has_wasm: bool | None = None
    ) -> list[SkillHeader]:
        """List skills in the order of their paths (`skill:read`)."""
        principal.require(Scope.READ)
        return [
            header
            for header in await self._catalog.current_headers()
            if (region is None or header.region == region)
            and (has_wasm is None or header.has_component == has_wasm)
        ]

    async def skill(self, principal: Principal, name: str) -> SkillHeader:
        """Find a skill by path or short name (`skill:read`). Raises `SkillNotFound`, `SkillAmbiguous`."""
        principal.require(Scope.READ)
        return await self._catalog.current(name)

    async def problems(self, principal: Principal, path: str | None = None) -> list[Problem]:
        """List what is wrong with skills that were found or left out, or with one (`skill:read`)."""
        principal.require(Scope.READ)
        return self._catalog.problems() if path is None else self._catalog.problems_of(path)

    async def activated(self, principal: Principal, name: str) -> ActivatedSkill:
        """Read a skill's files (`skill:read`). Raises `SourceInvalid` when they are no longer a skill."""
        principal.require(Scope.READ)
        return await self._catalog.activate(name)

    async def executors_of(self, principal: Principal, name: str) -> list[Executor]:
        """Say by what a skill can be run under its trust, the preferred one first (`skill:read`)."""
        self._authority.ensure_current()
        return self._invoker.executors_of(await self.activated(principal, name))

    async def available_skills(self, principal: Principal) -> str:
        """List the skills that may run as an agent's prompt does, `<available_skills>` (`skill:read`)."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        headers = await self._catalog.current_headers()
        return available_skills(each for each in headers if self._authority.revocation_of(each.path) is None)

    async def skill_prompt(self, principal: Principal, name: str) -> str:
        """Return a skill's instructions as a section of an agent's prompt (`skill:read`).

        Raises `SkillRevoked`: nobody is to follow the instructions of a skill that may not run.
        """
        principal.require(Scope.READ)
        self._authority.ensure_current()
        skill = await self._catalog.activate(name)
        self._broker.check_not_revoked(skill.header.path)
        return skill_prompt(skill)

    async def activate_for(self, principal: Principal, event: str) -> list[SkillHeader]:
        """Make the skills ready that wait for an event, such as `onCommand:pay` (`skill:invoke`).

        See `Readiness.activate` for what that means, and is refused.
        """
        principal.require(Scope.INVOKE)
        self._check_runs_skills()
        return await self._readiness.activate(event)

    async def count_invocations(self, principal: Principal, paths: Sequence[str]) -> dict[str, int]:
        """Count the invocations of skills in the last 24 hours, in one query (`skill:read`)."""
        principal.require(Scope.READ)
        return await count_invocations(self._database, paths, datetime.now(UTC) - timedelta(hours=24))

    async def invocations(
        self, principal: Principal, invocation_ids: Sequence[UUID]
    ) -> dict[UUID, RecordedInvocation]:
        """Find what the ledger keeps of invocations, in one query (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await find_invocations(self._database, invocation_ids)

    async def measures(self, principal: Principal) -> Measures:
        """Count what happened since the log began, and how busy this process is (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        try:
            totals = await read_totals(self._database)
        except StorageUnavailable:
            totals = None
        return Measures(
            totals=totals,
            queued_entries=self._ledger.queued,
            queue_limit=self._ledger.queue_limit,
            workers=self._runtime.pool.ready,
            idle_workers=len(self._runtime.pool.idle_workers()),
            checkpoint_age_seconds=self.audit_trail.checkpoint_age_seconds,
            routing=self.routing_desk.latencies,
        )

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
        """Run a skill (`skill:invoke`); see `Invoker.invoke` and `encode_input` for what is refused.

        `capabilities` None lets it use all that were granted. `timeout_ms` can only shorten its time.
        """
        principal.require(Scope.INVOKE)
        self._check_runs_skills()
        if capabilities is not None and len(capabilities) > _REQUESTED_LIMIT:
            raise InputInvalid(f"more than {_REQUESTED_LIMIT} capabilities in one request")
        if timeout_ms is not None and not _TIMEOUT_LEAST_MS <= timeout_ms <= _TIMEOUT_MOST_MS:
            raise InputInvalid(f"a timeout is within {_TIMEOUT_LEAST_MS} and {_TIMEOUT_MOST_MS} ms")
        request = self._request(principal, name, value, capabilities, executor, timeout_ms)
        invocation = await self._invoker.invoke(request)
        self._readiness.notice(f"{ON_SKILL}{invocation.skill_path}")
        return invocation

    async def is_trusted(self, name: str) -> bool:
        """Tell whether the operator chose a skill, or trusts the bytes that it has, and has not revoked it.

        Raises as `activate`.
        """
        skill = await self._catalog.activate(name)
        return self._broker.tier(skill).trusted and self._authority.revocation_of(skill.header.path) is None

    async def check_needs(
        self, principal: Principal, planned: SkillEntry, value: object, needed: Collection[str] | None
    ) -> None:
        """Refuse a skill that `invoke` would refuse, or that has nothing granted of what it needs.

        Needs `skill:invoke`. `needed` are names of capabilities, None for all that it declares. Refusals are
        recorded, and an operator is asked for what is lacking. Raises `SourceInvalid` where the skill no
        longer declares what its run was planned by.
        """
        principal.require(Scope.INVOKE)
        name = exact_name(planned.path)
        if not planned.declares_as((await self._catalog.activate(name)).header):
            raise SourceInvalid(f"{planned.path} changed since it was picked; ask again")
        await self._invoker.check(self._request(principal, name, value), needed)

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
            input=encode_input(value, self.settings.input_limit_bytes),
            actor=principal.actor,
            capabilities=None if capabilities is None else tuple(capabilities),
            executor=executor,
            timeout_ms=timeout_ms,
        )

    async def check_ready(self) -> None:
        """Return when a call would be served now; raises what it would be refused with."""
        await self._database.ping(_PING_SECONDS)
        self._ledger.ensure_writable()
        self._authority.ensure_current()
        self._runtime.check_ready()

    def _check_runs_skills(self) -> None:
        if not self._runs_skills:
            raise ExecutionFailed("this process runs no skills")


def _stores(settings: Settings) -> list[CheckpointStore]:
    stores: list[CheckpointStore] = [DirectoryStore(settings.checkpoints)]
    if settings.checkpoint_bucket is not None:
        stores.append(BucketStore(settings.checkpoint_bucket, settings.checkpoint_endpoint))
    return stores


def _roots(settings: Settings) -> list[SkillRoot]:
    return [
        SkillRoot(settings.builtin_skills_dir, InstallSource.BUILTIN, trusted=True),
        *(SkillRoot(root, InstallSource.LOCAL, trusted=True) for root in settings.skill_roots),
        SkillRoot(settings.installed_skills_dir, InstallSource.LOCAL, trusted=False),
    ]
