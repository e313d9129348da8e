from __future__ import annotations

import uuid
from datetime import timedelta

from subgraph.audit import Ledger, RecordedInvocation, count_invocations, find_invocations
from subgraph.storage import Database
from tests.audit.factory import NOON, finished
from tests.support.postgres import run, settings_for


def test_an_invocation_is_found_by_its_id(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            entry = finished()
            identifier = uuid.UUID(entry.invocation_id)
            await ledger.append(entry)
            assert await find_invocations(db, [identifier, uuid.uuid4()]) == {
                identifier: RecordedInvocation(0, entry)
            }
            assert await find_invocations(db, []) == {}

    run(scenario())


def test_invocations_are_counted_by_skill_from_a_moment_on(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            for skill, age in (("a/one", 0), ("a/one", 1), ("a/one", 30), ("a/two", 23), ("a/other", 0)):
                await ledger.append(finished(skill=skill, at=NOON - timedelta(hours=age)))
            since = NOON - timedelta(hours=24)
            counts = await count_invocations(db, ["a/one", "a/two", "a/none"], since)
            assert counts == {"a/one": 2, "a/two": 1, "a/none": 0}
            assert await count_invocations(db, [], since) == {}

    run(scenario())
