from __future__ import annotations

import math
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit import (
    ConsultedModel,
    DecidedRouting,
    Entry,
    FinishedRouting,
    HostCallNote,
    Kpi,
    Ledger,
    NotableHostCall,
    RefusedInvocation,
    ReplayedRouting,
    Totals,
    read_kpis,
    read_totals,
)
from subgraph.audit.consistency_check import check_structure
from subgraph.audit.kpis import BINS, FIGURES, LONGEST_SPAN, binned, confidences, percentile_us
from subgraph.audit.tallies import NO_TIME, Tally
from subgraph.capabilities import Authority
from subgraph.errors import InputInvalid
from subgraph.settings import Settings
from subgraph.storage import Database
from subgraph.storage.migrations import migrate, read_migrations
from tests.audit.factory import finished
from tests.support.postgres import run, settings_for

NOW = datetime.now(UTC)
COMMON = {"actor": "ann", "skill": "a/one", "content_hash": "a" * 64, "at": NOW}


def with_log(
    dsn: str, entries: list[Entry], scenario: Callable[[Database, dict[str, Kpi]], Awaitable[None]]
) -> None:
    async def opened() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            for entry in entries:
                await ledger.append(entry)
            await scenario(db, {each.name: each for each in await read_kpis(db)})

    run(opened())


def host_call(outcome: str) -> Entry:
    call = HostCallNote(function="read_file", target="a", outcome=outcome, elapsed_us=5)
    return NotableHostCall(**COMMON, invocation_id=str(finished().invocation_id), call=call)  # type: ignore[arg-type]


def decision(state: str, confidence: str | None = None) -> DecidedRouting:
    return DecidedRouting(
        actor="ann",
        at=NOW,
        state=state,
        lifecycle=[],
        skill=None,
        facts={} if confidence is None else {"confidence": confidence},
        key_id="k",
        query_commitment="q",
        decision_commitment="d",
        sealed=None,
    )


def run_of(executor: str, elapsed_us: int, exit_code: int = 0, age: timedelta = timedelta(0)) -> Entry:
    return finished(at=NOW - age, executor=executor, elapsed_us=elapsed_us, exit_code=exit_code)


def test_an_empty_log_has_no_rates_and_no_latencies(dsn: str) -> None:
    async def scenario(db: Database, figures: dict[str, Kpi]) -> None:
        assert list(figures) == [figure.name for figure in FIGURES]
        assert {each.name for each in figures.values() if each.value is not None} == {
            "invocations_interrupted",
            "invocations_refused",
            "host_calls_denied",
        }
        assert all(each.met is None for each in figures.values())
        assert await read_totals(db) == Totals([], 0)

    with_log(dsn, [], scenario)


def test_rates_and_counts_are_those_of_the_entries(dsn: str) -> None:
    async def scenario(_: Database, figures: dict[str, Kpi]) -> None:
        success = figures["invocation_success_rate"]
        assert (success.value, success.numerator, success.denominator) == (0.75, 3, 4)
        assert (success.target, success.target_is, success.met) == (0.98, "at least", False)
        assert figures["invocations_refused"].value == 2
        assert figures["host_calls_denied"].value == 1

    entries = [
        *(run_of("WASM", 900) for _ in range(3)),
        run_of("SCRIPT", 9000, exit_code=124),
        *(RefusedInvocation(**COMMON, code=code, message="no") for code in ("GRANT_STALE", "OVERLOADED")),  # type: ignore[arg-type]
        *(map(host_call, ("ok", "denied", "error"))),
    ]
    with_log(dsn, entries, scenario)


def test_rates_of_the_router_are_those_of_its_entries(dsn: str) -> None:
    async def scenario(_: Database, figures: dict[str, Kpi]) -> None:
        found = {
            name.removeprefix("routing_"): (each.numerator, each.denominator)
            for name, each in figures.items()
            if name.startswith("routing_") and not name.startswith("routing_confidence")
        }
        assert found == {
            "defer_rate": (2, 5),
            "escalation_rate": (2, 5),
            "model_latency_p95": (None, 2),
            "success_rate": (1, 2),
            "replay_equivalence": (3, 4),
        }
        targets = {name: (each.target_is, each.target, each.met) for name, each in figures.items()}
        assert targets["routing_defer_rate"] == ("at most", 0.05, False)
        assert targets["routing_escalation_rate"] == ("at most", 0.1, False)
        assert targets["routing_model_latency_p95"] == ("at most", 800.0, False)
        assert targets["routing_success_rate"] == ("at least", 0.95, False)
        assert targets["routing_replay_equivalence"] == ("at least", 1.0, False)

    decided = [decision(state) for state in ("invoking", "invoking", "deferred", "deferred", "picked")]
    consulted = [
        ConsultedModel(
            actor="ann",
            request_id="r",
            outcome=outcome,
            pick=None,
            facts={"elapsedUs": elapsed_us},
            key_id="k",
            prompt_commitment="p",
            answer_commitment="a",
            sealed_prompt=None,
            sealed_answer=None,
        )
        for outcome, elapsed_us in (("answered", 150_000), ("timeout", 3_000_000))
    ]
    outcomes = [
        FinishedRouting(
            actor="ann",
            request_id="r",
            state=state,
            lifecycle=[],
            skill="a/one",
            invocation_id=None,
            error=None,
        )
        for state in ("succeeded", "failed")
    ]
    replays = [
        ReplayedRouting(actor="ann", request_id="r", skill=None, identical=identical)
        for identical in (True, True, True, False)
    ]
    with_log(dsn, [*decided, *consulted, *outcomes, *replays], scenario)


