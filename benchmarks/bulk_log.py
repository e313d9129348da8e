"""A long audit log, loaded in a minute or two: rows as `audit.append` derives them, without its tree."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import asyncpg

from subgraph.settings import Settings
from subgraph.storage.queries import load_queries

SKILLS = 1000
DAYS = 30
"""What sql/bulk_log.sql makes of a log."""

_LOAD_SECONDS = 900.0
_CHUNK = 250_000
_PARTITION = 1_048_576


class BulkLog:
    """A database as its superuser. `async with BulkLog(settings) as log: await log.load(entries)`."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database_url is not None
        self._dsn = settings.database_url.get_secret_value()
        self._queries = load_queries(Path(__file__).parent / "sql")
        self.end = datetime.now(UTC)

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self._dsn, command_timeout=_LOAD_SECONDS)
        await self._connection.execute(
            "SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; SET timezone = 'UTC'"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def fetch(self, name: str, *args: object) -> list[Any]:
        """Run a named query of the benchmarks; all rows."""
        return list(await self._connection.fetch(self._queries[name].sql, *args))

    async def load(self, entries: int) -> None:
        """Fill an empty log, build its indexes last, and gather what the planner knows of such a log."""
        await self._connection.execute("SELECT audit.make_partitions(16)")
        indexes = await self.fetch("index_list")
        for index in indexes:
            await self._connection.execute(f"DROP INDEX {index['name']}")
        await self.fetch("source_create")
        for first in range(0, entries, _CHUNK):
            end = min(first + _CHUNK, entries)
            await self.fetch("source_fill", self.end, entries, first, end)
            await self.fetch("entries_fill", first, end)
        for index in indexes:
            await self._connection.execute(index["definition"])
        for name in ("invocation_hours_fill", "entry_hours_fill", "tallies_fill", "totals_fill"):
            await self.fetch(name)
        await self.fetch("head_move", entries)
        # As autovacuum does in time, which leaves partitions alone that nothing was inserted into.
        tables = [f"entry_{number:08d}" for number in range((entries - 1) // _PARTITION + 1)]
        for table in (*tables, "invocation_hour", "entry_hour", "tally_hour", "tally_total", "bulk_source"):
            await self._connection.execute(f"VACUUM (ANALYZE) audit.{table}")


def skill_path(number: int) -> str:
    """Name a skill of the log; 0 is the busiest."""
    return f"team-{number % 20}/skill-{number}"
