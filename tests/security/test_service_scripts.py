"""Every escape attempt of a script once more, through the whole service, into the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from subgraph.execution.invocation import Executor
from tests.security.attempt_ground import Ground, ground
from tests.security.attempts.limits import MEMORY_BYTES
from tests.security.script_attempts import ATTEMPTS, Grant, ScriptAttempt
from tests.support.kernel import needs_script_confinement
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, service_in_process, skill_settings

pytestmark = needs_script_confinement

SCRIPT = "metadata:\n  cyberos-script: scripts/main.py"

TOOLS = {
    Grant.NOTHING: "",
    Grant.READ: "read_file(granted/**)",
    Grant.WRITE: "write_file(granted/**)",
}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("ground")) as made:
        yield made


@pytest.fixture(scope="module")
def running(
    server: str, targets: Ground, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(
            home, dsn, workspace=targets.directory, time_limit_ms=1500, memory_limit_bytes=MEMORY_BYTES
        )
        with service_in_process(settings) as service:
            service.write("after", fields=SCRIPT, files={"scripts/main.py": b"print(1)"})
            yield service


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_script_escapes_and_each_is_recorded(
    running: RunningService, targets: Ground, attempt: ScriptAttempt
) -> None:
    name = f"attempt-{list(ATTEMPTS).index(attempt.name)}"
    targets.prepare()
    running.write(
        name,
        tools=TOOLS[attempt.grant],
        fields=SCRIPT,
        files={"scripts/main.py": attempt.source.encode()},
    )
    if TOOLS[attempt.grant]:
        running.run(running.service.oversight.grant_all(OPERATOR, name))
    call = running.service.runner.invoke(
        OPERATOR, name, targets.input(), executor=Executor.SCRIPT, timeout_ms=attempt.time_ms
    )
    answer = running.run(call)
    assert answer.exit_code in {0, 1, 124, 126, 137}, answer
    assert not (isinstance(answer.result, dict) and answer.result.get("escaped") is True), answer
    assert '"escaped": true' not in (answer.stdout or "")
    assert targets.touched() == []
    entries = running.entries(name)
    (finished,) = [entry for entry in entries if entry["kind"] == "invocation.finished"]
    assert (finished["invocationId"], finished["exitCode"]) == (str(answer.invocation_id), answer.exit_code)
    assert targets.secret not in json.dumps(entries)
    assert running.run(running.service.runner.invoke(OPERATOR, "after", {})).result == 1
