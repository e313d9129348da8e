from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


TICK = timedelta(microseconds=1)
HOUR = NOON.replace(minute=0, second=0, microsecond=0)

# Around the edges of hours, to the microsecond, and in any order: clocks of several processes differ.
MOMENTS = st.builds(
    lambda hours, microseconds: HOUR + timedelta(hours=hours, microseconds=microseconds),
    st.integers(-3, 3),
    st.sampled_from((-1_800_000_000, -1, 0, 1, 1_800_000_000)),
)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rounds=st.lists(
        st.tuples(st.lists(st.tuples(st.sampled_from(("one", "two")), MOMENTS), max_size=12), MOMENTS),
        min_size=1,
        max_size=4,
    )
)
def test_counts_are_those_of_the_entries_at_every_edge_of_an_hour(
    dsn: str, rounds: list[tuple[list[tuple[str, datetime]], datetime]]
) -> None:
    """Whole hours are counted already, of the first the entries are: both together are a direct count."""

    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            # The log of an earlier example is not emptied: no skill of this one is in it.
            part = uuid.uuid4().hex
            ended: list[tuple[str, datetime]] = []
            for more, since in rounds:
                for name, at in more:
                    await ledger.append(finished(skill=f"{part}/{name}", at=at))
                ended += more
                for moment in (
                    since,
                    HOUR,
                    HOUR + TICK,
                    HOUR - TICK,
                ):
                    counted = await count_invocations(db, [f"{part}/one", f"{part}/two"], moment)
                    assert counted == {
                        f"{part}/{name}": sum(each == name and at >= moment for each, at in ended)
                        for name in ("one", "two")
                    }

    run(scenario())
