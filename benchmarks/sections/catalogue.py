"""Finding skills on disk, without and with the warm index, and what each header takes of memory."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures
from subgraph.catalog import InstallSource, SkillRoot
from subgraph.catalog.registry import Registry
from tests.support.skill_samples import write_samples

SKILLS = 1000
MANY_SKILLS = 10_000

COLD_MS = {SKILLS: 65.0, MANY_SKILLS: 700.0}
WARM_MS = {SKILLS: 10.0}
HEADER_BYTES = 500.0

_SETTLE_SECONDS = 0.1
"""After which the times of new files can be trusted; until then they are no part of the warm index."""


def measure(environment: Environment) -> Section:
    """Start with 1,000 and with 10,000 skills, without an index file and with the one that this wrote."""
    rows = []
    taken = ""
    for count in (SKILLS, MANY_SKILLS):
        directory = environment.directory / f"catalogue-{count}"
        write_samples(directory / "skills", count)
        time.sleep(_SETTLE_SECONDS)
        root = SkillRoot(directory / "skills", InstallSource.BUILTIN, trusted=True)
        rows += _starts(root, directory / "index", count, environment.plan.rounds)
        if count == SKILLS:
            header_bytes, all_bytes = _memory(root)
            rows.append(Row("a header", {"bytes": header_bytes}, [Target("bytes", at_most=HEADER_BYTES)]))
            taken = f"{all_bytes:,.0f} bytes a skill with all that the registry keeps"
    notes = [
        "processor time of all threads; files in the page cache; cold writes the index file, warm reads it",
        f"a header with its texts, what is shared counted once; {taken}",
    ]
    return Section("catalogue", "Start of the catalogue", rows, notes)


def _starts(root: SkillRoot, index: Path, count: int, rounds: int) -> list[Row]:
    cold, warm = [], []
    for _ in range(rounds):
        index.unlink(missing_ok=True)
        cold.append({"cpu_ms": _start(root, index, count)})
        warm.append({"cpu_ms": _start(root, index, count)})
    return [
        Row(f"{count:,} skills, {label}", median_figures(figures), _targets(targets, count))
        for label, figures, targets in (("cold", cold, COLD_MS), ("warm", warm, WARM_MS))
    ]


def _targets(targets: dict[int, float], count: int) -> list[Target]:
    return [Target("cpu_ms", at_most=targets[count])] if count in targets else []


def _start(root: SkillRoot, index: Path, count: int) -> float:
    gc.collect()  # what earlier starts left
    started = time.process_time()
    registry = Registry([root], index)
    registry.scan()
    took = time.process_time() - started
    if len(registry) != count:
        raise WrongAnswer(f"{len(registry)} of {count} skills were found")
    return took * 1000


def _memory(root: SkillRoot) -> tuple[float, float]:
    """Return the bytes of a header on average, and those of all that a registry keeps of a skill."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        registry = Registry([root])
        registry.scan()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    seen: set[int] = set()
    return sum(_size(header, seen) for header in registry) / len(registry), kept / len(registry)


def _size(value: object, seen: set[int]) -> int:
    """Add up an object and what it refers to, each once; the root is the same for all."""
    if isinstance(value, SkillRoot | bool | None) or id(value) in seen:
        return 0
    seen.add(id(value))
    parts = value if isinstance(value, tuple) else ()
    return sys.getsizeof(value) + sum(_size(part, seen) for part in parts)
