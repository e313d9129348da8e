"""Does the log still hold what it held? Every entry is read and hashed, and compared with what is kept of it.

The database can be changed by whoever administers it. Checkpoints that were signed and kept elsewhere cannot:
what they vouch for is what this proves. Between two of them the stored tiles say which entry it was.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import asyncpg

from subgraph.audit.entry import MAX_ENTRY_BYTES
from subgraph.audit.findings import MAX_FINDINGS, Finding, FindingCode, Findings
from subgraph.audit.merkle import HASH_BYTES, leaf_hash
from subgraph.audit.recomputation import Hashes, KeptCheckpoint, Recomputation, StoredTile, runs
from subgraph.audit.tiles import TILE_HEIGHT, TILE_WIDTH
from subgraph.storage import Database

__all__ = ["Finding", "FindingCode", "KeptCheckpoint", "Verification", "verify_log"]

RANGE_ENTRIES = 1024
"""Read by one statement, in some 3 ms. The largest entries make it 64 MiB, and two ranges are in memory. A
whole number of tiles; each holds the event loop for a millisecond, for 10 with the largest entries."""

MAX_EMPTY_RANGES = 1024
"""In a row, with neither entries nor tiles: as long as a partition. What may come later is not looked for, or
one forged entry with a huge number would keep the verification busy for ever."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was examined, and what was found. `entries` were read, of `dropped` ones there were tiles alone.

    `checkpoints` counts those that were compared with a root of the log.
    """

    size: int
    entries: int
    dropped: int
    checkpoints: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


async def verify_log(
    database: Database,
    checkpoints: Sequence[KeptCheckpoint],
    tell: Callable[[int, int], None] | None = None,
) -> Verification:
    """Compute the tree of the whole log, and compare it with its tiles, its head and checkpoints.

    The log may grow meanwhile, and old partitions may be dropped: what is verified is what it was at the
    start. `tell` gets how many entries are done, and of how many. Raises `StorageUnavailable` if the database
    cannot be read; whatever it holds is a finding.
    """
    started = time.perf_counter()
    findings = Findings()
    extent = await _read_extent(database, findings)
    kept = _by_size(checkpoints, extent.size, findings)
    await _find_unexpected(database, extent, findings)
    reading = _Reading(database, extent, findings)
    recomputation = Recomputation(kept, reading.tile, findings)
    async with aclosing(reading.ranges()) as ranges:
        async for read in ranges:
            leaves = await reading.leaves(read)
            for at in range(0, len(leaves), TILE_WIDTH):
                part = leaves[at : at + TILE_WIDTH]
                await recomputation.add(part, read.tiles.get((read.start + at) // TILE_WIDTH))
            if tell is not None:
                tell(read.stop, extent.size)
    recomputation.finish(extent.frontier if reading.reached == extent.size else None)
    return Verification(
        size=extent.size,
        entries=reading.entries,
        dropped=reading.dropped,
        checkpoints=recomputation.compared,
        seconds=time.perf_counter() - started,
        findings=findings.listed(),
    )


@dataclass(frozen=True, slots=True)
class _Extent:
    """The log at the moment when the verification began. `frontier` is None where it cannot be one."""

    size: int
    frontier: tuple[bytes, ...] | None
    first_kept: int
    first_seq: int | None
    last_seq: int

    @property
    def stop(self) -> int:
        """Where there is nothing more to read."""
        return min(self.size, max(self.last_seq + 1, self.first_kept))


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    stop: int
    rows: Sequence[asyncpg.Record]
    tiles: Mapping[int, StoredTile]


async def _read_extent(database: Database, findings: Findings) -> _Extent:
    rows = await database.fetch("audit_extent")
    row = rows[0]
    last = -1 if row["last_seq"] is None else row["last_seq"]
    size, frontier = row["size"], row["frontier"]
    if len(rows) != 1 or size is None:
        findings.add(FindingCode.HEAD_MISSING, f"The log has {len(rows) if size is not None else 0} heads.")
        size, frontier = last + 1, None
    elif (
        frontier is None
        or len(frontier) != size.bit_count()
        or any(len(item or b"") != HASH_BYTES for item in frontier)
    ):
        findings.add(
            FindingCode.HEAD_DIFFERS, "the head has not as many hashes as its size.", 0, max(0, size - 1)
        )
        frontier = None
    first_kept = max(0, row["first_kept"] or 0)
    return _Extent(
        size=size,
        frontier=None if frontier is None else tuple(frontier),
        first_kept=first_kept if first_kept <= size else 0,  # the partition of the next entry stays always
        first_seq=row["first_seq"],
        last_seq=last,
    )


def _by_size(
    checkpoints: Sequence[KeptCheckpoint], size: int, findings: Findings
) -> dict[int, list[KeptCheckpoint]]:
    """Sort checkpoints by size; report contradictions, and those that the log is too short for."""
    kept: defaultdict[int, list[KeptCheckpoint]] = defaultdict(list)
    for item in sorted(checkpoints, key=lambda item: item.checkpoint.size):
        kept[item.checkpoint.size].append(item)
    before = 0
    for of, items in kept.items():
        roots = {item.checkpoint.root: item.source for item in items}
        if len(roots) > 1:
            text = f"two logs were signed, as checkpoints of size {of} show ({', '.join(roots.values())})."
            findings.add(FindingCode.FORK, text, before, of - 1)
        else:
            before = of
    beyond = [of for of in kept if of > size]
    if beyond:
        sources = ", ".join(item.source for item in kept[beyond[-1]])
        text = (
            f"they are gone: the log has {size} entries, a checkpoint was signed of {beyond[-1]} ({sources})."
        )
        findings.add(FindingCode.TAIL_CUT, text, size, beyond[-1] - 1)
    return {of: items for of, items in kept.items() if 0 < of <= size}


async def _find_unexpected(database: Database, extent: _Extent, findings: Findings) -> None:
    """Report entries and tiles that a log of this size does not have, and those that it lacks at its end."""
    if extent.first_seq is not None and extent.first_seq < 0:
        text = "they stand before the first entry."
        findings.add(FindingCode.ENTRY_UNEXPECTED, text, extent.first_seq, -1)
    if extent.last_seq >= extent.size:
        text = f"they stand beyond the end of the log, whose size is {extent.size}."
        findings.add(FindingCode.ENTRY_UNEXPECTED, text, extent.size, extent.last_seq)
    if extent.stop < extent.size:
        text = f"missing at the end of the log, whose size is {extent.size}."
        findings.add(FindingCode.ENTRY_MISSING, text, extent.stop, extent.size - 1)
    for row in await database.fetch("audit_unexpected_tiles", MAX_FINDINGS):
        level, index = row["level"], row["index"]
        text = f"tile {index} of level {level} is not one of a log of this size."
        span = TILE_HEIGHT * (level + 1)
        known = 0 <= level < TILE_HEIGHT - 1 and index >= 0
        place = (index << span, ((index + 1) << span) - 1) if known else (None, None)
        findings.add(FindingCode.TILE_UNEXPECTED, text, *place)


class _Reading:
    """Reads the log in ranges, the next one while the last is hashed."""

    def __init__(self, database: Database, extent: _Extent, findings: Findings) -> None:
        self.entries = 0
        self.dropped = 0
        self.reached = 0
        self._database = database
        self._extent = extent
        self._findings = findings
        self._first_kept = extent.first_kept

    async def ranges(self) -> AsyncGenerator[_Range]:
        """Read range after range, as long as there is any trace of them."""
        stop, empty = self._extent.stop, 0
        ahead = asyncio.create_task(self._read(0, min(RANGE_ENTRIES, stop))) if stop else None
        try:
            while ahead is not None:
                read, ahead = await ahead, None
                empty = 0 if read.rows or read.tiles else empty + 1
                if empty == MAX_EMPTY_RANGES and read.stop < stop:
                    text = "not looked for, after so many that are missing."
                    self._findings.add(FindingCode.ENTRY_MISSING, text, read.stop, stop - 1)
                elif read.stop < stop:
                    ahead = asyncio.create_task(self._read(read.stop, min(read.stop + RANGE_ENTRIES, stop)))
                yield read
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def tile(self, level: int, index: int) -> StoredTile | None:
        """Read one tile."""
        rows = await self._database.fetch("audit_stored_tiles", level, index, index + 1)
        return self._by_index(level, rows).get(index)

    async def leaves(self, read: _Range) -> Hashes:
        """Hash the entries of a range; None for one that was dropped, and for one that is missing."""
        self.reached = read.stop
        if [row[0] for row in read.rows] == list(range(read.start, read.stop)):
            self.entries += len(read.rows)
            hashed: Hashes = []
            for at in range(0, len(read.rows), TILE_WIDTH):
                hashed += [leaf_hash(row[1]) for row in read.rows[at : at + TILE_WIDTH]]
                await asyncio.sleep(0)
            return hashed
        leaves: Hashes = [None] * (read.stop - read.start)
        for row in read.rows:
            if leaves[row[0] - read.start] is not None:
                self._findings.add(FindingCode.ENTRY_UNEXPECTED, "it is there twice.", row[0], row[0])
            leaves[row[0] - read.start] = leaf_hash(row[1])
        self.entries += len(leaves) - leaves.count(None)
        absent = [read.start + place for place, leaf in enumerate(leaves) if leaf is None]
        if absent[-1:] and absent[-1] >= self._first_kept:  # dropped meanwhile?
            row = (await self._database.fetch("audit_extent"))[0]
            self._first_kept = max(self._first_kept, row["first_kept"] or 0)
        missing = [seq for seq in absent if seq >= self._first_kept]
        self.dropped += len(absent) - len(missing)
        for first, last in runs(missing):
            self._findings.add(FindingCode.ENTRY_MISSING, "missing.", first, last)
        return leaves

    async def _read(self, start: int, stop: int) -> _Range:
        tiles = await self._database.fetch("audit_stored_tiles", 0, start // TILE_WIDTH, stop // TILE_WIDTH)
        rows: Sequence[asyncpg.Record] = ()
        if stop > self._first_kept:
            # One byte more than an entry may have: what is longer has another hash, however long it is.
            rows = await self._database.fetch("audit_leaves", start, stop, MAX_ENTRY_BYTES + 1)
        return _Range(start, stop, rows, self._by_index(0, tiles))

    def _by_index(self, level: int, rows: Sequence[asyncpg.Record]) -> dict[int, StoredTile]:
        found: dict[int, StoredTile] = {}
        for row in rows:
            if row["index"] in found:
                text = f"tile {row['index']} of level {level} is there twice."
                self._findings.add(FindingCode.TILE_UNEXPECTED, text)
            found[row["index"]] = StoredTile(row["hashes"], row["root"])
        return found
