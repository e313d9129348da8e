"""What an operator decides while calls wait and run: it holds for them, too, and the ledger says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from subgraph.capabilities import TrustTier
from subgraph.errors import CapabilityDenied, ExecutionFailed, SkillRevoked
from subgraph.execution import invoker
from subgraph.execution.invocation import Executor, Invocation
from subgraph.service import Service
from tests.support import guests
from tests.support.postgres import empty_database, until
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

SCRIPT = "metadata:\n  cyberos-script: scripts/main.py"
WRITES = b"""
import time
number = 0
while True:
    number += 1
    with open("ticks", "w") as file:
        file.write(str(number))
    time.sleep(0.01)
"""

Decision = Callable[[Service], Awaitable[object]]

DECISIONS: dict[str, tuple[Decision, type[Exception]]] = {
    "a grant is taken back": (
        lambda service: service.oversight.revoke_capability(OPERATOR, "decided", "write_file(out/**)"),
        CapabilityDenied,
    ),
    "trust is lowered": (
        lambda service: service.oversight.trust(OPERATOR, "decided", TrustTier.UNTRUSTED),
        CapabilityDenied,
    ),
    "an executor is taken away": (
        lambda service: service.oversight.limit(OPERATOR, "decided", {}, frozenset({Executor.INLINE})),
        CapabilityDenied,
    ),
    "it is revoked": (
        lambda service: service.oversight.revoke(OPERATOR, "decided", "enough"),
        SkillRevoked,
    ),
}


@pytest.fixture
def running(server: str, tmp_path: Path) -> Iterator[RunningService]:
    with empty_database(server) as dsn, service_in_process(skill_settings(tmp_path, dsn)) as service:
        (service.settings.workspace_dir / "out").mkdir()
        service.write("decided", tools="write_file(out/**)", fields=SCRIPT, files={"scripts/main.py": WRITES})
        service.write("hog", fields=SCRIPT, files={"scripts/main.py": b"while True: pass"})
        service.run(service.service.oversight.grant_all(OPERATOR, "decided"))
        yield service


async def started(running: RunningService, count: int) -> None:
    runs = running.service._runtime.invoker._running
    await until(lambda: sum(each.started_at is not None for each in runs.values()) == count)


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_run_ends_with_what_it_was_admitted_on(running: RunningService, decision: str) -> None:
    decide, _ = DECISIONS[decision]
    ticks = running.settings.workspace_dir / "out" / "ticks"

    async def scenario() -> Invocation:
        call = asyncio.create_task(running.service.runner.invoke(OPERATOR, "decided", {}))
        await until(ticks.exists)
        await decide(running.service)
        return await call

    answer = running.run(scenario())
    assert answer.exit_code == 126
    running.run(asyncio.sleep(0.1))  # a process that is killed may be within its last write
    before = ticks.read_text()
    running.run(asyncio.sleep(0.1))
    assert ticks.read_text() == before, "it went on"
    (finished,) = [each for each in running.entries("decided") if each["kind"] == "invocation.finished"]
    assert finished["exitCode"] == 126


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_call_that_waits_is_refused(running: RunningService, decision: str) -> None:
    decide, error = DECISIONS[decision]

    async def scenario() -> list[object]:
        hogs = [asyncio.create_task(running.service.runner.invoke(OPERATOR, "hog", {})) for _ in range(2)]
        waiting = [
            asyncio.create_task(running.service.runner.invoke(OPERATOR, "decided", {})) for _ in range(3)
        ]
        await started(running, 2)
        await asyncio.sleep(0.1)
        await decide(running.service)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await running.service.oversight.revoke(OPERATOR, "hog", None)
        await asyncio.gather(*hogs, return_exceptions=True)
        return list(outcomes)

    outcomes = running.run(scenario())
    refused = [each for each in outcomes if isinstance(each, error)]
    stopped = [each for each in outcomes if isinstance(each, Invocation) and each.exit_code == 126]
    assert len(refused) >= 1
    assert len(refused) + len(stopped) == 3, outcomes
    entries = running.entries("decided")
    assert sum(each["kind"] == "invocation.refused" for each in entries) == len(refused)
    announced = {each["invocationId"] for each in entries if each["kind"] == "invocation.started"}
    ended = {
        each["invocationId"]
        for each in entries
        if each["kind"] in ("invocation.finished", "invocation.refused") and each["invocationId"]
    }
    assert announced == ended


def test_the_service_stops_although_a_skill_runs_on(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoker, "SHUTDOWN_SECONDS", 0.2)
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn, time_limit_ms=60_000)
        with service_in_process(settings) as running:
            running.write("loops", guest=component(guests.LOOPS))

            async def begin() -> asyncio.Task[Invocation]:
                call = asyncio.create_task(running.service.runner.invoke(OPERATOR, "loops", {}))
                await started(running, 1)
                return call

            call = running.run(begin())
            running.run(running.service.__aexit__(None, None, None))
            answer = running.run(asyncio.wait_for(call, 5))
            assert answer.exit_code == 1
            assert answer.error is not None
            assert "was stopped while the skill ran" in answer.error.message
            (entry,) = [each for each in running.entries("loops") if each["kind"] == "invocation.finished"]
            assert entry["exitCode"] == 1


def test_a_revoked_skill_is_in_no_prompt(running: RunningService) -> None:
    service = running.service
    assert "<name>decided</name>" in running.run(service.skills.available(OPERATOR))
    running.run(service.oversight.revoke(OPERATOR, "decided", "it lies"))
    assert "decided" not in running.run(service.skills.available(OPERATOR))
    with pytest.raises(SkillRevoked, match="it lies"):
        running.run(service.skills.prompt(OPERATOR, "decided"))


def test_wider_limits_are_for_the_bytes_they_were_set_for(running: RunningService) -> None:
    oversight = running.service.oversight
    running.run(oversight.limit(OPERATOR, "decided", {"time_ms": 90_000, "host_calls": 5}))
    limits = running.run(oversight.trust_of(OPERATOR, "decided")).policy.limits
    assert (limits.time_ms, limits.host_calls) == (90_000, 5)
    running.write("decided", fields=SCRIPT, files={"scripts/main.py": b"print(1)"})
    limits = running.run(oversight.trust_of(OPERATOR, "decided")).policy.limits
    assert (limits.time_ms, limits.host_calls) == (5000, 5)


@pytest.mark.parametrize("inside", ["", "skills", "snapshots", "aot", "mine"])
def test_a_workspace_that_holds_what_the_service_keeps_is_refused(
    server: str, tmp_path: Path, inside: str
) -> None:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn, workspace=tmp_path / inside if inside else tmp_path)
        with pytest.raises(ValueError, match="must not lie within each other"):
            Service(settings)


def test_no_skill_runs_in_a_service_that_only_decides(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        service = Service(skill_settings(tmp_path, dsn), runs_skills=False)

        async def scenario() -> None:
            async with service:
                for refused in (
                    service.runner.invoke(OPERATOR, "any", {}),
                    service.runner.make_ready(OPERATOR, "onStartup"),
                ):
                    with pytest.raises(ExecutionFailed, match="runs no skills"):
                        await refused

        asyncio.run(scenario())
