"""`_entities`: a gateway's references, resolved in batches, each with its own outcome."""

from __future__ import annotations

from typing import Any

import pytest

from subgraph.storage.database import Transaction
from tests.support.skills import Client

ENTITIES = """
query ($r: [_Any!]!) { _entities(representations: $r) {
  __typename
  ... on Skill { name path hasWasm invocationsLast24h }
  ... on Invocation { invocationId skillName exitCode }
  ... on CapabilityGrant { skillName capability stillValid }
} }
"""


@pytest.fixture(scope="module")
def invocations(api: Client) -> list[str]:
    document = 'mutation { invokeSkill(name: "cuo/echo", input: {}) { invocationId } }'
    return [api.data(document)["invokeSkill"]["invocationId"] for _ in range(3)]


@pytest.fixture(scope="module", autouse=True)
def grants(api: Client) -> None:
    for capability in ("list_dir", "read_file"):
        api.data(
            'mutation ($c: String!) { grantCapability(skillName: "cuo/echo", capability: $c) { grantedBy } }',
            c=capability,
        )


def resolve(api: Client, *representations: object) -> dict[str, Any]:
    return api.query(ENTITIES, r=list(representations))


def test_references_of_every_type_resolve_in_their_order(api: Client, invocations: list[str]) -> None:
    answer = resolve(
        api,
        {"__typename": "Invocation", "invocationId": invocations[1]},
        {"__typename": "Skill", "name": "cuo/echo"},
        {"__typename": "CapabilityGrant", "skillName": "cuo/echo", "capability": "list_dir"},
        {"__typename": "Invocation", "invocationId": invocations[0]},
        {"__typename": "Skill", "name": "revoked", "more": {"unknown": 1}},
        {"__typename": "CapabilityGrant", "skillName": "echo"},
    )
    assert "errors" not in answer, answer
    found = answer["data"]["_entities"]
    assert [entity["__typename"] for entity in found] == [
        "Invocation", "Skill", "CapabilityGrant", "Invocation", "Skill", "CapabilityGrant",
    ]  # fmt: skip
    assert [found[0]["invocationId"], found[3]["invocationId"]] == [invocations[1], invocations[0]]
    assert (found[1]["path"], found[4]["path"]) == ("cuo/echo", "revoked")
    assert found[2]["capability"] == "list_dir"
    assert found[5]["capability"] == "read_file"  # the newest


def test_what_does_not_exist_is_null_without_an_error(api: Client) -> None:
    answer = resolve(
        api,
        {"__typename": "Invocation", "invocationId": "00000000-0000-0000-0000-000000000000"},
        {"__typename": "Invocation", "invocationId": "junk"},
        {"__typename": "Invocation"},
        {"__typename": "CapabilityGrant", "skillName": "cuo/echo", "capability": "exec_command"},
    )
    assert answer == {"data": {"_entities": [None] * 4}}


@pytest.mark.parametrize(
    ("representation", "code"),
    [
        ({"__typename": "Skill", "name": "nothing"}, "SKILL_NOT_FOUND"),
        ({"__typename": "Skill", "name": "twin"}, "SKILL_AMBIGUOUS"),
        ({"__typename": "Skill"}, "INPUT_INVALID"),
        ({"__typename": "Skill", "name": None}, "INPUT_INVALID"),
        ({"__typename": "Skill", "name": ["cuo/echo"]}, "INPUT_INVALID"),
        ({"__typename": "CapabilityGrant"}, "INPUT_INVALID"),
        ({"__typename": "CapabilityGrant", "skillName": "nothing"}, "SKILL_NOT_FOUND"),
        ({"__typename": "Query"}, "INPUT_INVALID"),
        ({"__typename": "InvocationError"}, "INPUT_INVALID"),
        ({"__typename": "__Schema"}, "INPUT_INVALID"),
        ({"__typename": ["Skill"], "name": "cuo/echo"}, "INPUT_INVALID"),
        ({"name": "cuo/echo"}, "INPUT_INVALID"),
        ({}, "INPUT_INVALID"),
        ("Skill", "INPUT_INVALID"),
        (1, "INPUT_INVALID"),
        ([{"__typename": "Skill"}], "INPUT_INVALID"),
    ],
)
def test_a_bad_reference_fails_alone(api: Client, representation: object, code: str) -> None:
    good = {"__typename": "Skill", "name": "cuo/echo"}
    answer = resolve(api, good, representation, good)
    first, second, third = answer["data"]["_entities"]
    assert first["path"] == third["path"] == "cuo/echo"
    assert second is None
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]) == (["_entities", 1], {"code": code})


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the queries that are made."""
    made: list[str] = []
    fetch = Transaction.fetch

    async def counted(self: Transaction, name: str, *args: object) -> Any:
        if name.startswith("invocations"):
            made.append(name)
        return await fetch(self, name, *args)

    monkeypatch.setattr(Transaction, "fetch", counted)
    return made


@pytest.mark.parametrize("count", [1, 30])
def test_statements_do_not_grow_with_references(
    api: Client, invocations: list[str], statements: list[str], count: int
) -> None:
    skills = [{"__typename": "Skill", "name": name} for name in ("cuo/echo", "a/twin", "revoked")]
    runs = [{"__typename": "Invocation", "invocationId": found} for found in invocations]
    grants_ = [{"__typename": "CapabilityGrant", "skillName": "cuo/echo", "capability": "list_dir"}]
    answer = resolve(api, *(skills + runs + grants_) * count)
    assert "errors" not in answer
    assert sorted(statements) == ["invocations_get", "invocations_since"]


def test_references_have_a_limit(api: Client) -> None:
    skill = {"__typename": "Skill", "name": "cuo/echo"}
    assert len(resolve(api, *[skill] * 1000)["data"]["_entities"]) == 1000
    answer = resolve(api, *[skill] * 1001)
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"] == {"code": "INPUT_INVALID"}


def test_no_references_are_no_entities(api: Client) -> None:
    assert resolve(api) == {"data": {"_entities": []}}


def test_variables_are_left_as_they_were_sent(api: Client) -> None:
    document = """query ($r: [_Any!]!) {
      a: _entities(representations: $r) { __typename } b: _entities(representations: $r) { __typename } }"""
    data = api.data(document, r=[{"__typename": "Skill", "name": "cuo/echo"}])
    assert data["a"] == data["b"] == [{"__typename": "Skill"}]