def test_the_confidence_of_decisions_is_told_by_mean_percentile_and_bins(dsn: str) -> None:
    async def scenario(db: Database, figures: dict[str, Kpi]) -> None:
        mean, tenth = figures["routing_confidence_mean"], figures["routing_confidence_p10"]
        assert mean.value == pytest.approx((0.09 + 0.2 + 5 * 0.6 + 0.99 + 4 * 1.0) / 12)
        assert (mean.numerator, mean.denominator, mean.unit) == (None, 12, "confidence")
        assert mean.bins == (1, 0, 1, 0, 0, 0, 5, 0, 0, 5)
        assert (mean.target, mean.target_is, mean.met) == (0.6, "at least", True)
        assert (tenth.value, tenth.denominator, tenth.bins) == (0.2, 12, None)
        assert (tenth.target, tenth.target_is, tenth.met) == (0.3, "at least", False)
        assert figures["routing_defer_rate"].denominator == 13
        assert confidences((await read_totals(db)).tallies).total() == 12
        assert await check_structure(db) == ()

    told = ["0.09", "0.20", *["0.60"] * 5, "0.99", *["1.00"] * 4]
    states = ["deferred", "invoking"] * 6
    entries = [decision(state, confidence) for state, confidence in zip(states, told, strict=True)]
    with_log(dsn, [*entries, decision("picked")], scenario)


@given(st.dictionaries(st.integers(0, 100), st.integers(1, 5), max_size=8))
def test_bins_hold_every_decision_once(counted: dict[int, int]) -> None:
    bins = binned(counted)
    assert len(bins) == BINS
    assert sum(bins) == sum(counted.values())
    assert bins[-1] == sum(count for percent, count in counted.items() if percent >= 90)


@pytest.mark.parametrize("confidence", ["", "high", "1.01", "0.6", "-0.50", "WASM", "\u0660.50"])
def test_a_confidence_that_the_router_does_not_write_is_passed_over(confidence: str) -> None:
    assert confidences([Tally("routing.decision", "info", confidence, "picked", NO_TIME, 1)]) == {}


def test_decisions_from_before_confidence_was_counted_are_counted_by_the_migration(
    dsn: str, tmp_path: Path
) -> None:
    before = tmp_path / "sql"
    shutil.copytree(Settings().sql_dir, before)
    (added,) = before.glob("*_confidence_tally.sql")
    for later in sorted(before.glob("0*.sql")):
        if later.name >= added.name:
            later.unlink()
    entries = [decision("deferred", "0.20"), decision("deferred", "0.20"), decision("invoking", "1.00")]

    async def scenario() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await migrate(connection, read_migrations(before))
            for entry in [*entries, decision("picked"), run_of("WASM", 900)]:
                batch = "SELECT audit.append(gen_random_uuid(), ARRAY[$1::bytea])"
                await connection.execute(batch, entry.encode())
        finally:
            await connection.close()
        async with Database(settings_for(dsn)) as db:
            (mean,) = [each for each in await read_kpis(db) if each.name == "routing_confidence_mean"]
            assert mean.denominator == 3
            assert mean.value == pytest.approx(1.4 / 3)
            assert await check_structure(db) == ()

    run(scenario())


def test_latencies_are_of_their_executor_alone(dsn: str) -> None:
    async def scenario(_: Database, figures: dict[str, Kpi]) -> None:
        p50, p95, p99 = (figures[f"component_latency_p{percent}"] for percent in (50, 95, 99))
        assert p50.value == pytest.approx(1.0, rel=0.045)
        assert p95.value == pytest.approx(4.0, rel=0.045)
        assert p99.value == pytest.approx(40.0, rel=0.045)
        assert (p95.denominator, p95.numerator, p95.unit) == (100, None, "ms")
        assert (p95.target, p95.target_is, p95.met) == (5.0, "at most", True)
        assert figures["script_latency_p50"].value == pytest.approx(20.0, rel=0.045)
        assert (figures["script_latency_p50"].target, figures["script_latency_p50"].met) == (None, None)

    entries = [
        *(run_of("WASM", 1000) for _ in range(94)),
        *(run_of("WASM", 4000) for _ in range(4)),
        *(run_of("WASM", 40_000) for _ in range(2)),
        run_of("SCRIPT", 20_000),
        run_of("INLINE", 0),
    ]
    with_log(dsn, entries, scenario)


