"""Processes that each have a ledger of their own on one log, measured together."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import uvloop

from benchmarks.appender import Appender
from benchmarks.samples import Samples
from subgraph.audit import Ledger
from subgraph.storage import Database
from tests.support.ledger import Told
from tests.support.postgres import settings_for

START_SECONDS = 60.0
"""For all replicas to be connected; each imports the service first."""

_together: threading.Barrier


class Replicas:
    """Some processes, started once; each round opens a ledger in every one of them."""

    def __init__(self, pool: ProcessPoolExecutor, count: int, dsn: str) -> None:
        self._pool = pool
        self._count = count
        self._dsn = dsn
        self.told = Told()

    async def round(self, callers: int, seconds: float) -> Samples:
        """Measure `callers`, divided among the replicas; what they were told is added to `told`."""
        loop = asyncio.get_running_loop()
        share = callers // self._count
        running = [
            loop.run_in_executor(self._pool, _round, self._dsn, share, seconds) for _ in range(self._count)
        ]
        samples = Samples()
        for part, told in await asyncio.gather(*running):
            samples.latencies_ns += part.latencies_ns
            samples.wall_seconds = max(samples.wall_seconds, part.wall_seconds)
            samples.cpu_seconds += part.cpu_seconds
            for seq, entry_id in told.items():
                self.told.stored(seq, entry_id)
        return samples


@contextmanager
def running_replicas(count: int, dsn: str) -> Iterator[Replicas]:
    """Start the processes; they end with the block."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(barrier,)) as pool:
        yield Replicas(pool, count, dsn)


def _begin(barrier: threading.Barrier) -> None:
    global _together
    _together = barrier


def _round(dsn: str, callers: int, seconds: float) -> tuple[Samples, dict[int, UUID]]:
    return uvloop.run(_append(dsn, callers, seconds))


async def _append(dsn: str, callers: int, seconds: float) -> tuple[Samples, dict[int, UUID]]:
    async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
        appender = Appender(ledger.append)
        await asyncio.to_thread(_together.wait, START_SECONDS)
        return await appender.round(callers, seconds), appender.told.acknowledged
