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
    VIOLATION = 126
    RESOURCE = 137


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call: wall time in milliseconds, memory and output in bytes, fuel, host calls.

    `memory_bytes` bounds a component's initial memory, and then what the call adds to it.
    `output_bytes` bounds each of the result, stdout and stderr. `fuel` is in units of Wasmtime, about one
    for each instruction; None is unmetered, which is twice as fast.
    """

    time_ms: int
    memory_bytes: int
    output_bytes: int
    fuel: int | None = None
    host_calls: int = 1000


def time_exceeded(time_ms: int) -> str:
    """Say that a call ran into its deadline."""
    return f"the skill ran for longer than {time_ms} ms and was stopped"


def fuel_exceeded(fuel: int) -> str:
    """Say that a call executed too many instructions."""
    return f"the skill used more than {fuel} units of fuel and was stopped"


def memory_exceeded(memory_bytes: int) -> str:
    """Say that a call wanted too much memory."""
    return f"the skill used more than {memory_bytes} bytes and was stopped"


def output_exceeded(output_bytes: int) -> str:
    """Say that a call returned or printed too much."""
    return f"the skill's output is over {output_bytes} bytes and was dropped"


def host_calls_exceeded(host_calls: int) -> str:
    """Say that a call asked too much of the service."""
    return f"the skill made more than {host_calls} host calls and was stopped"
