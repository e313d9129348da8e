"""The same trivial skill by this service's worker, by Extism and by the `wasmtime` command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import run_blocking
from benchmarks.peers import ExtismEcho, WasmtimeCommand
from benchmarks.report import Row, Section, Target
from benchmarks.runners import measure_calls, running_pool
from benchmarks.samples import median_figures
from benchmarks.subjects import Subject

OURS = "this service: confined worker, fresh store"
OURS_INSIDE = "  of it inside the worker"
FRESH = "Extism, fresh plugin of a compiled plugin"
REUSED = "Extism, one plugin reused (keeps its memory)"
COMMAND = "wasmtime run, precompiled, a process a call"

Turn: TypeAlias = Callable[[float], Awaitable[Mapping[str, dict[str, float]]]]
"""Runs for that many seconds, and returns figures by the label of their row."""


def measure(environment: Environment) -> Section:
    """Let the hosts take turns, so that noise of the machine meets them all."""
    return uvloop.run(_measure(environment))


async def _measure(environment: Environment) -> Section:
    subject = environment.small
    extism = ExtismEcho()
    command = WasmtimeCommand(subject.component, environment.directory)
    async with running_pool(1, [subject]) as runner:

        async def ours(seconds: float) -> Mapping[str, dict[str, float]]:
            outside, inside = await measure_calls(runner, subject, callers=1, seconds=seconds)
            return {OURS: outside, OURS_INSIDE: inside}

        turns: list[Turn] = [
            ours,
            partial(_blocking, FRESH, subject, extism.call_fresh),
            partial(_blocking, REUSED, subject, extism.call_reused),
            partial(_blocking, COMMAND, subject, command.call),
        ]
        rounds: dict[str, list[dict[str, float]]] = {
            label: [] for label in (OURS, OURS_INSIDE, FRESH, REUSED, COMMAND)
        }
        for number in range(2 * environment.plan.rounds):
            for turn in turns if number % 2 == 0 else reversed(turns):
                for label, figures in (await turn(environment.plan.seconds / 4)).items():
                    rounds[label].append(figures)
    return _section({label: median_figures(figures) for label, figures in rounds.items()})


def _section(figures: dict[str, dict[str, float]]) -> Section:
    fresh = figures[FRESH]
    targets = [Target(name, at_most=fresh[name], source="Extism fresh") for name in ("p50_us", "p95_us")]
    rows = [
        Row(label, measured, targets if label in (OURS, OURS_INSIDE) else ())
        for label, measured in figures.items()
    ]
    notes = [
        "1 caller; ours includes the way to another process and back, and all limits",
        "Extism runs in the caller's process, without limits; CPU is the caller's process",
    ]
    return Section("peers", "The same trivial skill by other hosts", rows, notes)


async def _blocking(
    label: str, subject: Subject, call: Callable[[str], str], seconds: float
) -> Mapping[str, dict[str, float]]:
    samples = run_blocking(
        lambda number: call(subject.case(number).text),
        lambda number, text: text == subject.case(number).answer_text,
        seconds=seconds,
    )
    return {label: samples.figures()}
