"""Pages of the audit log, newest first; one at any depth costs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from subgraph.audit.entry import MAX_INTEGER, text
from subgraph.audit.invocations import FinishedInvocation
from subgraph.audit.reader import RecordedInvocation, in_utc
from subgraph.audit.records import AuditRecord
from subgraph.errors import InputInvalid
from subgraph.storage import Database

PAGE_LIMIT = 200
"""Entries of one page: with the largest entry (64 KiB) 13 MB are read, with a usual one 130 kB."""


@dataclass(frozen=True, slots=True)
class InvocationPage:
    """Invocations, newest first. `before` asks for the next page; None when this is the last."""

    invocations: Sequence[RecordedInvocation]
    before: int | None


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """Decisions, newest first. `before` asks for the next page; None when this is the last."""

    decisions: Sequence[AuditRecord]
    before: int | None


async def invocation_page(
    database: Database,
    *,
    skill_path: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> InvocationPage:
    """Read finished invocations, of one skill, by one actor, not older than `since`, before a number.

    Raises `InputInvalid` for a `limit` or `before` out of bounds, and `StorageUnavailable`. One skill and
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
    rows, following = await _page(database, query, since, before, limit, filters)
    return InvocationPage(
        [RecordedInvocation(seq, FinishedInvocation.parse(entry)) for seq, entry in rows], following
    )


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
    if actor is None:
        rows, following = await _page(database, query, since, before, limit, [])
    else:
        rows, following = await _page(database, f"{query}_of_actor", since, before, limit, [actor])
    return DecisionPage([AuditRecord(seq, entry) for seq, entry in rows], following)


async def _page(
    database: Database,
    query: str,
    since: datetime | None,
    before: int | None,
    limit: int,
    filters: Sequence[str],
) -> tuple[list[tuple[int, bytes]], int | None]:
    """Read one page; return its rows, and the `before` of the next."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise InputInvalid(f"limit is within 1 and {PAGE_LIMIT}")
    if before is not None and not 0 <= before <= MAX_INTEGER:
        raise InputInvalid("before is the sequence number of an entry")
    start = None if since is None else in_utc(since)
    if any(text(each) != each for each in filters):
        return [], None  # nobody and nothing has a name that an entry cannot hold
    first = MAX_INTEGER if before is None else before
    # One more tells whether another page follows.
    found = await database.fetch(query, first, start, limit + 1, *filters)
    rows = [(row["seq"], row["entry"]) for row in found[:limit]]
    return rows, rows[-1][0] if len(found) > limit else None
