"""The tree that PostgreSQL keeps is the tree of the entries, and its proofs verify."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from subgraph.audit.log_tree import LogDamaged, LogTree
from subgraph.audit.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from subgraph.audit.tiles import tiles
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.support.postgres import execute, run, settings_for

T = TypeVar("T")

ENTRY = finished().encode()


def with_log(dsn: str, scenario: Callable[[Database, LogTree], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Database(settings_for(dsn)) as database:
            return await scenario(database, LogTree(database))

    return run(opened())


async def grow(database: Database, entries: list[bytes], count: int, batch: int) -> None:
    """Append `count` entries in batches, and remember them."""
    while count > 0:
        made = [
            ENTRY.replace(b'"elapsedUs":812', b'"elapsedUs":%d' % (len(entries) + number))
            for number in range(min(batch, count))
        ]
        first = await database.fetchval("audit_append", uuid.uuid4(), made)
        assert first == len(entries)
        entries += made
        count -= len(made)


def roots_of(entries: list[bytes]) -> list[bytes]:
    """The root at each size, computed here."""
    frontier = Frontier()
    roots = [frontier.root()]
    for entry in entries:
        frontier.append(leaf_hash(entry))
        roots.append(frontier.root())
    return roots


def test_the_head_is_that_of_the_entries_after_every_batch(dsn: str) -> None:
    async def scenario(database: Database, log: LogTree) -> None:
        entries: list[bytes] = []
        chance = random.Random(5)  # noqa: S311 -- sizes of batches, no secret
        assert (await log.head()).root == Frontier().root()
        for _ in range(60):
            await grow(database, entries, chance.choice((1, 1, 2, 3, 7, 64)), 64)
            head = await log.head()
            expected = Frontier()
            expected.extend(map(leaf_hash, entries))
            assert (head.size, head.frontier.hashes) == (expected.size, expected.hashes)

    with_log(dsn, scenario)


def test_proofs_verify_across_tiles(dsn: str) -> None:
    async def scenario(database: Database, log: LogTree) -> None:
        entries: list[bytes] = []
        await grow(database, entries, 1300, 256)
        roots = roots_of(entries)
        chance = random.Random(6)  # noqa: S311
        sizes = [
            1,
            2,
            255,
            256,
            257,
            511,
            512,
            513,
            1024,
            1299,
            1300,
            *(chance.randint(1, 1300) for _ in range(20)),
        ]
        for size in sizes:
            assert await log.root(size) == roots[size]
            for seq in {0, size - 1, size // 2, chance.randrange(size)}:
                proof = await log.inclusion(seq, size)
                verify_inclusion(leaf_hash(entries[seq]), seq, size, proof, roots[size])
            older = chance.randint(0, size)
            verify_consistency(older, roots[older], size, roots[size], await log.consistency(older, size))

    with_log(dsn, scenario)


def test_a_second_level_of_tiles_is_kept(dsn: str) -> None:
    async def scenario(database: Database, log: LogTree) -> None:
        entries: list[bytes] = []
        await grow(database, entries, 65_536 + 300, 4096)
        frontier = Frontier()
        frontier.extend(map(leaf_hash, entries))
        head = await log.head()
        assert head.root == frontier.root()
        assert await database.fetchval("audit_tile", 1, 0) is not None
        for seq in (0, 40_000, 65_535, 65_536, 65_835):
            proof = await log.inclusion(seq, head.size)
            verify_inclusion(leaf_hash(entries[seq]), seq, head.size, proof, head.root)
        for tile in tiles(head.size):
            if tile.level:
                assert len(await log.tile(tile)) == tile.width

    with_log(dsn, scenario)


def test_missing_hashes_are_damage(dsn: str) -> None:
    async def scenario(database: Database, log: LogTree) -> None:
        await grow(database, [], 600, 256)
        await execute(
            dsn,
            "ALTER TABLE audit.tile DISABLE TRIGGER append_only",
            "DELETE FROM audit.tile WHERE index = 1",
            "ALTER TABLE audit.entry DISABLE TRIGGER append_only",
            "ALTER TABLE audit.entry_00000000 DISABLE TRIGGER append_only",
            "DELETE FROM audit.entry WHERE seq = 599",
        )
        with pytest.raises(LogDamaged, match="Tile 1 of level 0"):
            await log.inclusion(300, 600)
        with pytest.raises(LogDamaged, match="below tile 2"):
            await log.inclusion(590, 600)

    with_log(dsn, scenario)
