"""Reads of a log of five million entries: counts of a day, pages at any depth, records and figures."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import uvloop

from benchmarks.bulk_log import DAYS, SKILLS, BulkLog, load, skill_path
from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures, percentile
from subgraph.audit import (
    count_invocations,
    decision_page,
    find_record,
    invocation_page,
    read_kpis,
    read_totals,
)
from subgraph.settings import Settings
from subgraph.storage import Database

ENTRIES = 5_000_000
QUICK_ENTRIES = 200_000
CALLS = 40
"""Calls of one round."""

PAGE = 50

COUNT_TARGET = Target("p95_us", at_most=30_000)
PAGE_TARGET = Target("p95_us", at_most=5_000)

FINISHED = "kind = 'invocation.finished'"
DECIDED = "kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%'"


@dataclass(frozen=True, slots=True)
class Case:
    """What is read, and by what condition a scan of the source finds the same."""

    label: str
    decisions: bool
    filters: dict[str, Any]
    condition: str

    async def read(self, database: Database) -> list[int]:
        """Read a page; the sequence numbers of it."""
        if self.decisions:
            decided = await decision_page(database, limit=PAGE, **self.filters)
            return [each.seq for each in decided.decisions]
        page = await invocation_page(database, limit=PAGE, **self.filters)
        return [each.seq for each in page.invocations]


def measure(environment: Environment) -> Section:
    """Load the log, read it, and hold every answer to a scan of what was loaded."""
    entries = ENTRIES if environment.plan.rounds > 2 else QUICK_ENTRIES
    with environment.settings() as settings:
        return uvloop.run(_measure(settings, entries, environment.plan.rounds))


async def _measure(settings: Settings, entries: int, rounds: int) -> Section:
    async with Database(settings) as database, BulkLog(settings) as log:
        started = time.perf_counter()
        await load(log, entries)
        seconds = time.perf_counter() - started
        rows = [await _counts(database, log, rounds)]
        for case in _cases(entries, log.end):
            rows.append(await _pages(database, log, case, rounds))
        rows += await _others(database, log, rounds)
    return Section(
        "history",
        f"Reads of a log of {entries:,} entries of {SKILLS:,} skills over {DAYS} days",
        rows,
        [
            f"pages of {PAGE}, from the call to parsed entries; every answer is equal to a scan of what was loaded",
            f"loaded in {seconds:.0f} s by SQL as superuser, past `audit.append`: hourly tables computed "
            "afterwards, no tree",
        ],
    )


def _cases(entries: int, end: datetime) -> list[Case]:
    hot, cold = skill_path(0), skill_path(SKILLS - 1)
    week, day = end - timedelta(days=7), end - timedelta(days=1)
    cases = []
    for label, before in (("newest", None), ("middle", entries // 2), ("oldest", entries // 100)):
        depth = "" if before is None else f" AND seq < {before}"
        for of, decisions, filters, condition in (
            ("runs", False, {}, FINISHED),
            ("runs of the busiest skill", False, {"skill_path": hot}, f"{FINISHED} AND skill_path = '{hot}'"),
            ("runs of a rare skill", False, {"skill_path": cold}, f"{FINISHED} AND skill_path = '{cold}'"),
            ("runs by one actor", False, {"actor": "actor-1"}, f"{FINISHED} AND actor = 'actor-1'"),
            ("decisions", True, {}, DECIDED),
            ("decisions by one actor", True, {"actor": "actor-1"}, f"{DECIDED} AND actor = 'actor-1'"),
        ):
            cases.append(Case(f"{of}, {label}", decisions, filters | {"before": before}, condition + depth))
    for label, decisions, filters, condition in (
        ("runs of a skill by one actor", False, {"skill_path": hot, "actor": "actor-1"},
         f"{FINISHED} AND skill_path = '{hot}' AND actor = 'actor-1'"),
        ("runs of a skill by nobody", False, {"skill_path": hot, "actor": "nobody"},
         f"{FINISHED} AND skill_path = '{hot}' AND actor = 'nobody'"),
        ("runs since a week, the last", False, {"since": week, "before": entries * 23 // 30 + 200},
         f"{FINISHED} AND at >= '{week}' AND seq < {entries * 23 // 30 + 200}"),
        ("runs of a rare skill since a day", False, {"skill_path": cold, "since": day},
         f"{FINISHED} AND skill_path = '{cold}' AND at >= '{day}'"),
        ("decisions since a day by one actor", True, {"actor": "actor-1", "since": day},
         f"{DECIDED} AND actor = 'actor-1' AND at >= '{day}'"),
    ):  # fmt: skip
        cases.append(Case(label, decisions, filters, condition))
    return cases


async def _counts(database: Database, log: BulkLog, rounds: int) -> Row:
    """Count the runs of every skill in a day, as `invocationsLast24h` does for a list of all."""
    paths = [skill_path(number) for number in range(SKILLS)]
    since = log.end - timedelta(hours=24, minutes=17)
    counted = await count_invocations(database, paths, since)
    direct = await log.fetch(
        f"SELECT skill_path, count(*) FROM bulk.source WHERE {FINISHED} AND at >= $1 GROUP BY 1", since
    )
    if counted != dict.fromkeys(paths, 0) | {row[0]: row[1] for row in direct}:
        raise WrongAnswer("the counts of a day differ from those of the entries")
    figures = await _timed(lambda: count_invocations(database, paths, since), rounds)
    return Row(f"invocationsLast24h of {SKILLS:,} skills", figures, [COUNT_TARGET])


async def _pages(database: Database, log: BulkLog, case: Case, rounds: int) -> Row:
    wanted = await log.fetch(
        f"SELECT seq FROM bulk.source WHERE {case.condition} ORDER BY seq DESC LIMIT {PAGE}"
    )
    if await case.read(database) != [row[0] for row in wanted]:
        raise WrongAnswer(f"{case.label}: the page differs from a scan of the entries")
    return Row(case.label, await _timed(lambda: case.read(database), rounds), [PAGE_TARGET])


async def _others(database: Database, log: BulkLog, rounds: int) -> list[Row]:
    record = (await decision_page(database, before=log.entries // 2, limit=1)).decisions[0]
    if record not in await find_record(database, record.address):
        raise WrongAnswer(f"{record.address} is not found")
    totals = await read_totals(database)
    if sum(tally.entries for tally in totals.tallies) != log.entries:
        raise WrongAnswer("the tallies differ from the entries")
    month = datetime.now(UTC) - timedelta(days=DAYS + 1)
    reads: Sequence[tuple[str, Callable[[], Awaitable[object]]]] = (
        ("a record by its address", lambda: find_record(database, record.address)),
        ("key figures of a month", lambda: read_kpis(database, month)),
        ("all totals, for /metrics", lambda: read_totals(database)),
    )
    return [Row(label, await _timed(read, rounds)) for label, read in reads]


async def _timed(read: Callable[[], Awaitable[object]], rounds: int) -> dict[str, float]:
    """Time a read, warm: the pages of the database that it needs were read before."""
    await read()
    figures = []
    for _ in range(rounds):
        samples = []
        for _ in range(CALLS):
            started = time.perf_counter_ns()
            await read()
            samples.append((time.perf_counter_ns() - started) / 1000)
        samples.sort()
        figures.append({f"p{percent}_us": percentile(samples, percent) for percent in (50, 95)})
    return median_figures(figures)
