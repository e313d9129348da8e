"""A pool whose workers and zygote die: nothing hangs, nothing is wrong, and it is soon whole again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
import uvloop

from subgraph.errors import ExecutionFailed
from subgraph.execution import pool as pool_module
from subgraph.execution.confinement import FileAccess, landlock_available
from subgraph.execution.engine import EngineProfile
from subgraph.execution.pool import WorkerPool
from subgraph.execution.run import Imports
from subgraph.execution.zygote_process import ZygoteGone
from tests.execution.pools import (
    LIMITS,
    answers,
    be_impatient,
    busy,
    children,
    compiled,
    is_dead,
    open_descriptors,
    open_pool,
    processes_at_rest,
    settled,
    until,
    waits,
    worker_pids,
    zygote_pid,
)
from tests.support import guests
from tests.support.guests import MIB
from tests.support.postgres import run

pytestmark = pytest.mark.usefixtures("one_lane")


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_no_call_hangs_or_is_answered_wrongly_while_workers_are_killed(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    code = {"work": compiled(guests.sleeps(0.005))}
    callers, calls_each, size = 16, 30, 2
    chance = random.Random(7)  # noqa: S311 - which worker is killed must be the same each time

    async def scenario() -> None:
        errors = kills = 0
        async with open_pool(code, size=size) as pool:

            async def kill() -> None:
                nonlocal kills
                while True:
                    await asyncio.sleep(0.1)
                    pids = worker_pids(pool)
                    if pids:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(chance.choice(pids), signal.SIGKILL)
                            kills += 1

            async def caller(name: int) -> None:
                nonlocal errors
                for number in range(calls_each):
                    text = f"{name}.{number}"
                    reply = await pool.call("work", text, LIMITS)
                    if reply.exit_code == 0:
                        assert reply.output == text
                    else:
                        assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")
                        errors += 1

            killing = asyncio.create_task(kill())
            await asyncio.gather(*map(caller, range(callers)))
            killing.cancel()
            await asyncio.wait([killing])
            assert kills >= 5
            assert errors <= kills
            await until(lambda: settled(pool) and len(worker_pids(pool)) >= size)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 30))


def test_a_call_right_after_an_idle_worker_was_killed_is_answered() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            for number in range(30):
                (pid,) = await processes_at_rest(pool)
                os.kill(pid, signal.SIGKILL)
                assert await answers(pool, str(number))

    run(scenario())


def test_a_stopped_worker_costs_one_call_its_time_and_no_more() -> None:
    code = compiled(guests.ECHO)
    limits = replace(LIMITS, time_ms=200)
    workers: list[str] = []

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            for tried, text in enumerate(("{}", "x" * MIB)):  # the larger one does not even fit its socket
                (pid,) = await processes_at_rest(pool)
                os.kill(pid, signal.SIGSTOP)
                reply = await pool.call("echo", text, limits, on_start=lambda: workers.append("one"))
                assert (reply.exit_code, reply.limit) == (124, "time")
                assert len(workers) == tried + 1  # no other one was given the call when this one was killed

    run(scenario())


def test_a_killed_zygote_costs_the_running_calls_alone() -> None:
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(guests.SLEEPS_FOR_A_MINUTE)}

    async def scenario() -> None:
        async with open_pool(code, size=2) as pool:
            for _ in range(4):
                running = [asyncio.create_task(pool.call("sleep", "{}", LIMITS)) for _ in range(2)]
                await busy(pool)
                queued = [asyncio.create_task(answers(pool, str(number))) for number in range(8)]
                await waits(pool, 8)
                await asyncio.sleep(0.02)  # the calls have reached their workers
                os.kill(zygote_pid(pool), signal.SIGKILL)
                for reply in await asyncio.gather(*running):
                    assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")
                assert all(await asyncio.gather(*queued))
                await until(lambda: settled(pool))

    run(scenario())


def test_a_new_zygote_has_every_component() -> None:
    code = {"echo": compiled(guests.ECHO), "count": compiled(guests.COUNTS_ITS_CALLS)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            workers = worker_pids(pool)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            await until(lambda: all(map(is_dead, workers)))
            assert (await pool.call("count", "{}", LIMITS)).output == "11"
            assert await answers(pool)

    run(scenario())


def test_a_zygote_that_dies_while_it_is_revived_loses_no_component(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"echo": compiled(guests.ECHO), "count": compiled(guests.COUNTS_ITS_CALLS)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            load, loads = pool._zygote.load, 0

            async def dying(key: str, profile: EngineProfile, machine_code: bytes) -> Imports:
                nonlocal loads
                loads += 1
                if loads == 2:
                    raise ExecutionFailed("once")
                return await load(key, profile, machine_code)

            monkeypatch.setattr(pool._zygote, "load", dying)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            await until(lambda: settled(pool) and loads >= 4)
            assert (await pool.call("count", "{}", LIMITS)).output == "11"
            assert await answers(pool)

    run(scenario())


def test_an_unload_while_the_zygote_is_revived_costs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {f"echo {number}": compiled(guests.ECHO) for number in range(3)}

    async def scenario() -> None:
        async with open_pool(code, size=2) as pool:
            load, reviving = pool._zygote.load, asyncio.Event()

            async def slow(key: str, profile: EngineProfile, machine_code: bytes) -> Imports:
                reviving.set()
                await asyncio.sleep(0.02)
                return await load(key, profile, machine_code)

            monkeypatch.setattr(pool._zygote, "load", slow)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            await reviving.wait()
            await pool.unload("echo 2")
            assert not pool.is_loaded("echo 2")
            await until(lambda: settled(pool))
            assert (await pool.call("echo 0", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_one_failed_start_is_not_held_against_the_calls_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"echo": compiled(guests.ECHO), "loop": compiled(guests.LOOPS)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            fork, failed = pool._zygote.fork, False

            async def fail_once(access: FileAccess) -> tuple[socket.socket, int]:
                nonlocal failed
                if not failed:
                    failed = True
                    raise ZygoteGone("once")
                return await fork(access)

            running = asyncio.create_task(pool.call("loop", "{}", LIMITS, skill="loop"))
            await busy(pool)
            queued = [asyncio.create_task(answers(pool, str(number))) for number in range(3)]
            await waits(pool, 3)
            monkeypatch.setattr(pool._zygote, "fork", fail_once)
            running.cancel()
            assert all(await asyncio.gather(*queued))
            assert failed

    run(scenario())


def test_calls_that_wait_are_told_when_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"echo": compiled(guests.ECHO), "loop": compiled(guests.LOOPS)}

    async def scenario() -> None:
        async with open_pool(code) as pool:

            async def fail(access: FileAccess) -> tuple[socket.socket, int]:
                raise ZygoteGone("always")

            running = asyncio.create_task(pool.call("loop", "{}", LIMITS, skill="loop"))
            await busy(pool)
            queued = asyncio.create_task(answers(pool))
            await waits(pool, 1)
            with monkeypatch.context() as patched:
                patched.setattr(pool._zygote, "fork", fail)
                running.cancel()
                with pytest.raises(ExecutionFailed, match="no worker process can be started"):
                    await queued
                with pytest.raises(ExecutionFailed, match="no worker process can be started"):
                    await pool.call("echo", "{}", LIMITS)
                assert pool.failure is not None
            await until(lambda: settled(pool))
            assert pool.failure is None
            assert await answers(pool)

    run(scenario())


def test_a_zygote_that_does_not_answer_is_replaced() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            be_impatient(pool._zygote)
            stopped = zygote_pid(pool)
            os.kill(stopped, signal.SIGSTOP)
            with pytest.raises(ExecutionFailed, match="could not be loaded; try again"):
                await pool.load("other", EngineProfile.OPEN, code)
            await pool.load("other", EngineProfile.OPEN, code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0
            assert is_dead(stopped)
            await until(lambda: settled(pool))

    run(scenario())


def test_a_worker_is_replaced_after_its_share_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CALLS_PER_WORKER", 5)
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            seen = set()
            for _ in range(20):
                seen.update(worker_pids(pool))
                assert await answers(pool)
            assert len(seen) >= 4

    run(scenario())


def test_a_worker_over_a_resource_limit_is_replaced() -> None:
    code = {"echo": compiled(guests.ECHO), "grow": compiled(guests.GROWS_BY_A_GIBIBYTE)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            before = await processes_at_rest(pool)
            assert (await pool.call("grow", "{}", LIMITS)).limit == "memory"
            assert await answers(pool)
            assert not before & await processes_at_rest(pool)

    run(scenario())


def test_two_hundred_replacements_leave_no_descriptor_task_or_process_behind() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            descriptors, tasks = open_descriptors(), len(asyncio.all_tasks())
            for _ in range(100):
                for worker in pool._lanes.idle():
                    worker.kill()
                await until(lambda: settled(pool))
            assert open_descriptors() == descriptors
            assert len(asyncio.all_tasks()) == tasks
            assert len(children(zygote_pid(pool))) <= 8  # those that died are reaped with the next fork
            assert await answers(pool)

    run(scenario())


@pytest.mark.parametrize("seconds", [0, 0.05, 0.2, 0.3])
def test_a_pool_that_ends_while_it_starts_leaves_nothing(seconds: float) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(os.getpid)  # the event loop has its thread
        descriptors, processes = open_descriptors(), children(os.getpid())
        for _ in range(3):
            async with WorkerPool(4, queue_limit=8, landlock=landlock_available()):
                await asyncio.sleep(seconds)
            assert open_descriptors() == descriptors
            assert children(os.getpid()) == processes
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_pool_that_ends_fails_its_calls_and_leaves_nothing() -> None:
    code = {"echo": compiled(guests.ECHO), "loop": compiled(guests.LOOPS)}

    async def scenario() -> None:
        await asyncio.to_thread(os.getpid)
        descriptors, processes = open_descriptors(), children(os.getpid())
        async with open_pool(code) as pool:
            running = asyncio.create_task(pool.call("loop", "{}", LIMITS, skill="loop"))
            await busy(pool)
            await asyncio.sleep(0.02)
            queued = [asyncio.create_task(pool.call("echo", "{}", LIMITS)) for _ in range(3)]
            await waits(pool, 3)
            workers = worker_pids(pool)
        assert (await running).error_code == "EXECUTION_FAILED"
        for caller in queued:
            with pytest.raises(ExecutionFailed, match="shutting down"):
                await caller
        with pytest.raises(ExecutionFailed, match="shutting down"):
            await pool.call("echo", "{}", LIMITS)
        with pytest.raises(ExecutionFailed, match="shutting down"):
            await pool.load("other", EngineProfile.OPEN, code["echo"])
        await pool.unload("echo")
        await until(lambda: all(map(is_dead, workers)))
        assert open_descriptors() == descriptors
        assert children(os.getpid()) == processes
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_system_without_descriptors_costs_no_worker_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compiled(guests.ECHO)
    failures = 3

    def socketpair() -> tuple[socket.socket, socket.socket]:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return original()

    original = socket.socketpair

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            monkeypatch.setattr(socket, "socketpair", socketpair)
            for worker in pool._lanes.idle():
                worker.kill()
            await until(lambda: settled(pool))
            assert failures == 0
            assert pool.failure is None
            assert await answers(pool)

    run(scenario())
