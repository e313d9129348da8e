"""Closed-loop load: callers that each wait for an answer before they ask again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from benchmarks.samples import Samples

T = TypeVar("T")

WARM_UP_SHARE = 0.2
"""Share of a round that is run before it and thrown away."""


class WrongAnswer(Exception):
    """What was measured did not do its work, so its speed means nothing."""


async def run_callers(
    call: Callable[[int], Awaitable[T]],
    check: Callable[[int, T], bool],
    *,
    callers: int,
    seconds: float,
) -> Samples:
    """Measure a round after a warm-up; `check` sees the number and the answer of every call.

    `call` gets numbers that no other call of this round gets. Raises `WrongAnswer`.
    """
    numbers = itertools.count()
    await _run(call, check, Samples(), numbers, callers, WARM_UP_SHARE * seconds)
    samples = Samples()
    started, started_cpu = time.perf_counter(), time.process_time()
    await _run(call, check, samples, numbers, callers, seconds)
    samples.wall_seconds = time.perf_counter() - started
    samples.cpu_seconds = time.process_time() - started_cpu
    return samples


async def _run(
    call: Callable[[int], Awaitable[T]],
    check: Callable[[int, T], bool],
    samples: Samples,
    numbers: itertools.count[int],
    callers: int,
    seconds: float,
) -> None:
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while time.perf_counter() < end:
            number = next(numbers)
            started = time.perf_counter_ns()
            answer = await call(number)
            samples.latencies_ns.append(time.perf_counter_ns() - started)
            if not check(number, answer):
                raise _wrong(number, answer)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())


def run_blocking(call: Callable[[int], T], check: Callable[[int, T], bool], *, seconds: float) -> Samples:
    """Measure a round of calls that block, after a warm-up; otherwise as `run_callers` with one caller."""
    numbers = itertools.count()
    _run_blocking(call, check, Samples(), numbers, WARM_UP_SHARE * seconds)
    samples = Samples()
    started, started_cpu = time.perf_counter(), time.process_time()
    _run_blocking(call, check, samples, numbers, seconds)
    samples.wall_seconds = time.perf_counter() - started
    samples.cpu_seconds = time.process_time() - started_cpu
    return samples


def _run_blocking(
    call: Callable[[int], T],
    check: Callable[[int, T], bool],
    samples: Samples,
    numbers: itertools.count[int],
    seconds: float,
) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        number = next(numbers)
        started = time.perf_counter_ns()
        answer = call(number)
        samples.latencies_ns.append(time.perf_counter_ns() - started)
        if not check(number, answer):
            raise _wrong(number, answer)


def _wrong(number: int, answer: object) -> WrongAnswer:
    return WrongAnswer(f"call {number} was answered with {str(answer)[:500]}")
