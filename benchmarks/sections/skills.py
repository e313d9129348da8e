"""The shipped skills at their quickstart inputs: inside a worker, and through the whole service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures, percentile
from subgraph.authoring.fixtures import Fixture, laid_out
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile
from subgraph.execution.invocation import Executor, Invocation
from subgraph.execution.limits import Limits
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import HostCall, Reply
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support.parity import executable_skills, fixtures_of
from tests.support.toolchain import build_skill

INSIDE_P95_US = 1_000.0
SCRIPT_P95_US = 50_000.0

Rounds = dict[str, list[dict[str, float]]]


def measure(environment: Environment) -> Section:
    """Run the quickstart of each executable skill with one caller."""
    quickstarts = {skill: _quickstart(skill) for skill in executable_skills()}
    files = {path: text for fixture in quickstarts.values() for path, text in fixture.files.items()}
    inside: Rounds = {}
    scripts: Rounds = {}
    with environment.settings() as settings:
        settings.workspace_dir.mkdir(parents=True, exist_ok=True)
        with laid_out(settings.workspace_dir, files):
            uvloop.run(_inside(environment, quickstarts, inside))
            uvloop.run(_scripts(environment, settings, quickstarts, scripts))
    within, whole = Target("p95_us", at_most=INSIDE_P95_US), Target("p95_us", at_most=SCRIPT_P95_US)
    rows = [Row(f"{name}, component", median_figures(figures), (within,)) for name, figures in inside.items()]
    rows += [Row(f"{name}, script", median_figures(figures), (whole,)) for name, figures in scripts.items()]
    notes = [
        "components: inside the worker, from the input to the answer; scripts: a fresh process, by `invoke`",
        "vn-tax-filing makes four calls of the host, which answers its component from memory",
    ]
    return Section("skills", "Shipped skills at their quickstarts", rows, notes)


async def grant_everything(service: Service, names: Sequence[str]) -> None:
    """Grant what each of some skills declares."""
    for name in names:
        if await service.oversight.declared(LOCAL_OPERATOR, name):
            await service.oversight.grant_all(LOCAL_OPERATOR, name)


def _quickstart(skill: Path) -> Fixture:
    [fixture] = [case for case in fixtures_of(skill) if case.id == "quickstart"]
    return fixture


async def _inside(environment: Environment, quickstarts: Mapping[Path, Fixture], rounds: Rounds) -> None:
    settings, landlock = Settings(), landlock_available()
    compiler = Compiler(landlock=landlock)
    limits = Limits(settings.time_limit_ms, settings.memory_limit_bytes, settings.output_limit_bytes)
    async with WorkerPool(1, queue_limit=settings.queue_limit, landlock=landlock) as pool:
        await pool.started()
        for skill in quickstarts:
            component = build_skill(skill).read_bytes()
            machine_code = await compiler.compile(component, EngineProfile.OPEN)
            await pool.load(skill.name, EngineProfile.OPEN, machine_code)
        for _ in range(environment.plan.rounds):
            for skill, fixture in quickstarts.items():
                figures = await _round_inside(pool, skill.name, fixture, limits, environment.plan.seconds)
                rounds.setdefault(skill.name, []).append(figures)


async def _round_inside(
    pool: WorkerPool, key: str, fixture: Fixture, limits: Limits, seconds: float
) -> dict[str, float]:
    elapsed: list[float] = []

    async def host(call: HostCall) -> list[object]:
        path = str(call.arguments[0])
        if call.name == "list_dir":
            return ["ok", sorted(name.rpartition("/")[2] for name in fixture.files)]
        return ["ok", fixture.files[path] if call.name == "read_file" else None]

    async def call(_number: int) -> Reply:
        return await pool.call(key, fixture.text, limits, host=host)

    def check(_number: int, reply: Reply) -> bool:
        elapsed.append(reply.elapsed_us)
        return reply.exit_code == 0 and reply.output == fixture.answer

    samples = await run_callers(call, check, callers=1, seconds=seconds)
    return _figures(elapsed[-len(samples.latencies_ns) :])  # without the warm-up


async def _scripts(
    environment: Environment, settings: Settings, quickstarts: Mapping[Path, Fixture], rounds: Rounds
) -> None:
    async with Service(settings) as service:
        await grant_everything(service, [skill.name for skill in quickstarts])
        for _ in range(environment.plan.rounds):
            for skill, fixture in quickstarts.items():
                figures = await _round_by_script(service, skill.name, fixture, environment.plan.seconds)
                rounds.setdefault(skill.name, []).append(figures)


async def _round_by_script(service: Service, name: str, fixture: Fixture, seconds: float) -> dict[str, float]:
    async def call(_number: int) -> Invocation:
        return await service.runner.invoke(LOCAL_OPERATOR, name, fixture.text, executor=Executor.SCRIPT)

    def check(_number: int, invocation: Invocation) -> bool:
        return invocation.exit_code == 0 and invocation.stdout == fixture.answer

    samples = await run_callers(call, check, callers=1, seconds=seconds)
    return _figures([latency / 1000 for latency in samples.latencies_ns])


def _figures(measured: list[float]) -> dict[str, float]:
    ordered = sorted(measured)
    return {f"p{percent}_us": percentile(ordered, percent) for percent in (50, 95, 99)}
