"""Pools of real workers, and machine code for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache

from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile
from subgraph.execution.limits import Limits
from subgraph.execution.pool import WorkerPool
from subgraph.execution.zygote_process import ZygoteProcess
from tests.support import guests
from tests.support.postgres import run

BRIEFLY = guests.sleeps(0.05)

LIMITS = Limits(time_ms=5000, memory_bytes=64 * guests.MIB, output_bytes=guests.MIB)


@cache
def compiled(text: str) -> bytes:
    """Compile a guest, as the service does it. Call it outside an event loop."""
    return run(Compiler(landlock=landlock_available()).compile(guests.binary(text), EngineProfile.OPEN))


@asynccontextmanager
async def open_pool(
    machine_code: Mapping[str, bytes], *, size: int = 1, queue_limit: int = 64
) -> AsyncIterator[WorkerPool]:
    """Open a pool whose workers have these components and are all ready."""
    async with WorkerPool(size, queue_limit=queue_limit, landlock=landlock_available()) as pool:
        for key, code in machine_code.items():
            await pool.load(key, EngineProfile.OPEN, code)
        await until(lambda: settled(pool))
        yield pool


def settled(pool: WorkerPool) -> bool:
    """Whether the pool has its size at least, every worker is free and has every component."""
    return len(pool._lanes.idle()) == pool.ready >= pool._size and all(
        worker.generation == pool._generation for worker in pool._lanes.idle()
    )


async def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells when a process is gone
            await asyncio.sleep(0.005)


def zygote_pid(pool: WorkerPool) -> int:
    """The process that the pool forks workers from."""
    process = pool._zygote._process
    assert process is not None
    return process.pid


def be_impatient(zygote: ZygoteProcess) -> None:
    """Wait for this process of a zygote only briefly. The next one has the time that a start takes."""
    assert zygote._control is not None
    zygote._control.settimeout(0.5)


def worker_pids(pool: WorkerPool) -> list[int]:
    """The living processes of a pool's workers. One that was just killed may still be among them."""
    return [pid for pid in children(zygote_pid(pool)) if not is_dead(pid)]


async def processes_at_rest(pool: WorkerPool) -> set[int]:
    """The processes of a pool's workers, once none of them is being started, serves a call, or is dying."""

    def at_rest() -> bool:
        return settled(pool) and not pool._starts and len(worker_pids(pool)) == pool.ready

    await until(at_rest)
    return set(worker_pids(pool))


def children(pid: int) -> list[int]:
    """The children of a process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:  # noqa: PTH123
            return [int(child) for child in listing.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or gone but for its entry in the table."""
    try:
        with open(f"/proc/{pid}/stat") as status:  # noqa: PTH123
            return status.read().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def process_file(pid: int, name: str) -> str:
    """Read a file of /proc about a process."""
    with open(f"/proc/{pid}/{name}") as file:  # noqa: PTH123
        return file.read()


def links(pid: int) -> dict[int, str]:
    """What each descriptor of a process is."""
    folder = f"/proc/{pid}/fd"
    return {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}  # noqa: PTH115


def waiting(pool: WorkerPool) -> int:
    """How many calls are queued."""
    return len(pool._lanes._front.waiting) + len(pool._lanes._back.waiting)


async def waits(pool: WorkerPool, count: int) -> None:
    """Wait until so many calls are queued."""
    await until(lambda: waiting(pool) == count)


@asynccontextmanager
async def held(pool: WorkerPool) -> AsyncIterator[None]:
    """Keep every worker from the calls that come, as calls do that end with the block."""
    workers = [await pool._acquire("held") for _ in range(pool._size)]
    yield
    for worker in workers:
        pool._release(worker)


async def busy(pool: WorkerPool) -> None:
    """Wait until every worker has a call."""
    await until(lambda: pool.ready == pool._size and not pool._lanes.idle())


async def answers(pool: WorkerPool, text: str = "{}") -> bool:
    """Whether a call of the component "echo" is answered."""
    reply = await pool.call("echo", text, LIMITS)
    return (reply.exit_code, reply.output) == (0, text)
