"""Finding a skill's header in the registry."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures, percentile
from subgraph.catalog import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.manifest import SkillManifest
from subgraph.catalog.registry import Registry

SKILLS = 1000
BATCH = 100
"""Look-ups that one reading of the clock is shared by: it costs as much as a look-up."""

_TARGET = Target("p99_ns", at_most=1000)


def measure(environment: Environment) -> Section:
    """Look headers up by path and by short name, all of them in turn."""
    registry = Registry([])
    headers = [_header(number) for number in range(SKILLS)]
    for header in headers:
        registry.put(header)
    rounds = range(environment.plan.rounds)
    seconds = environment.plan.seconds / 4
    rows = []
    for label, names in (
        ("by path", [header.path for header in headers]),
        ("by short name", [header.name for header in headers]),
    ):
        _round(registry, names, seconds / 4)
        figures = median_figures([_round(registry, names, seconds) for _ in rounds])
        rows.append(Row(label, figures, [_TARGET]))
    note = f"{SKILLS:,} skills; a sample is the mean of {BATCH} look-ups"
    return Section("lookup", "Header look-up", rows, [note])


def _round(registry: Registry, names: Sequence[str], seconds: float) -> dict[str, float]:
    batches = itertools.cycle([names[start : start + BATCH] for start in range(0, len(names), BATCH)])
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        batch = next(batches)
        started = time.perf_counter_ns()
        for name in batch:
            registry.get(name)
        samples.append((time.perf_counter_ns() - started) / BATCH)
    samples.sort()
    return {"p50_ns": percentile(samples, 50), "p99_ns": percentile(samples, 99)}


def _header(number: int) -> SkillHeader:
    root = SkillRoot(Path("benchmarks"), InstallSource.LOCAL, trusted=True)
    manifest = SkillManifest(None, "A header of the benchmarks.", None, None, "", {})
    return SkillHeader.of(manifest, f"benchmarks/skill-{number}", root, has_component=True)
