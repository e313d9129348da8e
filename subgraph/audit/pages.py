"""Pages of the audit log, newest first; one at any depth costs the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from asyncpg import Record

from subgraph.audit.entry import MAX_INTEGER, text
from subgraph.audit.invocations import parse_ended
from subgraph.audit.reader import EntryUnreadable, RecordedInvocation, in_utc, tell_unreadable
from subgraph.audit.records import AuditRecord
from subgraph.errors import InputInvalid
from subgraph.storage import Database

PAGE_LIMIT = 200
"""Entries of one page: with the largest entry (64 KiB) 13 MB are read, with a usual one 130 kB."""

UNREADABLE_LIMIT = 1000
"""Entries that cannot be read and are stepped over for one page: who can append one can append millions."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InvocationPage:
    """Invocations, newest first. `before` asks for the next page; None when this is the last.

    `unreadable` are the places of entries among them that cannot be read: they are left out.
    """

    invocations: Sequence[RecordedInvocation]
    before: int | None
    unreadable: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """Decisions, newest first; `before` and `unreadable` as in `InvocationPage`."""

    decisions: Sequence[AuditRecord]
    before: int | None
    unreadable: Sequence[int] = ()


async def invocation_page(
    database: Database,
    *,
    skill_path: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> InvocationPage:
    """Read how invocations ended, of one skill, by one actor, not older than `since`, before a number.

    A run that was recorded as cut off and ended all the same stands there once, by its end. Raises
    `InputInvalid` for a `limit` or `before` out of bounds, `StorageUnavailable`, and `EntryUnreadable`
    where `UNREADABLE_LIMIT` entries in a row cannot be read, with where to go on. One skill and
    one actor together are looked for among the runs of one of them: where those are 140,000 and none is the
    other's, that takes half a second. `since` bounds it.
    """
    query = {
        (True, True): "invocation_page",
        (False, True): "invocation_page_of_skill",
        (True, False): "invocation_page_of_actor",
        (False, False): "invocation_page_of_both",
    }[skill_path is None, actor is None]
    filters = [each for each in (skill_path, actor) if each is not None]

    def read(seq: int, entry: bytes) -> RecordedInvocation:
        return RecordedInvocation(seq, parse_ended(entry))

    return InvocationPage(*await _page(database, query, since, before, limit, filters, read))


async def decision_page(
    database: Database,
    *,
    actor: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> DecisionPage:
    """Read entries that tell of decisions: of every kind but those of runs and of host calls.

    Raises as `invocation_page`.
    """
    return await _decisions(database, "decision_page", actor, since, before, limit)


async def routing_page(
    database: Database,
    *,
    actor: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> DecisionPage:
    """Read entries that tell what the router decided. Raises as `invocation_page`."""
    return await _decisions(database, "routing_page", actor, since, before, limit)


async def _decisions(
    database: Database,
    query: str,
    actor: str | None,
    since: datetime | None,
    before: int | None,
    limit: int,
) -> DecisionPage:
    """Read one page by a query, or by that of its name for one actor."""
    filters = []
    if actor is not None:
        query, filters = f"{query}_of_actor", [actor]
    return DecisionPage(*await _page(database, query, since, before, limit, filters, _record))


def _record(seq: int, entry: bytes) -> AuditRecord:
    record = AuditRecord(seq, entry)
    if not record.is_readable:
        raise ValueError(f"entry {seq} does not read as a record")
    return record


async def _page(
    database: Database,
    query: str,
    since: datetime | None,
    before: int | None,
    limit: int,
    filters: Sequence[str],
    read: Callable[[int, bytes], T],
) -> tuple[list[T], int | None, list[int]]:
    """Read one page; return what its rows are, the `before` of the next, and which rows cannot be read.

    `read` raises `ValueError` for these. More rows are then taken in their place, so that a page is empty
    only where nothing follows.
    """
    if not 1 <= limit <= PAGE_LIMIT:
        raise InputInvalid(f"limit is within 1 and {PAGE_LIMIT}")
    if before is not None and not 0 <= before <= MAX_INTEGER:
        raise InputInvalid("before is the sequence number of an entry")
    start = None if since is None else in_utc(since)
    items: list[T] = []
    unreadable: list[int] = []
    if any(text(each) != each for each in filters):
        return items, None, unreadable  # nobody and nothing has a name that an entry cannot hold
    following: int | None = MAX_INTEGER if before is None else before
    wanted, stepped_over = limit, 0
    while following is not None and len(items) < limit and len(unreadable) + stepped_over < UNREADABLE_LIMIT:
        # One more tells whether another page follows.
        rows = await database.fetch(query, following, start, wanted + 1, *filters)
        told_elsewhere = await _ended_late(database, rows)
        stepped_over += len(told_elsewhere)
        taken = 0
        for row in rows[:wanted]:
            if len(items) == limit:
                break
            taken += 1
            if row["seq"] in told_elsewhere:
                continue
            try:
                items.append(read(row["seq"], row["entry"]))
            except ValueError:
                unreadable.append(row["seq"])
        following = rows[taken - 1]["seq"] if len(rows) > taken else None
        wanted = PAGE_LIMIT
    tell_unreadable(unreadable)
    if not items and following is not None:
        raise EntryUnreadable(
            f"{len(unreadable)} entries of the audit log in a row cannot be read; "
            f"`before: {following}` goes on behind them, and `audit fsck` names them."
        )
    return items, following, unreadable


async def _ended_late(database: Database, rows: Sequence[Record]) -> frozenset[int]:
    """Tell which of these say of a run that it was cut off whose end was recorded later, and tells of it.

    Hardly a page has one that could be, so it is asked apart: in the page's own query each row would pay.
    """
    cut_off = [row["seq"] for row in rows if row.get("cut_off") is not None]
    if not cut_off:
        return frozenset()
    return frozenset(row["seq"] for row in await database.fetch("runs_ended_late", cut_off))
