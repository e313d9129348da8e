"""Verifying the whole audit log while a service runs."""

from __future__ import annotations

import asyncio
import time
import uuid

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from subgraph.audit.log_tree import LogTree
from subgraph.audit.verification import KeptCheckpoint, verify_log
from subgraph.settings import Settings
from subgraph.storage import Database
from tests.audit.factory import finished

ENTRIES = 1_000_000
QUICK_ENTRIES = 100_000
BATCH = 4096

_SLEEP_SECONDS = 0.001

_TARGETS = [
    Target("entries_per_second", at_least=100_000),
    Target("seconds", at_most=60.0),
    Target("held_ms", at_most=20.0),
]


def measure(environment: Environment) -> Section:
    """Append entries as the ledger does, then read, hash and compare all of them."""
    count = ENTRIES if environment.plan.rounds > 2 else QUICK_ENTRIES
    with environment.settings() as settings:
        append, verify = uvloop.run(_measure(settings, count))
    rows = [
        Row(f"append in batches of {BATCH:,}", append),
        Row(f"verify {count:,} entries", verify, _TARGETS),
    ]
    notes = [
        f"entries of {len(finished().encode())} bytes, a checkpoint of each {BATCH:,} of them; one run",
        "held: longest time that the event loop did nothing else",
    ]
    return Section("verification", "Verification of the audit log", rows, notes)


async def _measure(settings: Settings, count: int) -> tuple[dict[str, float], dict[str, float]]:
    async with Database(settings) as database:
        log, kept = LogTree(database), []
        appended = 0.0
        for first in range(0, count, BATCH):
            entries = _entries(first, min(BATCH, count - first))
            started = time.perf_counter()
            await database.fetchval("audit_append", uuid.uuid4(), entries)
            appended += time.perf_counter() - started
            kept.append(KeptCheckpoint("memory", (await log.head()).checkpoint("benchmark")))
            if first % (BATCH * 64) == 0:
                await database.execute("audit_maintain")
        watch = _Watch()
        watching = asyncio.create_task(watch.run())
        found = await verify_log(database, kept)
        watching.cancel()
    if not found.ok or found.entries != count or found.checkpoints != len(kept):
        raise WrongAnswer(f"{found.entries:,} of {count:,} entries were verified: {found.findings}")
    return {"entries_per_second": count / appended, "seconds": appended}, {
        "entries_per_second": count / found.seconds,
        "seconds": found.seconds,
        "held_ms": watch.longest * 1000,
    }


def _entries(first: int, count: int) -> list[bytes]:
    """Entries of the usual length, no two of them equal."""
    template = finished().encode()
    return [template.replace(b'"elapsedUs":812', b'"elapsedUs":%d' % (first + n)) for n in range(count)]


class _Watch:
    """Wants to run again and again, and notes the longest time that it could not, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            slept, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_SLEEP_SECONDS)
            late = time.perf_counter() - slept - _SLEEP_SECONDS
            # No longer than this thread worked: other programs on the machine hold it, too.
            self.longest = max(self.longest, min(late, time.thread_time() - worked))
