"""Each call of a hostile skill, made of the service's own functions: none does any harm.

The same calls made of a host that checks nothing do harm, so that the ground is known to notice it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from subgraph.capabilities import parse_capability
from subgraph.execution.host import CallContext, HostCallDenied, HostCallError, HostCallInvalid, HostServices
from tests.security.ground import ENVIRONMENT
from tests.security.host_attempts import ATTEMPTS, Attempt, End, Ground, ground_below
from tests.support.postgres import run

BYTE_LIMIT = 1 << 20
SLOW_SECONDS, SECONDS = 0.5, 20.0

UNCHECKED = {"log", "recall_memory"}
"""What names nothing that could be out of bounds, so that malformed arguments are an error alone."""


class Outcome:
    """What one run of an attempt was told, and how its calls ended."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ends: Counter[End] = Counter()

    def answered(self, answer: object) -> None:
        self.told.append(str(answer))
        self.ends[End.HARMLESS] += 1

    def refused(self, error: HostCallError) -> None:
        self.told.append(error.message)
        denied = isinstance(error, HostCallDenied | HostCallInvalid)
        self.ends[End.DENIED if denied else End.REFUSED] += 1


def services_on(ground: Ground) -> HostServices:
    return HostServices(
        ground.workspace,
        ground.secrets,
        ground.memory,
        ground.commands,
        os.environ | ENVIRONMENT,
        resolver=ground.resolve,
    )


async def make(attempt: Attempt, ground: Ground) -> Outcome:
    """Make the calls of an attempt as a session does, once it has checked that a capability is there."""
    grants, arguments = attempt.lay(ground)
    capabilities = [parse_capability(grant) for grant in grants]
    outcome = Outcome()
    async with services_on(ground) as services:
        seconds = SLOW_SECONDS if attempt.slow else SECONDS
        context = CallContext(
            skill_dir=ground.skill,
            permits=lambda name, target: any(
                each.name == name and each.admits(target) for each in capabilities
            ),
            permits_private=lambda target: any(each.permits_private(target) for each in capabilities),
            deadline=asyncio.get_running_loop().time() + seconds,
            byte_limit=BYTE_LIMIT,
        )
        for _ in range(attempt.times):
            try:
                outcome.answered(await services.perform(attempt.function, arguments, context))
            except HostCallError as error:
                outcome.refused(error)
    return outcome


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_no_hostile_call_does_any_harm(
    attempt: Attempt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with ground_below(tmp_path) as ground:
        outcome = run(make(attempt, ground))
        lines = [record.getMessage() for record in caplog.records]
        assert ground.harm("\n".join([*outcome.told, *lines])) is None
    assert all(line.isprintable() and len(line) < 1200 for line in lines)
    assert len(lines) <= 100
    for told in outcome.told:
        assert len(told.encode()) <= BYTE_LIMIT
        assert str(tmp_path) not in told or attempt.function == "exec_command"
        assert attempt.slow or "time" not in told, "it did not end by itself"
    expected = attempt.end
    if expected is not End.HARMLESS:
        assert outcome.ends[End.HARMLESS] == 0, outcome.told
    if expected is End.DENIED and attempt.function not in UNCHECKED:
        assert set(outcome.ends) == {End.DENIED}, outcome.told


@pytest.mark.parametrize(
    "attempt", [each for each in ATTEMPTS if "turns into" in each.name], ids=lambda attempt: attempt.name
)
def test_races_were_met(attempt: Attempt, tmp_path: Path) -> None:
    with ground_below(tmp_path) as ground:
        ends = run(make(attempt, ground)).ends
    assert ends[End.HARMLESS] > 0
    assert ends[End.REFUSED] > 0, "no call ever met the link: nothing was shown"


def test_names_are_given_once() -> None:
    assert [name for name, count in Counter(attempt.name for attempt in ATTEMPTS).items() if count > 1] == []


class CarelessHost:
    """A host as it would be without a thought: the negative control."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def perform(self, name: str, arguments: Sequence[object]) -> object:
        target = str(arguments[0])
        match name:
            case "read_file":
                with (self._ground.workspace / target).open() as file:
                    return file.read(BYTE_LIMIT)
            case "write_file":
                place = self._ground.workspace / target
                place.parent.mkdir(parents=True, exist_ok=True)
                return place.write_text(str(arguments[1])[:BYTE_LIMIT])
            case "list_dir":
                return os.listdir(self._ground.workspace / target)
            case "get_secret":
                return (self._ground.secrets / target).read_text()
            case "read_env":
                return ENVIRONMENT[target]
            case "recall_memory":
                found = [Path(at) / name for at, _, names in os.walk(self._ground.memory, followlinks=True)
                         for name in names]  # fmt: skip
                return [one.read_text() for one in found if one.is_file()]
            case "exec_command":
                return self._command(target, arguments[1])
            case "fetch_url":
                return self._fetch(target)
        raise AssertionError(name)

    def _command(self, name: str, arguments: object) -> str:
        words = " ".join(map(str, arguments)) if isinstance(arguments, list) else ""
        ended = subprocess.run(  # noqa: S602
            f"{self._ground.commands}/{name} {words}",
            shell=True,
            stdout=subprocess.PIPE,
            cwd=self._ground.workspace,
            env=os.environ | ENVIRONMENT,
            text=True,
            timeout=1,
            check=False,
        )
        return ended.stdout

    def _fetch(self, target: str) -> str:
        with urllib.request.build_opener().open(target, timeout=1) as answer:
            return str(answer.read(1000).decode(errors="replace"))


BEYOND_THIS_MACHINE = (
    "169.254", "2852039166", "10.0.0.1", "[fd", "255.255", "224.", "100.100", "rebind", "[2", "[64", "[::127",
    "[::ffff:0:", "FTP", "encrypted", "another scheme", "a cloud's own service", "a private network",
)  # fmt: skip
"""What a careless host would send packets for, or wait for."""

STALLS = (
    "pipe", "endless", "device", "socket", "hole", "many names", "turns into", "flood", "sleep", "stopped",
    "that fails leave", "its end", "answer", "circle",
)  # fmt: skip
"""Words in the names of attempts whose harm is that a careless host would hang or fill up."""


def test_the_same_calls_harm_a_host_that_checks_nothing(tmp_path: Path) -> None:
    """The control: what the ground notices, by kind of harm."""
    caught: dict[str, set[str]] = {}
    for number, attempt in enumerate(ATTEMPTS):
        if any(word in attempt.name for word in STALLS) or attempt.function == "log":
            continue
        if any(word in f"{attempt.name} {attempt.arguments}" for word in BEYOND_THIS_MACHINE):
            continue
        with ground_below(tmp_path / str(number)) as ground:
            _, arguments = attempt.lay(ground)
            told = ""
            with contextlib.suppress(
                OSError, ValueError, KeyError, subprocess.SubprocessError, http.client.HTTPException
            ):
                told = str(CarelessHost(ground).perform(attempt.function, arguments))
            found = ground.harm(told)
            if found is not None:
                caught.setdefault(found.partition(":")[0], set()).add(attempt.name)
    counts = {kind: len(names) for kind, names in caught.items()}
    assert counts["the canary was told"] >= 70, counts
    assert counts["the canary's server was reached"] >= 50, counts
    assert counts["what no skill may change was changed"] >= 10, counts
    assert counts["something was written"] >= 5, counts
    assert counts["a process was left behind"] == 1, counts
