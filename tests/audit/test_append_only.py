"""The log only grows: for the owner of the database by its triggers, for the service by its rights too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest

from subgraph.audit import Ledger
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.audit.ledgers import stored, with_ledger
from tests.support.postgres import empty_database, execute, run, settings_for


@pytest.fixture(scope="module")
def protected(server: str) -> Iterator[str]:
    """The DSN of a log of one entry, which no test here can change."""

    async def append(_: Database, writer: Ledger) -> None:
        await writer.append(finished())

    with empty_database(server) as dsn:
        with_ledger(dsn, append)
        yield dsn


def with_log(dsn: str, scenario: Callable[[Database], Awaitable[None]]) -> None:
    """Run a scenario, after which the log must be as it was."""

    async def opened() -> None:
        async with Database(settings_for(dsn)) as db:
            before = await stored(db)
            await scenario(db)
            assert await stored(db) == before
            assert len(before) == await db.fetchval("audit_size") == 1

    run(opened())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit.entry SET actor = 'somebody else'",
        "UPDATE audit.entry_00000000 SET actor = 'somebody else'",
        "TRUNCATE audit.entry_00000007",
        "UPDATE audit.tile SET root = root",
        "UPDATE audit.log_head SET log_id = gen_random_uuid(), size = size + 1",
        "DELETE FROM audit.entry",
        "DELETE FROM audit.entry WHERE false",
        "TRUNCATE audit.entry",
        "UPDATE audit.log_head SET size = size - 1",
        "UPDATE audit.log_head SET size = size",
        "DELETE FROM audit.log_head",
        "TRUNCATE audit.log_head",
        "INSERT INTO audit.log_head (only_row, size) VALUES (false, 0)",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_log_refuses_any_change_but_growth(protected: str, change: str, role: str) -> None:
    async def scenario(_: Database) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"append-only|only grows"):
            await execute(protected, f"SET session_replication_role = {role}", change)

    with_log(protected, scenario)


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO audit.entry SELECT * FROM audit.entry",
        "INSERT INTO audit.entry_00000001 SELECT * FROM audit.entry",
        "UPDATE audit.entry SET actor = 'somebody else'",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry",
        "UPDATE audit.log_head SET size = size + 1",
        "SELECT * FROM audit.log_head FOR UPDATE",
        "DELETE FROM audit.batch",
        "INSERT INTO audit.tile SELECT * FROM audit.tile",
        "UPDATE audit.tally_hour SET entries = 0",
        "UPDATE audit.tally_total SET entries = 0",
        "UPDATE audit.entry_hour SET first_seq = 0",
        "UPDATE audit.invocation_hour SET invocations = 0",
        "ALTER TABLE audit.entry DISABLE TRIGGER append_only",
        "ALTER TABLE audit.entry ADD COLUMN note text",
        "DROP TABLE audit.entry_00000000",
        "CREATE TABLE audit.other (seq bigint)",
        "CREATE OR REPLACE FUNCTION audit.append(uuid, bytea[]) RETURNS bigint LANGUAGE sql AS 'SELECT 0'",
        "SELECT audit.make_partitions(64)",
        "SELECT audit.keep_tiles(0, 256)",
        "SELECT audit.drop_entries(1048576)",
        "SET session_replication_role = replica",
        "DELETE FROM public.schema_migration",
    ],
)
def test_the_role_of_the_service_appends_and_nothing_else(protected: str, change: str) -> None:
    async def scenario(db: Database) -> None:
        connection = await db.connect()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
        await connection.close()

    with_log(protected, scenario)
