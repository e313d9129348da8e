from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import uvloop

from subgraph.errors import ExecutionFailed, Overloaded
from subgraph.execution import pool as pool_module
from subgraph.execution import zygote_process
from subgraph.execution.confinement import landlock_available
from subgraph.execution.limits import GRACE_MS
from subgraph.execution.pool import WorkerPool
from subgraph.execution.zygote_process import ZygoteGone
from tests.execution.pools import (
    LIMITS,
    children,
    compiled,
    is_dead,
    open_descriptors,
    open_pool,
    settled,
    until,
    worker_pids,
    zygote_pid,
)
from tests.support import guests
from tests.support.guests import MIB
from tests.support.postgres import run

BRIEFLY = guests.sleeps(0.1)


async def waits(pool: WorkerPool, count: int) -> None:
    """Wait until so many calls are queued."""
    await until(lambda: len(pool._waiting) == count)


async def busy(pool: WorkerPool) -> None:
    """Wait until every worker has a call."""
    await until(lambda: pool.ready == pool._size and not pool._idle)


async def answers(pool: WorkerPool, text: str = "{}") -> bool:
    reply = await pool.call("echo", text, LIMITS)
    return (reply.exit_code, reply.output) == (0, text)


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
            await pool.load("echo", code)
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
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(BRIEFLY)}
    order: list[int] = []

    async def scenario() -> None:
        async with open_pool(code) as pool:

            async def numbered(number: int) -> None:
                await pool.call("echo", str(number), LIMITS)
                order.append(number)

            first = asyncio.create_task(pool.call("sleep", "{}", LIMITS))
            await busy(pool)
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(numbered(number))
            await first

    run(scenario())
    assert order == list(range(20))


def test_a_call_over_the_bound_of_the_queue_is_refused_at_once() -> None:
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(BRIEFLY)}

    async def scenario() -> None:
        async with open_pool(code, queue_limit=3) as pool:
            running = asyncio.create_task(pool.call("sleep", "{}", LIMITS))
            await busy(pool)
            queued = [asyncio.create_task(answers(pool)) for _ in range(3)]
            await waits(pool, 3)
            with pytest.raises(Overloaded):
                await pool.call("echo", "{}", LIMITS)
            assert (await running).exit_code == 0
            assert all(await asyncio.gather(*queued))
            assert await answers(pool)

    run(scenario())


def test_a_call_that_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "QUEUE_WAIT_SECONDS", 0.05)
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(guests.sleeps(0.3))}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            running = asyncio.create_task(pool.call("sleep", "{}", LIMITS))
            await busy(pool)
            with pytest.raises(Overloaded, match="no worker became free"):
                await pool.call("echo", "{}", LIMITS)
            assert not pool._waiting
            assert (await running).exit_code == 0
            assert await answers(pool)

    run(scenario())


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
            await until(lambda: settled(pool))
            assert len(worker_pids(pool)) == size

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 30))


def test_a_call_right_after_an_idle_worker_was_killed_is_answered() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            for number in range(30):
                (pid,) = worker_pids(pool)
                os.kill(pid, signal.SIGKILL)
                assert await answers(pool, str(number))

    run(scenario())


def test_a_stopped_worker_costs_one_call_its_time_and_no_more() -> None:
    code = compiled(guests.ECHO)
    limits = replace(LIMITS, time_ms=200)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            for text in ("{}", "x" * MIB):  # the larger one does not even fit its socket
                (pid,) = worker_pids(pool)
                os.kill(pid, signal.SIGSTOP)
                began = time.monotonic()
                reply = await pool.call("echo", text, limits)
                assert (reply.exit_code, reply.limit) == (124, "time")
                assert time.monotonic() - began < 2 * (limits.time_ms + GRACE_MS) / 1000
                await until(lambda: settled(pool))

    run(scenario())


