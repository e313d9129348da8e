"""Reads of a log of five million entries: counts of a day, pages at any depth, records and figures."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uvloop

from benchmarks.bulk_log import DAYS, SKILLS, BulkLog, skill_path
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


@dataclass(frozen=True, slots=True)
class Case:
    """A page to read: of runs, or of decisions."""

    label: str
    decisions: bool = False
    before: int | None = None
    skill_path: str | None = None
    actor: str | None = None
    since: datetime | None = None
    target: Target | None = PAGE_TARGET

    async def read(self, database: Database) -> list[int]:
        """Read it; the sequence numbers."""
        if self.decisions:
            decided = await decision_page(
                database, actor=self.actor, since=self.since, before=self.before, limit=PAGE
            )
            return [each.seq for each in decided.decisions]
        page = await invocation_page(
            database,
            skill_path=self.skill_path,
            actor=self.actor,
            since=self.since,
            before=self.before,
            limit=PAGE,
        )
        return [each.seq for each in page.invocations]

    async def scan(self, log: BulkLog) -> list[int]:
        """Find the same without an index."""
        filters = (self.before, self.skill_path, self.actor, self.since)
        return [row["seq"] for row in await log.fetch("page_by_scan", self.decisions, *filters, PAGE)]


def measure(environment: Environment) -> Section:
    """Load the log, read it, and hold every answer to a scan of what was loaded."""
    entries = ENTRIES if environment.plan.rounds > 2 else QUICK_ENTRIES
    with environment.settings() as settings:
        return uvloop.run(_measure(settings, entries, environment.plan.rounds))


async def _measure(settings: Settings, entries: int, rounds: int) -> Section:
    async with Database(settings) as database, BulkLog(settings) as log:
        started = time.perf_counter()
        await log.load(entries)
        seconds = time.perf_counter() - started
        rows = [await _counts(database, log, rounds)]
        rows += [await _page(database, log, case, rounds) for case in _cases(entries, log.end)]
        rows += await _others(database, entries, rounds)
    notes = [
        f"pages of {PAGE}, from the call to parsed entries, each equal to a scan of what was loaded",
        f"loaded in {seconds:.0f} s by SQL, past `audit.append`: hourly tables computed, no tree",
    ]
    title = f"Reads of a log of {entries:,} entries of {SKILLS:,} skills over {DAYS} days"
    return Section("history", title, rows, notes)


def _cases(entries: int, end: datetime) -> list[Case]:
    busy, rare = skill_path(0), skill_path(SKILLS - 1)
    day, week, month = (end - timedelta(days=days) for days in (1, 7, DAYS))
    cases = []
    for label, before in (("newest", None), ("middle", entries // 2), ("oldest", entries // 100)):
        cases += [
            Case(f"runs, {label}", before=before),
            Case(f"runs of a busy skill, {label}", before=before, skill_path=busy),
            Case(f"runs of a rare skill, {label}", before=before, skill_path=rare),
            Case(f"runs for one actor, {label}", before=before, actor="actor-1"),
            Case(f"decisions, {label}", decisions=True, before=before),
            Case(f"decisions by one actor, {label}", decisions=True, before=before, actor="actor-1"),
        ]
    return [
        *cases,
        Case("runs of a busy skill for one actor", skill_path=busy, actor="actor-1"),
        # All runs of the skill are looked through; an index of both would slow every append by a twentieth.
        Case("runs of a busy skill for nobody", skill_path=busy, actor="nobody", target=None),
        Case("runs since a day, the last", before=entries * 29 // 30 + 40, since=day),
        Case("runs of a rare skill since a week", skill_path=rare, since=week),
        Case("runs of a rare skill since a month", skill_path=rare, since=month),
        Case("runs since tomorrow", since=end + timedelta(days=1)),
        Case("decisions by one actor since a day", decisions=True, actor="actor-1", since=day),
    ]


async def _counts(database: Database, log: BulkLog, rounds: int) -> Row:
    """Count the runs of every skill in a day, as `invocationsLast24h` does for a list of all."""
    paths = [skill_path(number) for number in range(SKILLS)]
    since = log.end - timedelta(hours=24)
    direct = {row["skill_path"]: row["count"] for row in await log.fetch("day_counts", since)}
    if await count_invocations(database, paths, since) != dict.fromkeys(paths, 0) | direct:
        raise WrongAnswer("the counts of a day differ from those of the entries")
    figures = await _timed(lambda: count_invocations(database, paths, since), rounds)
    return Row(f"invocationsLast24h of {SKILLS:,} skills", figures, [COUNT_TARGET])


async def _page(database: Database, log: BulkLog, case: Case, rounds: int) -> Row:
    if await case.read(database) != await case.scan(log):
        raise WrongAnswer(f"{case.label}: the page differs from a scan of the entries")
    targets = [] if case.target is None else [case.target]
    return Row(case.label, await _timed(lambda: case.read(database), rounds), targets)


async def _others(database: Database, entries: int, rounds: int) -> list[Row]:
    record = (await decision_page(database, before=entries // 2, limit=1)).decisions[0]
    if record not in await find_record(database, record.address):
        raise WrongAnswer(f"{record.address} is not found")
    totals = await read_totals(database)
    if sum(tally.entries for tally in totals.tallies) != entries:
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
