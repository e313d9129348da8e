"""What a client sees when the database is gone, and when a skill is stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.storage import EmbeddedPostgres
from tests.support import guests
from tests.support.postgres import empty_database, open_directory, run
from tests.support.skills import Client, application, component, skill_settings, write_skill

INVOKE = (
    "mutation ($name: String!) { invokeSkill(name: $name, input: {}) { exitCode error { code message } } }"
)


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as path:
        yield path


def until_it_answers(client: Client, document: str, **variables: object) -> object:
    """Ask until the service has found its database again."""
    deadline = time.monotonic() + 10
    while "errors" in (answer := client.query(document, **variables)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer["data"]


def test_without_its_database_every_call_says_so_and_work_resumes_with_it(directory: Path) -> None:
    server = EmbeddedPostgres(directory / "home" / "postgres")
    settings = skill_settings(directory / "service", run(server.start()))
    write_skill(settings.skill_roots[0], "echo", tools="read_file", guest=component())
    try:
        with application(settings) as client:
            assert client.data(INVOKE, name="echo")["invokeSkill"]["exitCode"] == 0
            run(server.stop())
            for document in (
                'mutation { invokeSkill(name: "echo", input: {}) { exitCode } }',
                'mutation { grantCapability(skillName: "echo", capability: "read_file") { grantedAt } }',
                'mutation { revokeSkill(name: "echo") { revoked } }',
                '{ invocation(invocationId: "00000000-0000-0000-0000-000000000000") { actor } }',
                "{ skills { invocationsLast24h } }",
            ):
                (error,) = client.query(document)["errors"]
                assert error["extensions"] == {"code": "STORAGE_UNAVAILABLE"}
                assert "database" in error["message"]
                assert "Traceback" not in error["message"]
                assert str(directory) not in error["message"]
            assert client.request("GET", "/readyz").status_code == 503
            assert client.request("GET", "/healthz").status_code == 200
            run(server.start())
            assert until_it_answers(client, INVOKE, name="echo") == {
                "invokeSkill": {"exitCode": 0, "error": None}
            }
            assert client.data("{ skills { invocationsLast24h } }") == {"skills": [{"invocationsLast24h": 2}]}
            assert client.data("{ capabilityGrants { capability } }") == {"capabilityGrants": []}
            assert client.data("{ skills { revoked } }") == {"skills": [{"revoked": False}]}
    finally:
        run(server.stop())


def test_a_skill_that_is_stopped_is_an_invocation_with_its_limit(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn, time_limit_ms=1000)
        write_skill(settings.skill_roots[0], "loops", guest=component(guests.LOOPS))
        write_skill(settings.skill_roots[0], "grows", guest=component(guests.GROWS_BY_A_GIBIBYTE))
        with application(settings) as client:
            for name, exit_code, limit in (
                ("loops", 124, "longer than 1000 ms"),
                ("grows", 137, "more than 67108864 bytes"),
            ):
                invocation = client.data(INVOKE, name=name)["invokeSkill"]
                assert invocation["exitCode"] == exit_code
                assert invocation["error"]["code"] == "LIMIT_EXCEEDED"
                assert limit in invocation["error"]["message"]
