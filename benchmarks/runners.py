"""The service's worker pool by itself, with the skills of the benchmarks loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.load import run_callers
from benchmarks.samples import percentile
from benchmarks.subjects import Subject
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile
from subgraph.execution.limits import Limits
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import Reply
from subgraph.settings import Settings


class Runner:
    """Calls skills in a pool under the default limits."""

    def __init__(self, pool: WorkerPool, settings: Settings) -> None:
        self._pool = pool
        self._limits = Limits(
            settings.time_limit_ms, settings.memory_limit_bytes, settings.output_limit_bytes
        )

    async def call(self, subject: Subject, number: int) -> Reply:
        """Run a skill with its input of that number."""
        return await self._pool.call(subject.skill, subject.case(number).text, self._limits)

    async def replace_workers(self) -> None:
        """End every worker, and wait until there are new ones."""
        before = set(self._pool.idle_workers())
        for worker in before:
            worker.kill()
        while len(after := set(self._pool.idle_workers())) < len(before) or before & after:  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # nothing tells


async def measure_calls(
    runner: Runner, subject: Subject, *, callers: int, seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure a round; return the figures of the callers, and those that the workers took of themselves.

    Raises `WrongAnswer`.
    """
    elapsed_us: list[int] = []

    def check(number: int, reply: Reply) -> bool:
        elapsed_us.append(reply.elapsed_us)
        return reply.exit_code == 0 and reply.output == subject.case(number).answer_text

    samples = await run_callers(partial(runner.call, subject), check, callers=callers, seconds=seconds)
    measured = sorted(elapsed_us[-len(samples.latencies_ns) :])  # without the warm-up
    return samples.figures(), {f"p{percent}_us": percentile(measured, percent) for percent in (50, 95, 99)}


@asynccontextmanager
async def running_pool(size: int, subjects: Sequence[Subject]) -> AsyncIterator[Runner]:
    """Start a pool of confined workers that have these skills."""
    settings = Settings()
    landlock = landlock_available()
    compiler = Compiler(landlock=landlock)
    async with WorkerPool(size, queue_limit=settings.queue_limit, landlock=landlock) as pool:
        await pool.started()
        for subject in subjects:
            await pool.load(
                subject.skill,
                EngineProfile.OPEN,
                await compiler.compile(subject.component, EngineProfile.OPEN),
            )
        yield Runner(pool, settings)
