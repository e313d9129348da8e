"""Look-ups in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from subgraph.audit.invocations import FinishedInvocation
from subgraph.errors import InputInvalid
from subgraph.storage import Database


def in_utc(since: datetime) -> datetime:
    """Check a time that a caller gave, and put it into UTC. Raises `InputInvalid`."""
    try:
        if since.tzinfo is not None:
            return since.astimezone(UTC)
    except OverflowError:
        pass  # within the first or the last day that there is
    raise InputInvalid("since is a time with a zone, such as 2026-11-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class RecordedInvocation:
    """A finished invocation and where it stands in the log."""

    seq: int
    entry: FinishedInvocation


async def find_invocations(
    database: Database, invocation_ids: Sequence[UUID]
) -> dict[UUID, RecordedInvocation]:
    """Find the entries that finished invocations, in one query; those that are not there are left out.

    Raises `StorageUnavailable`.
    """
    rows = await database.fetch("invocations_get", list(invocation_ids))
    return {
        row["invocation_id"]: RecordedInvocation(row["seq"], FinishedInvocation.parse(row["entry"]))
        for row in rows
    }


async def count_invocations(database: Database, paths: Sequence[str], since: datetime) -> dict[str, int]:
    """Count the invocations of each skill that ended at or after `since`, in one query.

    Every path of `paths` is a key of the result. Raises `StorageUnavailable`.
    """
    rows = await database.fetch("invocations_since", list(paths), since)
    counts = dict.fromkeys(paths, 0)
    counts.update((row["skill_path"], row["invocations"]) for row in rows)
    return counts
