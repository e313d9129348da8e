"""Throughput of the worker pool without database and surfaces."""

from __future__ import annotations

import uvloop

from benchmarks.environment import Environment
from benchmarks.report import Row, Section
from benchmarks.runners import measure_calls, running_pool
from benchmarks.samples import median_figures
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
                figures, _ = await measure_calls(
                    runner, subject, callers=CALLERS, seconds=environment.plan.seconds
                )
                rounds[subject.label].append(figures)
    rows = [Row(label, median_figures(taken)) for label, taken in rounds.items()]
    note = f"{workers} workers, {CALLERS} callers; CPU is the callers' process"
    return Section("pool", f"Worker pool at {CALLERS} callers", rows, [note])
