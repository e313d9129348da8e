"""Python scripts: a fresh confined process for each call, and the shared interpreter of builtin skills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures
from benchmarks.sections.pool import CALLERS
from benchmarks.subjects import Subject
from subgraph.execution.confinement import NOTHING
from subgraph.execution.limits import Limits
from subgraph.execution.protocol import Reply
from subgraph.execution.script_pool import Script, ScriptPool
from subgraph.settings import Settings
from tests.support.service import MST_SKILL

ISOLATED_P95_US = 50_000.0
SHARED_CALLS_PER_SECOND = 10_000.0

CASES = 1000
"""Inputs of a load; two calls that run at once have different ones."""

_ECHO = "import sys\n\nsys.stdout.write(sys.stdin.read())\n"


@dataclass(frozen=True, slots=True)
class _Load:
    """A script, the inputs and answers of its subject, how many call it at once, and what is promised."""

    label: str
    script: Script
    subject: Subject
    callers: int
    targets: tuple[Target, ...] = ()


def measure(environment: Environment) -> Section:
    """Run an echoing script and that of the tax code skill, isolated and shared."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    settings = Settings()
    limits = Limits(settings.time_limit_ms, settings.memory_limit_bytes, settings.output_limit_bytes)
    loads = _loads(environment)
    rounds: dict[str, list[dict[str, float]]] = {load.label: [] for load in loads}
    async with ScriptPool(settings.workers, queue_limit=settings.queue_limit) as pool:
        for _ in range(environment.plan.rounds):
            for load in loads:
                rounds[load.label].append(await _round(pool, load, limits, environment.plan.seconds))
    rows = [Row(load.label, median_figures(rounds[load.label]), load.targets) for load in loads]
    note = f"pool of {settings.workers}, through it alone; CPU is the callers' process"
    return Section("scripts", "Python scripts in confined processes", rows, [note])


async def _round(pool: ScriptPool, load: _Load, limits: Limits, seconds: float) -> dict[str, float]:
    # Made before: the caller shares its processor with what is measured.
    cases = [load.subject.case(number) for number in range(CASES)]

    async def call(number: int) -> Reply:
        text = cases[number % CASES].text
        return await pool.run(load.script, text, limits, NOTHING, skill=load.subject.skill)

    def check(number: int, reply: Reply) -> bool:
        return reply.exit_code == 0 and reply.output == cases[number % CASES].answer_text

    return (await run_callers(call, check, callers=load.callers, seconds=seconds)).figures()


def _loads(environment: Environment) -> list[_Load]:
    isolated = (Target("p95_us", at_most=ISOLATED_P95_US),)
    shared = (Target("calls_per_second", at_least=SHARED_CALLS_PER_SECOND),)
    loads = []
    # What the tax code script does by itself takes longer than a call may at the promised rate.
    for name, script, subject, promised in (
        ("echo", _echo(environment.directory), environment.small, shared),
        ("tax code", _script(MST_SKILL, "scripts/validate_mst.py"), environment.typescript, ()),
    ):
        in_one = replace(script, shared=True)
        loads += [
            _Load(f"{name}, isolated, 1 caller", script, subject, 1, isolated),
            _Load(f"{name}, isolated, {CALLERS} callers", script, subject, CALLERS),
            _Load(f"{name}, shared, 1 caller", in_one, subject, 1),
            _Load(f"{name}, shared, {CALLERS} callers", in_one, subject, CALLERS, promised),
        ]
    return loads


def _echo(directory: Path) -> Script:
    skill = directory / "echo-script"
    (skill / "scripts").mkdir(parents=True)
    (skill / "scripts" / "echo.py").write_text(_ECHO)
    return _script(skill, "scripts/echo.py")


def _script(skill: Path, entry: str) -> Script:
    snapshot = skill.resolve()
    return Script(f"hash of {skill.name}", snapshot / entry, snapshot, shared=False)
