"""Everything that runs skills, put together: processes, executors, what the host does, and the way in."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from subgraph.audit import Ledger, SubjectKeys
from subgraph.capabilities import Authority, Broker
from subgraph.catalog import Catalog, Snapshots
from subgraph.errors import ExecutionFailed
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.executors import InlineExecutor, ScriptExecutor, SkillExecutor, WasmExecutor
from subgraph.execution.host import HostServices, check_apart
from subgraph.execution.invocation import Executor
from subgraph.execution.invoker import Invoker
from subgraph.execution.limits import Limits
from subgraph.execution.machine_code import MachineCodeCache
from subgraph.execution.pool import WorkerPool
from subgraph.execution.script_pool import ScriptPool
from subgraph.execution.tiers import TierPolicies
from subgraph.settings import Settings
from subgraph.storage import Database

logger = logging.getLogger(__name__)


class SkillRuntime:
    """Runs skills by what is set. Raises `ValueError` where a skill that may write could change the service.

    It has two parts, since processes take as long to start as the database does, and need nothing of it:
    `async with runtime.processes():` starts them, in the background, and `async with runtime:` what calls
    go through. A process that runs nothing leaves the first away.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        catalog: Catalog,
        authority: Authority,
        broker: Broker,
        ledger: Ledger,
        subjects: SubjectKeys,
    ) -> None:
        landlock = landlock_available()
        if not landlock:
            logger.warning(
                "this kernel has no Landlock: seccomp alone confines skills, and neither scripts nor skills "
                "that are not trusted are run"
            )
        _check_workspace(settings)
        self._workspace = settings.workspace_dir
        self._services = HostServices(
            settings.workspace_dir,
            settings.secrets_dir,
            settings.memory_dir,
            settings.commands_dir,
            os.environ,
        )
        self.pool = WorkerPool(settings.workers, queue_limit=settings.queue_limit, landlock=landlock)
        self._scripts = ScriptPool(settings.workers, queue_limit=settings.queue_limit)
        self.policies = TierPolicies(
            Limits(settings.time_limit_ms, settings.memory_limit_bytes, settings.output_limit_bytes)
        )
        snapshots = Snapshots(settings.snapshots_dir.resolve())
        machine_code = MachineCodeCache(settings.machine_code_dir, database, Compiler(landlock=landlock))
        self.executors: dict[Executor, SkillExecutor] = {
            Executor.WASM: WasmExecutor(machine_code, self.pool, snapshots, settings.workspace_dir),
            Executor.SCRIPT: ScriptExecutor(
                self._scripts,
                snapshots,
                settings.workspace_dir,
                shared_interpreter=settings.shared_interpreter,
            ),
            Executor.INLINE: InlineExecutor(),
        }
        self.invoker = Invoker(
            catalog=catalog,
            authority=authority,
            broker=broker,
            executors=self.executors,
            policies=self.policies,
            services=self._services,
            snapshots=snapshots,
            ledger=ledger,
            subjects=subjects,
            landlock=landlock,
        )
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def processes(self) -> AsyncIterator[None]:
        """Start the processes, without waiting for them; they are ended when this is left."""
        async with self.pool, self._scripts:
            yield

    async def __aenter__(self) -> Self:
        self._workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._services)
            await stack.enter_async_context(self.invoker)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the runs that have started, then close what they use."""
        await self._stack.aclose()

    def check_ready(self) -> None:
        """Raise `ExecutionFailed` while no worker could take a call."""
        if self.pool.ready == 0:
            raise self.pool.failure or ExecutionFailed("no worker process is ready yet")


def _check_workspace(settings: Settings) -> None:
    """Raise `ValueError` when a skill that may write could change skills, or what the service keeps."""
    kept = (
        settings.builtin_skills_dir, settings.installed_skills_dir, settings.snapshots_dir,
        settings.machine_code_dir, settings.catalog_index, settings.postgres_dir, settings.audit_keys,
        settings.checkpoints, *settings.skill_roots,
    )  # fmt: skip
    check_apart(settings.workspace_dir, {str(path): path for path in kept})
