"""Throughput of the worker pool without database and surfaces."""

from __future__ import annotations

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_callers
from benchmarks.report import Row, Section
from benchmarks.runners import Runner, is_right, running_pool
from benchmarks.samples import Samples, median_figures
from benchmarks.subjects import Subject
from subgraph.settings import Settings

CALLERS = 16


def measure(environment: Environment) -> Section:
    """Call each skill from many callers, with as many workers as the service has by default."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    workers = Settings().workers
    rounds: dict[str, list[dict[str, float]]] = {subject.label: [] for subject in environment.subjects}
    async with running_pool(workers, environment.subjects) as runner:
        for _ in range(environment.plan.rounds):
            for subject in environment.subjects:
                samples = await _round(runner, subject, environment.plan.seconds)
                rounds[subject.label].append(samples.figures())
    rows = [Row(label, median_figures(figures)) for label, figures in rounds.items()]
    note = f"{workers} workers, {CALLERS} callers; CPU is the callers' process"
    return Section("pool", f"Worker pool at {CALLERS} callers", rows, [note])


async def _round(runner: Runner, subject: Subject, seconds: float) -> Samples:
    return await run_callers(
        lambda number: runner.call(subject, number),
        lambda number, reply: is_right(subject, number, reply),
        callers=CALLERS,
        seconds=seconds,
    )
