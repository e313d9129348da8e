"""Look-ups in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from subgraph.audit.entry import FinishedInvocation
from subgraph.storage import Database


async def find_invocation(database: Database, invocation_id: UUID) -> FinishedInvocation | None:
    """Find the entry that finished an invocation. Raises `StorageUnavailable`."""
    encoded = await database.fetchval("invocation_get", invocation_id)
    return None if encoded is None else FinishedInvocation.parse(encoded)


async def count_invocations(database: Database, paths: Sequence[str], since: datetime) -> dict[str, int]:
    """Count the invocations of each skill that ended at or after `since`, in one query.

    Every path of `paths` is a key of the result. Raises `StorageUnavailable`.
    """
    rows = await database.fetch("invocations_since", list(paths), since)
    counts = dict.fromkeys(paths, 0)
    counts.update((row["skill_path"], row["invocations"]) for row in rows)
    return counts
