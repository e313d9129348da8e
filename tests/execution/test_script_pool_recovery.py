"""A pool of script workers whose processes die, and one that closes: nothing hangs, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution.protocol import Reply
from subgraph.execution.script_pool import ScriptPool
from subgraph.execution.zygote_process import ZygoteGone
from tests.execution.pools import be_impatient, is_dead, open_descriptors, until
from tests.execution.scripts import (
    ECHO,
    PID,
    SLEEPS,
    Write,
    answer,
    call,
    open_scripts,
    worker_pids,
    zygote_pid,
)
from tests.support.kernel import needs_script_confinement
from tests.support.postgres import run

pytestmark = [needs_script_confinement, pytest.mark.usefixtures("no_call_is_slow")]


def test_an_idle_interpreter_that_dies_costs_no_call(write: Write) -> None:
    script = write(PID, shared=True)

    async def scenario() -> None:
        async with open_scripts() as pool:
            for _ in range(20):
                os.kill(int(await answer(pool, script)), signal.SIGKILL)

    run(scenario())


def test_a_caller_that_goes_away_takes_its_process_along(write: Write) -> None:
    script, echo = write(SLEEPS, shared=True), write(ECHO)

    async def scenario() -> None:
        async with open_scripts() as pool:
            running = asyncio.create_task(call(pool, script))
            await until(lambda: any(worker.calls for worker in pool._workers))
            (pid,) = worker_pids(pool)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: is_dead(pid))
            assert await answer(pool, echo) == "{}"

    run(scenario())


def test_a_killed_zygote_costs_the_running_calls_alone(write: Write) -> None:
    sleeps, echo, shared = write(SLEEPS), write(ECHO), write(ECHO, shared=True)

    async def scenario() -> None:
        async with open_scripts(size=3) as pool:
            for _ in range(3):
                assert await answer(pool, shared) == "{}"
                running = asyncio.create_task(call(pool, sleeps, skill="slow"))
                await until(
                    lambda: sum(worker.calls and worker not in pool._idle for worker in pool._workers) == 1
                )
                await asyncio.sleep(0.05)  # the call has reached its worker
                os.kill(zygote_pid(pool), signal.SIGKILL)
                reply = await running
                assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")
                assert await asyncio.gather(*(answer(pool, echo) for _ in range(4))) == ["{}"] * 4
                assert await answer(pool, shared) == "{}"

    run(scenario())


def test_a_stopped_zygote_is_replaced(write: Write) -> None:
    script = write(ECHO)

    async def scenario() -> None:
        async with open_scripts() as pool:
            be_impatient(pool._zygote)
            first = zygote_pid(pool)
            os.kill(first, signal.SIGSTOP)
            assert await answer(pool, script) == "{}"
            assert zygote_pid(pool) != first
            await until(lambda: is_dead(first))

    run(scenario())


def test_a_zygote_that_cannot_start_is_an_error_that_passes(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write(ECHO)

    async def scenario() -> None:
        async with open_scripts() as pool:
            zygote = pool._zygote
            zygote.kill()
            with monkeypatch.context() as broken:

                async def gone() -> None:
                    raise ZygoteGone("no")

                broken.setattr(zygote, "start", gone)
                with pytest.raises(ExecutionFailed, match="no script worker can be started"):
                    await call(pool, script)
            assert await answer(pool, script) == "{}"

    run(scenario())


def test_no_call_hangs_or_is_answered_wrongly_while_processes_are_killed(write: Write) -> None:
    isolated = write("import sys, time; time.sleep(0.01); print(sys.stdin.read())")
    shared = write("import sys, time; time.sleep(0.002); print(sys.stdin.read())", shared=True)
    chance = random.Random(7)  # noqa: S311 - which process is killed must be the same each time

    async def scenario() -> None:
        errors = kills = 0
        async with open_scripts(size=3) as pool:

            async def kill() -> None:
                nonlocal kills
                while True:
                    await asyncio.sleep(0.05)
                    if pool._zygote._process is None:
                        continue  # it is just being replaced
                    zygote = zygote_pid(pool)
                    pids = [*worker_pids(pool), *([zygote] if kills % 4 == 3 else [])]
                    if pids:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(chance.choice(pids), signal.SIGKILL)
                            kills += 1

            async def caller(name: int) -> None:
                nonlocal errors
                script = shared if name % 2 else isolated
                for number in range(30):
                    text = json.dumps({"caller": name, "number": number})
                    reply = await call(pool, script, text, skill=script.content_hash)
                    if reply.exit_code == 0:
                        assert reply.output == text
                    else:
                        assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")
                        errors += 1

            killing = asyncio.create_task(kill())
            await asyncio.gather(*map(caller, range(8)))
            killing.cancel()
            await asyncio.wait([killing])
            assert kills >= 5
            assert errors < 8 * 30
            assert await answer(pool, isolated) == "{}"

    run(scenario())


def test_a_call_that_runs_when_the_pool_closes_has_failed_and_later_ones_are_refused(write: Write) -> None:
    sleeps, echo, shared = write(SLEEPS), write(ECHO), write(PID, shared=True)

    async def scenario() -> None:
        async with open_scripts(size=3) as pool:
            await answer(pool, shared)
            running = asyncio.create_task(call(pool, sleeps))
            await until(lambda: len(pool._workers) == 2 and len(pool._idle) == 1)
            await asyncio.sleep(0.05)
            pids = [zygote_pid(pool), *worker_pids(pool)]
        outcome = (await asyncio.gather(running, return_exceptions=True))[0]
        if isinstance(outcome, Reply):
            assert (outcome.exit_code, outcome.error_code) == (1, "EXECUTION_FAILED")
        else:
            assert isinstance(outcome, ExecutionFailed)
        await until(lambda: all(map(is_dead, pids)))
        assert not pool._workers
        with pytest.raises(ExecutionFailed, match="shutting down"):
            await call(pool, echo)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_calls_that_wait_when_the_pool_closes_are_refused(write: Write) -> None:
    sleeps, echo = write(SLEEPS), write(ECHO)

    async def scenario() -> None:
        async with open_scripts(size=1) as pool:
            running = asyncio.create_task(call(pool, sleeps))
            await until(lambda: bool(pool._workers))
            waiting = [asyncio.create_task(call(pool, echo)) for _ in range(3)]
            await until(lambda: len(pool._slots._waiting) == 3)
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, ExecutionFailed)
        await asyncio.wait([running])

    run(scenario())


def test_closing_while_the_zygote_starts_leaves_nothing() -> None:
    async def scenario() -> None:
        for _ in range(5):
            async with ScriptPool(1, queue_limit=1) as pool:
                await asyncio.sleep(0)
            assert pool._zygote._process is None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_no_descriptor_is_left_behind(write: Write) -> None:
    isolated, shared = write(ECHO), write(ECHO, shared=True)
    failing = write("import os; os._exit(1)")

    async def scenario() -> None:
        async with open_scripts(size=2) as pool:
            await answer(pool, isolated)
            before = open_descriptors()
            for _ in range(20):
                await answer(pool, isolated)
                assert (await call(pool, failing)).exit_code == 1
            for _ in range(200):
                await answer(pool, shared)
            pool._idle.popitem()[0].kill()
            assert open_descriptors() == before

    run(scenario())
