"""The log's tree computed anew from its leaves, and held against stored tiles and kept checkpoints.

Where an entry and the stored hash of it differ, one of them was changed, and the tree cannot tell which. So
two versions of it are computed from there on: one of the entries as they were read, and one of what is judged
to be true by the tile's own root. The next checkpoint that agrees with either decides for both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from subgraph.audit.findings import FindingCode, Findings
from subgraph.audit.merkle import HASH_BYTES, Frontier
from subgraph.audit.notes import Checkpoint
from subgraph.audit.tiles import TILE_HEIGHT, TILE_WIDTH, split, tile_root

Hashes: TypeAlias = list[bytes | None]
"""Hashes in order; None for one that is not known."""

Above: TypeAlias = list[Hashes]
"""The right edge of a tree above its leaves: the hashes of the partial tile at level 1, 2 …"""

MAX_DISPUTES = 256
"""That wait for a checkpoint: of more, what a tile's own root says is reported."""

_ENTRY_DIFFERS = "its bytes are not those whose hash stands in the tile."


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint whose signature was checked. `source` says for people where it was kept."""

    source: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class StoredTile:
    """A full tile as PostgreSQL has it, whatever that is."""

    hashes: bytes | None
    root: bytes | None


@dataclass(frozen=True, slots=True)
class _Dispute:
    """Entries whose hashes are not those of their tile. `tile_changed` is what the tile's own root says."""

    first_seq: int
    last_seq: int
    tile_changed: bool


