"""Runs that were cut off are closed: once, by whoever is first, and no others."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.audit import (
    Entry,
    InterruptedInvocation,
    Ledger,
    RefusedInvocation,
    StartedInvocation,
    find_invocations,
    interruptions,
    read_kpis,
)
from subgraph.audit.consistency_check import check_structure
from subgraph.audit.entry import canonical
from subgraph.audit.findings import FindingCode
from subgraph.audit.interruptions import Interruptions
from subgraph.audit.invocations import EXECUTORS, INTERRUPTED
from subgraph.audit.pages import invocation_page
from subgraph.errors import StorageUnavailable
from subgraph.execution.invocation import Executor
from subgraph.execution.longest_run import LONGEST_RUN
from subgraph.settings import LONGEST_TIME_MS
from subgraph.storage import Database
from tests.audit.factory import NOON, finished
from tests.audit.ledgers import stored, with_ledger
from tests.audit.tampering import with_database
from tests.support.postgres import execute, settings_for

AT_ONCE = timedelta(0)


def started(run: str | None = None, **changes: Any) -> StartedInvocation:
    fields: dict[str, Any] = {
        "actor": "ann",
        "skill": "a/one",
        "content_hash": "a" * 64,
        "at": NOON,
        "invocation_id": run or str(uuid.uuid4()),
        "executor": "WASM",
        "key_id": "0123456789abcdef",
        "input_commitment": "b" * 64,
        "capabilities": ("write_file", "log"),
    }
    return StartedInvocation(**fields | changes)


def refused(run: str) -> RefusedInvocation:
    return RefusedInvocation(
        actor="ann", skill="a/one", content_hash="a" * 64, code="OVERLOADED", message="no", invocation_id=run
    )


async def close(db: Database, ledger: Ledger, longest: timedelta = AT_ONCE) -> int:
    """One round of a replica, after the log's upkeep has noted how long the log is."""
    await db.execute("audit_maintain")
    return await Interruptions(db, ledger, longest).close_interrupted()


async def closings(db: Database) -> list[tuple[int, dict[str, Any]]]:
    entries = [(seq, orjson.loads(entry)) for seq, entry in await stored(db)]
    return [(seq, entry) for seq, entry in entries if entry["kind"] == InterruptedInvocation.kind]


async def settled(db: Database) -> int:
    return int(await db.fetchval("audit_settled"))


