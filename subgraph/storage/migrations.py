"""Schema migrations: numbered files `sql/NNNN_name.sql`, each applied once, in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from subgraph.errors import StorageUnavailable

log = logging.getLogger(__name__)

LOCK_KEY = 0x6379_6265_726F_7331
"""Key of the advisory lock (`cyberos1` in ASCII); any number that no other program takes."""

LOCK_SECONDS = 30.0
"""How long to wait for another process that migrates; ours take well under a second each."""

LOCK_POLL_SECONDS = 0.05

MIGRATION_SECONDS = 86_400.0
"""For one migration: rewriting a large table rightly takes far longer than any query of the service."""

_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")

_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_migration (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_HAS_TABLE = "SELECT to_regclass('public.schema_migration') IS NOT NULL"
_APPLIED = "SELECT version, name, sha256 FROM public.schema_migration ORDER BY version"
_RECORD = "INSERT INTO public.schema_migration (version, name, sha256) VALUES ($1, $2, $3)"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class SchemaRefused(StorageUnavailable):
    """The database's schema is not one that this version of the service can use."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `sha256` is the hexadecimal digest of its bytes."""

    version: int
    name: str
    sha256: str
    sql: str


def read_migrations(directory: Path) -> tuple[Migration, ...]:
    """Read the migrations of `directory` in order.

    Raises `ValueError` if a name is malformed or the versions are not 1, 2, 3 …
    """
    migrations = []
    for expected, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match["version"]) != expected:
            raise ValueError(f"{path.name} is not a migration name: expected {expected:04d}_<name>.sql")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        migrations.append(Migration(expected, match["name"], digest, content.decode()))
    if not migrations:
        raise ValueError(f"no migrations in {directory}")
    return tuple(migrations)


async def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[int]:
    """Bring the database up to the last migration; return the versions applied now.

    Safe to call from any number of processes at once. Raises `SchemaRefused` if an applied migration
    differs from its file or the database is newer than the code, `StorageUnavailable` if another process
    holds the lock for `LOCK_SECONDS`, and `asyncpg.PostgresError` if a migration fails (it is rolled
    back whole; those before it stay).
    """
    if await _applied(connection, migrations) == len(migrations):
        return []  # the usual start takes no lock
    async with _lock(connection):
        await connection.execute(_TABLE)
        done = await _applied(connection, migrations)
        for migration in migrations[done:]:
            await _apply(connection, migration)
    return [migration.version for migration in migrations[done:]]


async def _applied(connection: Connection, migrations: Sequence[Migration]) -> int:
    """Count the migrations that the database has, after checking that they are the first of ours."""
    if not await connection.fetchval(_HAS_TABLE):
        return 0
    rows = await connection.fetch(_APPLIED)
    if len(rows) > len(migrations):
        raise SchemaRefused(
            f"The database is at schema version {rows[-1]['version']}, this program knows "
            f"{len(migrations)}: run the newer program, or restore a backup from before the upgrade."
        )
    for row, migration in zip(rows, migrations, strict=False):
        if row["version"] != migration.version or row["sha256"] != migration.sha256:
            raise SchemaRefused(
                f"Migration {row['version']:04d}_{row['name']} was applied with other content than this "
                "program's file: an applied migration must never be edited; restore the file and add a "
                "new migration."
            )
    return len(rows)


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(migration.sql, timeout=MIGRATION_SECONDS)
        await connection.execute(_RECORD, migration.version, migration.name, migration.sha256)
    log.info("applied migration %04d_%s", migration.version, migration.name)


@asynccontextmanager
async def _lock(connection: Connection) -> AsyncIterator[None]:
    # Polled, never blocking: a session that waits inside pg_advisory_lock holds a snapshot, and CREATE
    # INDEX CONCURRENTLY in the session that has the lock waits for that snapshot: a deadlock.
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if asyncio.get_running_loop().time() > deadline:
            raise StorageUnavailable(
                f"Another process has been migrating the database for {LOCK_SECONDS:.0f} seconds; "
                "wait for it and start again."
            )
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