def test_a_killed_zygote_costs_the_running_calls_alone() -> None:
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(guests.sleeps(0.5))}

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

            async def dying(key: str, machine_code: bytes) -> None:
                nonlocal loads
                loads += 1
                if loads == 2:
                    raise ExecutionFailed("once")
                await load(key, machine_code)

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

            async def slow(key: str, machine_code: bytes) -> None:
                reviving.set()
                await asyncio.sleep(0.02)
                await load(key, machine_code)

            monkeypatch.setattr(pool._zygote, "load", slow)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            await reviving.wait()
            await pool.unload("echo 2")
            assert not pool.is_loaded("echo 2")
            await until(lambda: settled(pool))
            assert (await pool.call("echo 0", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_a_cancelled_load_leaves_the_zygote_in_step() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            zygote = zygote_pid(pool)
            os.kill(zygote, signal.SIGSTOP)
            loading = asyncio.create_task(pool.load("other", code))
            await asyncio.sleep(0.05)  # the zygote has been asked, and does not answer
            loading.cancel()
            next(iter(pool._idle)).kill()  # and the next question comes: a fork
            await asyncio.sleep(0.05)
            os.kill(zygote, signal.SIGCONT)
            await asyncio.wait([loading])
            assert loading.cancelled()
            assert await answers(pool)
            assert zygote_pid(pool) == zygote
            await pool.load("other", code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_a_load_cancelled_at_any_moment_harms_nothing() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            descriptors, zygote = open_descriptors(), zygote_pid(pool)
            for number in range(30):
                loading = asyncio.create_task(pool.load(f"other {number}", code))
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


def test_one_failed_start_is_not_held_against_the_calls_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"echo": compiled(guests.ECHO), "loop": compiled(guests.LOOPS)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            fork, failed = pool._zygote.fork, False

            async def fail_once() -> tuple[socket.socket, int]:
                nonlocal failed
                if not failed:
                    failed = True
                    raise ZygoteGone("once")
                return await fork()

            running = asyncio.create_task(pool.call("loop", "{}", LIMITS))
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

            async def fail() -> tuple[socket.socket, int]:
                raise ZygoteGone("always")

            running = asyncio.create_task(pool.call("loop", "{}", LIMITS))
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


def test_a_zygote_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compiled(guests.ECHO)
    monkeypatch.setattr(zygote_process, "_ANSWER_SECONDS", 1.0)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            stopped = zygote_pid(pool)
            os.kill(stopped, signal.SIGSTOP)
            with pytest.raises(ExecutionFailed, match="could not be loaded; try again"):
                await pool.load("other", code)
            await pool.load("other", code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0
            assert is_dead(stopped)
            await until(lambda: settled(pool))

    run(scenario())


def test_a_load_whose_zygote_dies_is_an_execution_failure() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            os.kill(zygote_pid(pool), signal.SIGSTOP)
            loading = asyncio.create_task(pool.load("other", code))
            await asyncio.sleep(0.05)
            os.kill(zygote_pid(pool), signal.SIGKILL)
            with pytest.raises(ExecutionFailed, match="could not be loaded; try again"):
                await loading
            await pool.load("other", code)
            assert (await pool.call("other", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_machine_code_that_no_frame_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            zygote = zygote_pid(pool)
            monkeypatch.setattr(zygote_process, "CONTROL_FRAME_LIMIT", len(code))
            with pytest.raises(ExecutionFailed, match="machine code of the component is over"):
                await pool.load("other", code)
            assert await answers(pool)
            assert zygote_pid(pool) == zygote

    run(scenario())


def test_workers_that_lack_a_component_are_replaced() -> None:
    code = {"echo": compiled(guests.ECHO)}
    sleeping, counting = compiled(guests.sleeps(0.2)), compiled(guests.COUNTS_ITS_CALLS)

    async def scenario() -> None:
        async with open_pool(code, size=2) as pool:
            before = set(worker_pids(pool))
            await pool.load("sleep", sleeping)
            assert pool.is_loaded("sleep")
            running = asyncio.create_task(pool.call("sleep", "x", LIMITS))
            await until(lambda: pool.ready == 2 and len(pool._idle) == 1)
            await pool.load("count", counting)
            assert (await pool.call("count", "{}", LIMITS)).output == "11"
            assert (await running).output == "x"  # a call that was running is left alone
            await until(lambda: settled(pool))
            assert not before & set(worker_pids(pool))
            assert await answers(pool)

    run(scenario())


def test_loading_twice_at_once_is_as_good_as_once() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({}, size=2) as pool:
            await asyncio.gather(*[pool.load("echo", code) for _ in range(4)])
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
            await pool.load("echo", code)
            assert await answers(pool)

    run(scenario())


def test_a_call_of_a_component_that_is_not_loaded_fails_and_the_pool_goes_on() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            with pytest.raises(ExecutionFailed, match="call it again"):
                await pool.call("nothing", "{}", LIMITS)
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
            await pool.load("third", code)
            assert [key for key in ("first", "second", "third") if pool.is_loaded(key)] == ["first", "third"]
            assert (await pool.call("first", "{}", LIMITS)).exit_code == 0
            assert (await pool.call("third", "{}", LIMITS)).exit_code == 0

    run(scenario())


def test_a_caller_that_leaves_the_queue_takes_no_worker_with_it() -> None:
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(BRIEFLY)}

    async def scenario() -> None:
        async with open_pool(code) as pool:
            running = asyncio.create_task(pool.call("sleep", "{}", LIMITS))
            await busy(pool)
            queued = [asyncio.create_task(answers(pool, str(number))) for number in range(6)]
            await waits(pool, 6)
            for caller in queued[::2]:
                caller.cancel()
            await asyncio.wait(queued[::2])
            assert len(pool._waiting) == 3
            assert (await running).exit_code == 0
            assert all(await asyncio.gather(*queued[1::2]))
            assert settled(pool)

    run(scenario())


def test_a_caller_that_leaves_as_its_turn_comes_hands_the_worker_on() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            (pid,) = worker_pids(pool)
            worker = await pool._acquire()
            leaving = asyncio.create_task(answers(pool, "leaving"))
            staying = asyncio.create_task(answers(pool, "staying"))
            await waits(pool, 2)
            pool._release(worker)
            leaving.cancel()
            assert await staying
            assert leaving.cancelled()
            assert settled(pool)
            assert worker_pids(pool) == [pid]

            worker = await pool._acquire()
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
            before = worker_pids(pool)
            running = [asyncio.create_task(pool.call("loop", "{}", LIMITS)) for _ in range(2)]
            await busy(pool)
            await asyncio.sleep(0.02)
            for caller in running:
                caller.cancel()
            await asyncio.wait(running)
            assert all(caller.cancelled() for caller in running)
            assert await answers(pool)
            await until(lambda: settled(pool))
            await until(lambda: not set(before) & set(worker_pids(pool)))

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
            before = worker_pids(pool)
            assert (await pool.call("grow", "{}", LIMITS)).limit == "memory"
            assert await answers(pool)
            assert worker_pids(pool) != before

    run(scenario())


def test_two_hundred_replacements_leave_no_descriptor_task_or_process_behind() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            descriptors, tasks = open_descriptors(), len(asyncio.all_tasks())
            for _ in range(100):
                for worker in list(pool._idle):
                    worker.kill()
                await until(lambda: settled(pool))
            assert open_descriptors() == descriptors
            assert len(asyncio.all_tasks()) == tasks
            assert len(children(zygote_pid(pool))) <= 4  # one that died is reaped with the next fork
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
            running = asyncio.create_task(pool.call("loop", "{}", LIMITS))
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
            await pool.load("other", code["echo"])
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
            for worker in list(pool._idle):
                worker.kill()
            await until(lambda: settled(pool))
            assert failures == 0
            assert pool.failure is None
            assert await answers(pool)

    run(scenario())