def test_figures_begin_at_an_hour(dsn: str) -> None:
    async def scenario(db: Database, figures: dict[str, Kpi]) -> None:
        assert figures["invocation_success_rate"].denominator == 2  # of a week by default
        hour = NOW.replace(minute=0, second=0, microsecond=0)
        for since, runs in (
            (NOW, 1),
            (hour, 1),
            (hour - timedelta(microseconds=1), 1),
            (NOW - timedelta(days=6), 2),
            (NOW - timedelta(days=30), 3),
            (NOW + timedelta(hours=1), 0),
        ):
            found = {each.name: each for each in await read_kpis(db, since)}
            assert found["invocation_success_rate"].denominator == runs, since

    ages = (timedelta(0), timedelta(days=5), timedelta(days=20))
    with_log(dsn, [run_of("WASM", 5, age=age) for age in ages], scenario)


def test_a_grant_that_nobody_asked_for_is_no_answer(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Authority(db) as authority:
            for path, approved in (("a/one", True), ("a/two", True), ("a/three", False)):
                await authority.request(path, "log", "a" * 64, "ann")
                (request,) = [each for each in authority.requests() if each.skill_path == path]
                await (authority.approve if approved else authority.deny)(request, "", "bo")
            await authority.request("a/waits", "log", "a" * 64, "ann")
            await authority.grant("a/unasked", ["log"], "a" * 64, "bo")
            rate = next(each for each in await read_kpis(db) if each.name == "capability_grant_rate")
            assert (rate.numerator, rate.denominator, rate.met) == (2, 3, False)

    run(scenario())


@pytest.mark.parametrize(
    "since",
    [
        NOW - LONGEST_SPAN - timedelta(minutes=1),
        datetime(2026, 11, 1),  # noqa: DTZ001 -- that is what is refused
        datetime.min.replace(tzinfo=UTC),
    ],
)
def test_figures_are_of_a_bounded_time(dsn: str, since: datetime) -> None:
    async def scenario(db: Database, _: dict[str, Kpi]) -> None:
        with pytest.raises(InputInvalid):
            await read_kpis(db, since)

    with_log(dsn, [], scenario)


def test_totals_are_the_sums_over_all_hours(dsn: str) -> None:
    async def scenario(db: Database, _: dict[str, Kpi]) -> None:
        totals = await read_totals(db)
        assert totals.log_size == 40
        assert sum(tally.entries for tally in totals.tallies) == 40
        assert sum(tally.elapsed_us for tally in totals.tallies) == sum(range(0, 3900, 100))
        assert {tally.outcome for tally in totals.tallies} == {"0", "denied"}
        assert [tally.bucket for tally in totals.tallies if tally.outcome == "denied"] == [NO_TIME]

    runs = [run_of("WASM", 100 * hour, age=timedelta(hours=hour)) for hour in range(39)]
    with_log(dsn, [*runs, host_call("denied")], scenario)


def bucketed(elapsed_us: int) -> Tally:
    """A run as `audit.append` counts it."""
    bucket = math.floor(8 * math.log2(max(elapsed_us, 1)))
    return Tally("invocation.finished", "info", "WASM", "0", bucket, 1)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200), st.sampled_from((1, 50, 95, 99, 100)))
def test_a_percentile_is_within_its_error_of_the_nearest_rank(times: list[int], percent: int) -> None:
    exact = sorted(times)[max(0, math.ceil(len(times) * percent / 100) - 1)]
    estimate = percentile_us([bucketed(each) for each in times], percent)
    assert estimate is not None
    assert exact / 1.0443 <= estimate <= exact * 1.0443


def test_nothing_has_no_percentile() -> None:
    assert percentile_us([], 50) is None


def test_postgresql_puts_a_time_into_the_bucket_that_the_error_bound_is_for(dsn: str) -> None:
    """Around every edge, where its logarithm may round either way."""

    async def scenario(db: Database, _: dict[str, Kpi]) -> None:
        tallies = (await read_totals(db)).tallies
        assert len(tallies) == len(edges)
        for tally in tallies:
            low, high = 2 ** (tally.bucket / 8), 2 ** ((tally.bucket + 1) / 8)
            assert low * (1 - 1e-12) <= int(tally.executor) <= high * (1 + 1e-12)

    octaves = (2 ** (bucket / 8) for bucket in range(0, 240, 7))
    edges = sorted({max(1, round(edge) + near) for edge in octaves for near in (-1, 0, 1)})
    with_log(dsn, [run_of(str(each), each) for each in edges], scenario)
