"""`invoke` of the service, every answer durable in the ledger before its caller has it."""

from __future__ import annotations

import itertools

import uvloop

from benchmarks.environment import Environment, finished_invocations
from benchmarks.load import WrongAnswer, run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import Samples, median_figures
from benchmarks.subjects import Subject
from subgraph.execution.invocation import Invocation
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings

CALLERS = (1, 16)
P95_US = 5000.0
CALLS_PER_SECOND = {"small (C)": 3000.0, "TypeScript": 1500.0}


def measure(environment: Environment) -> Section:
    """Invoke each skill in this process at 1 and at 16 callers, then count the ledger's entries."""
    with environment.settings() as settings:
        return uvloop.run(_measure(environment, settings))


async def _measure(environment: Environment, settings: Settings) -> Section:
    combinations = list(itertools.product(environment.subjects, CALLERS))
    rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
    calls = 0
    async with Service(settings) as service:
        for _ in range(environment.plan.rounds):
            for subject, callers in combinations:
                samples, made = await _round(service, subject, callers, environment.plan.seconds)
                rounds.setdefault((subject.label, callers), []).append(samples.figures())
                calls += made
    entries = len(await finished_invocations(settings))
    if entries != calls:
        raise WrongAnswer(f"{calls} invocations were answered, {entries} are in the ledger")
    rows = [_row(label, callers, median_figures(figures)) for (label, callers), figures in rounds.items()]
    return Section(
        "invoke",
        "invoke with durable audit",
        rows,
        [
            f"{settings.workers} workers, embedded PostgreSQL; CPU is the service's own process",
            f"{calls:,} invocations answered, {entries:,} finished entries in the ledger",
        ],
    )


def _row(label: str, callers: int, figures: dict[str, float]) -> Row:
    targets = [Target("p95_us", at_most=P95_US)]
    if callers > 1:
        targets.append(Target("calls_per_second", at_least=CALLS_PER_SECOND[label]))
    return Row(f"{label}, {callers} caller{'s' if callers > 1 else ''}", figures, targets)


async def _round(service: Service, subject: Subject, callers: int, seconds: float) -> tuple[Samples, int]:
    """Measure a round; return also how many calls it made with its warm-up."""
    calls = 0

    def check(number: int, invocation: Invocation) -> bool:
        nonlocal calls
        calls += 1
        return invocation.exit_code == 0 and invocation.result == subject.case(number).answer

    samples = await run_callers(
        lambda number: service.runner.invoke(LOCAL_OPERATOR, subject.skill, subject.case(number).value),
        check,
        callers=callers,
        seconds=seconds,
    )
    return samples, calls
