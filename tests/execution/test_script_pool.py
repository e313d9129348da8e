"""Pools of script workers: which process serves which call, and which calls wait or are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from subgraph.errors import ExecutionFailed, Overloaded
from subgraph.execution import script_pool, turns
from subgraph.execution.confinement import NOTHING, FileAccess
from subgraph.execution.lanes import SLOW_SECONDS
from subgraph.execution.script_pool import Script, ScriptPool
from tests.execution.pools import is_dead, until
from tests.execution.scripts import ECHO, LIMITS, PID, SLEEPS, Write, answer, call, open_scripts, worker_pids
from tests.support.guests import MIB
from tests.support.kernel import needs_script_confinement
from tests.support.postgres import run

SLOW = f"time.sleep({2 * SLOW_SECONDS})"
BRIEFLY = "import time; time.sleep(0.05); print('{}')"

pytestmark = [needs_script_confinement, pytest.mark.usefixtures("no_call_is_slow")]


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


def test_whoever_calls_is_told_when_a_process_takes_it(write: Write) -> None:
    script = write(ECHO)
    started: list[str] = []

    async def scenario() -> None:
        async with open_scripts() as pool:
            await pool.run(script, "{}", LIMITS, NOTHING, on_start=lambda: started.append("now"))

    run(scenario())
    assert started == ["now"]


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
