"""What a skill's calls cost while another skill computes without end, beside what they cost alone."""

from __future__ import annotations

import asyncio
import statistics
from functools import partial

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import Figures
from benchmarks.subjects import Subject
from subgraph.errors import SubgraphError
from subgraph.execution.invocation import Executor, Invocation
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support import guests
from tests.support.skills import write_skill

ATTACKERS = 4
"""Callers of the skill that loops: twice as many as there are workers on two cores."""

SETTLE_SECONDS = 1.0
"""Before each measurement, for what the last one has started."""

_LOOPS = "looping-neighbour"
_SCRIPT = b"while True:\n    pass\n"

_TARGET = Target("ratio_p99", at_most=2.0)


def measure(environment: Environment) -> Section:
    """Measure each skill alone, and beside one that loops, in turns."""
    with environment.settings() as settings:
        root = environment.directory / "looping"
        write_skill(
            root,
            _LOOPS,
            guest=guests.binary(guests.LOOPS),
            fields="metadata:\n  cyberos-script: scripts/loop.py",
            files={"scripts/loop.py": _SCRIPT},
        )
        roots = (*settings.skill_roots, root)
        return uvloop.run(_measure(environment, settings.model_copy(update={"skill_roots": roots})))


async def _measure(environment: Environment, settings: Settings) -> Section:
    rows = []
    async with Service(settings) as service:
        for subject in environment.subjects:
            rows += await _beside_loops(environment, service, subject)
    return Section(
        "neighbour",
        f"A skill beside {ATTACKERS} callers of one that loops, {settings.workers} workers",
        rows,
        ["one caller, `invokeSkill` to the durable answer; medians over rounds that alternate"],
    )


async def _beside_loops(environment: Environment, service: Service, subject: Subject) -> list[Row]:
    seconds = environment.plan.seconds
    alone: list[Figures] = []
    beside: dict[Executor, list[Figures]] = {Executor.WASM: [], Executor.SCRIPT: []}
    await _round(service, subject, seconds / 4)
    for _ in range(environment.plan.rounds):
        alone.append(await _round(service, subject, seconds))
        for executor, figures in beside.items():
            attackers = [asyncio.create_task(_attack(service, executor)) for _ in range(ATTACKERS)]
            await asyncio.sleep(SETTLE_SECONDS)
            figures.append(await _round(service, subject, seconds))
            for attacker in attackers:
                attacker.cancel()
            await asyncio.gather(*attackers, return_exceptions=True)
            await _stop_loops(service)
    quiet = _median(alone)
    rows = [Row(f"{subject.label}, alone", quiet)]
    for executor, figures in beside.items():
        loud = _median(figures)
        ratio = {"ratio_p99": loud["p99_us"] / quiet["p99_us"]}
        rows.append(Row(f"{subject.label}, beside a looping {executor.value}", loud | ratio, [_TARGET]))
    return rows


async def _round(service: Service, subject: Subject, seconds: float) -> Figures:
    async def call(number: int) -> Invocation:
        return await service.runner.invoke(LOCAL_OPERATOR, subject.skill, subject.case(number).value)

    def check(number: int, answer: Invocation) -> bool:
        return answer.result == subject.case(number).answer

    samples = await run_callers(partial(call), check, callers=1, seconds=seconds)
    return samples.figures()


async def _attack(service: Service, executor: Executor) -> None:
    while True:
        try:
            await service.runner.invoke(LOCAL_OPERATOR, _LOOPS, {}, executor=executor)
        except SubgraphError:
            await asyncio.sleep(0.01)


async def _stop_loops(service: Service) -> None:
    """End what still loops, so that it is not there while the next round is measured alone."""
    await service.oversight.revoke(LOCAL_OPERATOR, _LOOPS, "the round is over")
    await service.oversight.reinstate(LOCAL_OPERATOR, _LOOPS, None)
    await asyncio.sleep(SETTLE_SECONDS)


def _median(rounds: list[Figures]) -> dict[str, float]:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
