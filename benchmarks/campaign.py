"""`python -m benchmarks.campaign`: invoke while workers are killed, and account for every answer.

1. Nothing hangs: the run ends within a bound, whatever happens to workers.
2. No answer is wrong: each call has its own input, and its answer belongs to that input.
3. A failure is an `Invocation` with EXECUTION_FAILED, and there are no more of them than kills.
4. Each answer has exactly one finished entry in the ledger, and the ledger has no other.
5. After all workers were killed at once the pool is soon back to its size, with confined workers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.environment import Plan, finished_invocations, running_environment
from benchmarks.subjects import Subject, slow_subject, typescript_subject
from subgraph.errors import SubgraphError
from subgraph.execution.invocation import Invocation
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support.service import MST_SKILL

CALLERS = 16
KILL_SECONDS = 0.1
RECOVERY_SECONDS = 2.0
SECONDS_PER_CALL = 0.25
"""For the bound of a run, beside what it takes to start: ten times what a call takes with its restarts."""

START_SECONDS = 30.0
TYPESCRIPT_CASES = 8
"""Different inputs for the TypeScript skill, so that an answer to another call shows."""

_SECCOMP_FILTER = "2"


@dataclass
class Campaign:
    """What happened to the calls of one run."""

    answers: list[Invocation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    recovery_seconds: float | None = None

    @property
    def failures(self) -> list[Invocation]:
        """Answers that say that the skill did not end well."""
        return [answer for answer in self.answers if answer.exit_code != 0]

    def take(self, subject: Subject, number: int, answer: Invocation) -> None:
        """Note an answer, and whether it can be one to that call."""
        self.answers.append(answer)
        expected = subject.case(number).answer
        if answer.exit_code == 0:
            if answer.result != expected or answer.error is not None:
                self.wrong.append(f"call {number}: {answer.result!r} instead of {expected!r}")
        elif answer.error is None or answer.error.code != "EXECUTION_FAILED" or answer.result is not None:
            self.wrong.append(f"call {number}: exit code {answer.exit_code} with {answer.error}")

    def violations(self, calls: int, entries: Counter[Any]) -> Iterator[str]:
        """Name what this run did that must not be, given the invocation ids in the ledger."""
        ids = Counter(answer.invocation_id for answer in self.answers)
        yield from self.wrong
        yield from self.refused
        if len(self.answers) + len(self.refused) != calls:
            yield f"{calls} calls were made, {len(self.answers)} were answered"
        if len(self.failures) > self.kills:
            yield f"{len(self.failures)} calls failed, of {self.kills} kills"
        if self.kills == 0:
            yield "no worker was killed: the run was too short"
        if max(ids.values(), default=0) > 1:
            yield "two answers have the same invocation id"
        if ids != entries:
            absent, unknown = (ids - entries).total(), (entries - ids).total()
            yield f"the ledger lacks {absent} entries of answers, and has {unknown} too many"
        if self.recovery_seconds is None:
            yield f"the pool was not back to its size within {RECOVERY_SECONDS} s"


def main() -> int:
    """Run the campaign once for each skill; the exit code is 1 after a violation."""
    arguments = _arguments()
    violations: list[str] = []
    slow, typescript = slow_subject(), typescript_subject(_typescript_inputs())
    with running_environment(Plan(rounds=1, seconds=0.0), slow, typescript) as environment:
        for subject in environment.subjects:
            with environment.settings() as settings:
                violations += _report(subject, settings, arguments)
    print("every answer is accounted for" if not violations else f"{len(violations)} violations")
    return 1 if violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--calls", type=int, default=1000, help="invocations of the slow skill (1000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    if arguments.calls < CALLERS:
        parser.error(f"--calls must be at least {CALLERS}, one for each caller")
    return arguments


def _typescript_inputs() -> list[dict[str, Any]]:
    """Take inputs that the skill answers from its own fixtures."""
    fixtures = json.loads((MST_SKILL / "fixtures" / "cases.json").read_text())
    answered = (case["input"] for case in fixtures if "input" in case and "output" in case)
    return list(itertools.islice(answered, TYPESCRIPT_CASES))


def _report(subject: Subject, settings: Settings, arguments: argparse.Namespace) -> list[str]:
    calls = arguments.calls if not subject.cases else 10 * arguments.calls  # it takes a tenth of the time
    print(f"{subject.label}: {calls:,} invocations, {CALLERS} callers, seed {arguments.seed}", flush=True)
    campaign = Campaign()
    try:
        dice = random.Random(arguments.seed)  # noqa: S311 - which worker dies is no secret
        entries = uvloop.run(_bounded(campaign, subject, settings, calls, dice))
    except TimeoutError:
        found = [f"it hangs: {len(campaign.answers)} of {calls} calls were answered in time"]
    else:
        found = list(campaign.violations(calls, entries))
        recovery = campaign.recovery_seconds
        print(
            f"  {len(campaign.answers):,} answered in {campaign.seconds:.1f} s "
            f"({len(campaign.answers) / campaign.seconds:,.0f}/s), {campaign.kills} workers killed, "
            f"{len(campaign.failures)} calls failed with one, {entries.total():,} entries in the ledger, "
            f"pool whole again after {'never' if recovery is None else f'{recovery * 1000:.0f} ms'}"
        )
    for violation in found:
        print(f"  VIOLATION  {violation}")
    return found


async def _bounded(
    campaign: Campaign, subject: Subject, settings: Settings, calls: int, dice: random.Random
) -> Counter[Any]:
    async with asyncio.timeout(START_SECONDS + calls * SECONDS_PER_CALL):
        async with Service(settings) as service:
            await _call(campaign, service, subject, 0)  # compiles the skill
            started = time.monotonic()
            await _run(campaign, service, subject, range(1, calls - 1), dice)
            campaign.seconds = time.monotonic() - started
            campaign.recovery_seconds = await _recovery(settings.workers)
            await _call(campaign, service, subject, calls - 1)
        return Counter(await finished_invocations(settings))


async def _run(
    campaign: Campaign, service: Service, subject: Subject, numbers: range, dice: random.Random
) -> None:
    left = iter(numbers)

    async def caller() -> None:
        for number in left:
            await _call(campaign, service, subject, number)

    killer = asyncio.create_task(_kill_for_ever(campaign, dice))
    try:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    finally:
        killer.cancel()


async def _call(campaign: Campaign, service: Service, subject: Subject, number: int) -> None:
    try:
        answer = await service.runner.invoke(LOCAL_OPERATOR, subject.skill, subject.case(number).value)
    except SubgraphError as error:
        campaign.refused.append(f"call {number} was refused: {error.code} {error.message}")
    else:
        campaign.take(subject, number, answer)


async def _kill_for_ever(campaign: Campaign, dice: random.Random) -> None:
    while True:
        await asyncio.sleep(KILL_SECONDS)
        workers = _workers()
        if workers and _kill(dice.choice(workers)):
            campaign.kills += 1


def _kill(pid: int) -> bool:
    """Kill a worker as the kernel does when memory runs out; False if it had died."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


async def _recovery(size: int) -> float | None:
    """Kill every worker at once, and wait for `size` others that are confined.

    Return the seconds that this took, or None after the bound.
    """
    killed = [worker for worker in _workers() if _kill(worker)]
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) <= RECOVERY_SECONDS:
        new = [worker for worker in _workers() if worker not in killed]
        if len(new) == size and all(map(_is_confined, new)):
            return elapsed
        await asyncio.sleep(0.001)
    return None


def _workers() -> Sequence[int]:
    """Find the worker processes from outside: the living children of this process's zygote."""
    zygotes = [child for child in _children(os.getpid()) if b"subgraph.execution.zygote" in _command(child)]
    return [
        worker
        for zygote in zygotes
        for worker in _children(zygote)
        if _status(worker, "State")[:1] not in "ZX"
    ]


def _is_confined(pid: int) -> bool:
    """Whether a process lives under a seccomp filter, the last thing that a worker does before its work."""
    return _status(pid, "Seccomp") == _SECCOMP_FILTER


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _status(pid: int, name: str) -> str:
    """Read a field of proc(5) status; empty when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


if __name__ == "__main__":
    sys.exit(main())
