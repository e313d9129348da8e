"""Durable audit entries: the ledger, alone and in replicas, beside what one would usually do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import asyncpg
import uvloop

from benchmarks.appender import Appender
from benchmarks.durable_rows import ChainedRows, PlainRows
from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.replicas import Replicas, running_replicas
from benchmarks.report import Row, Section, Target
from benchmarks.samples import Samples, median_figures
from subgraph.audit import Ledger
from subgraph.storage import Database
from tests.support.ledger import LogCheck, Told
from tests.support.postgres import empty_database, execute, settings_for

CALLERS = (1, 16, 64)
MOST = CALLERS[-1]
REPLICAS = 4

_TARGETS = {MOST: [Target("entries_per_second", at_least=15_000.0)]}
_SLOW_TARGET = Target("entries_per_second", at_least=1_500.0)

# At each commit, while the head is locked, as a disk would that takes so long for a flush.
_SLOW_FLUSH = """
CREATE FUNCTION audit.wait_for_disk() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_disk AFTER UPDATE ON audit.log_head DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit.wait_for_disk();
"""

_Round = Callable[[float], Awaitable[Samples]]


def measure(environment: Environment) -> Section:
    """Measure every way in turns, then hold each log against what its callers were told."""
    with (
        empty_database(environment.postgres) as dsn,
        empty_database(environment.postgres) as slow,
        empty_database(environment.postgres) as shared,
        running_replicas(REPLICAS, shared) as replicas,
    ):
        return uvloop.run(_measure(environment, dsn, slow, shared, replicas))


async def _measure(
    environment: Environment, dsn: str, slow_dsn: str, shared_dsn: str, replicas: Replicas
) -> Section:
    async with AsyncExitStack() as stack:
        open_ = stack.enter_async_context
        database, slow_database, shared = [
            await open_(Database(settings_for(address))) for address in (dsn, slow_dsn, shared_dsn)
        ]
        await execute(slow_dsn, _SLOW_FLUSH)
        fast = Appender((await open_(Ledger(database))).append)
        slow = Appender((await open_(Ledger(slow_database))).append)
        pool = await open_(asyncpg.create_pool(dsn, min_size=MOST, max_size=MOST))
        plain = Appender((await PlainRows(pool).create()).append)
        chained = Appender((await ChainedRows(pool).create()).append)
        ways: dict[str, tuple[_Round, list[Target]]] = {
            **{_callers(n): (partial(fast.round, n), _TARGETS.get(n, [])) for n in CALLERS},
            f"{_callers(MOST)}, a flush takes 2 ms": (partial(slow.round, MOST), [_SLOW_TARGET]),
            f"{_callers(MOST)} in {REPLICAS} replicas": (partial(replicas.round, MOST), []),
            f"{_callers(MOST)}, a transaction each": (partial(plain.round, MOST), []),
            f"{_callers(MOST)}, a hash chain by rows": (partial(chained.round, MOST), []),
        }
        rows = await _rows(environment, ways)
        logs = ((database, fast.told), (slow_database, slow.told), (shared, replicas.told))
        sizes = [await _checked(db, told) for db, told in logs]
    return Section("ledger", "Durable audit entries of 700 bytes", rows, _notes(sizes))


async def _rows(environment: Environment, ways: dict[str, tuple[_Round, list[Target]]]) -> list[Row]:
    taken: dict[str, list[dict[str, float]]] = {label: [] for label in ways}
    for _ in range(environment.plan.rounds):
        for label, (measured, _targets) in ways.items():
            figures = (await measured(environment.plan.seconds)).figures()
            taken[label].append(
                {
                    "entries_per_second": figures["calls_per_second"],
                    "p50_us": figures["p50_us"],
                    "p99_us": figures["p99_us"],
                }
            )
    return [Row(label, median_figures(taken[label]), targets) for label, (_, targets) in ways.items()]


async def _checked(database: Database, told: Told) -> int:
    if wrong := await LogCheck().violations(database, told):
        raise WrongAnswer("; ".join(wrong[:3]))
    return len(told.acknowledged)


def _callers(count: int) -> str:
    return "1 caller" if count == 1 else f"{count} callers"


def _notes(sizes: list[int]) -> list[str]:
    one, slow, shared = sizes
    return [
        "callers, ledger and PostgreSQL share the machine",
        "a flush of 2 ms: a deferred trigger sleeps at commit, with the head locked, as a slow disk would",
        "a transaction each, a hash chain: a pool of 64 connections, a table with the ledger's indexes",
        f"{one:,}, {slow:,} and (replicas) {shared:,} entries: numbers dense, the trees those of the entries",
    ]
