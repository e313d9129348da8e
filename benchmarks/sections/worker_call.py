"""A call of a component in one confined worker."""

from __future__ import annotations

import uvloop

from benchmarks.environment import Environment
from benchmarks.report import Row, Section, Target
from benchmarks.runners import measure_calls, running_pool
from benchmarks.samples import median_figures

P95_US = {"small (C)": 200.0, "TypeScript": 1000.0}


def measure(environment: Environment) -> Section:
    """Call each skill with a pool of one worker and one caller."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    outside: dict[str, list[dict[str, float]]] = {subject.label: [] for subject in environment.subjects}
    inside: dict[str, list[dict[str, float]]] = {subject.label: [] for subject in environment.subjects}
    async with running_pool(1, environment.subjects) as runner:
        for _ in range(environment.plan.rounds):
            for subject in environment.subjects:
                caller, worker = await measure_calls(
                    runner, subject, callers=1, seconds=environment.plan.seconds
                )
                outside[subject.label].append(caller)
                inside[subject.label].append(worker)
    rows = []
    for subject in environment.subjects:
        target = Target("p95_us", at_most=P95_US[subject.label])
        for where, rounds in (("seen by the caller", outside), ("inside the worker", inside)):
            rows.append(Row(f"{subject.label}, {where}", median_figures(rounds[subject.label]), [target]))
    note = "pool of 1 worker, 1 caller, a fresh store each call; CPU is the caller's process"
    return Section("worker", "WASM call in the worker", rows, [note])
