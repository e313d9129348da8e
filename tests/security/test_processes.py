"""What the processes that run skills hold and inherit, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.confinement.attempts import ATTEMPTS
from subgraph.execution.engine import EngineProfile
from subgraph.execution.pool import WorkerPool
from tests.execution.pools import (
    LIMITS,
    children,
    compiled,
    is_dead,
    links,
    open_pool,
    process_file,
    processes_at_rest,
    until,
    worker_pids,
    zygote_pid,
)
from tests.security.acts import ACTS, DONE
from tests.security.altered import ROOT, alter, altered_interpreter
from tests.support import guests
from tests.support.kernel import needs_landlock
from tests.support.postgres import run

SECRET = "s3cret-of-the-parent-5d1f"


def test_a_worker_of_the_zygote_can_do_nothing_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = compiled(guests.ECHO)
    alter(monkeypatch, tmp_path, "acting")

    async def scenario() -> None:
        async with open_pool({"key": code}) as pool:
            for act in [*ATTEMPTS, *ACTS]:
                reply = await pool.call("key", act, LIMITS)
                assert reply.output is not None, act
                assert json.loads(reply.output)["outcome"] in {"EPERM", "EACCES", "ENOSYS"}, act
            reply = await pool.call("key", "start a thread", LIMITS)
            assert json.loads(reply.output or "")["outcome"] == DONE

    run(scenario())


@pytest.mark.parametrize(
    ("alteration", "reason"),
    [
        ("breathing", "could still do this: breathe"),
        ("without-seccomp", "could still do this: "),
        pytest.param(
            "landlock-fails",
            "Landlock was not applied: no",
            marks=needs_landlock,
        ),
    ],
)
def test_an_unconfined_worker_or_compiler_refuses_work(
    alteration: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = compiled(guests.ECHO)
    alter(monkeypatch, tmp_path, alteration)

    async def scenario() -> None:
        async with WorkerPool(2, queue_limit=8, landlock=landlock_available()) as pool:
            await pool.load("echo", EngineProfile.OPEN, code)
            for _ in range(3):
                with pytest.raises(ExecutionFailed, match=reason):
                    await pool.call("echo", "{}", LIMITS)
            assert pool.ready == 0
            assert pool.failure is not None
            assert reason in pool.failure.message
        with pytest.raises(ExecutionFailed, match=reason):
            await Compiler(landlock=landlock_available()).compile(
                guests.binary(guests.ECHO), EngineProfile.OPEN
            )

    run(scenario())


def test_a_worker_holds_its_socket_its_account_and_the_standard_streams() -> None:
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}, size=2) as pool:
            for _ in range(8):
                await pool.call("echo", "{}", LIMITS)
            for pid in await processes_at_rest(pool):
                held = links(pid)
                assert {held.pop(0), held.pop(1), held.pop(2)} == {"/dev/null"}
                kinds = sorted(link.partition(":[")[0] for link in held.values())
                assert kinds == [f"/proc/{pid}/statm", "socket"]

    run(scenario())


def test_no_process_holds_the_services_environment_or_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBEROS_TEST_SECRET", SECRET)
    code = compiled(guests.ECHO)

    async def scenario() -> None:
        async with open_pool({"echo": code}) as pool:
            await pool.call("echo", "{}", LIMITS)
            for pid in [zygote_pid(pool), *await processes_at_rest(pool)]:
                assert process_file(pid, "environ") == ""
                assert not memory_contains(pid, SECRET.encode())
            assert memory_contains(os.getpid(), SECRET.encode())  # the search finds what is there

    run(scenario())


def memory_contains(pid: int, secret: bytes) -> bool:
    """Search the memory of a process that is its own, the heap and stacks included."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            addresses, rights, *_ = line.split()
            start, end = (int(address, 16) for address in addresses.split("-"))
            if not rights.startswith("rw") or end - start > 256 * guests.MIB:
                continue
            try:
                memory.seek(start)
                if secret in (memory.read(end - start) or b""):
                    return True
            except OSError:
                continue  # a page that nothing can read
    return False


def test_a_worker_is_the_first_to_go_when_memory_runs_out() -> None:
    async def scenario() -> None:
        async with open_pool({}, size=2) as pool:
            pids = await processes_at_rest(pool)
            assert len(pids) == 2
            for pid in pids:
                assert process_file(pid, "oom_score_adj") == "1000\n"

    run(scenario())


def test_every_thread_of_a_worker_is_filtered() -> None:
    code = compiled(guests.sleeps(0))  # WASI clocks have a thread of their own

    async def scenario() -> None:
        async with open_pool({"sleep": code}) as pool:
            assert (await pool.call("sleep", "{}", LIMITS)).exit_code == 0
            (pid,) = await processes_at_rest(pool)
            threads = os.listdir(f"/proc/{pid}/task")
            assert len(threads) >= 2
            for thread in threads:
                status = process_file(pid, f"task/{thread}/status").split()
                assert status[status.index("Seccomp:") + 1] == "2"
                assert status[status.index("NoNewPrivs:") + 1] == "1"

    run(scenario())


def test_workers_die_with_their_zygote_and_both_with_the_pool() -> None:
    async def scenario() -> None:
        async with open_pool({}, size=3) as pool:
            first, workers = zygote_pid(pool), worker_pids(pool)
            assert len(workers) == 3
            lost = set(pool._lanes.idle())
            os.kill(first, signal.SIGKILL)
            await until(lambda: all(map(is_dead, [first, *workers])))
            await until(lambda: len(set(pool._lanes.idle()) - lost) == 3)
            second, workers = zygote_pid(pool), worker_pids(pool)
        await until(lambda: all(map(is_dead, [second, *workers])))

    run(scenario())


SERVICE = """
import asyncio, sys
from subgraph.execution.confinement import landlock_available
from subgraph.execution.pool import WorkerPool
async def main():
    async with WorkerPool(2, queue_limit=1, landlock=landlock_available()) as pool:
        while len(pool._lanes.idle()) < 2:
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def test_nothing_is_left_when_the_service_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        (zygote,) = children(service.pid)
        family = [zygote, *children(zygote)]
        assert len(family) == 3
        service.kill()
    asyncio.run(until(lambda: all(map(is_dead, family))))


COMPILING = """
import asyncio, sys
from subgraph.execution.compilation import Compiler
from subgraph.execution.engine import EngineProfile
sys.executable = sys.argv[1]
asyncio.run(Compiler(landlock=False).compile(b"component", EngineProfile.OPEN))
"""


def test_a_compiler_dies_with_the_service_however_busy_it_is(tmp_path: Path) -> None:
    interpreter = altered_interpreter(tmp_path, "stalling")
    with subprocess.Popen([sys.executable, "-c", COMPILING, interpreter], cwd=ROOT) as service:
        asyncio.run(until(lambda: any(map(is_filtered, children(service.pid)))))
        (compiler,) = children(service.pid)
        service.kill()
    asyncio.run(until(lambda: is_dead(compiler)))


def is_filtered(pid: int) -> bool:
    """Whether seccomp is on in a process: it has started, and is at its work."""
    return "Seccomp:\t2" in process_file(pid, "status")
