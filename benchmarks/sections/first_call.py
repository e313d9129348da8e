"""The first call of a component in a worker that has just been forked, its machine code in the cache."""

from __future__ import annotations

import time

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from benchmarks.runners import Runner, running_pool
from benchmarks.samples import percentile
from benchmarks.subjects import Subject

WORKERS_PER_ROUND = 40
"""Fresh workers that each round measures, one call in each."""

_TARGET = Target("p50_us", at_most=1000)


def measure(environment: Environment) -> Section:
    """Call each skill once in each of many fresh workers."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    count = environment.plan.rounds * WORKERS_PER_ROUND
    rows = []
    async with running_pool(1, environment.subjects) as runner:
        for subject in environment.subjects:
            samples = sorted([await _first_call(runner, subject, number) for number in range(count)])
            figures = {f"p{percent}_us": percentile(samples, percent) for percent in (50, 95, 99)}
            rows.append(Row(subject.label, figures, [_TARGET]))
    return Section(
        "first",
        "First call in a fresh worker",
        rows,
        [f"{count} workers each; from the call to its answer, the worker forked and confined before"],
    )


async def _first_call(runner: Runner, subject: Subject, number: int) -> float:
    """Replace the worker, and measure one call in the new one; in microseconds."""
    await runner.replace_workers()
    started = time.perf_counter_ns()
    reply = await runner.call(subject, number)
    elapsed_ns = time.perf_counter_ns() - started
    if reply.exit_code != 0 or reply.output != subject.case(number).answer_text:
        raise WrongAnswer(f"the first call ended with {reply.exit_code}")
    return elapsed_ns / 1000
