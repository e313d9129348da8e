"""Worker processes, each with at most one call: the pool keeps its size whatever happens to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter, deque
from types import TracebackType
from typing import Self

from subgraph.errors import ExecutionFailed, Overloaded
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Call, Reply
from subgraph.execution.worker_process import WorkerGone, WorkerProcess
from subgraph.execution.zygote_process import ZygoteGone, ZygoteProcess

CALLS_PER_WORKER = 100_000
"""Calls after which a worker is replaced: wasmtime-py keeps 48 bytes of each call that returns a result."""

LOADED_LIMIT = 128
"""Components that are kept loaded. One that carries a JavaScript interpreter has 5 MiB of machine code."""

LOADED_BYTES_LIMIT = 1024 * 1024 * 1024
"""Bound of their machine code, in bytes, in the service and in the zygote each."""

QUEUE_WAIT_SECONDS = 10.0
"""How long a call waits for a free worker; longer than the default deadline of the call before it."""

_RETRY_SECONDS = (0.01, 0.05, 0.2, 1.0)  # pauses after failed starts; the last one repeats

logger = logging.getLogger(__name__)


class WorkerPool:
    """Runs calls in confined worker processes.

    A worker that dies, is killed at a deadline, goes over a resource limit or has served its time is
    replaced. Use it as an async context manager; calls after the end raise `ExecutionFailed`.
    """

    def __init__(self, size: int, *, queue_limit: int, landlock: bool) -> None:
        self._size = size
        self._queue_limit = queue_limit
        self._zygote = ZygoteProcess(landlock=landlock)
        self._workers: set[WorkerProcess] = set()
        self._idle: deque[WorkerProcess] = deque()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._loaded: dict[str, bytes] = {}
        self._calls: Counter[str] = Counter()
        self._generation = 0
        self._failure: ExecutionFailed | None = None
        self._closed = False
        self._first_outcome = asyncio.Event()
        self._zygote_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        for _ in range(self._size):
            self._replace()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for start in list(self._starts):
            start.cancel()
        self._zygote.kill()  # starts wait for its answers
        await asyncio.gather(*self._starts, return_exceptions=True)
        for worker in list(self._workers):
            worker.kill()
        await self._zygote.stop()
        self._fail_waiting(ExecutionFailed("the service is shutting down"))

    async def started(self) -> None:
        """Wait for the first worker; returns also when it cannot be started: see `failure`."""
        await self._first_outcome.wait()

    @property
    def ready(self) -> int:
        """How many workers can take or are serving a call."""
        return len(self._workers)

    @property
    def failure(self) -> ExecutionFailed | None:
        """Why no worker can be started at the moment, or None."""
        return self._failure

    def is_loaded(self, key: str) -> bool:
        """Whether workers have this component."""
        return key in self._loaded

    async def load(self, key: str, machine_code: bytes) -> None:
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
                await self._zygote.load(key, machine_code)
            except ZygoteGone as error:
                raise ExecutionFailed("the component could not be loaded; try again") from error
            self._loaded[key] = machine_code
            self._generation += 1
            await self._make_room()
        for worker in list(self._idle):
            self._retire(worker)

    async def unload(self, key: str) -> None:
        """Forget a component that no call uses; does nothing while one does."""
        async with self._zygote_lock:
            await self._unload(key)

    async def _make_room(self) -> None:
        """Forget those components that were not called for longest, down to the limit. Hold the lock."""
        size = sum(map(len, self._loaded.values()))
        for key, machine_code in list(self._loaded.items())[:-1]:
            if len(self._loaded) <= LOADED_LIMIT and size <= LOADED_BYTES_LIMIT:
                return
            if not self._calls[key]:
                size -= len(machine_code)
                await self._unload(key)

    async def _unload(self, key: str) -> None:
        if not self._calls[key] and self._loaded.pop(key, None) is not None:
            with contextlib.suppress(ZygoteGone):
                await self._zygote.unload(key)

    async def call(self, key: str, input_: str, limits: Limits) -> Reply:
        """Run a loaded component once in a free worker.

        A run that was stopped, or whose worker died under it, is a `Reply` that says so. Raises
        `Overloaded` when too many calls wait or this one waited too long, and `ExecutionFailed` when no
        worker can be started or the component was unloaded meanwhile.
        """
        machine_code = self._loaded.pop(key, None)
        if machine_code is None:
            raise ExecutionFailed("the skill changed while it was called; call it again")
        self._loaded[key] = machine_code  # the dictionary's order is that of the last calls
        self._calls[key] += 1
        try:
            return await self._call(Call.of(key, input_, limits), limits)
        finally:
            self._calls[key] -= 1
            if not self._calls[key]:
                del self._calls[key]

    async def _call(self, call: Call, limits: Limits) -> Reply:
        while True:
            worker = await self._acquire()
            try:
                reply = await worker.call(call, limits)
            except WorkerGone:
                continue  # it died before it was given the call
            if reply.exit_code == ExitCode.RESOURCE:
                self._retire(worker)
            else:
                self._release(worker)
            return reply

    async def _acquire(self) -> WorkerProcess:
        if self._closed:
            raise ExecutionFailed("the service is shutting down")
        if self._idle:
            return self._idle.popleft()
        if self._failure is not None and not self._workers:
            raise self._failure
        if len(self._waiting) >= self._queue_limit:
            raise Overloaded
        turn: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(QUEUE_WAIT_SECONDS):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release(turn.result())  # its turn came as it was leaving
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    f"no worker became free within {QUEUE_WAIT_SECONDS:.0f} s; try again"
                ) from None
            raise

    def _release(self, worker: WorkerProcess) -> None:
        """Hand a worker to the next call, or replace it."""
        if not worker.alive:
            return
        if worker.generation != self._generation or worker.calls >= CALLS_PER_WORKER:
            self._retire(worker)
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    def _retire(self, worker: WorkerProcess) -> None:
        """End a worker that serves no call; its death has it replaced."""
        worker.kill()

    def _buried(self, worker: WorkerProcess) -> None:
        """Note that a worker has died, and start another one."""
        self._workers.discard(worker)
        with contextlib.suppress(ValueError):
            self._idle.remove(worker)
        self._replace()

    def _replace(self) -> None:
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
                worker = await self._fork_worker()
            except (ExecutionFailed, OSError, WorkerGone, ZygoteGone) as error:
                self._note_failure(error, attempt)
                await asyncio.sleep(pause)
                continue
            self._failure = None
            self._first_outcome.set()
            self._workers.add(worker)
            self._release(worker)
            return

    async def _fork_worker(self) -> WorkerProcess:
        async with self._zygote_lock:
            await self._revive_zygote()
            generation = self._generation
            connection, pidfd = await self._zygote.fork()
        return await WorkerProcess.start(connection, pidfd, generation, self._buried)

    async def _revive_zygote(self) -> None:
        """Start the zygote if it is not there, with every component it had. Hold the lock."""
        if self._zygote.running:
            return
        await self._zygote.start()
        try:
            for key, machine_code in list(self._loaded.items()):  # calls reorder it meanwhile
                await self._zygote.load(key, machine_code)
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
        if not self._workers:
            self._fail_waiting(self._failure)

    def _fail_waiting(self, error: ExecutionFailed) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
