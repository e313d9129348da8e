"""A log to tamper with, and what somebody does who has all rights to its database and knows its schema."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from subgraph.audit import RevokedSkill
from subgraph.audit.findings import Finding, FindingCode
from subgraph.audit.log_tree import LogTree
from subgraph.audit.notes import Checkpoint
from subgraph.audit.verification import KeptCheckpoint, Verification, verify_log
from subgraph.storage import Database
from tests.audit.factory import NOON, finished
from tests.support.postgres import empty_database, execute, run, settings_for

T = TypeVar("T")

SIZE = 1300
"""Five tiles and 20 entries: complete subtrees of 1024, 256, 16 and 4."""

KEPT_SIZES = (0, 100, 600, 1000, SIZE)
"""Of checkpoints: within a tile and, the last, beyond the last tile."""

TABLES = ("entry", "tile", "log_head", "batch", "tally_hour", "tally_total", "invocation_hour", "entry_hour")

DISARM = """
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN SELECT oid::regclass FROM pg_class
            WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p')
        LOOP
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', name);
        END LOOP;
    END $$
"""
REARM = """
    DO $$
    DECLARE
        name text;
        guard name;
    BEGIN
        FOR name, guard IN SELECT tgrelid::regclass, tgname
            FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
            WHERE relnamespace = 'audit'::regnamespace AND NOT tgisinternal
        LOOP
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', name, guard);
        END LOOP;
    END $$
"""


SMALL_PARTITIONS = (
    """
    CREATE OR REPLACE FUNCTION audit.partition_entries() RETURNS bigint LANGUAGE sql IMMUTABLE
    AS 'SELECT 512::bigint'
    """,
    *(f"DROP TABLE audit.entry_{number:08}" for number in range(9)),
    "SELECT audit.make_partitions(8)",
)
"""Make an empty log have partitions of 512 entries, by its own functions."""

ADD_AT = """
    CREATE TEMPORARY TABLE made AS SELECT * FROM audit.entry WHERE seq = 7;
    UPDATE made SET seq = {};
    INSERT INTO audit.entry SELECT * FROM made;
"""
"""Adds entry 7 once more, with another number."""

CHANGE_HASH = (
    "UPDATE audit.tile SET hashes = overlay(hashes PLACING sha256('') FROM 1 + 32 * {1}) WHERE index = {0};"
)
"""Changes one hash of a tile."""

CHANGE_ROOTS = "UPDATE audit.tile SET root = audit.subtree_root(hashes);"
"""Has the root of each tile fit its hashes."""


@dataclass(frozen=True, slots=True)
class Log:
    """A database with a log, what its entries were, and the checkpoints that were kept of it."""

    dsn: str
    entries: tuple[bytes, ...]
    kept: tuple[KeptCheckpoint, ...]


def entry(number: int) -> bytes:
    """An entry with a number of its own: most are of invocations, over some hours."""
    at = NOON + timedelta(seconds=7 * number)
    if number % 10 == 3:
        return RevokedSkill(actor="ann", skill="a/b", content_hash="a", note=str(number), at=at).encode()
    return finished(elapsed_us=number, at=at, exit_code=number % 3, skill=f"a/skill-{number % 4}").encode()


def with_database(dsn: str, scenario: Callable[[Database], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Database(settings_for(dsn)) as database:
            return await scenario(database)

    return run(opened())


async def append(database: Database, entries: Sequence[bytes], batch: int = 256) -> None:
    for start in range(0, len(entries), batch):
        await database.fetchval("audit_append", uuid.uuid4(), entries[start : start + batch])


async def keep(database: Database, sizes: Sequence[int], source: str = "kept") -> tuple[KeptCheckpoint, ...]:
    """Checkpoints of the log as it is now."""
    log = LogTree(database)
    roots = [await log.root(size) for size in sizes]
    return tuple(
        KeptCheckpoint(f"{source}/{size}", Checkpoint("example.org/log", size, root))
        for size, root in zip(sizes, roots, strict=True)
    )


@contextmanager
def seeded_log(server: str, size: int = SIZE, sizes: Sequence[int] = KEPT_SIZES) -> Iterator[Log]:
    """A log of so many entries, to be copied."""
    entries = tuple(entry(number) for number in range(size))

    async def seed(database: Database) -> tuple[KeptCheckpoint, ...]:
        await append(database, entries)
        await execute(dsn, "CREATE SCHEMA pristine")
        for table in TABLES:
            await execute(dsn, f"CREATE TABLE pristine.{table} AS TABLE audit.{table}")
        return await keep(database, sizes)

    with empty_database(server) as dsn:
        yield Log(dsn, entries, with_database(dsn, seed))


def restore(log: Log) -> None:
    """Undo what was done to the rows of a seeded log, whatever it was; not what was done to its schema."""
    tamper(
        log,
        *(f"DELETE FROM audit.{table}" for table in TABLES),  # noqa: S608
        *(f"INSERT INTO audit.{table} TABLE pristine.{table}" for table in TABLES),
    )


@contextmanager
def copied(server: str, log: Log) -> Iterator[Log]:
    """The log in another database of the server, as a replica that was made of its files."""
    name, template = f"copy_{uuid.uuid4().hex}", log.dsn.partition("@/")[2].partition("?")[0]
    asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    try:
        yield Log(server.replace("@/postgres?", f"@/{name}?"), log.entries, log.kept)
    finally:
        asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


def tamper(log: Log, *statements: str) -> None:
    """Do something to the database with all rights to it, and leave its protection as it was."""
    run(execute(log.dsn, ";".join((DISARM, *statements, REARM))))  # in one transaction


def edited(seq: str) -> str:
    """A statement that changes what an entry says, in as many bytes."""
    return f"UPDATE audit.entry SET entry = overlay(entry PLACING 'x' FROM 12 FOR 1) WHERE seq IN ({seq})"  # noqa: S608


def rewrite(log: Log, entries: Sequence[bytes]) -> None:
    """Make another log in place of this one: entries, tiles, head and counts by the log's functions."""
    emptied = (f"DELETE FROM audit.{table}" for table in TABLES if table != "log_head")  # noqa: S608
    tamper(log, *emptied, "UPDATE audit.log_head SET size = 0, frontier = '{}'")
    with_database(log.dsn, lambda database: append(database, entries))


def verify(log: Log, kept: Sequence[KeptCheckpoint] | None = None) -> Verification:
    """Compare the log with these checkpoints, or with those that were kept of it."""
    return with_database(log.dsn, lambda database: verify_log(database, log.kept if kept is None else kept))


def places(findings: Sequence[Finding]) -> list[tuple[FindingCode, int | None, int | None]]:
    """What was found, and where."""
    return [(finding.code, finding.first_seq, finding.last_seq) for finding in findings]
