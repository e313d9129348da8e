"""A skill whose bytes are swapped between check and use: what was not granted never runs.

The skill was granted with bytes A. While it is called, its component, its script and the file that it reads
turn into B and back, at moments spread over the whole call. Every answer must be one of A, with the hash of
A; a call that meets B is refused.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from subgraph.errors import GrantStale, SourceInvalid
from subgraph.execution.invocation import Executor
from tests.support import guests
from tests.support.host_calls import calls, host_caller
from tests.support.postgres import empty_database
from tests.support.skills import (
    OPERATOR,
    RunningService,
    component,
    service_in_process,
    skill_settings,
)

SWAPS = 1000
"""In all; a third by each way of running."""

LONGEST_MS = 6.0
"""Of the pauses before a swap, in milliseconds: longer than the checks before a run take."""

A, B = component(guests.answers(1)), component(guests.answers(2))
SCRIPT = "metadata:\n  cyberos-script: scripts/main.py"
TOOLS = "read_file(/skill/**)"


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn, workers=2)) as service:
        yield service


class Swap:
    """One file of a skill that has two contents; each is put into place as a whole, by a rename."""

    def __init__(self, path: Path, granted: bytes, other: bytes, beside: Path) -> None:
        self._path = path
        self._contents = (granted, other)
        self._beside = beside / path.name
        self._granted = True

    def now(self) -> None:
        """Put the other content into place."""
        self._granted = not self._granted
        self._beside.write_bytes(self._contents[0 if self._granted else 1])
        os.replace(self._beside, self._path)  # noqa: PTH105

    def back(self) -> None:
        """Put the content that was granted into place."""
        if not self._granted:
            self.now()


@dataclass(frozen=True)
class Way:
    """What is swapped, how the skill is called, and what it says with the bytes that were granted."""

    path: str
    granted: bytes
    other: bytes
    executor: Executor
    said: str
    value: dict[str, object] = field(default_factory=dict)
    calls_host: bool = False


WAYS = {
    "component": Way("dist/skill.wasm", A, B, Executor.WASM, "x"),
    "script": Way("scripts/main.py", b"print('granted')", b"print('swapped')", Executor.SCRIPT, "granted"),
    "file that it reads": Way(
        "references/a.md",
        b"granted",
        b"swapped",
        Executor.WASM,
        '[{"ok":"granted"}]',
        calls(["read_file", "/skill/references/a.md"]),
        calls_host=True,
    ),
}


async def call_while_swapped(
    running: RunningService, name: str, swap: Swap, way: Way, dice: random.Random
) -> tuple[str, object]:
    async def swap_later() -> None:
        await asyncio.sleep(dice.random() * LONGEST_MS / 1000)
        swap.now()

    swapping = asyncio.create_task(swap_later())
    try:
        answer = await running.service.runner.invoke(OPERATOR, name, way.value, executor=way.executor)
    except (GrantStale, SourceInvalid) as refusal:
        return "refused", refusal.code
    else:
        return answer.content_hash, answer.stdout
    finally:
        await swapping


@pytest.mark.parametrize("name", WAYS)
def test_bytes_that_were_not_granted_never_run(running: RunningService, name: str, tmp_path: Path) -> None:
    way = WAYS[name]
    name = f"swapped-{name.replace(' ', '-')}"
    guest = host_caller() if way.calls_host else None
    fields = SCRIPT if way.executor is Executor.SCRIPT else ""
    directory = running.write(name, tools=TOOLS, fields=fields, guest=guest, files={way.path: way.granted})
    swap = Swap(directory / way.path, way.granted, way.other, tmp_path)
    (grant,) = running.run(running.service.oversight.grant_all(OPERATOR, name))
    dice = random.Random(name)  # noqa: S311 - when the swap comes is no secret
    seen: Counter[str] = Counter()
    for _ in range(SWAPS // 3 + 1):
        content_hash, told = running.run(call_while_swapped(running, name, swap, way, dice))
        if content_hash == "refused":
            seen["refused"] += 1
        else:
            assert (content_hash, told) == (grant.content_hash, way.said)
            seen["answered"] += 1
        if dice.random() < 0.5:
            swap.back()
    assert seen["refused"] > SWAPS // 30, f"no call met the other bytes: {seen}"
    assert seen["answered"] > SWAPS // 30, f"no call met the granted bytes: {seen}"
    hashes = {
        entry["contentHash"] for entry in running.entries(name) if entry["kind"] == "invocation.finished"
    }
    assert hashes == {grant.content_hash}


def test_the_other_bytes_would_be_told_apart(running: RunningService) -> None:
    directory = running.write("control", guest=A)
    first = running.run(running.service.runner.invoke(OPERATOR, "control", {}))
    (directory / "dist" / "skill.wasm").write_bytes(B)
    second = running.run(running.service.runner.invoke(OPERATOR, "control", {}))
    assert (first.stdout, second.stdout) == ("x", "xx")
    assert first.content_hash != second.content_hash
