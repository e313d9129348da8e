"""A service that is killed while a skill runs: its next start says so, once, however many start."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.support.postgres import execute
from tests.support.service import ServiceProcess, running_service
from tests.support.skills import write_skill

SLEEPS = """
import pathlib, sys, time

sys.stdin.read()
time.sleep(60)
print("{}")
"""

GRANT = 'mutation { grantCapability(skillName: "sleeps", capability: "write_file") { grantedAt } }'

INVOCATIONS = """
{
  invocations { invocationId skillName exitCode elapsedUs executor capabilitiesGranted error { code } }
}
"""


def ask(service: ServiceProcess, document: str, timeout: float = 30) -> dict[str, Any]:
    answer = httpx.post(f"{service.url}/graphql", json={"query": document}, timeout=timeout).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def entries(dsn: str) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            rows = await connection.fetch("SELECT entry FROM audit.entry ORDER BY seq")
        finally:
            await connection.close()
        return [orjson.loads(row["entry"]) for row in rows]

    return asyncio.run(read())


def wait_for(dsn: str, kind: str, seconds: float = 30) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for entry in entries(dsn):
            if entry["kind"] == kind:
                return entry
        time.sleep(0.05)
    raise AssertionError(f"no {kind} in {[entry['kind'] for entry in entries(dsn)]}")


def test_a_run_of_a_service_that_was_killed_is_closed_once_by_those_that_start(
    dsn: str, tmp_path: Path
) -> None:
    write_skill(tmp_path / "mine", "sleeps", tools="write_file", files={"scripts/main.py": SLEEPS.encode()})
    environment = {
        "CYBEROS_HOME": str(tmp_path / "home"),
        "CYBEROS_DATABASE_URL": dsn,
        "CYBEROS_WORKERS": "1",
        "CYBEROS_SKILL_ROOTS": str(tmp_path / "mine"),
        "CYBEROS_TIME_LIMIT_MS": "60000",
    }

    with running_service(environment) as service:
        ask(
            service,
            'mutation { grantCapability(skillName: "sleeps", capability: "write_file") { grantedAt } }',
        )

        def call() -> None:
            with suppress(httpx.HTTPError):
                ask(service, 'mutation { invokeSkill(name: "sleeps", input: {}) { exitCode } }', 60)

        calling = threading.Thread(target=call)
        calling.start()
        start = wait_for(dsn, "invocation.started")
        service.process.send_signal(signal.SIGKILL)
        service.process.wait(30)
        calling.join(30)

    # It may still go on for all that others know, so a start right after it closes nothing.
    with running_service(environment) as service:
        assert ask(service, INVOCATIONS) == {"invocations": []}
    assert [entry["kind"] for entry in entries(dsn)].count("invocation.interrupted") == 0

    await_an_hour = "UPDATE audit.log_mark SET reached_at = reached_at - interval '1 hour'"
    asyncio.run(execute(dsn, await_an_hour))
    with running_service(environment) as service, running_service(environment) as other:
        closed = wait_for(dsn, "invocation.interrupted")
        assert (closed["invocationId"], closed["startedAt"]) == (start["invocationId"], start["at"])
        shown = [ask(each, INVOCATIONS) for each in (service, other)]
        metrics = httpx.get(f"{service.url}/metrics").text
    (run,) = shown[0]["invocations"]
    assert shown[0] == shown[1]
    assert run.pop("error")["code"] == "INTERRUPTED"
    assert run == {
        "invocationId": start["invocationId"],
        "skillName": "sleeps",
        "exitCode": 1,
        "elapsedUs": 0,
        "executor": "SCRIPT",
        "capabilitiesGranted": ["write_file"],
    }
    (ended,) = [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "cyberos_invocations_total"
    ]
    assert ended == ({"executor": "SCRIPT", "outcome": "interrupted"}, 1)

    with running_service(environment):
        asyncio.run(execute(dsn, "SELECT audit.maintain()", await_an_hour))
    assert [entry["kind"] for entry in entries(dsn)].count("invocation.interrupted") == 1
