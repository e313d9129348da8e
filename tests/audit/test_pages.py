from __future__ import annotations

import random
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from subgraph.audit import CreatedGrant, Entry, FinishedInvocation, Ledger, RefusedInvocation, RevokedSkill
from subgraph.audit.pages import PAGE_LIMIT, decision_page, invocation_page
from subgraph.errors import InputInvalid
from subgraph.settings import Settings
from subgraph.storage import Database
from subgraph.storage.queries import load_queries
from tests.audit.factory import NOON, finished
from tests.support.postgres import execute, run, settings_for

SKILLS = ("a/one", "a/two", "b/three")
ACTORS = ("ann", "binh")


def mixed_entries(count: int) -> list[Entry]:
    """Entries of every sort over two days, some of which run back in time."""
    chance = random.Random(20261121)  # noqa: S311 -- a sample, the same in every run
    entries: list[Entry] = []
    for number in range(count):
        at = NOON + timedelta(minutes=7 * number - chance.choice((0, 0, 0, 90, 300)))
        kinds: tuple[Callable[..., Entry], ...] = (
            finished,
            partial(finished, exit_code=1),
            partial(CreatedGrant, capability="log"),
            partial(RevokedSkill, note="it leaks"),
            partial(RefusedInvocation, code="GRANT_REQUIRED", message="no"),
        )
        entries.append(
            chance.choice(kinds)(
                actor=chance.choice(ACTORS), skill=chance.choice(SKILLS), content_hash="a" * 64, at=at
            )
        )
    return entries


def with_log(
    dsn: str,
    entries: Sequence[Entry],
    scenario: Callable[[Database, list[tuple[int, Entry]]], Awaitable[None]],
) -> None:
    async def opened() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            stored = [(await ledger.append(entry), entry) for entry in entries]
            await scenario(db, stored[::-1])

    run(opened())


def test_pages_of_invocations_put_together_are_all_of_them_newest_first(dsn: str) -> None:
    async def scenario(db: Database, newest: list[tuple[int, Entry]]) -> None:
        for skill in (None, *SKILLS, "no/such"):
            for actor in (None, *ACTORS):
                for since in (None, NOON + timedelta(hours=11), NOON + timedelta(hours=13, minutes=59)):
                    wanted = [
                        (seq, entry)
                        for seq, entry in newest
                        if isinstance(entry, FinishedInvocation)
                        and skill in (None, entry.skill)
                        and actor in (None, entry.actor)
                        and (since is None or entry.at >= since)
                    ]
                    assert await all_pages(db, skill, actor, since) == wanted

    async def all_pages(
        db: Database, skill: str | None, actor: str | None, since: datetime | None
    ) -> list[tuple[int, Entry]]:
        read: list[tuple[int, Entry]] = []
        before = None
        while True:
            page = await invocation_page(
                db, skill_path=skill, actor=actor, since=since, before=before, limit=7
            )
            assert len(page.invocations) == 7 or page.before is None
            read += [(each.seq, each.entry) for each in page.invocations]
            before = page.before
            if before is None:
                return read

    with_log(dsn, mixed_entries(220), scenario)


def test_pages_of_decisions_hold_neither_runs_nor_host_calls(dsn: str) -> None:
    async def scenario(db: Database, newest: list[tuple[int, Entry]]) -> None:
        wanted = [seq for seq, entry in newest if not entry.kind.startswith(("invocation.", "host."))]
        first = await decision_page(db, limit=20)
        second = await decision_page(db, limit=PAGE_LIMIT, before=first.before)
        assert [each.seq for each in (*first.decisions, *second.decisions)] == wanted
        assert second.before is None
        by_ann = await decision_page(db, actor="ann", since=NOON + timedelta(hours=5), limit=PAGE_LIMIT)
        assert [each.seq for each in by_ann.decisions] == [
            seq
            for seq, entry in newest
            if seq in wanted and entry.actor == "ann" and entry.at >= NOON + timedelta(hours=5)
        ]

    with_log(dsn, mixed_entries(120), scenario)


def test_a_page_that_ends_with_the_log_has_no_next(dsn: str) -> None:
    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        assert (await invocation_page(db, limit=4)).before is None
        page = await invocation_page(db, limit=3)
        assert page.before == 1
        assert [each.seq for each in (await invocation_page(db, limit=3, before=1)).invocations] == [0]
        assert (await invocation_page(db, limit=3, before=0)).invocations == []

    with_log(dsn, [finished() for _ in range(4)], scenario)


