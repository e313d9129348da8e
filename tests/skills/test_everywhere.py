"""The shipped skills through the whole service, by every executor that they have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from subgraph.authoring import run_fixtures
from subgraph.execution.confinement import directories_grantable
from subgraph.execution.invocation import Executor
from subgraph.settings import Settings
from tests.support.parity import executable_skills, fixtures_of
from tests.support.postgres import empty_database, open_directory
from tests.support.skills import OPERATOR, RunningService, service_in_process

SKILLS = executable_skills()


@pytest.fixture(scope="module")
def service(server: str, built: None) -> Iterator[RunningService]:
    """The service with what ships with it, and everything granted that the skills declare."""
    with empty_database(server) as dsn, open_directory() as root:
        settings = Settings(home=root, database_url=SecretStr(dsn), workers=1)
        with service_in_process(settings) as running:
            for skill in SKILLS:
                if running.run(running.service.oversight.declared(OPERATOR, skill.name)):
                    running.run(running.service.oversight.grant_all(OPERATOR, skill.name))
            yield running


def test_twenty_skills_are_indexed(service: RunningService) -> None:
    headers = service.run(service.service.skills.all(OPERATOR))
    assert len(headers) == 20
    assert [header.path for header in headers if header.region == "VN"] == [
        f"cyberskill-vn/{name}"
        for name in (
            "vn-bank-transfer",
            "vn-legal-compliance",
            "vn-mst-validate",
            "vn-tax-filing",
            "vn-vat-invoice",
            "vneid-integration",
        )
    ]
    assert service.run(service.service.skills.problems(OPERATOR)) == []


@pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.name)
def test_every_case_comes_out_by_every_executor(service: RunningService, skill: Path) -> None:
    workspace = service.settings.workspace_dir
    outcomes = service.run(run_fixtures(service.service, OPERATOR, skill.name, workspace))
    executors = {Executor.WASM, Executor.SCRIPT} if directories_grantable() else {Executor.WASM}
    assert {outcome.executor for outcome in outcomes} == executors
    assert len(outcomes) == len(executors) * len(fixtures_of(skill))
    problems = [(each.executor, each.fixture.id, each.problem) for each in outcomes if each.problem]
    assert problems == []
