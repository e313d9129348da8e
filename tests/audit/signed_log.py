"""A log in a real database whose checkpoints are kept in a real directory."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from subgraph.audit.checkpoint_stores import CheckpointStore, DirectoryStore
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.log_tree import LogDamaged, LogTree
from subgraph.audit.notes import Checkpoint
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.support.postgres import execute, run, settings_for

T = TypeVar("T")

UNLOCKED = tuple(
    f"ALTER TABLE audit.{table} DISABLE TRIGGER USER"
    for table in ("entry", "entry_00000000", "tile", "log_head")
)
"""What the owner of the database does before he changes the log."""

ROOT_OF_TWO = (
    "(SELECT sha256('\\x01'::bytea || string_agg(sha256('\\x00'::bytea || entry), ''::bytea ORDER BY seq))"
    " FROM audit.entry WHERE seq < 2)"
)

CUT = (
    "DELETE FROM audit.entry WHERE seq >= 2",
    f"UPDATE audit.log_head SET size = 2, frontier = ARRAY[{ROOT_OF_TWO}]",  # noqa: S608
)
"""The log as it was with two entries, without a fault in itself."""

OTHER_ACTOR = (
    "UPDATE audit.entry SET entry = convert_to("
    "replace(convert_from(entry, 'UTF8'), '\"actor\":\"local\"', '\"actor\":\"other\"'), 'UTF8')"
    " WHERE seq = 1"
)
REWRITTEN = (
    OTHER_ACTOR,
    f"UPDATE audit.log_head SET frontier = ARRAY[{ROOT_OF_TWO}] || frontier[2:]",  # noqa: S608
)
"""An entry of a log of three was changed, and its tree with it."""


def narrow_partitions(entries: int) -> tuple[str, ...]:
    """Statements that give an empty log partitions of fewer entries."""
    width = "CREATE OR REPLACE FUNCTION audit.partition_entries() RETURNS bigint LANGUAGE sql IMMUTABLE AS "
    drop = (
        "DO $$ DECLARE part text; BEGIN"
        " FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'audit.entry'::regclass LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END $$"
    )
    return f"{width}'SELECT {entries}::bigint'", drop, "SELECT audit.make_partitions(8)"


class SignedLog:
    """A log, and the parts that sign it."""

    def __init__(self, database: Database, dsn: str, home: Path) -> None:
        self.database = database
        self.dsn = dsn
        self.directory = home / "checkpoints"
        self.keys = home / "keys"
        self.damage: list[str] = []

    def checkpoints(self, *further: CheckpointStore, directory: Path | None = None) -> Checkpoints:
        """Another process that signs this log."""
        return Checkpoints(
            LogTree(self.database),
            [DirectoryStore(directory or self.directory), *further],
            self.keys,
            on_damage=lambda error: self.damage.append(error.message),
        )

    async def grow(self, count: int, batch: int = 256) -> None:
        """Append entries, each of which is another."""
        while count > 0:
            made = [finished().encode() for _ in range(min(count, batch))]
            await self.database.fetchval("audit_append", uuid.uuid4(), made)
            count -= len(made)

    async def size(self) -> int:
        """How many entries the log has."""
        size: int = await self.database.fetchval("audit_size")
        return size

    async def tamper(self, *statements: str) -> None:
        """Change the log as the owner of the database can."""
        await execute(self.dsn, *UNLOCKED, *statements)

    async def copy(self) -> None:
        """Make a backup inside of the database."""
        await execute(
            self.dsn,
            "DROP SCHEMA IF EXISTS backup CASCADE",
            "CREATE SCHEMA backup",
            "CREATE TABLE backup.entry AS SELECT * FROM audit.entry",
            "CREATE TABLE backup.tile AS SELECT * FROM audit.tile",
            "CREATE TABLE backup.log_head AS SELECT * FROM audit.log_head",
        )

    async def restore(self) -> None:
        """Restore that backup."""
        await self.tamper(
            "DELETE FROM audit.entry",
            "DELETE FROM audit.tile",
            "DELETE FROM audit.log_head",
            "INSERT INTO audit.entry SELECT * FROM backup.entry",
            "INSERT INTO audit.tile SELECT * FROM backup.tile",
            "INSERT INTO audit.log_head SELECT * FROM backup.log_head",
        )

    async def kept(self) -> list[str]:
        """All notes in the directory, in the order in which they were kept."""
        return [note async for note in DirectoryStore(self.directory).notes()]

    def notes(self) -> list[str]:
        """The same, where no event loop runs."""
        return run(self.kept())

    def newest(self) -> Checkpoint:
        """What the newest note in the directory says, whoever signed it."""
        return Checkpoint.parse((self.directory / "checkpoint").read_text().rpartition("\n\n")[0] + "\n")


@asynccontextmanager
async def signed_log(dsn: str, home: Path) -> AsyncIterator[SignedLog]:
    """Open the log."""
    async with Database(settings_for(dsn)) as database:
        yield SignedLog(database, dsn, home)


def with_signed_log(dsn: str, home: Path, scenario: Callable[[SignedLog], Awaitable[T]]) -> T:
    """Run a scenario on a log."""

    async def opened() -> T:
        async with signed_log(dsn, home) as log:
            return await scenario(log)

    return run(opened())


async def sign_three(log: SignedLog) -> None:
    """Append three entries and keep checkpoints, of which one is of two entries and the last of all three."""
    await log.grow(2)
    async with log.checkpoints():
        await log.grow(1)


async def damage_of(checkpoints: Checkpoints) -> str:
    """Publish, which must be refused; what is said of the log."""
    try:
        await checkpoints.publish()
    except LogDamaged as error:
        return error.message
    raise AssertionError("a log that was changed was signed")


def sizes(notes: Sequence[str]) -> list[int]:
    """The sizes of notes."""
    return [int(note.split("\n")[1]) for note in notes]
