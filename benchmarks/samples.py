"""Latencies of one round, and figures as the median over rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
"""Figures by name; the end of a name is its unit: `_ns`, `_us`, `_per_second`."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of sorted values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass
class Samples:
    """What one round measured: a latency a call in nanoseconds, and what it cost in seconds."""

    latencies_ns: list[int] = field(default_factory=list)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        """Percentiles in microseconds, calls a second, and this process's CPU time a call."""
        ordered = sorted(self.latencies_ns)
        return {
            **{f"p{percent}_us": percentile(ordered, percent) / 1000 for percent in (50, 95, 99)},
            "calls_per_second": len(ordered) / self.wall_seconds,
            "cpu_us": self.cpu_seconds / len(ordered) * 1e6,
        }


def median_figures(rounds: Sequence[Figures]) -> dict[str, float]:
    """Take the median of each figure over rounds that all have the same ones."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
