"""The shipped skills at their quickstart inputs, through the whole service, by each executor."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures, percentile
from subgraph.authoring.fixtures import Fixture, laid_out
from subgraph.execution.invocation import Executor, Invocation
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support.parity import executable_skills, fixtures_of

INSIDE_P95_US = {Executor.WASM: 1_000.0, Executor.SCRIPT: 50_000.0}
"""What a call may take inside its worker."""


def measure(environment: Environment) -> Section:
    """Run the quickstart of each executable skill with one caller."""
    with environment.settings() as settings, ExitStack() as stack:
        settings.workspace_dir.mkdir(parents=True, exist_ok=True)
        quickstarts = {skill: _quickstart(skill) for skill in executable_skills()}
        files = {path: text for fixture in quickstarts.values() for path, text in fixture.files.items()}
        stack.enter_context(laid_out(settings.workspace_dir, files))
        return uvloop.run(_measure(environment, settings, quickstarts))


async def _measure(environment: Environment, settings: Settings, quickstarts: dict[Path, Fixture]) -> Section:
    rounds: dict[tuple[str, Executor], list[dict[str, float]]] = {}
    async with Service(settings) as service:
        await grant_everything(service, [skill.name for skill in quickstarts])
        for _ in range(environment.plan.rounds):
            for skill, fixture in quickstarts.items():
                for executor in INSIDE_P95_US:
                    figures = await _round(service, skill, fixture, executor, environment.plan.seconds)
                    rounds.setdefault((skill.name, executor), []).append(figures)
    rows = [
        Row(
            f"{name}, {executor.value.lower()}",
            median_figures(figures),
            (Target("p95_us", at_most=INSIDE_P95_US[executor]),),
        )
        for (name, executor), figures in rounds.items()
    ]
    notes = [
        "inside the worker, from the input to the answer, what it waits for the host counted; 1 caller",
        "vn-tax-filing reads a directory and its invoices and writes the return: a host call each",
    ]
    return Section("skills", "Shipped skills at their quickstarts", rows, notes)


async def grant_everything(service: Service, names: list[str]) -> None:
    """Grant what each of some skills declares."""
    for name in names:
        if await service.oversight.declared(LOCAL_OPERATOR, name):
            await service.oversight.grant_all(LOCAL_OPERATOR, name)


def _quickstart(skill: Path) -> Fixture:
    [fixture] = [case for case in fixtures_of(skill) if case.id == "quickstart"]
    return fixture


async def _round(
    service: Service, skill: Path, fixture: Fixture, executor: Executor, seconds: float
) -> dict[str, float]:
    elapsed: list[float] = []

    async def call(_number: int) -> Invocation:
        return await service.invoke(LOCAL_OPERATOR, skill.name, fixture.text, executor=executor)

    def check(_number: int, invocation: Invocation) -> bool:
        elapsed.append(invocation.elapsed_us)
        return invocation.exit_code == 0 and invocation.stdout == fixture.answer

    samples = await run_callers(call, check, callers=1, seconds=seconds)
    measured = sorted(elapsed[-len(samples.latencies_ns) :])  # without the warm-up
    return {f"p{percent}_us": percentile(measured, percent) for percent in (50, 95, 99)}
