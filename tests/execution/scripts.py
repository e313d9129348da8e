"""Pools of real script workers, and scripts for them."""

from __future__ import annotations

import asyncio
import itertools
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from subgraph.execution.confinement import NOTHING, FileAccess
from subgraph.execution.limits import Limits
from subgraph.execution.protocol import HostCall, Reply
from subgraph.execution.script_pool import Script, ScriptPool
from subgraph.execution.worker_process import HostHandler
from tests.execution.pools import children, is_dead
from tests.support.guests import MIB
from tests.support.skills import Loop

LIMITS = Limits(time_ms=10_000, memory_bytes=64 * MIB, output_bytes=MIB)

ECHO = "import sys; sys.stdout.write(sys.stdin.read())"

PID = "import os; print(os.getpid())"
SLEEPS = "import time; time.sleep(60)"

Write = Callable[..., Script]
"""`write_script`, in a directory of the test's own."""

_hashes = itertools.count()


def write_script(
    directory: Path, source: str, *, shared: bool = False, files: Mapping[str, str] | None = None
) -> Script:
    """Write a skill with a script, and with other files by their paths; its content hash is its own."""
    number = next(_hashes)
    snapshot = directory.resolve() / f"snapshot-{number}"
    for path, text in {"scripts/main.py": textwrap.dedent(source), **(files or {})}.items():
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_text(text, encoding="utf-8")
    return Script(f"hash-{number}", snapshot / "scripts" / "main.py", snapshot, shared=shared)


@asynccontextmanager
async def open_scripts(*, size: int = 1, queue_limit: int = 64) -> AsyncIterator[ScriptPool]:
    """Open a pool whose zygote is there."""
    async with ScriptPool(size, queue_limit=queue_limit) as pool:
        assert pool._warming is not None
        await pool._warming
        yield pool


def call(
    pool: ScriptPool, script: Script, input_: str = "{}", skill: str = "a"
) -> Coroutine[object, object, Reply]:
    """Call a script that gets nothing of the files."""
    return pool.run(script, input_, LIMITS, NOTHING, skill=skill)


async def answer(pool: ScriptPool, script: Script, input_: str = "{}") -> str:
    """Call a script that must succeed; what it answers."""
    reply = await call(pool, script, input_)
    assert reply.output is not None, reply
    return reply.output


@dataclass
class Scripts:
    """A pool on a loop of its own, for many tests."""

    loop: Loop
    pool: ScriptPool
    directory: Path

    def write(self, source: str, *, shared: bool = False, files: Mapping[str, str] | None = None) -> Script:
        """Write a skill; see `write_script`."""
        return write_script(self.directory, source, shared=shared, files=files)

    def run(
        self,
        source: str | Script,
        input_: str = "{}",
        *,
        limits: Limits = LIMITS,
        access: FileAccess = NOTHING,
        host: HostHandler | None = None,
    ) -> Reply:
        """Run a script, or the source of one, once."""
        script = self.write(source) if isinstance(source, str) else source
        return self.loop.run(self.pool.run(script, input_, limits, access, host=host))

    def answer(self, source: str | Script, input_: str = "{}", *, access: FileAccess = NOTHING) -> str:
        """Run a script that must succeed; what it answers."""
        reply = self.run(source, input_, access=access)
        assert reply.output is not None, reply
        return reply.output


@contextmanager
def scripts(directory: Path, *, size: int = 1) -> Iterator[Scripts]:
    """Run a pool on a loop of its own."""
    with asyncio.Runner() as runner:
        loop = Loop(runner)
        with loop.entered(open_scripts(size=size)) as pool:
            yield Scripts(loop, pool, directory)


def zygote_pid(pool: ScriptPool) -> int:
    """The process that the pool forks workers from."""
    process = pool._zygote._process
    assert process is not None
    return process.pid


def worker_pids(pool: ScriptPool) -> list[int]:
    """The living processes of a pool's workers."""
    return [pid for pid in children(zygote_pid(pool)) if not is_dead(pid)]


class Host:
    """Answers host calls as it is told, and remembers them."""

    def __init__(self, *answers: list[object] | Exception) -> None:
        self.calls: list[HostCall] = []
        self._answers = iter(answers)

    async def __call__(self, call: HostCall) -> list[object]:
        self.calls.append(call)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer
