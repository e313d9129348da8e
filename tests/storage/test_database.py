from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from subgraph.errors import StorageUnavailable
from subgraph.settings import Settings
from subgraph.storage import Database, EmbeddedPostgres, database
from subgraph.storage.failures import is_outage
from tests.support.postgres import (
    EmbeddedSettings,
    execute,
    kill_postmaster,
    postmaster_pid,
    run,
    settings_for,
)

SOON_SECONDS = 5.0
"""In which work goes on once there is a server again. It takes milliseconds, but not on a loaded machine."""

GRANT = ("cuo/cpo/prd-author", "fs.read", "a" * 64, "local")


async def recovered(db: Database) -> float:
    """Call until the database answers again; seconds that took."""
    begin = time.monotonic()
    while True:
        try:
            await db.fetchval("authority_version_get")
        except StorageUnavailable:
            assert time.monotonic() - begin < 10
            await asyncio.sleep(0.02)
        else:
            return time.monotonic() - begin


def test_queries_run_by_name(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            row = await db.fetchrow("grant_put", *GRANT)
            assert row is not None
            assert isinstance(row["granted_at"], datetime)
            assert [tuple(row)[:4] for row in await db.fetch("grant_list_newest")] == [GRANT]
            assert await db.execute("machine_code_put", "key", bytes(32)) == "INSERT 0 1"
            assert await db.fetchval("machine_code_get", "key") == bytes(32)
            with pytest.raises(KeyError):
                await db.fetch("no_such_query")

    run(scenario())


def test_the_newest_grant_counts_and_granting_again_refreshes_it(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            path, capability, _, _ = GRANT
            for content_hash in ("old", "new", "old"):
                await db.execute("grant_put", path, capability, content_hash, "local")
            await db.execute("grant_put", path, "net.fetch", "new", "local")
            newest = [(row["capability"], row["content_hash"]) for row in await db.fetch("grant_list_newest")]
            assert newest == [("fs.read", "old"), ("net.fetch", "new")]

    run(scenario())


def test_revoking_again_keeps_the_first_record(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            first = await db.fetchrow("revocation_put", "a/b", "leaks", "ann")
            again = await db.fetchrow("revocation_put", "a/b", "other", "bob")
            assert first == again
            assert await db.fetch("revocation_list") == [first]

    run(scenario())


async def grant_and_change_mind(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.fetchval("authority_version_bump") == 1
        await tx.execute("grant_put", *GRANT)
        raise RuntimeError("changed my mind")


def test_a_transaction_is_all_or_nothing(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            with pytest.raises(RuntimeError, match="changed my mind"):
                await grant_and_change_mind(db)
            assert await db.fetch("grant_list_newest") == []
            async with db.transaction() as tx:
                await tx.execute("authority_version_bump")
                await tx.fetchrow("grant_put", *GRANT)
                assert len(await tx.fetch("grant_list_newest")) == 1
            assert await db.fetchval("authority_version_get") == 1

    run(scenario())


def test_a_mistake_in_the_arguments_is_not_an_outage(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            with pytest.raises(asyncpg.DataError):
                await db.execute("machine_code_put", "key", 17)
            with pytest.raises(asyncpg.CheckViolationError):
                await db.execute("machine_code_put", "key", b"short")

    run(scenario())


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:hunter2@127.0.0.1:1/none",
        "postgresql://user:hunter2@/none?host=/nonexistent",
        "postgresql://user:hunter2@localhost:port/none",
        "mysql://user:hunter2@localhost/none",
    ],
)
def test_an_address_without_a_server_is_refused_quickly_and_keeps_its_password(address: str) -> None:
    begin = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        run(Database(Settings(database_url=SecretStr(address))).start())
    assert time.monotonic() - begin < 2
    assert "hunter2" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begin = time.monotonic()
        with pytest.raises(StorageUnavailable):
            run(Database(settings_for(f"postgresql://u@127.0.0.1:{port}/d")).start())
        assert time.monotonic() - begin < 2


def test_a_wrong_database_name_is_refused(server: str) -> None:
    with pytest.raises(StorageUnavailable):
        run(Database(settings_for(server.replace("@/postgres?", "@/none?"))).start())


def test_connections_cut_by_the_server_are_replaced(server: str, dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            name = dsn.split("@/")[1].split("?")[0]
            cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608

            async def grant_while_cut() -> None:
                async with db.transaction() as tx:
                    await execute(server, cut)
                    await tx.execute("grant_put", *GRANT)

            await db.ping(1)
            await execute(server, cut)
            assert await recovered(db) < SOON_SECONDS
            with pytest.raises(StorageUnavailable):
                await grant_while_cut()
            assert await recovered(db) < SOON_SECONDS
            assert await db.fetch("grant_list_newest") == []

    run(scenario())


def test_a_read_only_server_is_an_outage(server: str, dsn: str) -> None:
    async def scenario() -> None:
        name = dsn.split("@/")[1].split("?")[0]
        async with Database(settings_for(dsn)) as db:
            await db.ping(1)
        await execute(server, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        async with Database(settings_for(dsn)) as db:
            with pytest.raises(StorageUnavailable):
                await db.execute("grant_put", *GRANT)

    run(scenario())


def test_work_resumes_after_a_configured_server_was_restarted(root: Path) -> None:
    async def scenario() -> None:
        postgres = EmbeddedPostgres(root / "postgres")
        async with Database(settings_for(await postgres.start())) as db:
            await db.execute("grant_put", *GRANT)
            await postgres.stop()
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    await db.fetchval("authority_version_get")
            with pytest.raises(StorageUnavailable):
                await db.ping(1)
            with pytest.raises(StorageUnavailable):
                await db.connect()
            await postgres.start()
            assert await recovered(db) < SOON_SECONDS
            assert len(await db.fetch("grant_list_newest")) == 1
        await postgres.stop()

    run(scenario())


async def forever(db: Database) -> None:
    while True:
        await db.fetchval("authority_version_get")


def test_the_embedded_server_comes_back_by_itself_after_it_was_killed(root: Path) -> None:
    settings = EmbeddedSettings(home=root)

    async def scenario() -> None:
        async with Database(settings) as db:
            await db.execute("grant_put", *GRANT)
            for _ in range(2):
                kill_postmaster(settings.postgres_dir)
                with pytest.raises(StorageUnavailable):
                    await forever(db)
                await recovered(db)
                assert len(await db.fetch("grant_list_newest")) == 1
        assert not (settings.postgres_dir / "postmaster.pid").exists()

    run(scenario())


async def backends(db: Database) -> list[int]:
    """Process ids that serve the connections of the pool."""
    async with db.owner() as connection:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    return [row["pid"] for row in rows]


def test_a_frozen_server_is_an_error_within_bounded_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "COMMAND_SECONDS", 1.0)  # the schema is made within it, too
    monkeypatch.setattr(database, "CALL_SECONDS", 1.5)

    async def scenario() -> None:
        postgres = EmbeddedPostgres(root / "postgres")
        async with Database(settings_for(await postgres.start())) as db:
            await db.ping(1)
            pids = [postmaster_pid(root / "postgres"), *await backends(db)]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            begin = time.monotonic()
            try:
                with pytest.raises(StorageUnavailable):
                    await db.fetchval("authority_version_get")
                with pytest.raises(StorageUnavailable):
                    await db.ping(0.2)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            assert time.monotonic() - begin < 5
            assert await recovered(db) < SOON_SECONDS
        await postgres.stop()

    run(scenario())


def test_use_after_close_is_refused(dsn: str) -> None:
    async def scenario() -> None:
        db = Database(settings_for(dsn))
        with pytest.raises(StorageUnavailable):
            await db.fetch("grant_list_newest")
        await db.start()
        await db.close()
        await db.close()
        with pytest.raises(StorageUnavailable):
            await db.fetch("grant_list_newest")

    run(scenario())


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (asyncpg.AdminShutdownError(), True),
        (asyncpg.CrashShutdownError(), True),
        (asyncpg.TooManyConnectionsError(), True),
        (asyncpg.DiskFullError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.QueryCanceledError(), True),
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.InvalidPasswordError(), True),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.UndefinedTableError(), False),
        (asyncpg.InvalidTextRepresentationError(), False),
        (ValueError(), False),
    ],
)
def test_outages_are_told_from_mistakes(error: Exception, outage: bool) -> None:
    assert is_outage(error) is outage