def test_a_run_without_an_end_is_closed_once(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        await ledger.append(finished())
        start = started()
        assert await ledger.append(start) == 1
        assert [await close(db, ledger) for _ in range(3)] == [1, 0, 0]
        ((seq, entry),) = await closings(db)
        assert seq == 2
        assert entry.pop("id") != start.entry_id
        assert datetime.fromisoformat(entry.pop("at")) > datetime.now(UTC) - timedelta(minutes=1)
        assert entry == {
            "schema": "cyberos.audit/2",
            "kind": "invocation.interrupted",
            "level": "warn",
            "actor": "ann",
            "skill": "a/one",
            "contentHash": "a" * 64,
            "invocationId": start.invocation_id,
            "executor": "WASM",
            "startedAt": "2026-11-20T12:00:00.123456Z",
            "startedSeq": 1,
            "capabilities": ["write_file", "log"],
        }
        assert await check_structure(db) == ()

    with_ledger(dsn, scenario)


def test_a_run_that_may_still_go_on_is_left(dsn: str) -> None:
    """By the clock of the database: what a replica says of the time counts for nothing."""

    async def scenario(db: Database, ledger: Ledger) -> None:
        await ledger.append(started(at=NOON - timedelta(days=300)))
        assert await close(db, ledger, LONGEST_RUN) == 0
        assert await settled(db) == 0
        await grow_older(dsn, LONGEST_RUN - timedelta(seconds=20))
        assert await close(db, ledger, LONGEST_RUN) == 0
        # One that came since does not make the older one younger.
        await ledger.append(started(at=NOON + timedelta(days=300)))
        await db.execute("audit_maintain")
        await grow_older(dsn, timedelta(seconds=30))
        await ledger.append(started())
        assert await close(db, ledger, LONGEST_RUN) == 1
        assert [entry["startedSeq"] for _, entry in await closings(db)] == [0]

    with_ledger(dsn, scenario)


async def grow_older(dsn: str, age: timedelta) -> None:
    """Have all that the log has been be longer ago."""
    interval = f"interval '{age.total_seconds()} seconds'"
    await execute(
        dsn,
        f"UPDATE audit.batch SET stored_at = stored_at - {interval}",  # noqa: S608
        f"UPDATE audit.log_mark SET reached_at = reached_at - {interval}",  # noqa: S608
    )


def test_what_ended_while_the_service_was_down_for_long_is_closed_at_the_next_start(dsn: str) -> None:
    """The upkeep forgets batches after an hour, and notes before how long the log was by then."""

    async def scenario(db: Database, ledger: Ledger) -> None:
        await db.execute("audit_maintain")
        await ledger.append(started())
        await grow_older(dsn, timedelta(hours=10))
        assert await close(db, ledger, LONGEST_RUN) == 1

    with_ledger(dsn, scenario)


@pytest.mark.parametrize("end", [lambda run: finished(invocation_id=run), refused])
def test_a_run_with_an_end_is_not_closed(dsn: str, end: Callable[[str], Entry]) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        start = started()
        await ledger.append(start)
        await ledger.append(end(start.invocation_id))
        assert await close(db, ledger) == 0
        assert await closings(db) == []
        assert await settled(db) == 2

    with_ledger(dsn, scenario)


def test_an_end_that_comes_late_is_the_one_that_is_read(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        late, cut, gone = started(), started(actor="binh"), started()
        for each in (late, cut, gone):
            await ledger.append(each)
        assert await close(db, ledger) == 3
        assert [each.seq for each in (await invocation_page(db, limit=10)).invocations] == [5, 4, 3]
        end = finished(invocation_id=late.invocation_id, skill="a/one", actor="ann")
        assert await ledger.append(end) == 6
        await ledger.append(refused(gone.invocation_id))
        page = await invocation_page(db, limit=10)
        assert [(each.seq, each.entry.kind) for each in page.invocations] == [
            (6, "invocation.finished"),
            (4, "invocation.interrupted"),
        ]
        assert [
            each.seq for each in (await invocation_page(db, skill_path="a/one", limit=1)).invocations
        ] == [6]
        assert [each.seq for each in (await invocation_page(db, actor="binh", limit=9)).invocations] == [4]
        runs = [uuid.UUID(each.invocation_id) for each in (late, cut)]
        found = await find_invocations(db, runs)
        assert [found[run].seq for run in runs] == [6, 4]
        assert found[runs[0]].entry == end
        assert await close(db, ledger) == 0
        assert await check_structure(db) == ()

    with_ledger(dsn, scenario)


def test_a_run_that_was_cut_off_reads_as_one_that_failed(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        await ledger.append(started(at=datetime.now(UTC)))
        for _ in range(3):
            await ledger.append(finished(at=datetime.now(UTC)))
        await close(db, ledger)
        (newest,) = (await invocation_page(db, limit=1)).invocations
        assert (newest.entry.exit_code, newest.entry.elapsed_us) == (1, 0)
        assert newest.entry.error is not None
        assert newest.entry.error.code == INTERRUPTED
        figures = {each.name: each for each in await read_kpis(db)}
        success = figures["invocation_success_rate"]
        assert (success.numerator, success.denominator) == (3, 4)
        assert figures["invocations_interrupted"].value == 1

    with_ledger(dsn, scenario)


def test_replicas_that_look_at_once_close_a_run_once(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        for _ in range(40):
            await ledger.append(started())
        await db.execute("audit_maintain")
        async with Database(settings_for(dsn)) as other, Ledger(other) as second:
            replicas = [Interruptions(*each, AT_ONCE) for each in ((db, ledger), (other, second))] * 4
            await asyncio.gather(*(each.close_interrupted() for each in replicas))
        await close(db, ledger)
        closed = [entry["startedSeq"] for _, entry in await closings(db)]
        assert closed == list(range(40))

    with_ledger(dsn, scenario)


def test_a_replica_that_stood_still_closes_nothing_that_another_has_closed(dsn: str) -> None:
    """It has looked, and is about to write: what it saw by then no longer holds."""

    async def scenario(db: Database, ledger: Ledger) -> None:
        first, second = started(), started()
        for each in (first, second):
            await ledger.append(each)
        entries = [
            InterruptedInvocation(
                actor="ann", skill="a/one", content_hash="", invocation_id=each.invocation_id,
                executor="WASM", started_at=NOON, started_seq=place, capabilities=(),
            ).encode()
            for place, each in enumerate((first, second))
        ]  # fmt: skip
        await ledger.append(finished(invocation_id=first.invocation_id))
        assert await close(db, ledger) == 1
        for place, entry in enumerate(entries):
            assert await db.fetchval("run_interrupt", place, entry) is None
        assert await db.fetchval("run_interrupt", 2, entries[0]) is None  # that is no start
        assert await db.fetchval("run_interrupt", 99, entries[0]) is None
        assert len(await closings(db)) == 1

    with_ledger(dsn, scenario)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(("start", "finish", "refuse", "late", "round", "two")), max_size=40),
    seed=st.integers(0, 2**16),
    chunk=st.sampled_from((1, 2, 2000)),
)
def test_whatever_happens_each_run_has_one_closing_at_most_and_none_after_its_end(
    dsn: str, steps: Sequence[str], seed: int, chunk: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- a sample

    async def scenario(db: Database, ledger: Ledger) -> None:
        going: list[str] = []
        cut: list[str] = []
        for step in steps:
            if step == "start":
                going.append(str(uuid.uuid4()))
                await ledger.append(started(going[-1]))
            elif step in ("finish", "refuse") and going:
                run = going.pop(chance.randrange(len(going)))
                await ledger.append(finished(invocation_id=run) if step == "finish" else refused(run))
            elif step == "late" and cut:
                await ledger.append(finished(invocation_id=cut.pop()))
            elif step in ("round", "two"):
                # What nobody closed before is closed now.
                rounds = [
                    Interruptions(db, ledger, AT_ONCE).close_interrupted() for _ in range(1 + (step == "two"))
                ]
                await db.execute("audit_maintain")
                await asyncio.gather(*rounds)
                assert await close(db, ledger) == 0
                cut, going = cut + going, []
        await close(db, ledger)
        seen: dict[str, list[str]] = {}
        for _, encoded in await stored(db):
            entry = orjson.loads(encoded)
            seen.setdefault(entry["invocationId"], []).append(entry["kind"].removeprefix("invocation."))
        for kinds in seen.values():
            assert kinds in (
                ["started", "finished"],
                ["started", "refused"],
                ["started", "interrupted"],
                ["started", "interrupted", "finished"],
            )
        assert await check_structure(db) == ()

    before, interruptions.LOOKED_AT = interruptions.LOOKED_AT, chunk
    try:
        with_ledger(dsn, scenario)
    finally:
        interruptions.LOOKED_AT = before


def test_a_start_that_this_program_did_not_write_is_closed_with_what_is_known(dsn: str) -> None:
    """It must not keep others from being closed. Times that no calendar has are among it."""
    odd = orjson.loads(started().encode()) | {
        "capabilities": 5,
        "executor": [1],
        "at": "20000-01-01T00:00:00Z",
    }
    del odd["skill"], odd["contentHash"]
    nobody = orjson.loads(started().encode()) | {"invocationId": None}

    async def scenario(db: Database, ledger: Ledger) -> None:
        # As a log has it that older versions wrote.
        await execute(dsn, "ALTER TABLE audit.entry DROP CONSTRAINT entry_recorded_within_the_calendar")
        await ledger.append(canonical(odd))
        await ledger.append(canonical(nobody))  # nobody could say of which run an end would be
        await ledger.append(started())
        assert await close(db, ledger) == 2
        assert [entry["startedSeq"] for _, entry in await closings(db)] == [0, 2]
        page = await invocation_page(db, limit=10)
        assert [each.seq for each in page.invocations] == [4]
        assert page.unreadable == [3]  # nobody knows by what it was run

    with_ledger(dsn, scenario)


def test_nothing_is_closed_in_a_log_that_is_not_trusted(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        await ledger.append(started())
        ledger.distrust(StorageUnavailable("it was cut"))
        with pytest.raises(StorageUnavailable, match="it was cut"):
            await close(db, ledger)
        assert await closings(db) == []

    with_ledger(dsn, scenario)


def test_it_is_done_at_the_start_and_again_and_again(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "INTERVAL_SECONDS", 0.02)

    async def scenario(db: Database, ledger: Ledger) -> None:
        async with Interruptions(db, ledger, AT_ONCE), asyncio.timeout(20):
            for count in (1, 2):
                await ledger.append(started())
                await db.execute("audit_maintain")
                while len(await closings(db)) < count:  # noqa: ASYNC110 -- another process could write it
                    await asyncio.sleep(0.01)

    with_ledger(dsn, scenario)


def test_a_round_costs_no_more_in_a_long_log(dsn: str) -> None:
    """Of 300 runs and 20,000 other entries that are settled a round reads nothing again."""
    skip = """
        INSERT INTO audit.entry
            (seq, entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, entry)
        SELECT
            1000 + n, gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'host.call' ELSE 'invocation.finished' END,
            'info', now(), 'ann', 'a/one', gen_random_uuid(), '{}'
        FROM generate_series(1, 20000) AS n
    """

    async def pages_read(db: Database, query: str, *arguments: object) -> int:
        async with db.owner() as connection:
            for _ in range(7):  # what it takes to plan is not what is asked
                await connection.fetch(db.sql(query), *arguments)
            (row,) = await connection.fetch(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {db.sql(query)}", *arguments
            )
        plan = orjson.loads(row[0])[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    async def scenario(db: Database, ledger: Ledger) -> None:
        runs = [started() for _ in range(300)]
        for each in runs:
            await ledger.append(each)
            await ledger.append(finished(invocation_id=each.invocation_id))
        await close(db, ledger)
        assert await settled(db) == 600
        await execute(
            dsn, skip, "INSERT INTO audit.log_mark SELECT 22000, now()", "ANALYZE audit.entry_00000000"
        )
        assert await close(db, ledger) == 0
        assert await pages_read(db, "run_next_unended", AT_ONCE, 2000) < 20
        # Another start stands behind all of that, and is found by its index; it is not passed over.
        await execute(dsn, "UPDATE audit.run_watch SET settled = 600")
        await execute(
            dsn,
            "INSERT INTO audit.entry (seq, entry_id, kind, level, recorded_at, actor, invocation_id, entry) "
            "SELECT 21500, gen_random_uuid(), 'invocation.started', 'warn', now(), '', gen_random_uuid(), ''",
        )
        row = await db.fetchrow("run_next_unended", AT_ONCE, 2000)
        assert row is not None
        assert (row["ended"], row["unended"]) == (0, 21500)
        assert await pages_read(db, "run_next_unended", AT_ONCE, 2000) < 100

    with_ledger(dsn, scenario)


def test_a_note_that_passes_over_a_run_is_a_finding(dsn: str) -> None:
    async def scenario(db: Database) -> None:
        async with Ledger(db) as ledger:
            await ledger.append(started())
            assert await check_structure(db) == ()
            await execute(dsn, "UPDATE audit.run_watch SET settled = 1")
            (finding,) = await check_structure(db)
            assert (finding.code, finding.first_seq) == (FindingCode.ROLLUP_DIFFERS, 0)

    with_database(dsn, scenario)


def test_the_longest_run_is_within_what_the_database_remembers() -> None:
    assert timedelta(milliseconds=LONGEST_TIME_MS) < LONGEST_RUN < timedelta(minutes=55)


def test_entries_know_every_executor() -> None:
    assert {each.value for each in Executor} == EXECUTORS
