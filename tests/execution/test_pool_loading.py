"""Components in a pool: loaded while it works, replaced, unloaded, and evicted."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution import zygote_process
from subgraph.execution.engine import EngineProfile
from tests.execution.pools import (
    BRIEFLY,
    LIMITS,
    answers,
    compiled,
    open_descriptors,
    open_pool,
    processes_at_rest,
    settled,
    until,
    zygote_pid,
)
from tests.support import guests
from tests.support.postgres import run

pytestmark = pytest.mark.usefixtures("one_lane")


def test_a_cancelled_load_leaves_the_zygote_in_step() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            zygote = zygote_pid(pool)
            os.kill(zygote, signal.SIGSTOP)
            loading = asyncio.create_task(pool.load("other", EngineProfile.OPEN, code))
            await asyncio.sleep(0.05)  # the zygote has been asked, and does not answer
            loading.cancel()
            next(iter(pool._lanes.idle())).kill()  # and the next question comes: a fork
            await asyncio.sleep(0.05)
            os.kill(zygote, signal.SIGCONT)
            await asyncio.wait([loading])
            assert loading.cancelled()
            assert await answers(pool)
            assert zygote_pid(pool) == zygote
            await pool.load("other", EngineProfile.OPEN, code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_a_load_cancelled_at_any_moment_harms_nothing() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            descriptors, zygote = open_descriptors(), zygote_pid(pool)
            for number in range(30):
                loading = asyncio.create_task(pool.load(f"other {number}", EngineProfile.OPEN, code))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                await asyncio.sleep(number % 3 * 0.0005)
                loading.cancel()
                await asyncio.wait([loading])
                assert await answers(pool)
            await until(lambda: settled(pool))
            assert zygote_pid(pool) == zygote
            assert open_descriptors() == descriptors

    run(scenario())


def test_a_load_whose_zygote_dies_is_an_execution_failure() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            os.kill(zygote_pid(pool), signal.SIGSTOP)
            loading = asyncio.create_task(pool.load("other", EngineProfile.OPEN, code))
            await asyncio.sleep(0.05)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            with pytest.raises(ExecutionFailed, match="could not be loaded; try again"):
                await loading
            await pool.load("other", EngineProfile.OPEN, code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_machine_code_that_no_frame_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            zygote = zygote_pid(pool)
            monkeypatch.setattr(zygote_process, "CONTROL_FRAME_LIMIT", len(code))
            with pytest.raises(ExecutionFailed, match="machine code of the component is over"):
                await pool.load("other", EngineProfile.OPEN, code)
            assert await answers(pool)
            assert zygote_pid(pool) == zygote

    run(scenario())


def test_workers_that_lack_a_component_are_replaced() -> None:
    code = {"echo": compiled(guests.ECHO)}
    sleeping, counting = compiled(guests.sleeps(0.2)), compiled(guests.COUNTS_ITS_CALLS)

    async def scenario() -> None:
        async with open_pool(code, size=2) as pool:
            before = await processes_at_rest(pool)
            await pool.load("sleep", EngineProfile.OPEN, sleeping)
            assert pool.is_loaded("sleep")
            running = asyncio.create_task(pool.call("sleep", "x", LIMITS))
            await until(lambda: pool.ready == 2 and len(pool._lanes.idle()) == 1)
            await pool.load("count", EngineProfile.OPEN, counting)
            assert (await pool.call("count", "{}", LIMITS)).output == "11"
            assert (await running).output == "x"  # a call that was running is left alone
            assert not before & await processes_at_rest(pool)
            assert await answers(pool)

    run(scenario())


def test_loading_twice_at_once_is_as_good_as_once() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({}, size=2) as pool:
            await asyncio.gather(*[pool.load("echo", EngineProfile.OPEN, code) for _ in range(4)])
            assert await answers(pool)
            await until(lambda: settled(pool))

    run(scenario())


def test_a_component_can_be_unloaded_and_loaded_again() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            await pool.unload("echo")
            await pool.unload("echo")
            assert not pool.is_loaded("echo")
            await pool.load("echo", EngineProfile.OPEN, code)
            assert await answers(pool)

    run(scenario())


def test_a_call_of_a_component_that_is_not_loaded_fails_and_the_pool_goes_on() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            with pytest.raises(ExecutionFailed, match="call it again"):
                await pool.call("nothing", "{}", LIMITS)
            with pytest.raises(ExecutionFailed, match="call it again"):
                pool.imports("nothing")  # it gave way before its call came
            assert await answers(pool)

    run(scenario())


def test_a_component_is_not_unloaded_while_a_call_uses_it() -> None:
    code = {"sleep": compiled(BRIEFLY)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            call = asyncio.create_task(pool.call("sleep", "{}", LIMITS))
            await asyncio.sleep(0)
            await pool.unload("sleep")
            assert pool.is_loaded("sleep")
            assert (await call).exit_code == 0
            await pool.unload("sleep")
            assert not pool.is_loaded("sleep")

    run(scenario())


def test_components_that_were_not_called_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.execution.pool.LOADED_LIMIT", 2)
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"first": code, "second": code}) as pool:
            await pool.call("first", "{}", LIMITS)
            await pool.load("third", EngineProfile.OPEN, code)
            assert [key for key in ("first", "second", "third") if pool.is_loaded(key)] == ["first", "third"]
            assert (await pool.call("first", "{}", LIMITS)).exit_code == 0
            assert (await pool.call("third", "{}", LIMITS)).exit_code == 0

    run(scenario())
