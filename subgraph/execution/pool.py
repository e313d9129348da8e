"""Worker processes, each with at most one call: the pool keeps its size whatever happens to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from subgraph.errors import ExecutionFailed
from subgraph.execution.confinement import NOTHING, FileAccess
from subgraph.execution.engine import EngineProfile
from subgraph.execution.granted_directories import GrantedDirectory, file_access
from subgraph.execution.lanes import SLOW_SECONDS, Lanes
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Call, Reply
from subgraph.execution.run import Imports
from subgraph.execution.turns import FairSlots
from subgraph.execution.worker_process import HostHandler, WorkerGone, WorkerProcess
from subgraph.execution.zygote_process import ZygoteGone, ZygoteProcess

CALLS_PER_WORKER = 100_000
"""Calls after which a worker is replaced: wasmtime-py keeps 48 bytes of each call that returns a result."""

WORKERS_TRIED = 50
"""Workers that a call is given to one after the other while each dies before it has the whole call."""

LOADED_LIMIT = 128
"""Components that are kept loaded. One that carries a JavaScript interpreter has 5 MiB of machine code."""

LOADED_BYTES_LIMIT = 1024 * 1024 * 1024
"""Bound of their machine code, in bytes, in the service and in the zygote each."""

_RETRY_SECONDS = (0.01, 0.05, 0.2, 1.0)  # pauses after failed starts; the last one repeats

logger = logging.getLogger(__name__)


class _Loaded(NamedTuple):
    profile: EngineProfile
    machine_code: bytes
    imports: Imports


class WorkerPool:
    """Runs calls in confined worker processes.

    A worker that dies, is killed at a deadline, goes over a resource limit or has served its time is
    replaced. Use it as an async context manager; calls after the end raise `ExecutionFailed`.
    """

    def __init__(self, size: int, *, queue_limit: int, landlock: bool) -> None:
        self._size = size
        self._zygote = ZygoteProcess(landlock=landlock)
        self._lanes = Lanes(size, queue_limit=queue_limit, start=self._start_one_more)
        self._outside: set[WorkerProcess] = set()
        self._dedicated = FairSlots(size, queue_limit=queue_limit)
        self._starts: set[asyncio.Task[None]] = set()
        self._loaded: dict[str, _Loaded] = {}
        self._calls: Counter[str] = Counter()
        self._generation = 0
        self._failure: ExecutionFailed | None = None
        self._closed = False
        self._first_outcome = asyncio.Event()
        self._zygote_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        for _ in range(self._size):
            self._start_one_more()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for start in list(self._starts):
            start.cancel()
        self._zygote.kill()  # starts wait for its answers
        await asyncio.gather(*self._starts, return_exceptions=True)
        for worker in (*self._lanes.workers(), *self._outside):
            worker.kill()
        await self._zygote.stop()
        self._lanes.fail_waiting(ExecutionFailed("the service is shutting down"))

    async def started(self) -> None:
        """Wait for the first worker; returns also when it cannot be started: see `failure`."""
        await self._first_outcome.wait()

    @property
    def ready(self) -> int:
        """How many workers can take or are serving a call."""
        return len(self._lanes)

    def idle_workers(self) -> list[WorkerProcess]:
        """Return the workers that wait for a call."""
        return self._lanes.idle()

    @property
    def failure(self) -> ExecutionFailed | None:
        """Why no worker can be started at the moment, or None."""
        return self._failure

    def is_loaded(self, key: str) -> bool:
        """Whether workers have this component."""
        return key in self._loaded

    def imports(self, key: str) -> Imports:
        """What a component imports. Raises `ExecutionFailed` when it was unloaded meanwhile."""
        loaded = self._loaded.get(key)
        if loaded is None:
            raise _unloaded()
        return loaded.imports

    async def load(self, key: str, profile: EngineProfile, machine_code: bytes) -> None:
        """Give every worker a component; workers that lack it are replaced as they become free.

        Raises `ExecutionFailed` when the machine code cannot be loaded.
        """
        if self.is_loaded(key):
            return
        async with self._zygote_lock:
            if self._closed:
                raise ExecutionFailed("the service is shutting down")
            try:
                await self._revive_zygote()
                imports = await self._zygote.load(key, profile, machine_code)
            except ZygoteGone as error:
                raise ExecutionFailed("the component could not be loaded; try again") from error
            self._loaded[key] = _Loaded(profile, machine_code, imports)
            self._generation += 1
            await self._make_room()
        for worker in self._lanes.idle():
            worker.kill()  # its death has it replaced, by one that has the component

    async def unload(self, key: str) -> None:
        """Forget a component that no call uses; does nothing while one does."""
        async with self._zygote_lock:
            await self._unload(key)

    async def _make_room(self) -> None:
        """Forget those components that were not called for longest, down to the limit. Hold the lock."""
        size = sum(len(loaded.machine_code) for loaded in self._loaded.values())
        for key, loaded in list(self._loaded.items())[:-1]:
            if len(self._loaded) <= LOADED_LIMIT and size <= LOADED_BYTES_LIMIT:
                return
            if not self._calls[key]:
                size -= len(loaded.machine_code)
                await self._unload(key)

    async def _unload(self, key: str) -> None:
        if not self._calls[key] and self._loaded.pop(key, None) is not None:
            with contextlib.suppress(ZygoteGone):
                await self._zygote.unload(key)

    async def call(
        self,
        key: str,
        input_: str,
        limits: Limits,
        *,
        skill: str = "",
        host: HostHandler | None = None,
        on_start: Callable[[], None] = lambda: None,
        directories: Sequence[GrantedDirectory] = (),
    ) -> Reply:
        """Run a loaded component once in a free worker, for a skill, which takes turns with others.

        `directories` are for components that import the file system of WASI; a run that has any is done by
        a worker of its own. `on_start` is told when a worker takes it. A run that was stopped, or whose
        worker died under it, is a `Reply` that says so. Raises `Overloaded` when too many calls wait or this
        one waited too long, and `ExecutionFailed` when no worker can be started or the component was
        unloaded meanwhile.
        """
        loaded = self._loaded.pop(key, None)
        if loaded is None:
            raise _unloaded()
        self._loaded[key] = loaded  # the dictionary's order is that of the last calls
        self._calls[key] += 1
        call = Call.of(
            key, input_, limits, [(str(each.place), each.name, each.writable) for each in directories]
        )
        try:
            if directories:
                async with self._dedicated.slot(skill):
                    return await self._call_dedicated(call, limits, host, on_start, file_access(directories))
            for _ in range(WORKERS_TRIED):
                worker = await self._acquire(skill)
                on_start()
                with self._lanes.watched(worker, skill), contextlib.suppress(WorkerGone):
                    return await self._call(worker, call, limits, host)
                # It died before it was given the call: another one takes it.
            raise ExecutionFailed("workers die before they run the skill; see the service's log")
        finally:
            self._calls[key] -= 1
            if not self._calls[key]:
                del self._calls[key]

    async def _call(
        self, worker: WorkerProcess, call: Call, limits: Limits, host: HostHandler | None
    ) -> Reply:
        reply = await worker.call(call, limits, host)
        if reply.exit_code == ExitCode.RESOURCE:
            worker.kill()
        else:
            self._release(worker)
        return reply

    async def _call_dedicated(
        self,
        call: Call,
        limits: Limits,
        host: HostHandler | None,
        on_start: Callable[[], None],
        access: FileAccess,
    ) -> Reply:
        """Run a call in a worker that is forked for it, with these directories, and ends with it."""
        if self._closed:
            raise ExecutionFailed("the service is shutting down")
        try:
            worker = await self._fork_worker(lambda _: None, access)
        except (WorkerGone, ZygoteGone, OSError) as error:
            raise ExecutionFailed("no worker process can be started; see the service's log") from error
        self._outside.add(worker)
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, worker.lower_priority)
        try:
            on_start()
            return await worker.call(call, limits, host)
        except WorkerGone:
            raise ExecutionFailed("the worker process died before it ran the skill; try again") from None
        finally:
            slow.cancel()
            self._outside.discard(worker)
            worker.kill()

    async def _acquire(self, skill: str) -> WorkerProcess:
        if self._closed:
            raise ExecutionFailed("the service is shutting down")
        if self._failure is not None and not len(self._lanes):
            raise self._failure
        return await self._lanes.acquire(skill)

    def _release(self, worker: WorkerProcess) -> None:
        """Hand a worker to the next call, or end it; its death has it replaced."""
        if worker.generation != self._generation or worker.calls >= CALLS_PER_WORKER:
            worker.kill()
        else:
            self._lanes.release(worker)

    def _start_one_more(self) -> None:
        if self._closed:
            return
        start = asyncio.get_running_loop().create_task(self._start_worker())
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def _start_worker(self) -> None:
        """Start a worker, trying again until it works; waiting calls are told when none is left."""
        pauses = itertools.chain(_RETRY_SECONDS, itertools.repeat(_RETRY_SECONDS[-1]))
        for attempt, pause in enumerate(pauses):
            try:
                worker = await self._fork_worker(self._lanes.remove)
            except (ExecutionFailed, OSError, WorkerGone, ZygoteGone) as error:
                self._note_failure(error, attempt)
                await asyncio.sleep(pause)
                continue
            self._failure = None
            self._first_outcome.set()
            if worker.generation != self._generation:
                worker.kill()  # a component was loaded while it started; its death has it replaced
            else:
                self._lanes.add(worker)
            return

    async def _fork_worker(
        self, on_death: Callable[[WorkerProcess], None], access: FileAccess = NOTHING
    ) -> WorkerProcess:
        async with self._zygote_lock:
            await self._revive_zygote()
            generation = self._generation
            connection, pidfd = await self._zygote.fork(access)
        return await WorkerProcess.start(connection, pidfd, generation, on_death)

    async def _revive_zygote(self) -> None:
        """Start the zygote if it is not there, with every component it had. Hold the lock."""
        if self._zygote.running:
            return
        await self._zygote.start()
        try:
            for key, loaded in list(self._loaded.items()):  # calls reorder it meanwhile
                await self._zygote.load(key, loaded.profile, loaded.machine_code)
        except BaseException:
            self._zygote.kill()  # one that lacks a component must not be taken for whole
            raise

    def _note_failure(self, error: Exception, attempt: int) -> None:
        logger.error("a worker could not be started: %s", error)
        if attempt == 0 and not isinstance(error, ExecutionFailed):
            return  # a zygote that dies takes one attempt with it; the next one revives it
        if isinstance(error, ExecutionFailed):
            self._failure = error
        else:
            self._failure = ExecutionFailed("no worker process can be started; see the service's log")
        self._first_outcome.set()
        if not len(self._lanes):
            self._lanes.fail_waiting(self._failure)


def _unloaded() -> ExecutionFailed:
    """Say that a component gave way to others, or to a newer one of its skill, before its call came."""
    return ExecutionFailed("the skill changed while it was called; call it again")
