"""Look-ups in the audit log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from subgraph.audit.invocations import FinishedInvocation, InterruptedInvocation, parse_ended
from subgraph.errors import InputInvalid, StorageUnavailable
from subgraph.storage import Database

logger = logging.getLogger(__name__)


class EntryUnreadable(StorageUnavailable):
    """An entry of the audit log is not one that this program writes; `audit fsck` names all such entries."""


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
    """An invocation that finished or was cut off, and where that stands in the log."""

    seq: int
    entry: FinishedInvocation | InterruptedInvocation


async def find_invocations(
    database: Database, invocation_ids: Sequence[UUID]
) -> dict[UUID, RecordedInvocation]:
    """Find how invocations ended, in one query; those that are not there are left out.

    Of one that was recorded as cut off and ended all the same, the end is found. Raises `StorageUnavailable`,
    and `EntryUnreadable` where all that is there cannot be read.
    """
    found: dict[UUID, RecordedInvocation] = {}
    unreadable: list[int] = []
    for row in await database.fetch("invocations_get", list(invocation_ids)):
        try:
            found[row["invocation_id"]] = RecordedInvocation(row["seq"], parse_ended(row["entry"]))
        except ValueError:
            unreadable.append(row["seq"])
    tell_unreadable(unreadable)
    if unreadable and not found:
        raise EntryUnreadable(
            f"Entry {unreadable[0]} of the audit log is not one that this program writes; see `audit fsck`."
        )
    return found


def tell_unreadable(places: Sequence[int]) -> None:
    """Have the operator's log say which entries were left out of an answer."""
    if places:
        logger.warning(
            "%d entries of the audit log cannot be read, the first of them %d; see `audit fsck`",
            len(places),
            min(places),
        )


async def count_invocations(database: Database, paths: Sequence[str], since: datetime) -> dict[str, int]:
    """Count the invocations of each skill that ended at or after `since`, in one query.

    Every path of `paths` is a key of the result. Raises `StorageUnavailable`.
    """
    rows = await database.fetch("invocations_since", list(paths), since)
    counts = dict.fromkeys(paths, 0)
    counts.update((row["skill_path"], row["invocations"]) for row in rows)
    return counts
