"""Script workers: a fresh process for each call, or, for skills that are trusted with it, a shared one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from subgraph.errors import ExecutionFailed
from subgraph.execution.confinement import FileAccess, directories_grantable
from subgraph.execution.lanes import SLOW_SECONDS
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Reply
from subgraph.execution.script_run import ScriptCall, address_space_bytes
from subgraph.execution.turns import FairSlots
from subgraph.execution.worker_process import HostHandler, WorkerGone, WorkerProcess
from subgraph.execution.zygote_process import SCRIPT_ZYGOTE, ZygoteGone, ZygoteProcess

CALLS_PER_INTERPRETER = 10_000
"""Calls after which a shared interpreter is replaced, with whatever its scripts have left behind."""

_IDLE_PER_SLOT = 3
"""Shared interpreters that wait for their next call, for each that may run: with fewer, skills that take
turns would make each other start anew every time."""

_START_ATTEMPTS = 3
"""How often a worker is forked for one call; a zygote that dies takes one attempt with it."""

_SHARED_PER_SLOT = 2
"""Calls of shared interpreters for each of others: a run is shorter than its way, so that one alone idles."""

_WORKERS_TRIED = 50
"""Workers that a call is given to one after the other while each dies before it has the whole call."""

_NO_LANDLOCK = (
    "scripts run only where Landlock can confine them, which this kernel cannot (Linux 6.2 or later with "
    "Landlock switched on); run the skill's component instead, or a kernel that has it"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a skill: the skill's content hash, the file, and the snapshot that it lies in.

    Paths are absolute and resolved. `shared` runs it in a *shared interpreter*, one process for many
    calls of this skill: 100 times faster, and hygiene instead of isolation, since one call can leave
    something behind for the next one.
    """

    content_hash: str
    entry: Path
    snapshot: Path
    shared: bool

    def __post_init__(self) -> None:
        if not self.entry.is_relative_to(self.snapshot) or ".." in self.entry.parts:
            raise ExecutionFailed("the script is not one of the skill's files")


class _Kind(NamedTuple):
    """What two calls must have in common to share an interpreter."""

    content_hash: str
    access: FileAccess
    memory_bytes: int


class ScriptPool:
    """Runs scripts in confined processes: as many at once of one skill as its size, and one of another; of
    shared interpreters, which are done sooner than they are asked, twice as many.

    Use it as an async context manager; calls after the end raise `ExecutionFailed`.
    """

    def __init__(self, size: int, *, queue_limit: int) -> None:
        self._confinable = directories_grantable()
        self._idle_limit = _IDLE_PER_SLOT * size
        self._zygote = ZygoteProcess(landlock=True, module=SCRIPT_ZYGOTE)
        self._zygote_lock = asyncio.Lock()
        self._slots = FairSlots(size + 1, queue_limit=queue_limit)
        self._shared_slots = FairSlots(_SHARED_PER_SLOT * size + 1, queue_limit=queue_limit)
        self._workers: set[WorkerProcess] = set()
        self._idle: dict[WorkerProcess, _Kind] = {}  # the one that was used longest ago comes first
        self._warming: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        if self._confinable:
            self._warming = asyncio.get_running_loop().create_task(self._warm())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._zygote.kill()
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)
        for worker in list(self._workers):
            worker.kill()
        async with self._zygote_lock:  # whoever is starting it now sees that the end has come
            await self._zygote.stop()

    async def run(
        self,
        script: Script,
        input_: str,
        limits: Limits,
        access: FileAccess,
        *,
        skill: str = "",
        host: HostHandler | None = None,
        on_start: Callable[[], None] = lambda: None,
    ) -> Reply:
        """Run a script once, for a skill, which takes turns with others.

        `on_start` is told when a process takes it; `host` serves its host calls.
        It reads its snapshot and what `access` grants, and writes what `access` grants to write. A run
        that was stopped, or whose process died under it, is a `Reply` that says so. Raises `Overloaded`
        when too many calls wait or this one waited too long, and `ExecutionFailed` when the kernel
        cannot confine scripts or no process can be started.
        """
        if not self._confinable:
            raise ExecutionFailed(_NO_LANDLOCK)
        everything = FileAccess((script.snapshot, *access.read), access.write)
        memory = address_space_bytes(limits.memory_bytes, limits.output_bytes)
        kind = _Kind(script.content_hash, everything, memory)
        call = ["script", *ScriptCall.of(script.entry, input_, limits)]
        if self._closed:
            raise ExecutionFailed("the service is shutting down")
        slots = self._shared_slots if script.shared else self._slots
        async with slots.slot(skill):
            for _ in range(_WORKERS_TRIED):
                worker = await self._worker(kind, shared=script.shared)
                on_start()
                slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, worker.lower_priority)
                try:
                    reply = await worker.call(call, limits, host)
                except WorkerGone:
                    continue  # it died before it was given the call
                finally:
                    slow.cancel()
                    if not script.shared:
                        worker.kill()
                if script.shared:
                    self._put_back(worker, kind, reply)
                return reply
        raise ExecutionFailed("script workers die before they run the skill; see the service's log")

    async def _worker(self, kind: _Kind, *, shared: bool) -> WorkerProcess:
        if shared:
            for worker in reversed(self._idle):  # what ran last is still in the caches
                if self._idle[worker] == kind:
                    del self._idle[worker]
                    return worker
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                return await self._fork(kind)
            except (OSError, WorkerGone, ZygoteGone) as error:
                logger.warning("a script worker could not be started: %s", error)
                if attempt == _START_ATTEMPTS:
                    raise ExecutionFailed("no script worker can be started; see the service's log") from error
        raise AssertionError("the loop ends by returning or raising")

    async def _fork(self, kind: _Kind) -> WorkerProcess:
        async with self._zygote_lock:
            await self._revive_zygote()
            connection, pidfd = await self._zygote.fork(kind.access, memory_bytes=kind.memory_bytes)
        worker = await WorkerProcess.start(connection, pidfd, 0, self._buried)
        if self._closed:
            worker.kill()
            raise ExecutionFailed("the service is shutting down")
        self._workers.add(worker)
        return worker

    async def _revive_zygote(self) -> None:
        """Start the zygote if it is not there. Hold the lock."""
        if self._closed:
            raise ExecutionFailed("the service is shutting down")
        if not self._zygote.running:
            await self._zygote.start()

    async def _warm(self) -> None:
        """Have the zygote there before the first call; if that fails, the call says so."""
        async with self._zygote_lock:
            with contextlib.suppress(ExecutionFailed, ZygoteGone):
                await self._revive_zygote()

    def _put_back(self, worker: WorkerProcess, kind: _Kind, reply: Reply) -> None:
        """Keep a shared interpreter for the next call, unless it is spent."""
        spent = (
            reply.exit_code == ExitCode.RESOURCE
            or worker.calls >= CALLS_PER_INTERPRETER
            or worker.low_priority
        )
        if spent or self._closed:
            worker.kill()
        elif worker.alive:
            self._idle[worker] = kind
            if len(self._idle) > self._idle_limit:
                next(iter(self._idle)).kill()

    def _buried(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        self._idle.pop(worker, None)
