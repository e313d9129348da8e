"""How many entries of each sort there are, as they are counted while they are appended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from subgraph.storage import Database

BUCKETS_PER_OCTAVE = 8
"""Bucket b holds what took from 2**(b/8) to before 2**((b+1)/8) microseconds (sql/0004_merkle_log.sql)."""

NO_TIME = -1
"""Bucket of what took no time."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Entries of one sort. `executor` is that of a run, or the confidence of a decision, as `0.60`.

    `outcome` is the exit code of a finished run, the code of a refused one, `ok`, `error`, `denied` or
    `unknown` of a host call, and empty otherwise. `elapsed_us` is the sum over them where that is known.
    """

    kind: str
    level: str
    executor: str
    outcome: str
    bucket: int
    entries: int
    elapsed_us: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """All that is counted since the log began, and the log's size in entries."""

    tallies: Sequence[Tally]
    log_size: int


@dataclass(frozen=True, slots=True)
class Sort:
    """Which entries are meant: of a kind, and of an executor and outcome where these are given."""

    kind: str
    executor: str | None = None
    outcome: str | None = None

    def of(self, tallies: Iterable[Tally]) -> list[Tally]:
        """Choose the tallies of these entries."""
        return [
            tally
            for tally in tallies
            if tally.kind == self.kind
            and self.executor in (None, tally.executor)
            and self.outcome in (None, tally.outcome)
        ]

    def count(self, tallies: Iterable[Tally]) -> int:
        """Count these entries."""
        return sum(tally.entries for tally in self.of(tallies))


async def read_totals(database: Database) -> Totals:
    """Read all tallies since the log began, in one statement. Raises `StorageUnavailable`."""
    rows = await database.fetch("tally_totals")
    tallies = [
        Tally(
            row["kind"],
            row["level"],
            row["executor"],
            row["outcome"],
            row["bucket"],
            row["entries"],
            row["elapsed_us"],
        )
        for row in rows
    ]
    return Totals(tallies, rows[0]["size"] if rows else 0)


async def read_tallies(database: Database, since: datetime) -> list[Tally]:
    """Read the tallies since the beginning of an hour, in one statement. Raises `StorageUnavailable`."""
    rows = await database.fetch("tally_since", since)
    return [
        Tally(row["kind"], row["level"], row["executor"], row["outcome"], row["bucket"], row["entries"])
        for row in rows
    ]
