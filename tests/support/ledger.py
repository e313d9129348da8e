"""Callers of a ledger who remember what they were told, and a log held against that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from subgraph.audit import Ledger
from subgraph.audit.log_tree import LogTree
from subgraph.audit.merkle import Frontier, leaf_hash
from subgraph.audit.tiles import TILE_WIDTH, Tile
from subgraph.errors import Overloaded, StorageUnavailable
from subgraph.storage import Database
from tests.audit.factory import finished

REFUSED_SECONDS = 0.01
"""Rest of a caller that was refused, so that an outage is not a busy loop."""


@asynccontextmanager
async def locked_log(dsn: str) -> AsyncIterator[None]:
    """Let no entry become durable: somebody else holds the lock of the log's head."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM audit.log_head FOR UPDATE")
            yield
    finally:
        await connection.close()


class Told:
    """What callers were told of their entries, each by its id."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, UUID] = {}
        self.unsure: set[UUID] = set()
        self.errors = 0
        self.longest_seconds = 0.0
        self.twice: list[int] = []

    def stored(self, seq: int, entry_id: UUID) -> None:
        """Note an acknowledged entry."""
        if seq in self.acknowledged:
            self.twice.append(seq)
        self.acknowledged[seq] = entry_id


class Load:
    """Callers that append entries, each with an id of its own, until told to stop."""

    def __init__(
        self, writer: Ledger, callers: int, *, told: Told | None = None, rest_seconds: float = 0.0
    ) -> None:
        self.told = told or Told()
        self._writer = writer
        self._rest_seconds = rest_seconds
        self._stop = False
        self._callers = [asyncio.create_task(self._call()) for _ in range(callers)]

    async def _call(self) -> None:
        while not self._stop:
            entry = finished()
            entry_id = UUID(entry.entry_id)
            begin = time.monotonic()
            try:
                self.told.stored(await self._writer.append(entry), entry_id)
                rest = self._rest_seconds
            except (StorageUnavailable, Overloaded):
                self.told.errors += 1
                self.told.unsure.add(entry_id)
                rest = REFUSED_SECONDS
            self.told.longest_seconds = max(self.told.longest_seconds, time.monotonic() - begin)
            await asyncio.sleep(rest)

    async def stop(self) -> None:
        """Return when every caller has its answer."""
        self._stop = True
        await asyncio.gather(*self._callers)


class LogCheck:
    """Reads a log on from where the last look ended; nobody may append meanwhile."""

    def __init__(self) -> None:
        self._tree = Frontier()
        self._ids: set[UUID] = set()
        self._leaves: list[bytes] = []  # of tiles that were not looked at

    async def violations(self, db: Database, told: Told) -> list[str]:
        """Name what is wrong: entries lost, doubled or made up, gaps, and a head that is not the tree's."""
        found = _counted(told.twice, "have the number of another")
        found += await self._read(db, told)
        lost = sorted(seq for seq in told.acknowledged if seq >= self._tree.size)
        found += _counted(lost, "were acknowledged and are lost")
        return found + await self._differences(LogTree(db))

    async def _differences(self, tree: LogTree) -> list[str]:
        """Compare what PostgreSQL keeps of the tree with what the entries make."""
        head = await tree.head()
        if (head.size, head.frontier.hashes) != (self._tree.size, self._tree.hashes):
            return [f"the head, of {head.size} entries, is not the tree of the {self._tree.size} stored"]
        found = []
        if await tree.root(head.size) != head.root:
            found.append("the roots of the stored tiles do not lead to the head")
        while len(self._leaves) >= TILE_WIDTH:
            index = (self._tree.size - len(self._leaves)) // TILE_WIDTH
            if list(await tree.tile(Tile(0, index, TILE_WIDTH))) != self._leaves[:TILE_WIDTH]:
                found.append(f"tile {index} does not hold the hashes of its entries")
            del self._leaves[:TILE_WIDTH]
        return found

    async def _read(self, db: Database, told: Told) -> list[str]:
        twice: list[int] = []
        unknown: list[int] = []
        gap: list[str] = []
        connection = await db.connect()
        try:
            async with connection.transaction():
                async for seq, entry_id, entry in connection.cursor(
                    "SELECT seq, entry_id, entry FROM audit.entry WHERE seq >= $1 ORDER BY seq",
                    self._tree.size,
                    prefetch=1000,
                ):
                    if seq != self._tree.size:
                        gap = [f"entry {self._tree.size} is missing: {seq} follows"]
                        break
                    if entry_id in self._ids:
                        twice.append(seq)
                    expected = told.acknowledged.get(seq)
                    if expected != entry_id and (expected is not None or entry_id not in told.unsure):
                        unknown.append(seq)
                    self._ids.add(entry_id)
                    self._leaves.append(leaf_hash(entry))
                    self._tree.append(self._leaves[-1])
        finally:
            await connection.close()
        return [
            *gap,
            *_counted(twice, "are stored twice"),
            *_counted(unknown, "are not those that their callers were told of"),
        ]


def _counted(numbers: list[int], what: str) -> list[str]:
    return [f"{len(numbers)} entries {what}, the first at {numbers[0]}"] if numbers else []
