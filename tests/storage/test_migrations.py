from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from subgraph.errors import StorageUnavailable
from subgraph.settings import Settings
from subgraph.storage import migrations
from subgraph.storage.migrations import SchemaRefused, migrate, read_migrations
from tests.support.postgres import execute, run


def write(directory: Path, *statements: str) -> Path:
    for number, statement in enumerate(statements, start=1):
        (directory / f"{number:04d}_step.sql").write_text(statement)
    return directory


async def apply(dsn: str, directory: Path) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return await migrate(connection, read_migrations(directory))
    finally:
        await connection.close()


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_migrations_are_applied_once_in_order(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "CREATE TABLE t (a int)", "ALTER TABLE t ADD b int; INSERT INTO t VALUES (1, 2)")
    assert run(apply(dsn, tmp_path)) == [1, 2]
    assert run(apply(dsn, tmp_path)) == []
    assert run(value(dsn, "SELECT count(*) FROM t")) == 1


def test_eight_racing_processes_apply_each_migration_once(dsn: str) -> None:
    async def race() -> list[list[int]]:
        return await asyncio.gather(*(apply(dsn, Settings().sql_dir) for _ in range(8)))

    applied = run(race())
    count = len(read_migrations(Settings().sql_dir))
    assert sorted(version for versions in applied for version in versions) == list(range(1, count + 1))
    assert run(value(dsn, "SELECT count(*) FROM schema_migration")) == count


def test_an_edited_migration_is_refused(dsn: str, tmp_path: Path) -> None:
    run(apply(dsn, write(tmp_path, "CREATE TABLE t (a int)")))
    with pytest.raises(SchemaRefused, match="0001_step was applied with other content"):
        run(apply(dsn, write(tmp_path, "CREATE TABLE t (a bigint)")))


def test_a_newer_database_is_refused(dsn: str, tmp_path: Path) -> None:
    run(apply(dsn, write(tmp_path, "SELECT 1", "SELECT 2")))
    (tmp_path / "0002_step.sql").unlink()
    with pytest.raises(SchemaRefused, match="schema version 2, this program knows 1"):
        run(apply(dsn, tmp_path))


def test_a_failing_migration_is_rolled_back_whole_and_can_be_repaired(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "CREATE TABLE a ()", "CREATE TABLE b (); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        run(apply(dsn, tmp_path))
    assert run(value(dsn, "SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")) is True
    write(tmp_path, "CREATE TABLE a ()", "CREATE TABLE b ()")
    assert run(apply(dsn, tmp_path)) == [2]


def test_a_lock_that_another_process_keeps_is_waited_for_only_so_long(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.1)

    async def blocked() -> None:
        holder = await asyncpg.connect(dsn)
        await holder.execute("SELECT pg_advisory_lock($1)", migrations.LOCK_KEY)
        try:
            await apply(dsn, write(tmp_path, "SELECT 1"))
        finally:
            await holder.close()

    with pytest.raises(StorageUnavailable, match="Another process has been migrating"):
        run(blocked())


@pytest.mark.parametrize("name", ["0002_gap.sql", "1_short.sql", "0001-dash.sql", "0001_Upper.sql"])
def test_a_malformed_or_missing_number_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(ValueError, match="expected 0001_<name>"):
        read_migrations(tmp_path)


def test_a_directory_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no migrations"):
        read_migrations(tmp_path)


def test_migrating_lifts_the_time_limit_for_statements(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "CREATE TABLE limits AS SELECT current_setting('statement_timeout') AS ms")

    async def migrated() -> None:
        connection = await asyncpg.connect(dsn, server_settings={"statement_timeout": "5000"})
        await migrate(connection, read_migrations(tmp_path))
        await connection.close()

    run(migrated())
    assert run(value(dsn, "SELECT ms FROM limits")) == "0"
    run(execute(dsn, "DROP TABLE limits"))
