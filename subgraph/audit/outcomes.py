"""What became of a decision about a query, beside its record: a later entry tells of it."""

from __future__ import annotations

from uuid import UUID

from subgraph.audit.records import AuditRecord, fields_of
from subgraph.audit.routing import DecidedRouting, FinishedRouting, outcome_id
from subgraph.storage import Database


async def find_outcome(database: Database, record: AuditRecord) -> AuditRecord | None:
    """Find the record of what became of a decision; None of another entry, and where nothing tells yet.

    An entry by that name that tells of something else is passed over. Raises `StorageUnavailable`.
    """
    if record.kind != DecidedRouting.kind:
        return None
    request_id = UUID(record.body["id"])
    for row in await database.fetch("routing_entries", [outcome_id(request_id)]):
        found = AuditRecord(row["seq"], row["entry"])
        if not found.is_readable or found.kind != FinishedRouting.kind or found.seq < record.seq:
            continue
        if found.body.get("requestId") == record.body["id"]:
            return found
    return None


def outcome_section(outcome: AuditRecord) -> str:
    """Write what became of a decision, to stand below its record, with the entry that says so."""
    title = f"## What became of it, by the later entry {outcome.seq}"
    labels = (
        ("State", "code"),
        ("Error", "error"),
        ("Invocation", "invocationId"),
        ("Lifecycle", "lifecycle"),
        ("At", "at"),
    )
    return "\n".join(["", title, "", *fields_of(outcome.body, labels), ""])
