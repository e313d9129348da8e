"""A ledger whose connection or server is lost: nothing is lost or doubled, and it is soon back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from subgraph.audit import Ledger, ledger
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database, EmbeddedPostgres
from subgraph.storage.migrations import Connection
from tests.audit.factory import finished
from tests.audit.ledgers import cut, with_ledger
from tests.support.ledger import Load, LogCheck, locked_log
from tests.support.postgres import EmbeddedSettings, execute, kill_postmaster, run, settings_for, until


def test_a_lost_connection_is_known_at_once_and_replaced(dsn: str) -> None:
    async def scenario(_: Database, writer: Ledger) -> None:
        await execute(dsn, cut(writer))
        await until(lambda: writer._connection is None)
        with pytest.raises(StorageUnavailable):
            writer.ensure_writable()
        with pytest.raises(StorageUnavailable):
            await writer.append(finished())
        await until(lambda: writer._connection is not None, seconds=1)
        assert await writer.append(finished()) == 0

    with_ledger(dsn, scenario)


def test_connections_cut_under_load_lose_and_double_nothing(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        load = Load(writer, callers=32)
        for _ in range(6):
            await asyncio.sleep(0.15)
            await until(lambda: writer._connection is not None)
            await execute(dsn, cut(writer))
        await load.stop()
        assert len(load.told.acknowledged) > 100
        assert await LogCheck().violations(db, load.told) == []

    with_ledger(dsn, scenario)


class LossyConnection:
    """A connection that breaks before (or, if `late`, after) the server did what it was asked."""

    def __init__(self, connection: Connection, *, late: bool) -> None:
        self._connection = connection
        self._late = late

    async def fetchval(self, query: str, *args: object, timeout: float) -> object:  # noqa: ASYNC109 -- asyncpg's
        if self._late:
            await self._connection.fetchval(query, *args, timeout=timeout)
        raise ConnectionResetError

    def terminate(self) -> None:
        self._connection.terminate()


@pytest.mark.parametrize("late", [True, False])
def test_a_batch_whose_answer_is_lost_is_looked_up(dsn: str, late: bool) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        assert writer._connection is not None
        writer._connection = cast("Connection", LossyConnection(writer._connection, late=late))
        assert await asyncio.gather(*(writer.append(finished()) for _ in range(3))) == [0, 1, 2]
        assert await db.fetchval("audit_size") == 3

    with_ledger(dsn, scenario)


def test_a_first_attempt_that_commits_late_is_not_doubled(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server still works on a batch that the ledger gave up: both attempts wait for one lock."""
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.3)

    async def scenario(db: Database, writer: Ledger) -> None:
        async with locked_log(dsn):
            callers = [asyncio.create_task(writer.append(finished())) for _ in range(5)]
            await asyncio.sleep(1)
        assert sorted(await asyncio.gather(*callers)) == [0, 1, 2, 3, 4]
        assert await db.fetchval("audit_size") == 5

    with_ledger(dsn, scenario)


def test_a_ledger_whose_last_flush_failed_is_not_writable(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new connection proves little: a server whose disk is full accepts it."""
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.2)

    async def scenario(_: Database, writer: Ledger) -> None:
        async with locked_log(dsn):
            caller = asyncio.create_task(writer.append(finished()))
            await until(lambda: writer._connection is None)
            await until(lambda: writer._connection is not None)
            with pytest.raises(StorageUnavailable):
                writer.ensure_writable()
        assert await caller == 0
        writer.ensure_writable()

    with_ledger(dsn, scenario)


def test_callers_get_an_error_when_the_log_stays_locked(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.6)
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.2)

    async def scenario(db: Database, writer: Ledger) -> None:
        async with locked_log(dsn):
            # It stays locked until they have their answer, so they do not wait for it.
            callers = [writer.append(finished()) for _ in range(3)]
            results = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 30)
            assert all(isinstance(result, StorageUnavailable) for result in results)
        await until(lambda: writer._connection is not None and not writer._in_flight)
        load = Load(writer, callers=2)
        await asyncio.sleep(0.1)
        await load.stop()
        assert load.told.acknowledged

    with_ledger(dsn, scenario)


def test_a_server_killed_under_load_loses_and_doubles_nothing(root: Path) -> None:
    settings = EmbeddedSettings(home=root)

    async def scenario() -> None:
        async with Database(settings) as db, Ledger(db) as writer:
            load = Load(writer, callers=32)
            for _ in range(2):
                await asyncio.sleep(0.3)
                before = len(load.told.acknowledged)
                kill_postmaster(settings.postgres_dir)
                await until(lambda: writer._connection is None)
                await until(lambda before=before: len(load.told.acknowledged) > before + 64, seconds=10)  # type: ignore[misc]
            await load.stop()
            assert await LogCheck().violations(db, load.told) == []

    run(scenario())


def test_close_ends_while_the_server_is_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.5)

    async def scenario() -> None:
        postgres = EmbeddedPostgres(root / "postgres")
        async with Database(settings_for(await postgres.start())) as db, Ledger(db) as writer:
            await execute(postgres.dsn, "ALTER TABLE audit.log_head RENAME TO away")
            caller = asyncio.create_task(writer.append(finished()))
            await asyncio.sleep(0.05)
            await postgres.stop()
            with pytest.raises(StorageUnavailable):
                await caller

    run(scenario())
