"""A process that has to wait behind everybody else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.execution.pool import WorkerPool
from subgraph.execution.priority import run_last
from tests.execution.pools import LIMITS, compiled, is_dead, open_pool, processes_at_rest, until, worker_pids
from tests.support import guests
from tests.support.postgres import run


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    ) as process:
        yield process.pid
        process.kill()


def is_last(pid: int) -> bool:
    return os.getpriority(os.PRIO_PROCESS, pid) == 19 and os.sched_getscheduler(pid) == os.SCHED_BATCH


def test_a_process_gets_the_lowest_priority(sleeper: int) -> None:
    assert not is_last(sleeper)
    run_last(sleeper)
    assert is_last(sleeper)
    autogroup = Path(f"/proc/{sleeper}/autogroup")
    if os.geteuid() == 0 and autogroup.exists():
        assert autogroup.read_text().split()[-1] == "19"
    run_last(sleeper)


def test_a_process_that_has_died_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        run_last(process.pid)


def test_workers_have_sessions_of_their_own_and_slow_ones_go_last() -> None:
    code = {"echo": compiled(guests.ECHO), "sleep": compiled(guests.sleeps(0.4))}

    async def slow_one(pool: WorkerPool) -> None:
        await until(lambda: any(is_last(pid) for pid in worker_pids(pool)))

    async def scenario() -> None:
        async with open_pool(code) as pool:
            (first,) = await processes_at_rest(pool)
            assert os.getsid(first) == first
            assert not is_last(first)
            running = asyncio.create_task(pool.call("sleep", "{}", LIMITS, skill="slow"))
            await slow_one(pool)
            assert is_last(first)
            assert (await running).exit_code == 0
            assert not is_dead(first)
            assert (await pool.call("echo", "{}", LIMITS, skill="quick")).exit_code == 0
            assert sum(map(is_last, worker_pids(pool))) == 1

    run(scenario())
