"""What one call may use, and the exit codes that say how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

TICK_MS = 10
"""Resolution of time and memory limits inside a worker; finer ticks cost wake-ups while idle."""

GRACE_MS = 150
"""How long after its deadline a call may still end by itself before its worker is killed. A guest that
blocks in a WASI call cannot be interrupted, so the kill is what stops it; it lies within the 250 ms
after the deadline in which every call has ended."""


class ExitCode(IntEnum):
    """How a skill that started has ended; numbers as shells and container runtimes use them."""

    OK = 0
    FAILED = 1
    TIME = 124
    RESOURCE = 137


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call: wall time in milliseconds, memory and output in bytes.

    `memory_bytes` bounds a component's initial memory, and then what the call adds to it.
    `output_bytes` bounds each of the result, stdout and stderr.
    """

    time_ms: int
    memory_bytes: int
    output_bytes: int


def time_exceeded(time_ms: int) -> str:
    """Say that a call ran into its deadline."""
    return f"the skill ran for longer than {time_ms} ms and was stopped (CYBEROS_TIME_LIMIT_MS)"


def memory_exceeded(memory_bytes: int) -> str:
    """Say that a call wanted too much memory."""
    return f"the skill used more than {memory_bytes} bytes and was stopped (CYBEROS_MEMORY_LIMIT_BYTES)"


def output_exceeded(output_bytes: int) -> str:
    """Say that a call returned or printed too much."""
    return f"the skill's output is over {output_bytes} bytes and was dropped (CYBEROS_OUTPUT_LIMIT_BYTES)"
