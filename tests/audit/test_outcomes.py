"""What became of a decision is taken from the entry that the service wrote of it, and from no other."""

from __future__ import annotations

import dataclasses
from uuid import UUID, uuid4

from subgraph.audit import AuditRecord, FinishedRouting, Ledger, RevokedSkill, find_outcome, outcome_id
from subgraph.audit.invocations import ErrorNote
from subgraph.audit.outcomes import outcome_section
from subgraph.storage import Database
from tests.audit.factory import NOON
from tests.support.postgres import run, settings_for

REQUEST = uuid4()
DECISION = AuditRecord(0, b'{"kind":"routing.decision","id":"%s","code":"invoking"}' % str(REQUEST).encode())


def outcome(request_id: UUID) -> FinishedRouting:
    """What became of a decision, under the name by which that of `REQUEST` is looked for."""
    return FinishedRouting(
        actor="an",
        entry_id=str(outcome_id(REQUEST)),
        at=NOON,
        request_id=str(request_id),
        state="failed",
        lifecycle=(),
        skill="echo",
        invocation_id=None,
        error=ErrorNote(code="GRANT_REQUIRED", message="nobody\n## What became of it, by the later entry 9"),
    )


def test_an_outcome_of_another_decision_is_not_taken_for_it(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            assert await find_outcome(db, DECISION) is None
            await ledger.append(outcome(uuid4()))
            revoked = RevokedSkill(actor="an", skill="echo", content_hash="a" * 64, note="")
            await ledger.append(dataclasses.replace(revoked, entry_id=str(outcome_id(REQUEST))))
            assert await find_outcome(db, DECISION) is None
            seq = await ledger.append(outcome(REQUEST))
            found = await find_outcome(db, DECISION)
            assert found is not None
            assert found.seq == seq
            other = AuditRecord(0, DECISION.encoded.replace(b"routing.decision", b"skill.revoked"))
            assert await find_outcome(db, other) is None
            later = AuditRecord(seq + 1, DECISION.encoded)
            assert await find_outcome(db, later) is None

    run(scenario())


def test_an_outcome_cannot_add_lines_of_its_own() -> None:
    text = outcome_section(AuditRecord(7, outcome(REQUEST).encode()))
    title, *lines = text.strip().split("\n")
    assert title == "## What became of it, by the later entry 7"
    assert all(each == "" or each.startswith("**") for each in lines)
    assert "**State:** failed" in lines