class Recomputation:
    """Takes leaves, a tile of them at a time, and reports what does not fit to them.

    `kept` are the checkpoints by size, none larger than the log; `stored` reads a tile of a level above 0.
    """

    def __init__(
        self,
        kept: Mapping[int, Sequence[KeptCheckpoint]],
        stored: Callable[[int, int], Awaitable[StoredTile | None]],
        findings: Findings,
    ) -> None:
        self.size = 0
        self.compared = 0
        self._kept = kept
        self._sizes = deque(sorted(kept))
        self._stored = stored
        self._findings = findings
        self._read: Above = []
        self._judged: Above = []
        self._tail: Hashes = []
        self._two_versions = False
        self._disputes: list[_Dispute] = []
        self._agreed = 0
        self._refuted = False

    async def add(self, leaves: Hashes, stored: StoredTile | None) -> None:
        """Add the leaves of a tile and the tile that is stored of them; fewer leaves are the last."""
        start = self.size
        self.size += len(leaves)
        if len(leaves) < TILE_WIDTH:
            self._tail = leaves
            self._compare(start, leaves, leaves)
            return
        root, judged = self._settle(start, leaves, stored)
        two = self._two_versions
        self._compare(start, leaves, judged)
        if two:  # a checkpoint may have decided about some of the leaves
            await self._carry(_root(leaves), _root(judged))
        else:
            await self._carry(root, root)

    def finish(self, head: Sequence[bytes] | None) -> None:
        """Compare the whole with the frontier of the head, if there is one, and close open questions."""
        read = _frontier(self._read, self._tail)
        judged = _frontier(self._judged, self._tail) if self._two_versions else read
        if head is None or read is None or judged is None:
            self._resolve(self.size)
        elif read == tuple(head):
            self._resolve(self.size, entries_hold=True)
        else:
            self._resolve(self.size)
            if judged != tuple(head):
                first, last = _differing(judged, head, self.size)
                self._findings.add(
                    FindingCode.HEAD_DIFFERS, "the head has another hash of them.", first, last
                )

    def _settle(self, start: int, leaves: Hashes, stored: StoredTile | None) -> tuple[bytes | None, Hashes]:
        """Compare leaves with their tile, and take from it those that are not known.

        Return the root of the leaves, and the leaves as they are judged to have been.
        """
        index = start // TILE_WIDTH
        if stored is None:
            self._tile_missing(0, index)
            return _root(leaves), leaves
        known = [leaf for leaf in leaves if leaf is not None]
        if len(known) == TILE_WIDTH and b"".join(known) == stored.hashes:
            root = tile_root(known)
            if stored.root != root:
                self._tile_changed(0, index, "another root than its hashes")
            return root, leaves
        held = _hashes_of(stored)
        if held is None:
            self._tile_changed(0, index, "not 256 hashes")
            return _root(leaves), leaves
        wrong = [place for place, leaf in enumerate(leaves) if leaf is not None and leaf != held[place]]
        leaves[:] = [held[place] if leaf is None else leaf for place, leaf in enumerate(leaves)]
        own = _root(leaves)
        tile_changed = bool(wrong) and stored.root == own
        if not tile_changed and stored.root != tile_root(held):
            self._tile_changed(0, index, "another root than its hashes")
        for first, last in runs(wrong):
            if len(self._disputes) >= MAX_DISPUTES:
                self._resolve(self.size)
            self._disputes.append(_Dispute(start + first, start + last, tile_changed))
        if tile_changed or not wrong:
            return own, leaves
        self._two_versions = True
        return own, list(held)

    def _compare(self, start: int, read: Hashes, judged: Hashes) -> None:
        """Compare with each checkpoint of a size within these leaves."""
        versions: list[_Version] = []
        while self._sizes and self._sizes[0] <= self.size:
            size = self._sizes.popleft()
            if not versions:
                versions = [_Version(self._read, read)]
                if self._two_versions:
                    versions.append(_Version(self._judged, judged))
            roots = [version.root(size, size - start) for version in versions]
            if None in roots:
                continue  # something before it is missing, which was reported
            kept = self._kept[size]
            self.compared += len(kept)
            agreed = [root in {item.checkpoint.root for item in kept} for root in roots]
            if not any(agreed):
                self._refute(size, kept)
                continue
            self._agreed = size
            self._resolve(size, entries_hold=agreed[0])
            if len(versions) > 1:
                count = size - start
                if agreed[0]:
                    judged[:count], self._judged = read[:count], [list(hashes) for hashes in self._read]
                else:
                    read[:count], self._read = judged[:count], [list(hashes) for hashes in self._judged]
                self._two_versions = read != judged
                versions = []

    def _refute(self, size: int, kept: Sequence[KeptCheckpoint]) -> None:
        """Report the first checkpoint that does not agree; with it none of the later ones can."""
        if not self._refuted:
            self._refuted = True
            self._findings.add(
                FindingCode.ROOT_DIFFERS,
                f"they are not those that the checkpoint of size {size} was signed for "
                f"({', '.join(item.source for item in kept)}).",
                self._agreed,
                size - 1,
            )

    def _resolve(self, size: int, *, entries_hold: bool = False) -> None:
        """Report the disputes below a size: all as changed tiles if the entries hold, else as judged."""
        left = []
        for dispute in self._disputes:
            if dispute.last_seq >= size:
                left.append(_Dispute(max(size, dispute.first_seq), dispute.last_seq, dispute.tile_changed))
            if dispute.first_seq >= size:
                continue
            first, last = dispute.first_seq, min(dispute.last_seq, size - 1)
            if entries_hold or dispute.tile_changed:
                text = f"tile {first // TILE_WIDTH} of level 0 has other hashes."
                self._findings.add(FindingCode.TILE_CHANGED, text, first, last)
            else:
                self._findings.add(FindingCode.ENTRY_CHANGED, _ENTRY_DIFFERS, first, last)
        self._disputes = left

    async def _carry(self, root: bytes | None, judged: bytes | None) -> None:
        """Take the root of a tile into the level above, and compare each tile there that this completes."""
        level = 1
        while True:
            if len(self._read) < level:
                self._read.append([])
                self._judged.append([])
            read, other = self._read[level - 1], self._judged[level - 1]
            read.append(root)
            other.append(judged)
            if len(read) < TILE_WIDTH:
                return
            await self._check_above(level, (self.size >> TILE_HEIGHT * (level + 1)) - 1, read, other)
            root = _root(read)
            judged = root if read == other else _root(other)
            self._read[level - 1], self._judged[level - 1] = [], []
            level += 1

    async def _check_above(self, level: int, index: int, read: Hashes, judged: Hashes) -> None:
        """Compare a tile above level 0, and take hashes from it that are not known from below."""
        stored = await self._stored(level, index)
        if stored is None:
            self._tile_missing(level, index)
            return
        held = _hashes_of(stored)
        if held is None:
            self._tile_changed(level, index, "not 256 hashes")
            return
        for version in (read, judged):
            version[:] = [held[place] if item is None else item for place, item in enumerate(version)]
        wrong = [place for place, item in enumerate(held) if item != read[place] and item != judged[place]]
        first = index * TILE_WIDTH
        for start, end in runs(wrong):
            self._findings.add(
                FindingCode.TILE_CHANGED,
                f"tile {index} of level {level} has other hashes.",
                (first + start) << TILE_HEIGHT * level,
                ((first + end + 1) << TILE_HEIGHT * level) - 1,
            )
        if stored.root != tile_root(held) and stored.root not in (_root(read), _root(judged)):
            self._tile_changed(level, index, "another root than its hashes")

    def _tile_missing(self, level: int, index: int) -> None:
        self._about_tile(FindingCode.TILE_MISSING, level, index, f"tile {index} of level {level} is missing.")

    def _tile_changed(self, level: int, index: int, how: str) -> None:
        self._about_tile(FindingCode.TILE_CHANGED, level, index, f"tile {index} of level {level} has {how}.")

    def _about_tile(self, code: FindingCode, level: int, index: int, text: str) -> None:
        span = TILE_HEIGHT * (level + 1)
        self._findings.add(code, text, index << span, ((index + 1) << span) - 1)


