"""How long guests that do not stop by themselves last, from the call to the durable answer."""

from __future__ import annotations

import statistics
import time

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support import guests
from tests.support.skills import write_skill

TIME_LIMIT_MS = 1000
AFTER_DEADLINE_MS = 250

HOSTILE = {
    "endless loop": guests.LOOPS,
    "1 GiB allocation": guests.GROWS_BY_A_GIBIBYTE,
    "100 MiB output": guests.answers(100 * guests.MIB),
    "guest that sleeps": guests.SLEEPS_FOR_A_MINUTE,
}


def measure(environment: Environment) -> Section:
    """Call each hostile guest in turn, and a harmless one after it."""
    with environment.settings() as settings:
        skills = environment.directory / "hostile"
        for label, guest in HOSTILE.items():
            write_skill(skills, _name(label), guest=guests.binary(guest))
        limited = settings.model_copy(
            update={
                "skill_roots": (*settings.skill_roots, skills),
                "time_limit_ms": TIME_LIMIT_MS,
            }
        )
        return uvloop.run(_measure(environment, limited))


async def _measure(environment: Environment, settings: Settings) -> Section:
    lasted: dict[str, list[float]] = {label: [] for label in HOSTILE}
    async with Service(settings) as service:
        for label in HOSTILE:
            await service.runner.invoke(LOCAL_OPERATOR, _name(label), {})  # compiles it
        for _ in range(environment.plan.rounds):
            for label, times in lasted.items():
                times.append(await _stop(service, label))
                await _check_next_call(service, environment)
    bound = TIME_LIMIT_MS + AFTER_DEADLINE_MS
    rows = [
        Row(
            label,
            {"median_ms": statistics.median(times), "worst_ms": max(times)},
            [Target("worst_ms", at_most=bound)],
        )
        for label, times in lasted.items()
    ]
    return Section(
        "stopping",
        f"Guests that are stopped, time limit {TIME_LIMIT_MS:,} ms",
        rows,
        [f"each a recorded Invocation with LIMIT_EXCEEDED; the target is the limit + {AFTER_DEADLINE_MS} ms"],
    )


async def _stop(service: Service, label: str) -> float:
    started = time.perf_counter()
    invocation = await service.runner.invoke(LOCAL_OPERATOR, _name(label), {})
    elapsed_ms = (time.perf_counter() - started) * 1000
    if invocation.exit_code not in (124, 137) or invocation.error is None:
        raise WrongAnswer(f"{label} ended with {invocation.exit_code}")
    return elapsed_ms


async def _check_next_call(service: Service, environment: Environment) -> None:
    case = environment.small.case(1)
    invocation = await service.runner.invoke(LOCAL_OPERATOR, environment.small.skill, case.value)
    if invocation.result != case.answer:
        raise WrongAnswer("the call after a guest that was stopped is not answered")


def _name(label: str) -> str:
    return label.lower().replace(" ", "-")
