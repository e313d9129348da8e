"""Every hostile host call once more, from a component and through the whole service, into the ledger."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from subgraph.errors import CapabilityDenied, SubgraphError
from subgraph.execution.host import HostServices
from subgraph.execution.invocation import Executor, Invocation
from tests.security.ground import CANARY, ENVIRONMENT
from tests.security.host_attempts import ATTEMPTS, Attempt, End, Ground, ground_below
from tests.support.host_calls import calls, host_caller
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, service_in_process, skill_settings

MOST_TIMES = 200
"""Calls of one attempt here; races are run longer where a call costs less, in `test_host_attempts`."""

SLOW_MS = 500
"""For attempts that end by their deadline alone."""


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn)) as service:
        yield service


@contextlib.contextmanager
def host_of(running: RunningService, ground: Ground) -> Iterator[None]:
    """Have the service look into the directories of this ground, and ask its resolver."""
    services = HostServices(
        ground.workspace,
        ground.secrets,
        ground.memory,
        ground.commands,
        os.environ | ENVIRONMENT,
        resolver=ground.resolve,
    )
    invoker = running.service._runtime.invoker
    usual = invoker._services
    with running.entered(services):
        invoker._services = services
        try:
            yield
        finally:
            invoker._services = usual


def granted_skill(running: RunningService, grants: tuple[str, ...]) -> str:
    """Have a skill that these capabilities were granted to, as far as they can be granted at all."""
    name = f"hostile-{hashlib.sha256(repr(grants).encode()).hexdigest()[:12]}"
    if not (running.skills / name).exists():
        running.write(name, tools=" ".join(grants), guest=host_caller())
        for grant in grants:
            with contextlib.suppress(CapabilityDenied):
                running.run(running.service.oversight.grant(OPERATOR, name, grant))
    return name


def invoke(running: RunningService, name: str, attempt: Attempt, arguments: tuple[Any, ...]) -> Invocation:
    made = [[attempt.function, *arguments]] * min(attempt.times, MOST_TIMES)
    return running.run(
        running.service.runner.invoke(
            OPERATOR,
            name,
            calls(*made),
            executor=Executor.WASM,
            timeout_ms=SLOW_MS if attempt.slow else None,
        )
    )


@pytest.mark.parametrize("number", range(len(ATTEMPTS)), ids=lambda number: ATTEMPTS[number].name)
def test_no_attempt_succeeds_and_each_is_recorded(
    running: RunningService, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = ATTEMPTS[number]
    with ground_below(tmp_path) as ground:
        grants, arguments = attempt.lay(ground)
        name = granted_skill(running, grants)
        before = len(running.entries(name))
        told: list[str] = []
        with host_of(running, ground):
            try:
                answer = invoke(running, name, attempt, arguments)
                told += [str(answer.result), str(answer.error), str(answer.stderr)]
            except SubgraphError as refusal:
                told.append(refusal.message)
                answer = None
        entries = running.entries(name)[before:]
        told += [json.dumps(entry, ensure_ascii=False) for entry in entries]
        told += [record.getMessage() for record in caplog.records]
        text = "\n".join(told)
        if CANARY in str(arguments):
            text = text.replace(CANARY, "what the skill said itself")
        assert ground.harm(text) is None
    kinds = {entry["kind"] for entry in entries}
    if answer is None:
        return
    assert "invocation.finished" in kinds
    if attempt.end is End.DENIED and answer.exit_code == 126:
        assert "host.call" in kinds, "a denial is an entry of its own"
    if attempt.end is not End.HARMLESS and answer.exit_code == 0:
        assert isinstance(answer.result, list)
        assert all(list(outcome) == ["err"] for outcome in answer.result), answer.result
