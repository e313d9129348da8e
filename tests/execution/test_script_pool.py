"""Pools of script workers: which process serves which call, and what becomes of calls when processes die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from subgraph.errors import ExecutionFailed, Overloaded
from subgraph.execution import script_pool, turns
from subgraph.execution.confinement import NOTHING, FileAccess, directories_grantable
from subgraph.execution.lanes import SLOW_SECONDS
from subgraph.execution.protocol import Reply
from subgraph.execution.script_pool import Script, ScriptPool
from subgraph.execution.zygote_process import ZygoteGone
from tests.execution.pools import be_impatient, is_dead, open_descriptors, until
from tests.execution.scripts import ECHO, LIMITS, open_scripts, worker_pids, write_script, zygote_pid
from tests.support.guests import MIB
from tests.support.postgres import run

pytestmark = pytest.mark.skipif(not directories_grantable(), reason="this kernel cannot confine scripts")

PID = "import os; print(os.getpid())"
SLEEPS = "import time; time.sleep(60)"
SLOW = f"time.sleep({2 * SLOW_SECONDS})"
BRIEFLY = "import time; time.sleep(0.05); print('{}')"

Write = Callable[..., Script]


@pytest.fixture(autouse=True)
def no_call_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine retires no shared interpreter: the test of slow ones says what is slow itself."""
    monkeypatch.setattr(script_pool, "SLOW_SECONDS", 60.0)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(source: str, *, shared: bool = False) -> Script:
        return write_script(tmp_path, source, shared=shared)

    return written


def call(
    pool: ScriptPool, script: Script, input_: str = "{}", skill: str = "a"
) -> Coroutine[object, object, Reply]:
    return pool.run(script, input_, LIMITS, NOTHING, skill=skill)


async def answer(pool: ScriptPool, script: Script, input_: str = "{}") -> str:
    reply = await call(pool, script, input_)
    assert reply.output is not None, reply
    return reply.output


def test_a_script_must_lie_in_its_snapshot(tmp_path: Path) -> None:
    for entry in (tmp_path / "a.py", tmp_path / "snapshot" / ".." / "a.py"):
        with pytest.raises(ExecutionFailed, match="not one of the skill's files"):
            Script("hash", entry, tmp_path / "snapshot", shared=False)


def test_each_isolated_call_has_a_process_of_its_own_that_then_ends(write: Write) -> None:
    script = write(PID)

    async def scenario() -> None:
        async with open_scripts(size=2) as pool:
            pids = {int(await answer(pool, script)) for _ in range(5)}
            assert len(pids) == 5
            await until(lambda: all(map(is_dead, pids)))
            assert not pool._workers

    run(scenario())


def test_no_isolated_run_finds_anything_of_the_one_before(write: Write) -> None:
    script = write("import json, sys; print(hasattr(json, 'left')); json.left = sys.modules['left'] = True")

    async def scenario() -> None:
        async with open_scripts() as pool:
            assert [await answer(pool, script) for _ in range(5)] == ["False"] * 5

    run(scenario())


def test_calls_of_a_skill_share_a_process_where_they_may(write: Write) -> None:
    script = write(PID, shared=True)

    async def scenario() -> None:
        async with open_scripts(size=2) as pool:
            assert len({await answer(pool, script) for _ in range(20)}) == 1
            assert len(worker_pids(pool)) == 1

    run(scenario())


def test_two_skills_never_share_an_interpreter(write: Write) -> None:
    scripts = [write(PID, shared=True) for _ in range(4)]

    async def scenario() -> None:
        served: dict[str, set[str]] = {}
        async with open_scripts(size=2) as pool:

            async def caller(number: int) -> None:
                script = scripts[number % len(scripts)]
                for _ in range(10):
                    reply = await call(pool, script, skill=script.content_hash)
                    assert reply.output is not None, reply
                    served.setdefault(script.content_hash, set()).add(reply.output)

            await asyncio.gather(*map(caller, range(8)))
        all_pids = [pid for pids in served.values() for pid in pids]
        assert len(served) == len(scripts)
        assert len(all_pids) == len(set(all_pids))

    run(scenario())


def test_interpreters_that_wait_are_bounded_however_many_skills_there_are(write: Write) -> None:
    scripts = [write(PID, shared=True) for _ in range(8)]

    async def scenario() -> None:
        async with open_scripts(size=2) as pool:
            await asyncio.gather(*(call(pool, each, skill=each.content_hash) for each in scripts * 3))
            assert len(pool._idle) == len(pool._workers) <= pool._idle_limit == 6

    run(scenario())


