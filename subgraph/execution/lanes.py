"""Which worker takes which call. Skills that compute for long go to a back lane, out of the way of others.

A run that takes longer than `SLOW_SECONDS` goes to the back lane together with its worker, which gets the
lowest priority for good, and another worker in its place in front. Later calls of that skill begin in the
back lane, until enough of them were quick. In each lane skills take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from subgraph.execution.turns import FairQueue
from subgraph.execution.worker_process import WorkerProcess

SLOW_SECONDS = 0.1
"""A run longer than this goes to the back lane. Usual ones take a few milliseconds."""

QUICK_RUNS_TO_RETURN = 10
"""Runs in a row under `SLOW_SECONDS` after which a skill is let into the front lane again."""

MOVED_FACTOR = 4
"""Workers in the back for each in front while runs move there: skills that turn slow leave the front free."""

SLOW_SKILLS_LIMIT = 1024
"""Slow skills that are remembered; the one that was slow the longest ago is forgotten first."""


class _Lane:
    """Workers that are free, and calls that wait for one."""

    def __init__(self) -> None:
        self.idle: deque[WorkerProcess] = deque()
        self.waiting: FairQueue[WorkerProcess] = FairQueue()

    def give(self, worker: WorkerProcess) -> None:
        """Hand a worker to the call whose turn it is."""
        found = self.waiting.next()
        if found is None:
            self.idle.append(worker)
        else:
            found[1].set_result(worker)


class Lanes:
    """The workers of a pool, and the calls that wait for them.

    There are `size` workers in front and as many in the back, or for a while, when runs move there, four
    times as many. `start` must have one more started, which then comes by `add`.
    """

    def __init__(self, size: int, *, queue_limit: int, start: Callable[[], None]) -> None:
        self._size = size
        self._queue_limit = queue_limit
        self._start = start
        self._front = _Lane()
        self._back = _Lane()
        self._workers: set[WorkerProcess] = set()
        self._behind: set[WorkerProcess] = set()
        self._coming_behind = 0
        self._slow: dict[str, int] = {}

    def __len__(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def workers(self) -> list[WorkerProcess]:
        """Return all of them."""
        return list(self._workers)

    def idle(self) -> list[WorkerProcess]:
        """Return those that serve no call."""
        return [*self._front.idle, *self._back.idle]

    def add(self, worker: WorkerProcess) -> None:
        """Take in a worker that was started."""
        self._workers.add(worker)
        if self._coming_behind and len(self._workers) - len(self._behind) > self._size:
            self._coming_behind -= 1
            worker.lower_priority()
            self._behind.add(worker)
            self._back.give(worker)
        else:
            self._front.give(worker)

    def remove(self, worker: WorkerProcess) -> None:
        """Let go of a worker that has died, and have another one started where it is missed."""
        self._workers.discard(worker)
        behind = worker in self._behind
        self._behind.discard(worker)
        lane = self._back if behind else self._front
        if worker in lane.idle:
            lane.idle.remove(worker)
        if not behind:
            self._start()
        elif self._back.waiting:
            self._start_behind()

    def release(self, worker: WorkerProcess) -> None:
        """Hand a worker that has served a call to the next one."""
        if not worker.alive:
            return  # its death has it replaced
        if worker in self._behind and len(self._behind) <= self._size:
            self._back.give(worker)
        elif worker.low_priority:
            worker.kill()  # there was no room for it in the back, and in front it is of no use
        else:
            self._front.give(worker)

    async def acquire(self, skill: str) -> WorkerProcess:
        """Wait for a worker. Raises `Overloaded` when too many wait, or for too long."""
        lane = self._back if skill in self._slow else self._front
        if lane.idle:
            return lane.idle.popleft()
        if len(self._front.waiting) + len(self._back.waiting) >= self._queue_limit:
            # Those who wait behind keep nobody waiting in front.
            busier = max(self._back, self._front, key=lambda each: len(each.waiting))
            busier.waiting.make_room(skill)
        if lane is self._back:
            self._start_behind()
        return await lane.waiting.wait(skill, self.release)

    def fail_waiting(self, error: Exception) -> None:
        """Fail every call that waits."""
        self._front.waiting.fail(error)
        self._back.waiting.fail(error)

    @contextmanager
    def watched(self, worker: WorkerProcess, skill: str) -> Iterator[None]:
        """Watch how long a run takes, and move it to the back lane when it takes long."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        moving = loop.call_later(SLOW_SECONDS, self._move_back, worker, skill)
        try:
            yield
        finally:
            moving.cancel()
            if skill in self._slow and loop.time() - started < SLOW_SECONDS:
                self._slow[skill] -= 1
                if not self._slow[skill]:
                    del self._slow[skill]

    def _move_back(self, worker: WorkerProcess, skill: str) -> None:
        self._slow.pop(skill, None)
        self._slow[skill] = QUICK_RUNS_TO_RETURN
        while len(self._slow) > SLOW_SKILLS_LIMIT:
            del self._slow[next(iter(self._slow))]
        if worker in self._behind or not worker.alive:
            return
        worker.lower_priority()
        if len(self._behind) + self._coming_behind < MOVED_FACTOR * self._size:
            self._behind.add(worker)
            self._start()

    def _start_behind(self) -> None:
        if len(self._behind) + self._coming_behind < self._size:
            self._coming_behind += 1
            self._start()
