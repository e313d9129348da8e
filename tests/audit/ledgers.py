"""A ledger on an empty database, and what it wrote there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from subgraph.audit import Ledger, RevokedSkill
from subgraph.storage import Database
from tests.support.postgres import run, settings_for

T = TypeVar("T")


def with_ledger(dsn: str, scenario: Callable[[Database, Ledger], Awaitable[T]]) -> T:
    """Run a scenario with a ledger and its database."""

    async def opened() -> T:
        async with Database(settings_for(dsn)) as db, Ledger(db) as writer:
            return await scenario(db, writer)

    return run(opened())


async def stored(db: Database) -> list[tuple[int, bytes]]:
    """Every entry of the log, by sequence number."""
    connection = await db.connect()
    try:
        return [
            tuple(row) for row in await connection.fetch("SELECT seq, entry FROM audit.entry ORDER BY seq")
        ]
    finally:
        await connection.close()


def cut(writer: Ledger) -> str:
    """A statement that ends the ledger's connection."""
    assert writer._connection is not None
    return f"SELECT pg_terminate_backend({writer._connection.get_server_pid()})"


def padded(size: int) -> bytes:
    """An entry of `size` bytes."""
    note = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="").encode()
    return note + b" " * (size - len(note))
