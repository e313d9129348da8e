"""GraphiQL as a person meets it: the running service's page in a real browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import run_script


@pytest.fixture(scope="module")
def report(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    screenshot = tmp_path_factory.mktemp("graphiql") / "graphiql.png"
    made = run_script("graphiql.mjs", f"{service_url}/graphql", screenshot)
    sys.stdout.write(f"screenshot: {screenshot}\n")
    made["screenshot"] = screenshot
    return made


def test_first_query_runs_a_skill(report: dict[str, Any]) -> None:
    invocation = json.loads(report["invocation"])["data"]["invokeSkill"]
    assert invocation["result"]["format"] == "13-digit-branch"
    assert invocation["exitCode"] == 0


def test_second_tab_lists_the_skills(report: dict[str, Any]) -> None:
    assert report["tabs"] == ["ValidateTaxCode", "InstalledSkills"]
    skills = json.loads(report["list"])["data"]["skills"]
    assert "vn-mst-validate" in {skill["name"] for skill in skills}


def test_headers_can_be_edited(report: dict[str, Any]) -> None:
    assert report["headersEditor"] is True


def test_nothing_is_asked_of_another_host(report: dict[str, Any]) -> None:
    assert report["foreignRequests"] == []


def test_page_works_without_a_complaint(report: dict[str, Any]) -> None:
    assert report["failures"] == []
    assert report["console"] == []
    assert report["violations"] == []


def test_screenshot_is_taken(report: dict[str, Any]) -> None:
    screenshot: Path = report["screenshot"]
    assert screenshot.read_bytes().startswith(b"\x89PNG")
