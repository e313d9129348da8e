"""The log's tree as PostgreSQL keeps it: its head, and the hashes that proofs and tiles are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from subgraph.audit.merkle import (
    Frontier,
    Node,
    Plan,
    assemble,
    consistency_nodes,
    inclusion_nodes,
    root_nodes,
)
from subgraph.audit.notes import Checkpoint
from subgraph.audit.tiles import TILE_WIDTH, Tile, node_in, split, tile_of
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database


class LogDamaged(StorageUnavailable):
    """The audit log is not what it was: entries or hashes of it are missing or were changed."""


@dataclass(frozen=True, slots=True)
class Head:
    """The log at one size, as PostgreSQL says that it is."""

    log_id: UUID
    frontier: Frontier

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.frontier.size

    @property
    def root(self) -> bytes:
        """The Merkle tree hash of all of them."""
        return self.frontier.root()

    def checkpoint(self, origin: str) -> Checkpoint:
        """What is signed of it."""
        return Checkpoint(origin, self.size, self.root)


class LogTree:
    """Reads the tree. Whatever it returns is as true as the database: proofs are for others to verify.

    Methods raise `StorageUnavailable`, and `LogDamaged` where something is missing that must be there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        """Return the newest state of the log."""
        row = await self._database.fetchrow("audit_head")
        if row is None:
            raise LogDamaged("The head of the audit log is missing.")
        try:
            return Head(row["log_id"], Frontier(row["size"], row["frontier"]))
        except ValueError as error:
            raise LogDamaged(f"The head of the audit log contradicts itself: {error}.") from error

    async def entry(self, seq: int) -> bytes | None:
        """Return the bytes of an entry; None if it was dropped, or is not there yet."""
        entry: bytes | None = await self._database.fetchval("audit_entry", seq)
        return entry

    async def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """Prove that an entry is in the log of a size. Raises `ValueError` unless 0 <= seq < size."""
        return await self._proof(inclusion_nodes(seq, size))

    async def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Prove that the log grew from one size to another. Raises `ValueError` unless it could have."""
        return await self._proof(consistency_nodes(old_size, new_size))

    async def root(self, size: int) -> bytes:
        """Return the root that the log had when it was of a size, computed from the tiles."""
        (root,) = await self._proof(root_nodes(size))
        return root

    async def tile(self, tile: Tile) -> tuple[bytes, ...]:
        """Return the hashes of a tile, full or partial; the caller has checked that the log has it."""
        if tile.full:
            hashes: bytes | None = await self._database.fetchval("audit_tile", tile.level, tile.index)
            if hashes is None:
                raise LogDamaged(f"Tile {tile.index} of level {tile.level} of the audit log is missing.")
            return split(hashes)
        first = tile.index * TILE_WIDTH
        if tile.level == 0:
            rows = await self._database.fetch("audit_leaf_hashes", first, first + tile.width)
        else:
            rows = await self._database.fetch("audit_tile_roots", tile.level - 1, first, first + tile.width)
        if len(rows) != tile.width:
            # Entries that were dropped have left the tile that they filled.
            hashes = await self._database.fetchval("audit_tile", tile.level, tile.index)
            if hashes is None:
                raise LogDamaged(f"Hashes below tile {tile.index} of level {tile.level} are missing.")
            return split(hashes)[: tile.width]
        return tuple(row[0] for row in rows)

    async def _proof(self, plan: Plan) -> tuple[bytes, ...]:
        return assemble(plan, await self._hashes(plan.nodes))

    async def _hashes(self, nodes: Sequence[Node]) -> dict[Node, bytes]:
        tiles = {tile: await self.tile(tile) for tile in _needed(nodes)}
        widest = {(tile.level, tile.index): hashes for tile, hashes in tiles.items()}
        return {node: node_in(widest[_place(node)], node) for node in nodes}


def _place(node: Node) -> tuple[int, int]:
    tile = tile_of(node)
    return tile.level, tile.index


def _needed(nodes: Iterable[Node]) -> list[Tile]:
    """The tiles that hold some nodes, each as wide as these need: wider may not be there yet."""
    widths: dict[tuple[int, int], int] = {}
    for node in nodes:
        count = 1 << node.level % 8
        last = (node.index * count) % TILE_WIDTH + count
        widths[_place(node)] = max(widths.get(_place(node), 0), last)
    return [Tile(level, index, width) for (level, index), width in widths.items()]
