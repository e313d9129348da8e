"""The composition root: every part, put together once. Surfaces call it and hold no rule themselves."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from subgraph.audit import Ledger, SubjectKeys, Totals, read_totals
from subgraph.audit.checkpoint_stores import BucketStore, CheckpointStore, DirectoryStore
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.interruptions import Interruptions
from subgraph.audit.log_tree import LogTree
from subgraph.audit.upkeep import Upkeep
from subgraph.audit_trail import AuditTrail
from subgraph.capabilities import Authority, Broker
from subgraph.cascade.gateway import GatewaySettings
from subgraph.cascade.supervisor import Supervisor
from subgraph.catalog import Catalog, InstallSource, SkillRoot
from subgraph.catalog.activation_events import ON_STARTUP
from subgraph.decision_log import DecisionLog
from subgraph.dispatch import Dispatcher
from subgraph.errors import StorageUnavailable
from subgraph.execution.longest_run import LONGEST_RUN
from subgraph.execution.runtime import SkillRuntime
from subgraph.history import History
from subgraph.keyword_banks import KeywordBanks
from subgraph.oversight import Oversight
from subgraph.principal import Principal, Scope
from subgraph.readiness import Readiness
from subgraph.routing_desk import Latencies, RoutingDesk
from subgraph.runner import Runner
from subgraph.settings import Settings
from subgraph.skills import Skills
from subgraph.storage import Database

_PING_SECONDS = 2.0
_WRAPPING_KEY = "wrapping.key"


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

    What surfaces ask for is asked of its parts. `skills` tells what there is, and `runner` runs it.
    Decisions of people are made through `oversight`, the log is read through `history` and proved through
    `audit_trail`, and which skill a query is for is asked at the `routing_desk`, acted on by the
    `dispatcher` and kept in the `decision_log`; `keyword_banks` has the words that an operator adds. A
    method that takes a principal names the scope that it needs, and raises `Forbidden` without it. Whatever
    needs the database raises `StorageUnavailable` when it cannot be reached.
    `runs_skills` False starts no processes, for whoever only reads or decides; to run a skill then raises
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
        self._catalog = Catalog(skill_roots(settings), settings.catalog_index)
        self._runtime = SkillRuntime(
            settings,
            database=self._database,
            catalog=self._catalog,
            authority=self._authority,
            broker=self._broker,
            ledger=self._ledger,
            subjects=self._subjects,
        )
        invoker = self._runtime.invoker
        self._readiness = Readiness(self._catalog, invoker)
        self.skills = Skills(self._catalog, self._authority, self._broker, invoker)
        self.runner = Runner(
            self._catalog,
            self._authority,
            self._broker,
            invoker,
            self._readiness if runs_skills else None,
            input_limit_bytes=settings.input_limit_bytes,
        )
        self.oversight = Oversight(self._catalog, self._authority, self._broker, self._runtime.policies)
        self.history = History(self._catalog, self._database)
        self._supervisor = self._supervisor_of(settings, loads_clients=loads_clients)
        self.routing_desk = RoutingDesk(self._catalog, self._authority, self._supervisor)
        self.keyword_banks = KeywordBanks(self._catalog, self._authority, self.routing_desk)
        self.decision_log = DecisionLog(self._database, self._ledger, self._subjects)
        self.dispatcher = Dispatcher(self._catalog, self.routing_desk, self.decision_log, self.runner)
        self._stack = AsyncExitStack()

    def _supervisor_of(self, settings: Settings, *, loads_clients: bool) -> Supervisor | None:
        """Return who asks a model; None where no gateway is set."""
        gateway = GatewaySettings.of(settings)
        if gateway is None:
            return None
        kept_days = settings.llm_threads_days
        return Supervisor(self._database, self._subjects, gateway, at_once=loads_clients, kept_days=kept_days)

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

    async def check_ready(self) -> None:
        """Return when a call would be served now; raises what it would be refused with."""
        await self._database.ping(_PING_SECONDS)
        self._ledger.ensure_writable()
        self._authority.ensure_current()
        self._runtime.check_ready()


def _stores(settings: Settings) -> list[CheckpointStore]:
    stores: list[CheckpointStore] = [DirectoryStore(settings.checkpoints)]
    if settings.checkpoint_bucket is not None:
        stores.append(BucketStore(settings.checkpoint_bucket, settings.checkpoint_endpoint))
    return stores


def skill_roots(settings: Settings) -> list[SkillRoot]:
    """Name the directories that are searched for skills, in their order."""
    return [
        SkillRoot(settings.builtin_skills_dir, InstallSource.BUILTIN, trusted=True),
        *(SkillRoot(root, InstallSource.LOCAL, trusted=True) for root in settings.skill_roots),
        SkillRoot(settings.installed_skills_dir, InstallSource.LOCAL, trusted=False),
    ]
