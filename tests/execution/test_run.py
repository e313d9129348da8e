"""Guests in a confined worker: how each of them ends, and that the next call knows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution import lanes
from subgraph.execution.engine import ComponentError, EngineProfile, SkillEngine
from subgraph.execution.limits import Limits
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import Call, Reply
from tests.execution.pools import compiled, open_pool, processes_at_rest
from tests.support import guests
from tests.support.guests import MIB, PAGE

LIMITS = Limits(time_ms=5000, memory_bytes=16 * MIB, output_bytes=64 * 1024)
SHORT = replace(LIMITS, time_ms=300)
AMPLE = Limits(time_ms=10_000, memory_bytes=512 * MIB, output_bytes=4 * MIB)

SLACK = 3 * LIMITS.output_bytes + MIB
"""What the interpreter of a worker may itself take, as the engine reckons."""


class Driver:
    """A pool of one worker, driven from tests that are not coroutines."""

    def __init__(self, runner: asyncio.Runner, pool: WorkerPool) -> None:
        self._runner = runner
        self.pool = pool

    def call(self, guest: str, input_: str = "{}", limits: Limits = LIMITS) -> Reply:
        machine_code = compiled(guest)

        async def scenario() -> Reply:
            async with asyncio.timeout(20):
                await self.pool.load(guest, EngineProfile.OPEN, machine_code)
                return await self.pool.call(guest, input_, limits)

        return self._runner.run(scenario())

    def load(self, key: str, machine_code: bytes) -> None:
        self._runner.run(self.pool.load(key, EngineProfile.OPEN, machine_code))

    @property
    def workers(self) -> set[int]:
        return self._runner.run(processes_at_rest(self.pool))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    # A call that a loaded machine makes slow would have another worker started beside its own.
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.setattr(lanes, "SLOW_SECONDS", 60.0)
        opened = open_pool({})
        pool = runner.run(opened.__aenter__())
        yield Driver(runner, pool)
        runner.run(opened.__aexit__(None, None, None))


def works(driver: Driver) -> bool:
    reply = driver.call(guests.ECHO, '{"next": "call"}')
    return (reply.exit_code, reply.output, reply.stdout) == (0, '{"next": "call"}', "")


def test_an_answer_is_the_output(driver: Driver) -> None:
    reply = driver.call(guests.ECHO, '{"tên": "Nguyễn 🙂"}')
    assert reply == Reply(
        0, '{"tên": "Nguyễn 🙂"}', None, None, None, reply.elapsed_us, reply.memory_bytes, "", ""
    )
    assert 0 < reply.elapsed_us < 5_000_000


def test_an_error_of_the_skill_is_passed_on(driver: Driver) -> None:
    reply = driver.call(guests.FAILS, "no such person")
    assert (reply.exit_code, reply.output) == (1, None)
    assert (reply.error_code, reply.error, reply.limit) == ("EXECUTION_FAILED", "no such person", None)


@pytest.mark.parametrize(
    ("guest", "exit_code", "error_code", "limit", "message"),
    [
        (guests.LOOPS, 124, "LIMIT_EXCEEDED", "time", "longer than 300 ms"),
        (guests.LOOPS_BEFORE_IT_RUNS, 124, "LIMIT_EXCEEDED", "time", "longer than 300 ms"),
        (guests.SLEEPS_FOR_A_MINUTE, 124, "LIMIT_EXCEEDED", "time", "longer than 300 ms"),
        (guests.GROWS_A_TABLE, 124, "LIMIT_EXCEEDED", "time", "longer than 300 ms"),
        (guests.GROWS_BY_A_GIBIBYTE, 137, "LIMIT_EXCEEDED", "memory", "more than 16777216 bytes"),
        (guests.TRAPS_WHEN_IT_CANNOT_GROW, 137, "LIMIT_EXCEEDED", "memory", "more than 16777216 bytes"),
        (guests.TOUCHES_MORE_AND_MORE, 137, "LIMIT_EXCEEDED", "memory", "more than 16777216 bytes"),
        (guests.STARTS_WITH_256_MIB, 137, "LIMIT_EXCEEDED", "memory", "more than 16777216 bytes"),
        (guests.answers(100 * MIB), 137, "LIMIT_EXCEEDED", "memory", "more than 16777216 bytes"),
        (guests.answers(65_537), 137, "LIMIT_EXCEEDED", "output", "over 65536 bytes"),
        (guests.fails_with(65_537), 137, "LIMIT_EXCEEDED", "output", "over 65536 bytes"),
        (guests.FLOODS_STDOUT, 137, "LIMIT_EXCEEDED", "output", "over 65536 bytes"),
        (guests.TRAPS, 1, "EXECUTION_FAILED", None, "the skill trapped: wasm `unreachable`"),
        (guests.RECURSES, 1, "EXECUTION_FAILED", None, "the skill trapped: call stack exhausted"),
        (guests.ANSWERS_WITH_INVALID_UTF8, 1, "EXECUTION_FAILED", None, "mishandled its input or its answer"),
        (guests.ANSWERS_FROM_OUTSIDE_ITS_MEMORY, 1, "EXECUTION_FAILED", None, "mishandled its input"),
        (guests.exits(failed=False), 1, "EXECUTION_FAILED", None, "exited before it answered"),
        (guests.exits(failed=True), 1, "EXECUTION_FAILED", None, "exited before it answered"),
    ],
    ids=[
        "loops", "loops before it runs", "sleeps", "grows a table", "grows by a gibibyte",
        "traps when it cannot grow", "touches more and more", "starts with too much",
        "answers with 100 MiB", "answers with a byte too many", "fails with a byte too many",
        "floods stdout", "traps", "recurses", "invalid UTF-8", "outside its memory",
        "exits", "exits with a failure",
    ],
)  # fmt: skip
def test_a_guest_that_misbehaves_is_stopped_and_the_next_call_works(
    driver: Driver, guest: str, exit_code: int, error_code: str, limit: str | None, message: str
) -> None:
    reply = driver.call(guest, limits=SHORT if limit == "time" else LIMITS)
    assert (reply.exit_code, reply.error_code, reply.limit) == (exit_code, error_code, limit)
    assert message in (reply.error or "")
    assert reply.output is None
    assert works(driver)


def test_an_output_over_the_limit_is_that_when_memory_is_ample(driver: Driver) -> None:
    assert driver.call(guests.answers(100 * MIB), limits=AMPLE).limit == "output"


def test_a_table_that_cannot_grow_is_the_guests_affair(driver: Driver) -> None:
    assert driver.call(guests.GROWS_A_TABLE_AT_ONCE).exit_code == 0


def test_the_limit_of_the_output_is_exact(driver: Driver) -> None:
    longest = LIMITS.output_bytes
    assert driver.call(guests.answers(longest)).output == "x" * longest
    assert driver.call(guests.fails_with(longest)).error == "x" * longest
    assert driver.call(guests.ECHO, "é" * (longest // 2)).exit_code == 0
    assert driver.call(guests.ECHO, "é" * (longest // 2) + "x").limit == "output"


def test_the_limit_of_stdout_is_exact(driver: Driver) -> None:
    reply = driver.call(guests.floods(LIMITS.output_bytes, stderr=True))
    assert reply.exit_code == 0
    assert reply.stdout == reply.stderr == "x" * LIMITS.output_bytes
    assert driver.call(guests.floods(LIMITS.output_bytes + 4096)).limit == "output"


def test_what_is_printed_is_captured(driver: Driver) -> None:
    reply = driver.call(guests.PRINTS_ITS_INPUT, '{"tên": "A"}')
    assert reply.output == reply.stdout == reply.stderr == '{"tên": "A"}'


def test_printed_bytes_that_are_no_text_are_replaced(driver: Driver) -> None:
    reply = driver.call(guests.floods(LIMITS.output_bytes, byte=0xFF, stderr=True))
    assert reply.exit_code == 0
    assert reply.stdout == reply.stderr == "\ufffd" * LIMITS.output_bytes


def test_each_call_finds_the_component_as_it_was_made(driver: Driver) -> None:
    driver.call(guests.COUNTS_ITS_CALLS)
    workers = driver.workers
    assert [driver.call(guests.COUNTS_ITS_CALLS).output for _ in range(5)] == ["11"] * 5
    assert driver.workers == workers  # it was one and the same process


def test_a_single_instruction_cannot_fill_memory_over_the_limit(driver: Driver) -> None:
    reply = driver.call(guests.fills(60_000))
    assert (reply.exit_code, reply.limit) == (137, "memory")
    assert reply.elapsed_us < 2_000_000  # it would take longer to fill 4 GiB
    assert works(driver)


@pytest.mark.parametrize("pages", [1, 40, 120], ids=["one page", "kept resident", "more than is kept"])
def test_no_memory_passes_from_one_call_to_the_next(driver: Driver, pages: int) -> None:
    driver.call(guests.dirties(pages))
    other = guests.dirties(pages + 1)
    driver.call(other)
    workers = driver.workers
    for _ in range(10):
        assert driver.call(guests.dirties(pages)).exit_code == 0
        assert driver.call(other).exit_code == 0
    assert driver.workers == workers


@pytest.mark.parametrize("size", [0, MIB, LIMITS.memory_bytes - PAGE, LIMITS.memory_bytes])
def test_memory_up_to_the_limit_may_be_used(driver: Driver, size: int) -> None:
    reply = driver.call(guests.grows(size))
    assert reply.exit_code == 0
    assert size <= reply.memory_bytes <= size + SLACK


def test_memory_over_the_limit_is_noticed_however_fast_it_was(driver: Driver) -> None:
    reply = driver.call(guests.grows(LIMITS.memory_bytes + SLACK + PAGE))
    assert (reply.exit_code, reply.limit) == (137, "memory")


@pytest.mark.parametrize("guest", [guests.sleeps(0), guests.PRINTS_ITS_INPUT], ids=["sleeps", "prints"])
def test_what_wasi_takes_is_not_the_guests(driver: Driver, guest: str) -> None:
    least = Limits(time_ms=5000, memory_bytes=MIB, output_bytes=1024)
    assert driver.call(guest, limits=least).exit_code == 0  # in a new worker: it was just loaded
    assert driver.call(guest, limits=least).memory_bytes < MIB


def test_the_limit_of_the_initial_memory_is_exact(driver: Driver) -> None:
    assert driver.call(guests.pure(pages=LIMITS.memory_bytes // PAGE)).exit_code == 0
    assert driver.call(guests.pure(pages=LIMITS.memory_bytes // PAGE + 1)).limit == "memory"


def test_memory_is_given_back_after_each_call(driver: Driver) -> None:
    guest = guests.grows(LIMITS.memory_bytes)
    sizes = [driver.call(guest).memory_bytes for _ in range(20)]
    assert max(sizes[1:]) - min(sizes[1:]) <= MIB
    assert driver.call(guests.grows(0)).memory_bytes < MIB


def test_time_up_to_the_limit_may_be_used(driver: Driver) -> None:
    reply = driver.call(guests.sleeps(0.25))
    assert (reply.exit_code, reply.output) == (0, "{}")
    assert reply.elapsed_us >= 250_000


def test_a_guest_that_wakes_up_over_its_time_is_stopped_and_its_worker_lives(driver: Driver) -> None:
    guest = guests.sleeps(0.15, then="(loop $again (br_if $again (i32.eqz (local.get $failed))))")
    assert driver.call(guest, limits=replace(LIMITS, time_ms=250)).limit == "time"
    workers = driver.workers
    reply = driver.call(guest, limits=replace(LIMITS, time_ms=100))
    assert (reply.exit_code, reply.limit) == (124, "time")
    assert driver.workers == workers


@pytest.mark.parametrize("guest", [guests.LOOPS, guests.SLEEPS_FOR_A_MINUTE], ids=["loops", "sleeps"])
def test_a_call_has_ended_250_ms_after_its_deadline(driver: Driver, guest: str) -> None:
    # The best of three: a shared machine may stop this process for longer than that.
    excess = [driver.call(guest, limits=SHORT).elapsed_us - SHORT.time_ms * 1000 for _ in range(3)]
    assert 0 <= min(excess) <= 250_000


def test_the_time_limit_counts_from_the_start_of_each_call(driver: Driver) -> None:
    guest = guests.sleeps(0.2)
    for _ in range(6):
        assert driver.call(guest, limits=replace(LIMITS, time_ms=1000)).exit_code == 0


def test_machine_code_that_is_not_is_refused_and_workers_go_on(driver: Driver) -> None:
    assert works(driver)
    workers = driver.workers
    with pytest.raises(ExecutionFailed, match="the engine cannot load"):
        driver.load("nonsense", b"nonsense")
    assert not driver.pool.is_loaded("nonsense")
    assert works(driver)
    assert driver.workers == workers


def test_an_engine_runs_nothing_before_it_is_prepared() -> None:
    engine = SkillEngine()
    call = Call("key", "{}", 1000, MIB, MIB, None)
    with pytest.raises(RuntimeError, match="prepare"):
        engine.run(call)
    engine.prepare(lambda _: None)
    with pytest.raises(ComponentError, match="not loaded"):
        engine.run(call)


def test_an_answer_that_comes_just_after_the_deadline_is_over_time(driver: Driver) -> None:
    reply = driver.call(guests.sleeps(0.15), limits=replace(LIMITS, time_ms=80))
    assert (reply.exit_code, reply.limit) == (124, "time")
    assert works(driver)
