"""Sections of figures with their targets, as aligned tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.samples import Figures

_HEADINGS = {
    "p50_ns": "p50 ns",
    "p99_ns": "p99 ns",
    "p50_us": "p50 µs",
    "p95_us": "p95 µs",
    "p99_us": "p99 µs",
    "median_ms": "median ms",
    "worst_ms": "worst ms",
    "calls_per_second": "calls/s",
    "entries_per_second": "entries/s",
    "cpu_ms": "CPU ms",
    "bytes": "bytes",
    "cpu_us": "CPU µs/call",
    "service_cpu_us": "service CPU µs/call",
    "seconds": "wall s",
    "memory_mib": "memory MiB",
    "ratio_p99": "p99 to alone",
    "outages": "outages",
    "acknowledged": "acknowledged",
    "refused": "refused",
    "away_ms": "away ms",
    "wait_ms": "wait ms",
    "writable_ms": "writable ms",
}
_EXACT_BELOW = 100  # from here on a digit after the point says nothing


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of one figure; `source` names what sets it if that is not the specification."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None
    source: str = ""

    def holds(self, figures: Figures) -> bool:
        """Whether the figure is within the bound."""
        value = figures[self.figure]
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def __str__(self) -> str:
        sign, bound = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least or 0.0)
        name, _, unit = _HEADINGS[self.figure].partition(" ")
        text = f"{name} {sign} {_number(bound)} {unit}".rstrip()
        return f"{text} ({self.source})" if self.source else text


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one subject."""

    label: str
    figures: Figures
    targets: Sequence[Target] = ()

    def missed(self) -> list[Target]:
        """Return the targets that the figures do not reach."""
        return [target for target in self.targets if not target.holds(self.figures)]

    def verdict(self) -> str:
        """Say `ok`, or name each target that was missed; nothing without a target."""
        if not self.targets:
            return ""
        names = [_HEADINGS[target.figure].partition(" ")[0] for target in self.missed()]
        return "ok" if not names else f"MISSED: {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together; `notes` say how they were measured."""

    name: str
    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def table(self) -> str:
        """Write the section as an aligned table under its title."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        head = ["", *(_HEADINGS[name] for name in columns), "target", "ok"]
        body = [
            [
                row.label,
                *(_number(row.figures[name]) if name in row.figures else "" for name in columns),
                ", ".join(map(str, row.targets)),
                row.verdict(),
            ]
            for row in self.rows
        ]
        lines = _aligned([head, *body], numbers=range(1, 1 + len(columns)))
        return "\n".join([self.title, *lines, *(f"  {note}" for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        """Give the section as a JSON object."""
        return {
            "title": self.title,
            "notes": list(self.notes),
            "rows": [
                {
                    "label": row.label,
                    "figures": {name: round(value, 3) for name, value in row.figures.items()},
                    "targets": [
                        {"target": str(target), "reached": target.holds(row.figures)}
                        for target in row.targets
                    ],
                }
                for row in self.rows
            ],
        }


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < _EXACT_BELOW and value != int(value) else f"{value:,.0f}"


def _aligned(cells: Sequence[Sequence[str]], numbers: range) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