def test_calls_with_other_grants_or_limits_share_no_interpreter(write: Write, tmp_path: Path) -> None:
    script = write(PID, shared=True)
    isolated = replace(script, shared=False)
    variants = [
        (script, LIMITS, NOTHING),
        (script, LIMITS, FileAccess((tmp_path,))),
        (script, LIMITS, FileAccess((), (tmp_path,))),
        (script, replace(LIMITS, memory_bytes=32 * MIB), NOTHING),
        (replace(script, content_hash="another version"), LIMITS, NOTHING),
        (isolated, LIMITS, NOTHING),
    ]

    async def scenario() -> None:
        async with open_scripts(size=8) as pool:
            pids = [
                [(await pool.run(each, "{}", limits, access)).output for each, limits, access in variants]
                for _ in range(2)
            ]
            assert len(set(pids[0])) == len(variants)
            assert pids[0][:-1] == pids[1][:-1]
            assert pids[0][-1] != pids[1][-1]

    run(scenario())


def test_a_shared_interpreter_is_retired_after_its_calls(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_pool, "CALLS_PER_INTERPRETER", 5)
    script = write(PID, shared=True)

    async def scenario() -> None:
        async with open_scripts() as pool:
            pids = [await answer(pool, script) for _ in range(12)]
            assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 2]

    run(scenario())


@pytest.mark.parametrize(
    ("input_", "is_retired"),
    [("bytearray(1 << 30)", True), (SLOW, True), ("1 / 0", False), ("None", False)],
    ids=["out of memory", "slow", "failed", "well"],
)
def test_a_shared_interpreter_that_is_spent_serves_no_more(
    write: Write, input_: str, is_retired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write(
        "import os, sys, time; print(os.getpid(), flush=True); eval(sys.stdin.read())", shared=True
    )

    async def scenario() -> None:
        async with open_scripts() as pool:
            first = await answer(pool, script, "None")
            if input_ == SLOW:
                monkeypatch.setattr(script_pool, "SLOW_SECONDS", SLOW_SECONDS)
            await call(pool, script, input_)
            assert (await answer(pool, script, "None") != first) is is_retired

    run(scenario())


def test_the_interpreter_that_waited_longest_makes_room_for_another_skill(write: Write) -> None:
    first, *others = [write(PID, shared=True) for _ in range(4)]

    async def scenario() -> None:
        async with open_scripts(size=1) as pool:
            pid = await answer(pool, first)
            kept = [await answer(pool, other) for other in others]
            await until(lambda: is_dead(int(pid)))
            assert [await answer(pool, other) for other in others] == kept
            assert await answer(pool, first) != pid
            assert len(pool._workers) == len(pool._idle) == pool._idle_limit == 3

    run(scenario())


def test_an_idle_interpreter_that_dies_costs_no_call(write: Write) -> None:
    script = write(PID, shared=True)

    async def scenario() -> None:
        async with open_scripts() as pool:
            for _ in range(20):
                os.kill(int(await answer(pool, script)), signal.SIGKILL)

    run(scenario())


def test_the_queue_is_bounded(write: Write) -> None:
    script = write(BRIEFLY)

    async def scenario() -> None:
        async with open_scripts(size=1, queue_limit=2) as pool:
            waiting = [asyncio.create_task(answer(pool, script)) for _ in range(3)]
            await until(lambda: len(pool._slots._waiting) == 2)
            with pytest.raises(Overloaded):
                await call(pool, script)
            assert await asyncio.gather(*waiting) == ["{}"] * 3
            assert await answer(pool, script) == "{}"

    run(scenario())


def test_a_call_does_not_wait_for_ever(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "QUEUE_WAIT_SECONDS", 0.1)
    sleeps, echo = write(SLEEPS), write(ECHO)

    async def scenario() -> None:
        async with open_scripts(size=1) as pool:
            running = asyncio.create_task(call(pool, sleeps))
            await until(lambda: bool(pool._workers))
            with pytest.raises(Overloaded, match="no worker became free"):
                await call(pool, echo)
            running.cancel()
            await asyncio.wait([running])
            assert await answer(pool, echo) == "{}"

    run(scenario())


def test_one_skill_leaves_a_slot_for_others(write: Write) -> None:
    sleeps, echo = write(SLEEPS), write(ECHO)

    async def scenario() -> None:
        async with open_scripts(size=2) as pool:
            running = [asyncio.create_task(call(pool, sleeps, skill="slow")) for _ in range(4)]
            await until(lambda: bool(pool._workers))
            assert (await call(pool, echo, skill="other")).output == "{}"
            for task in running:
                task.cancel()
            await asyncio.wait(running)

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


def test_whoever_calls_is_told_when_a_process_takes_it(write: Write) -> None:
    script = write(ECHO)
    started: list[str] = []

    async def scenario() -> None:
        async with open_scripts() as pool:
            await pool.run(script, "{}", LIMITS, NOTHING, on_start=lambda: started.append("now"))

    run(scenario())
    assert started == ["now"]


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


def test_a_kernel_that_cannot_confine_scripts_runs_none(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_pool, "directories_grantable", lambda: False)
    script = write(ECHO)

    async def scenario() -> None:
        async with ScriptPool(1, queue_limit=1) as pool:
            with pytest.raises(ExecutionFailed, match="scripts run only where Landlock can confine them"):
                await call(pool, script)
            assert pool._zygote._process is None

    run(scenario())
