"""The same trivial skill by this service's worker, by Extism and by the `wasmtime` command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_blocking, run_callers
from benchmarks.peers import ExtismEcho, WasmtimeCommand
from benchmarks.report import Row, Section, Target
from benchmarks.runners import is_right, running_pool
from benchmarks.samples import Samples, median_figures
from benchmarks.subjects import Subject

OURS = "this service: confined worker, fresh store"
FRESH = "Extism, fresh plugin of a compiled plugin"
REUSED = "Extism, one plugin reused (keeps its memory)"
COMMAND = "wasmtime run, precompiled, a process a call"

Contender: TypeAlias = Callable[[float], Awaitable[Samples]]
"""Runs for that many seconds."""


def measure(environment: Environment) -> Section:
    """Let the hosts take turns, so that noise of the machine meets them all."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    subject = environment.small
    extism = ExtismEcho()
    command = WasmtimeCommand(subject.component, environment.directory)
    async with running_pool(1, [subject]) as runner:

        async def ours(seconds: float) -> Samples:
            return await run_callers(
                partial(runner.call, subject), partial(is_right, subject), callers=1, seconds=seconds
            )

        contenders: list[tuple[str, Contender]] = [
            (OURS, ours),
            (FRESH, partial(_blocking, subject, extism.call_fresh)),
            (REUSED, partial(_blocking, subject, extism.call_reused)),
            (COMMAND, partial(_blocking, subject, command.call)),
        ]
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name, _ in contenders}
        for turn in range(2 * environment.plan.rounds):
            for name, contender in contenders if turn % 2 == 0 else reversed(contenders):
                samples = await contender(environment.plan.seconds / 4)
                rounds[name].append(samples.figures())
    return _section({name: median_figures(figures) for name, figures in rounds.items()})


def _section(figures: dict[str, dict[str, float]]) -> Section:
    fresh = figures[FRESH]
    targets = [Target(name, at_most=fresh[name], source="Extism fresh") for name in ("p50_us", "p95_us")]
    rows = [Row(name, measured, targets if name == OURS else ()) for name, measured in figures.items()]
    notes = [
        "1 caller; ours includes the way to another process and back, and all limits",
        "Extism runs in the caller's process, without limits; CPU is the caller's process",
    ]
    return Section("peers", "The same trivial skill by other hosts", rows, notes)


async def _blocking(subject: Subject, call: Callable[[str], str], seconds: float) -> Samples:
    return run_blocking(
        lambda number: call(subject.case(number).text),
        lambda number, text: text == subject.case(number).answer_text,
        seconds=seconds,
    )
