"""Entries that the database takes and this program never writes: readers step over them and say so."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from subgraph.audit import CreatedGrant, FinishedInvocation, Ledger, find_invocations, pages
from subgraph.audit.pages import PAGE_LIMIT, decision_page, invocation_page
from subgraph.audit.reader import EntryUnreadable
from subgraph.audit.records import AuditRecord, find_record
from subgraph.storage import Database
from tests.audit.factory import NOON, finished
from tests.audit.ledgers import with_ledger
from tests.support.postgres import execute


def grant() -> CreatedGrant:
    return CreatedGrant(actor="ann", skill="a/one", content_hash="a" * 64, capability="log", at=NOON)


def changed(entry: FinishedInvocation | CreatedGrant, **fields: Any) -> bytes:
    return orjson.dumps(orjson.loads(entry.encode()) | fields)


def without(entry: FinishedInvocation | CreatedGrant, *names: str) -> bytes:
    body = orjson.loads(entry.encode())
    return orjson.dumps({name: value for name, value in body.items() if name not in names})


def nested(entry: bytes) -> bytes:
    """As deep as PostgreSQL reads and this program does not."""
    return entry.replace(b'"contentHash"', b'"more":%s%s,"contentHash"' % (b"[" * 2000, b"]" * 2000))


ODD_RUNS: list[Callable[[FinishedInvocation], bytes]] = [
    lambda run: without(run, "executor"),
    lambda run: without(run, "startedAt", "hostCalls"),
    lambda run: without(run, "error"),
    lambda run: changed(run, executor="wasm"),
    lambda run: changed(run, actor=17),
    lambda run: changed(run, skill=17),
    lambda run: changed(run, exitCode="5"),
    lambda run: changed(run, exitCode=None),
    lambda run: changed(run, elapsedUs=2**40),
    lambda run: changed(run, hostCallCount=2**40),
    lambda run: changed(run, hostCalls=[1]),
    lambda run: changed(run, hostCalls=[{"function": "f", "target": "t", "outcome": "ok"}]),
    lambda run: changed(run, capabilities="log"),
    lambda run: changed(run, capabilities=[1]),
    lambda run: changed(run, error="no"),
    lambda run: changed(run, error={"code": "X"}),
    lambda run: changed(run, sealed=[]),
    lambda run: changed(run, startedAt="yesterday"),
    lambda run: changed(run, endedAt="2026-11-20T12:00:00"),
    lambda run: changed(run, at="epoch"),
    lambda run: changed(run, invocationId=None),
    lambda run: nested(run.encode()),
]


def test_runs_that_cannot_be_read_are_left_out_and_named(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        await ledger.append(finished())
        for odd in ODD_RUNS:
            await ledger.append(odd(finished()))
        await ledger.append(finished())
        last = len(ODD_RUNS) + 1
        page = await invocation_page(db, limit=2)
        assert [each.seq for each in page.invocations] == [last, 0]
        assert page.unreadable == list(range(last - 1, 0, -1))
        assert page.before is None
        # A page is as full as it can be, and the next one goes on from there.
        first = await invocation_page(db, limit=1)
        assert ([each.seq for each in first.invocations], first.before, first.unreadable) == (
            [last],
            last,
            [],
        )
        second = await invocation_page(db, limit=1, before=first.before)
        assert ([each.seq for each in second.invocations], second.before) == ([0], None)
        assert len(second.unreadable) == len(ODD_RUNS)

    with_ledger(dsn, scenario)


ODD_DECISIONS: list[Callable[[], bytes]] = [
    lambda: changed(grant(), at="now"),
    lambda: changed(grant(), at="2026-11-20T12:00:00"),
    lambda: changed(grant(), at="20000-01-01T00:00:00Z"),
    lambda: changed(grant(), id=f"{{{uuid.uuid4()}}}", actor=5),
    lambda: nested(grant().encode()),
]


def test_decisions_that_cannot_be_read_are_left_out_and_named(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        kept = grant()
        # As a log has them that older versions wrote.
        await execute(dsn, "ALTER TABLE audit.entry DROP CONSTRAINT entry_recorded_within_the_calendar")
        await ledger.append(kept)
        for odd in ODD_DECISIONS:
            await ledger.append(odd())
        await ledger.append(grant())
        last = len(ODD_DECISIONS) + 1
        page = await decision_page(db, limit=PAGE_LIMIT)
        assert [each.seq for each in page.decisions] == [last, 0]
        assert page.unreadable == list(range(last - 1, 0, -1))
        # One that has the same second and digits does not keep a record from being found.
        twin = changed(grant(), id=kept.entry_id[:4] + str(uuid.uuid4())[4:], capability={"a": {}}, actor=5)
        await ledger.append(twin)
        address = AuditRecord(0, kept.encode()).address
        assert [each.seq for each in await find_record(db, address)] == [0]

    with_ledger(dsn, scenario)


def test_a_run_whose_every_end_cannot_be_read_is_an_error_and_hides_no_other(dsn: str) -> None:
    async def scenario(db: Database, ledger: Ledger) -> None:
        good, bad = finished(), finished()
        await ledger.append(good)
        await ledger.append(changed(good, executor=None))
        await ledger.append(changed(bad, executor=None))
        wanted = [uuid.UUID(each.invocation_id) for each in (good, bad)]
        found = await find_invocations(db, wanted)
        assert {run: each.seq for run, each in found.items()} == {wanted[0]: 0}
        with pytest.raises(EntryUnreadable, match="Entry 2 of"):
            await find_invocations(db, wanted[1:])

    with_ledger(dsn, scenario)


def test_a_page_is_never_empty_while_something_follows(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads page by page stops at an empty one, and would not see what lies behind."""
    monkeypatch.setattr(pages, "PAGE_LIMIT", 7)
    monkeypatch.setattr(pages, "UNREADABLE_LIMIT", 20)

    async def scenario(db: Database, ledger: Ledger) -> None:
        for _ in range(3):
            await ledger.append(finished())
        for _ in range(50):
            await ledger.append(changed(finished(), executor=None))
        before: int | None = None
        errors = 0
        while True:
            try:
                page = await invocation_page(db, limit=2, before=before)
            except EntryUnreadable as error:
                errors += 1
                before = int(error.message.partition("before: ")[2].partition("`")[0])
                continue
            assert [each.seq for each in page.invocations] == [2, 1]
            assert page.unreadable
            break
        assert errors == 2

    with_ledger(dsn, scenario)
