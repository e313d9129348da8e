"""The service as one subgraph among others: everything here goes through a federation gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Query = Callable[..., dict[str, Any]]

SKILL = "vn-mst-validate"
INVOKE = """
mutation ($name: String!, $input: JSON!) {
  invokeSkill(name: $name, input: $input) {
    invocationId skillName exitCode executor result elapsedUs error { code message }
  }
}
"""


@pytest.fixture(scope="module")
def invocation(query: Query) -> dict[str, Any]:
    answer = query(INVOKE, name=SKILL, input={"mst": "0123456789-001"})
    assert "errors" not in answer, answer
    made: dict[str, Any] = answer["data"]["invokeSkill"]
    return made


def test_gateway_lists_skills(query: Query) -> None:
    answer = query("{ skills { name version description hasWasm installSource contentHash allowedTools } }")
    assert "errors" not in answer, answer
    assert SKILL in {skill["name"] for skill in answer["data"]["skills"]}


def test_skill_runs_through_the_gateway(invocation: dict[str, Any]) -> None:
    assert invocation["exitCode"] == 0
    assert invocation["error"] is None
    assert invocation["result"]["ok"] is True
    assert invocation["result"]["format"] == "13-digit-branch"


def test_neighbour_extends_a_skill(query: Query) -> None:
    answer = query("query ($name: String!) { skill(name: $name) { name usedBy { id name } } }", name=SKILL)
    assert answer == {
        "data": {
            "skill": {
                "name": SKILL,
                "usedBy": [{"id": "p-1", "name": "Invoices"}, {"id": "p-2", "name": "Payroll"}],
            }
        }
    }


def test_neighbours_invocation_is_resolved_by_the_service(query: Query, invocation: dict[str, Any]) -> None:
    recorded = query(
        """
        mutation ($invocation: ID!) {
          recordRun(projectId: "p-1", invocationId: $invocation) { lastRun { skillName executor } }
        }
        """,
        invocation=invocation["invocationId"],
    )
    assert "errors" not in recorded, recorded
    assert recorded["data"]["recordRun"]["lastRun"] == {
        "skillName": SKILL,
        "executor": invocation["executor"],
    }
    answer = query(
        '{ project(id: "p-1") { name lastRun { invocationId exitCode result startedAt endedAt actor } } }'
    )
    assert "errors" not in answer, answer
    last_run = answer["data"]["project"]["lastRun"]
    assert last_run["invocationId"] == invocation["invocationId"]
    assert last_run["result"] is None  # the ledger keeps a hash of it
    assert last_run["startedAt"] <= last_run["endedAt"]


def test_entities_of_both_sides_resolve_in_one_operation(query: Query, invocation: dict[str, Any]) -> None:
    query(
        'mutation ($id: ID!) { recordRun(projectId: "p-2", invocationId: $id) { id } }',
        id=invocation["invocationId"],
    )
    answer = query("{ skills { name usedBy { name lastRun { skillName exitCode } } } }")
    assert "errors" not in answer, answer
    used_by = {skill["name"]: skill["usedBy"] for skill in answer["data"]["skills"]}
    assert {"name": "Payroll", "lastRun": {"skillName": SKILL, "exitCode": 0}} in used_by[SKILL]


def test_invocation_that_never_was_is_null_and_its_project_stays(query: Query) -> None:
    answer = query(
        """
        mutation {
          recordRun(projectId: "p-3", invocationId: "00000000-0000-7000-8000-000000000000") {
            name
            lastRun { skillName }
          }
        }
        """
    )
    assert answer["data"]["recordRun"] == {"name": "Archive", "lastRun": None}


def test_error_code_of_an_unknown_skill_reaches_the_client(query: Query) -> None:
    answer = query(INVOKE, name="no-such-skill", input={})
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "SKILL_NOT_FOUND"
    assert error["path"] == ["invokeSkill"]
