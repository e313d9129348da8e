"""Two usual ways to keep an audit table, beside the ledger: same entries, same callers, as durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self, TypeAlias

import asyncpg

_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# The columns and indexes of audit.entry; its partitions are left out, which can only help.
_TABLE = """
CREATE TABLE {name} (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id uuid NOT NULL,
    kind text NOT NULL,
    level text NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    skill_path text,
    invocation_id uuid,
    exit_code integer,
    elapsed_us bigint,
    entry bytea NOT NULL,
    hash bytea
);
CREATE INDEX ON {name} (invocation_id) WHERE invocation_id IS NOT NULL;
CREATE INDEX ON {name} (skill_path, seq) WHERE kind = 'invocation.finished';
CREATE INDEX ON {name} (actor, seq) WHERE kind = 'invocation.finished';
CREATE INDEX ON {name} (actor, seq) WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%';
CREATE INDEX ON {name} (seq) WHERE kind NOT LIKE 'invocation.%' AND kind NOT LIKE 'host.%';
CREATE INDEX ON {name} USING brin (recorded_at);
"""

_INSERT = """
INSERT INTO {name} (
    entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, exit_code, elapsed_us, entry, hash
)
SELECT id, kind, level, at, actor, skill, "invocationId", "exitCode", "elapsedUs", $1::bytea, {hash}
FROM json_to_record(convert_from($1::bytea, 'UTF8')::json) AS doc (
    id uuid, kind text, level text, at timestamptz, actor text, skill text,
    "invocationId" uuid, "exitCode" integer, "elapsedUs" bigint
)
RETURNING seq
"""


class DurableRows(ABC):
    """A table that each entry is written to in a transaction of its own, over a pool of connections."""

    name: ClassVar[str]

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def create(self) -> Self:
        """Create the table."""
        await self._pool.execute(_TABLE.format(name=self.name))
        return self

    async def append(self, entry: bytes) -> int:
        """Store an entry; return its number once it is durable."""
        async with self._pool.acquire() as connection:
            return await self._insert(connection, entry)

    @abstractmethod
    async def _insert(self, connection: _Connection, entry: bytes) -> int: ...


class PlainRows(DurableRows):
    """One INSERT an entry, nothing more: no order, no proof."""

    name = "plain_row"

    async def _insert(self, connection: _Connection, entry: bytes) -> int:
        seq: int = await connection.fetchval(_INSERT.format(name=self.name, hash="NULL"), entry)
        return seq


class ChainedRows(DurableRows):
    """Each row hashes the one before it, under an advisory lock: the usual tamper-evident table."""

    name = "chained_row"

    async def _insert(self, connection: _Connection, entry: bytes) -> int:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(20261120)")
            previous = f"coalesce((SELECT hash FROM {self.name} ORDER BY seq DESC LIMIT 1), '')"  # noqa: S608
            hashed = f"sha256({previous} || $1::bytea)"
            seq: int = await connection.fetchval(_INSERT.format(name=self.name, hash=hashed), entry)
        return seq
