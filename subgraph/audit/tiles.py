"""The Merkle tree as tiles, after C2SP tlog-tiles: files of up to 256 hashes that never change.

A tile at level l holds hashes of tree level 8 * l. Levels between are computed from the tile's hashes. Only a
full tile counts at the level above; at the right edge a tile is partial, and no tile is ever empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from subgraph.audit.merkle import HASH_BYTES, MAX_SIZE, Node, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

MAX_TILE_LEVEL = 63
"""The last level that the specification gives a path; a tree of `MAX_SIZE` leaves reaches level 7."""

# Seven groups of digits hold every index up to `MAX_SIZE`.
_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile: `width` hashes of tree level 8 * level, the first of them number index * 256.

    Raises `ValueError` for a tile that no tree has.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_TILE_LEVEL:
            raise ValueError(f"a tile's level is within 0 and {MAX_TILE_LEVEL}, not {self.level}")
        if not 0 <= self.index <= MAX_SIZE:
            raise ValueError(f"a tile's index is within 0 and {MAX_SIZE}, not {self.index}")
        if not 1 <= self.width <= TILE_WIDTH:
            raise ValueError(f"a tile's width is within 1 and {TILE_WIDTH}, not {self.width}")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path, which has one form only. Raises `ValueError` for any other text."""
        matched = _PATH.fullmatch(path)
        if matched is None:
            raise ValueError("not the path of a tile")
        index = int(matched["index"].replace("x", "").replace("/", ""))
        tile = cls(int(matched["level"]), index, int(matched["width"] or TILE_WIDTH))
        # Two more spellings of a tile: groups of zeros before the first digit, and a full one as partial.
        if tile.path != path:
            raise ValueError("not the path of a tile")
        return tile

    @property
    def path(self) -> str:
        """Where the tile is served, below the log's prefix ("Merkle Tree" in the specification)."""
        groups = f"{self.index:,}".split(",")
        named = "/".join([*(f"x{int(group):03}" for group in groups[:-1]), f"{int(groups[-1]):03}"])
        return f"tile/{self.level}/{named}" + ("" if self.full else f".p/{self.width}")

    @property
    def full(self) -> bool:
        """Whether it will never grow, and has a hash at the level above."""
        return self.width == TILE_WIDTH

    @property
    def nodes(self) -> list[Node]:
        """The subtrees whose hashes it holds, in its order."""
        first = self.index * TILE_WIDTH
        return [Node(TILE_HEIGHT * self.level, first + place) for place in range(self.width)]


def tiles(size: int) -> Iterator[Tile]:
    """All tiles of a tree: level by level from the leaves, the partial one of a level at its end.

    Raises `ValueError` for a size out of bounds.
    """
    return new_tiles(0, size)


def new_tiles(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles of a tree that its first `old_size` leaves did not have, at their present width.

    Raises `ValueError` unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise ValueError(f"{old_size} and {new_size} leaves are not within 0 to {MAX_SIZE}, in this order")
    return _between(old_size, new_size)


def _between(old_size: int, new_size: int) -> Iterator[Tile]:
    level, old, new = 0, old_size, new_size
    while new:
        if old != new:
            for index in range(old // TILE_WIDTH, new // TILE_WIDTH):
                yield Tile(level, index)
            if new % TILE_WIDTH:
                yield Tile(level, new // TILE_WIDTH, new % TILE_WIDTH)
        level, old, new = level + 1, old // TILE_WIDTH, new // TILE_WIDTH


def tile_of(node: Node, size: int | None = None) -> Tile:
    """The tile that holds a node, or the hashes that the node's hash is computed from.

    With a tree's size it is that tree's tile, as wide as it is there; without, it is the full one. Raises
    `ValueError` if the tree does not have the node.
    """
    level, index = _first_place(node)
    number = index // TILE_WIDTH
    if size is None:
        return Tile(level, number)
    if (node.index + 1) << node.level > size:
        raise ValueError(
            f"a tree of {size} leaves has no complete subtree {node.index} at level {node.level}"
        )
    return Tile(level, number, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - number * TILE_WIDTH))


def node_in(hashes: Sequence[bytes], node: Node) -> bytes:
    """The hash of a node, by the hashes of its tile (`tile_of`), which may be a partial one.

    Raises `ValueError` if the tile is not wide enough.
    """
    _, index = _first_place(node)
    start = index % TILE_WIDTH
    stop = start + (1 << node.level % TILE_HEIGHT)
    if len(hashes) < stop:
        raise ValueError(f"a tile of width {len(hashes)} does not reach to place {stop - 1}")
    return _complete(hashes[start:stop])


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """The hash that stands for a full tile at the level above. Raises `ValueError` for a partial one."""
    if len(hashes) != TILE_WIDTH:
        raise ValueError(f"a tile of width {len(hashes)} is not hashed into the level above")
    return _complete(hashes)


def split(content: bytes) -> tuple[bytes, ...]:
    """The hashes of a tile's file, which holds nothing but them. Raises `ValueError` for another length."""
    width, rest = divmod(len(content), HASH_BYTES)
    if rest or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"{len(content)} bytes are not the hashes of a tile")
    return tuple(content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES))


def _first_place(node: Node) -> tuple[int, int]:
    """The tile level of a node, and the number there of the first hash that it is computed from."""
    if node.level < 0 or node.index < 0:
        raise ValueError(f"no tree has a subtree {node.index} at level {node.level}")
    level, above = divmod(node.level, TILE_HEIGHT)
    return level, node.index << above


def _complete(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree: a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
