"""Calls of a pool: answered in turn, refused at its bounds, and left by their callers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from subgraph.errors import Overloaded
from subgraph.execution import turns
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile
from subgraph.execution.pool import WorkerPool
from tests.execution.pools import (
    LIMITS,
    answers,
    busy,
    compiled,
    held,
    open_pool,
    processes_at_rest,
    settled,
    until,
    waiting,
    waits,
    worker_pids,
)
from tests.support import guests
from tests.support.guests import MIB
from tests.support.postgres import run

pytestmark = pytest.mark.usefixtures("one_lane")


def test_a_call_is_answered() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            assert pool.ready == 2
            assert pool.failure is None
            assert await answers(pool, '{"a": 1}')

    run(scenario())


def test_calls_before_the_first_worker_is_ready_wait_for_it() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with WorkerPool(1, queue_limit=8, landlock=landlock_available()) as pool:
            await pool.load("echo", EngineProfile.OPEN, code)
            assert await answers(pool)

    run(scenario())


def test_a_large_input_and_output_pass_in_parts() -> None:
    code = compiled(guests.ECHO)
    limits = replace(LIMITS, output_bytes=8 * MIB)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            for size in (MIB, 5_000_001):
                text = "é" * (size // 2)
                assert (await pool.call("echo", text, limits)).output == text

    run(scenario())


def test_calls_are_served_in_the_order_in_which_they_came() -> None:
    code = compiled(guests.ECHO)
    order: list[int] = []

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:

            async def numbered(number: int) -> None:
                await pool.call("echo", str(number), LIMITS)
                order.append(number)

            async with asyncio.TaskGroup() as tasks, held(pool):
                for number in range(20):
                    tasks.create_task(numbered(number))
                await waits(pool, 20)

    run(scenario())
    assert order == list(range(20))


def test_a_call_over_the_bound_of_the_queue_is_refused_at_once() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, queue_limit=3) as pool:
            async with held(pool):
                queued = [asyncio.create_task(answers(pool)) for _ in range(3)]
                await waits(pool, 3)
                with pytest.raises(Overloaded):
                    await pool.call("echo", "{}", LIMITS)
            assert all(await asyncio.gather(*queued))
            assert await answers(pool)

    run(scenario())


def test_a_call_that_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "QUEUE_WAIT_SECONDS", 0.05)
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            async with held(pool):
                with pytest.raises(Overloaded, match="no worker became free"):
                    await pool.call("echo", "{}", LIMITS)
                assert not waiting(pool)
            assert await answers(pool)

    run(scenario())


def test_a_caller_that_leaves_the_queue_takes_no_worker_with_it() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            async with held(pool):
                queued = [asyncio.create_task(answers(pool, str(number))) for number in range(6)]
                await waits(pool, 6)
                for caller in queued[::2]:
                    caller.cancel()
                await asyncio.wait(queued[::2])
                assert waiting(pool) == 3
            assert all(await asyncio.gather(*queued[1::2]))
            assert settled(pool)

    run(scenario())


def test_a_caller_that_leaves_as_its_turn_comes_hands_the_worker_on() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            (pid,) = await processes_at_rest(pool)
            worker = await pool._acquire("echo")
            leaving = asyncio.create_task(answers(pool, "leaving"))
            staying = asyncio.create_task(answers(pool, "staying"))
            await waits(pool, 2)
            pool._release(worker)
            leaving.cancel()
            assert await staying
            assert leaving.cancelled()
            assert settled(pool)
            assert await processes_at_rest(pool) == {pid}

            worker = await pool._acquire("echo")
            leaving = asyncio.create_task(answers(pool, "leaving"))
            await waits(pool, 1)
            pool._release(worker)
            leaving.cancel()
            worker.kill()  # and it dies at this very moment
            await asyncio.wait([leaving])
            await until(lambda: settled(pool))
            assert await answers(pool)

    run(scenario())


def test_a_caller_that_leaves_a_running_call_has_its_worker_replaced() -> None:
    code = {"echo": compiled(guests.ECHO), "loop": compiled(guests.LOOPS)}

    async def scenario() -> None:
        async with open_pool(code, size=2) as pool:
            before = await processes_at_rest(pool)
            running = [asyncio.create_task(pool.call("loop", "{}", LIMITS)) for _ in range(2)]
            await busy(pool)
            await asyncio.sleep(0.02)
            for caller in running:
                caller.cancel()
            await asyncio.wait(running)
            assert all(caller.cancelled() for caller in running)
            assert await answers(pool)
            await until(lambda: settled(pool))
            await until(lambda: not before & set(worker_pids(pool)))

    run(scenario())


def test_a_caller_that_leaves_as_the_answer_comes_loses_no_worker() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            for number in range(60):
                caller = asyncio.create_task(answers(pool))
                for _ in range(number % 6):
                    await asyncio.sleep(0)
                await asyncio.sleep(number % 4 * 0.0002)
                caller.cancel()
                await asyncio.wait([caller])
            await until(lambda: settled(pool))
            assert await answers(pool)

    run(scenario())