def test_an_entry_whose_clock_ran_back_is_not_missed(dsn: str) -> None:
    """It stands after entries of later hours: what begins at an hour begins before all of that hour."""
    late = NOON - timedelta(hours=3)

    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        page = await invocation_page(db, since=late, limit=10)
        assert [each.seq for each in page.invocations] == [3, 2, 1]
        assert (await invocation_page(db, since=NOON + timedelta(days=1), limit=10)).invocations == []

    ages = (timedelta(hours=4), timedelta(0), timedelta(hours=3), timedelta(hours=1))
    with_log(dsn, [finished(at=NOON - age) for age in ages], scenario)


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": PAGE_LIMIT + 1},
        {"limit": -1},
        {"limit": 1, "before": -1},
        {"limit": 1, "before": 2**63},
        {"limit": 1, "since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
        {"limit": 1, "since": datetime(2026, 1, 1)},  # noqa: DTZ001 -- that is what is refused
    ],
)
def test_a_page_is_bounded(dsn: str, arguments: dict[str, Any]) -> None:
    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        for read in (invocation_page, decision_page):
            with pytest.raises(InputInvalid):
                await read(db, **arguments)

    with_log(dsn, [], scenario)


def test_a_deep_page_is_found_by_an_index_and_steps_over_nothing(dsn: str) -> None:
    """Of 20,000 entries that are no runs, and 100 runs before them, the plan reads what it returns."""
    skip = """
        INSERT INTO audit.entry (seq, entry_id, kind, level, recorded_at, actor, skill_path, entry)
        SELECT 1000 + n, gen_random_uuid(), 'host.call', 'warn', now(), 'ann', 'a/one', '{}'
        FROM generate_series(1, 20000) AS n
    """

    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        await execute(dsn, skip, "ANALYZE audit.entry_00000000")
        async with db.owner() as connection:
            for query, filters in (
                ("invocation_page", []),
                ("invocation_page_of_skill", ["a/one"]),
                ("invocation_page_of_actor", ["ann"]),
                ("invocation_page_of_both", ["a/one", "ann"]),
                ("decision_page", []),
                ("decision_page_of_actor", ["ann"]),
            ):
                since = NOON - timedelta(days=1)
                rows = await connection.fetch(
                    f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {db.sql(query)}", 2**53 - 1, since, 5, *filters
                )
                plan = "\n".join(row[0] for row in rows)
                assert re.search(r"Index Cond: .*seq <.*seq >= ", plan), plan
                assert "Sort" not in plan, plan
                assert "Rows Removed by Filter" not in plan, plan

    entries = [
        entry
        for _ in range(100)
        for entry in (
            finished(skill="a/one", actor="ann"),
            CreatedGrant(actor="ann", skill="a/one", content_hash="a", capability="log", at=NOON),
        )
    ]
    with_log(dsn, entries, scenario)


def test_every_page_is_bounded_in_the_same_words() -> None:
    """Each query repeats them: the planner sees through nothing that SQL could share them by."""
    queries = load_queries(Settings().sql_dir / "queries")
    pages = [query.sql for name, query in queries.items() if re.search("_page(_of_[a-z]+)?$", name)]
    assert len(pages) == 8
    (bounds,) = {sql.partition("\n    AND seq < ")[2] for sql in pages}
    assert bounds.endswith("ORDER BY seq DESC LIMIT $3")


def test_nobody_has_a_name_that_no_entry_holds(dsn: str) -> None:
    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        for name in ("a\0", "\ud800", "a" * 3000):
            assert (await invocation_page(db, skill_path=name, actor="ann", limit=1)).invocations == []
            assert (await decision_page(db, actor=name, limit=1)).decisions == []

    with_log(dsn, [finished()], scenario)


def test_the_largest_entries_fill_a_page(dsn: str) -> None:
    async def scenario(db: Database, _: list[tuple[int, Entry]]) -> None:
        page = await decision_page(db, limit=PAGE_LIMIT)
        assert len(page.decisions) == 3
        assert page.decisions[0].body["note"] == "🦊" * 2000

    note = "🦊" * 5000
    with_log(
        dsn,
        [
            RevokedSkill(
                actor="ann", skill="a", content_hash="a", note=note, at=datetime.now(UTC),
                entry_id=str(uuid.uuid4()),
            )
            for _ in range(3)
        ],
        scenario,
    )  # fmt: skip