class _Version:
    """The roots of one version of the tree at sizes within one tile, each no smaller than the last."""

    def __init__(self, above: Above, leaves: Hashes) -> None:
        self._above = _frontier(above, [])
        self._leaves = leaves
        self._low = Frontier()

    def root(self, size: int, count: int) -> bytes | None:
        """Return the root at a size, which is reached with `count` of the leaves; None if it is not known."""
        new = self._leaves[self._low.size : count]
        known = [leaf for leaf in new if leaf is not None]
        if self._above is None or len(known) != len(new):
            self._above = None  # nor at any size after this one
            return None
        self._low.extend(known)
        if count < TILE_WIDTH:
            return Frontier(size, (*self._above, *self._low.hashes)).root()
        tiles = Frontier(size // TILE_WIDTH - 1, self._above)
        tiles.append(self._low.root())
        return tiles.root()


def runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Join ascending numbers to runs: the first and the last of each."""
    joined: list[tuple[int, int]] = []
    for place in places:
        if joined and joined[-1][1] + 1 == place:
            joined[-1] = (joined[-1][0], place)
        else:
            joined.append((place, place))
    return joined


def _root(hashes: Hashes) -> bytes | None:
    """The root of a full tile; None if one of its hashes is not known."""
    known = [item for item in hashes if item is not None]
    return tile_root(known) if len(known) == TILE_WIDTH else None


def _hashes_of(stored: StoredTile) -> list[bytes] | None:
    """The hashes of a stored tile; None if they are not 256."""
    if stored.hashes is None or len(stored.hashes) != TILE_WIDTH * HASH_BYTES:
        return None
    return list(split(stored.hashes))


def _frontier(above: Above, leaves: Hashes) -> tuple[bytes, ...] | None:
    """The complete subtrees that partial tiles fall into, the largest first; None if one is not known."""
    subtrees: list[bytes] = []
    for hashes in (*reversed(above), leaves):
        known = [item for item in hashes if item is not None]
        if len(known) != len(hashes):
            return None
        edge = Frontier()
        edge.extend(known)
        subtrees += edge.hashes
    return tuple(subtrees)


def _differing(computed: Sequence[bytes], head: Sequence[bytes], size: int) -> tuple[int, int]:
    """The first and last entry below those subtrees of a log whose hashes differ."""
    if len(computed) != len(head):
        return 0, size - 1
    places = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            places.append((start, start + (1 << level) - 1))
            start += 1 << level
    wrong = [place for place, ours, theirs in zip(places, computed, head, strict=True) if ours != theirs]
    return wrong[0][0], wrong[-1][1]
