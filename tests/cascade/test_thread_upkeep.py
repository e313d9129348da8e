"""What LangGraph kept of consultations ends with its age, in small steps and in nobody's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from subgraph.cascade import thread_upkeep, threads
from subgraph.cascade.thread_upkeep import LEFT_AFTER, ThreadUpkeep
from subgraph.cascade.threads import FORGET_LOCK_KEY, Threads
from subgraph.settings import PayloadMode
from subgraph.storage import Database
from tests.cascade.running import HELLO, QUERY, Cascade, started
from tests.support.model_gateway import Reply, picking
from tests.support.postgres import execute, run, settings_for, until
from tests.support.skills import OPERATOR

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
DAYS = timedelta(days=30)


_CHECKPOINT = """
INSERT INTO consultation.checkpoints (thread_id, checkpoint_id, checkpoint)
VALUES ('{name}', '{number}', jsonb_build_object('ts', (now() - interval '{age}')::text))
"""
_BLOB = """
INSERT INTO consultation.checkpoint_blobs (thread_id, channel, version, type, blob)
VALUES ('{name}', 'prompt', '{number}', 'bytes', 'x')
"""
_WRITE = """
INSERT INTO consultation.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, blob)
VALUES ('{name}', '{number}', 'a', 0, 'prompt', 'x')
"""


def kept(name: str, *ages: str) -> list[str]:
    """Statements that keep a thread, with a checkpoint of each age."""
    return [
        statement.format(name=name, number=number, age=age)
        for number, age in enumerate(ages)
        for statement in (_CHECKPOINT, _BLOB, _WRITE)
    ]


async def names(dsn: str) -> dict[str, set[str]]:
    """The threads of which each table has something."""
    connection = await asyncpg.connect(dsn)
    try:
        return {
            table: {row[0] for row in await connection.fetch(f"SELECT thread_id FROM consultation.{table}")}  # noqa: S608
            for table in TABLES
        }
    finally:
        await connection.close()


async def until_left(dsn: str, expected: Callable[[set[str]], bool]) -> None:
    """Wait until those are left that shall be."""
    async with asyncio.timeout(5):
        while not expected((await names(dsn))["checkpoints"]):  # noqa: ASYNC110 -- a database tells nobody
            await asyncio.sleep(0.01)


def with_threads(dsn: str, scenario: Callable[[Threads], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with Database(settings_for(dsn)) as database, Threads(database) as entered:
            await scenario(entered)

    run(opened())


def everywhere(*threads: str) -> Mapping[str, set[str]]:
    return {table: set(threads) for table in TABLES}


def test_a_thread_ends_when_its_last_checkpoint_is_too_old(dsn: str) -> None:
    async def scenario(opened: Threads) -> None:
        await execute(
            dsn,
            *kept("young", "29 days 23:59"),
            *kept("old", "30 days 00:01"),
            *kept("older", "90 days", "31 days"),
            *kept("resumed", "90 days", "1 minute"),
        )
        assert await opened.forget_old(DAYS) == 2
        assert await names(dsn) == everywhere("young", "resumed")
        assert await opened.forget_old(DAYS) == 0
        assert await opened.forget_old(LEFT_AFTER) == 1
        assert await names(dsn) == everywhere("resumed")

    with_threads(dsn, scenario)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1000])
def test_threads_are_gone_through_in_pages_of_any_size(
    dsn: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "PAGE_ROWS", rows)
    monkeypatch.setattr(threads, "PAUSE_SECONDS", 0)

    async def scenario(opened: Threads) -> None:
        old = [f"{number:02}-old" for number in range(12)]
        new = [f"{number:02}-new" for number in range(5)]
        for name in old:
            await execute(dsn, *kept(name, "32 days", "31 days"))
        for name in new:
            await execute(dsn, *kept(name, "31 days", "29 days", "1 day"))
        assert await opened.forget_old(DAYS) == 12
        assert await names(dsn) == everywhere(*new)

    with_threads(dsn, scenario)


def test_no_transaction_deletes_more_than_a_page(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PAGE_ROWS", 4)

    async def scenario(opened: Threads) -> None:
        for number in range(10):
            await execute(dsn, *kept(f"thread-{number}", "31 days"))
        monkeypatch.setattr(threads, "PAUSE_SECONDS", 60)
        forgetting = asyncio.create_task(opened.forget_old(DAYS))
        await until_left(dsn, lambda left: len(left) < 10)
        assert await names(dsn) == everywhere(*(f"thread-{number}" for number in range(4, 10)))
        forgetting.cancel()  # as at the end of a process; the next one goes on
        await asyncio.wait([forgetting])
        monkeypatch.setattr(threads, "PAUSE_SECONDS", 0)
        assert await opened.forget_old(DAYS) == 6

    with_threads(dsn, scenario)


def test_of_several_replicas_one_has_the_turn(dsn: str) -> None:
    async def scenario(opened: Threads) -> None:
        await execute(dsn, *kept("old", "31 days"))
        other = await asyncpg.connect(dsn)
        try:
            await other.execute("SELECT pg_advisory_lock($1)", FORGET_LOCK_KEY)
            assert await opened.forget_old(DAYS) == 0
            assert await names(dsn) == everywhere("old")
        finally:
            await other.close()
        assert sum(await asyncio.gather(*(opened.forget_old(DAYS) for _ in range(4)))) == 1
        assert await names(dsn) == everywhere()

    with_threads(dsn, scenario)


def test_it_is_done_again_and_again_and_after_an_outage(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thread_upkeep, "INTERVAL_SECONDS", 0.02)
    caplog.set_level(logging.INFO, "subgraph.cascade")

    def said(text: str) -> bool:
        return any(text in record.getMessage() for record in caplog.records)

    async def scenario(opened: Threads) -> None:
        await execute(dsn, *kept("one", "31 days"))
        async with ThreadUpkeep(opened, DAYS):
            await until(lambda: said("kept of 1 consultations was deleted"))
            await execute(dsn, "ALTER SCHEMA consultation RENAME TO elsewhere")
            await until(lambda: said("have to wait to be deleted"))
            await execute(dsn, "ALTER SCHEMA elsewhere RENAME TO consultation")
            await execute(dsn, *kept("two", "31 days"), *kept("three", "31 days"))
            await until_left(dsn, lambda left: not left)

    with_threads(dsn, scenario)


def test_a_consultation_in_progress_goes_on(sealing: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PAUSE_SECONDS", 0)
    assert sealing.service._supervisor is not None
    opened = sealing.service._supervisor._threads

    async def work() -> None:
        sealing.server.behaviour = lambda asked: Reply(**{**vars(picking(HELLO)(asked)), "wait": 0.5})
        asking = asyncio.create_task(sealing.service.dispatcher.route(OPERATOR, QUERY, invoke=False))
        await until(lambda: bool(sealing.server.asked))
        await execute(sealing.dsn, *kept("old", "61 minutes"))
        assert await opened.forget_old(LEFT_AFTER) == 1
        while not asking.done():
            assert await opened.forget_old(LEFT_AFTER) == 0
            await asyncio.sleep(0.01)
        dispatched = await asking
        assert dispatched.decision.skill_name == HELLO
        assert await names(sealing.dsn) == everywhere(dispatched.decision.request_id or "")

    sealing.run(work())


@pytest.mark.parametrize(
    ("mode", "left"),
    [(PayloadMode.ENCRYPTED, {"two-days", "an-hour"}), (PayloadMode.COMMITTED, {"minutes"})],
)
def test_the_service_keeps_threads_as_its_settings_say(
    dsn: str, tmp_path: Path, mode: PayloadMode, left: set[str]
) -> None:
    async def prepare(_: Threads) -> None:
        await execute(
            dsn,
            *kept("three-days", "73 hours"),
            *kept("two-days", "71 hours"),
            *kept("an-hour", "61 minutes"),
        )

    with_threads(dsn, prepare)
    for service in started(tmp_path, dsn, audit_payloads=mode, llm_threads_days=3):
        service.run(execute(dsn, *kept("minutes", "59 minutes")))
        service.run(until_left(dsn, lambda names: names == left | {"minutes"}))
