"""Decisions and what they rest on, as GraphQL shows them."""

from __future__ import annotations

import pytest

from tests.support.host_calls import calls, host_caller
from tests.support.skills import Client, component, write_skill

SKILL = """
query ($name: String!) {
  skill(name: $name) {
    executors
    trust { tier warning executors limits { timeMs memoryBytes outputBytes fuel hostCalls } }
    capabilities { capability description problem grant { grantedBy } request { requestId state } }
    capabilityChanges { added removed kept }
    problems { field line leftOut message }
    prompt
  }
}
"""

INVOKE = """
mutation ($name: String!, $input: JSON!, $capabilities: [String!], $executor: Executor, $timeoutMs: Int) {
  invokeSkill(
    name: $name, input: $input, capabilities: $capabilities, executor: $executor, timeoutMs: $timeoutMs
  ) {
    invocationId exitCode executor result capabilitiesGranted hostCallCount
    hostCalls { function target outcome elapsedUs }
    error { code message }
  }
}
"""


@pytest.fixture(scope="module", autouse=True)
def skills(api: Client) -> None:
    write_skill(api.skills, "watched", tools="read_file(notes/**) list_dir(notes) Bash", guest=host_caller())
    write_skill(
        api.skills, "flawed", guest=component(), fields="metadata:\n  cyberos-activation-events: whenever"
    )
    api.query("{ skills { name } }")


def test_a_skill_shows_what_it_could_do_at_most(api: Client) -> None:
    skill = api.data(SKILL, name="watched")["skill"]
    assert skill["executors"] == ["WASM", "INLINE"]
    assert skill["trust"]["tier"] == "LOCAL"
    assert skill["trust"]["limits"] == {
        "timeMs": 5000, "memoryBytes": 67108864, "outputBytes": 1048576, "fuel": None, "hostCalls": 20000,
    }  # fmt: skip
    read, listed, foreign = skill["capabilities"]
    assert (read["capability"], read["problem"], read["grant"]) == ("read_file(notes/**)", None, None)
    assert "notes" in listed["description"]
    assert foreign["problem"] is not None
    assert skill["capabilityChanges"] == {
        "added": ["read_file(notes/**)", "list_dir(notes)"], "removed": [], "kept": [],
    }  # fmt: skip
    assert skill["prompt"].startswith('<skill name="watched" ')


def test_a_request_is_left_and_answered(api: Client) -> None:
    refused = api.code(INVOKE, name="watched", input={}, capabilities=["list_dir(notes)"])
    assert refused == "GRANT_REQUIRED"
    listing = "{ capabilityRequests(state: PENDING) { requestId skillName capability requestedBy note } }"
    (request,) = [each for each in api.data(listing)["capabilityRequests"] if each["skillName"] == "watched"]
    assert request["capability"] == "list_dir(notes)"
    answer = """mutation ($id: ID!, $approve: Boolean!) {
      answerCapabilityRequest(requestId: $id, approve: $approve, note: "looked at") { state answeredBy note }
    }"""
    answered = api.data(answer, id=request["requestId"], approve=True)["answerCapabilityRequest"]
    assert answered == {"state": "APPROVED", "answeredBy": "local-operator", "note": "looked at"}
    waiting = [each["skillName"] for each in api.data(listing)["capabilityRequests"]]
    assert "watched" not in waiting
    assert api.code(answer, id=request["requestId"], approve=True) == "INPUT_INVALID"
    assert api.code(answer, id="nonsense", approve=True) == "INPUT_INVALID"


def test_a_run_shows_its_host_calls_then_and_later(api: Client) -> None:
    approve = 'mutation { grantAllCapabilities(skillName: "watched") { capability stillValid } }'
    assert {"capability": "read_file(notes/**)", "stillValid": True} in api.data(approve)[
        "grantAllCapabilities"
    ]
    made = calls(["read_file", "notes/none"], ["log", "a"])
    run = api.data(INVOKE, name="watched", input=made)["invokeSkill"]
    assert (run["exitCode"], run["hostCallCount"]) == (0, 2)
    first, _ = run["hostCalls"]
    assert (first["function"], first["target"], first["outcome"]) == ("read_file", "notes/none", "error")
    query = (
        "query ($id: ID!) { invocation(invocationId: $id) { hostCallCount hostCalls { function target } } }"
    )
    recorded = api.data(query, id=run["invocationId"])["invocation"]
    assert recorded["hostCallCount"] == 2
    assert recorded["hostCalls"][0] == {"function": "read_file", "target": "notes/none"}


def test_a_violation_is_an_invocation_with_126(api: Client) -> None:
    run = api.data(INVOKE, name="watched", input=calls(["read_file", "../outside"]))["invokeSkill"]
    assert (run["exitCode"], run["error"]["code"], run["result"]) == (126, "CAPABILITY_DENIED", None)


def test_a_capability_is_taken_back(api: Client) -> None:
    mutation = """mutation {
      revokeCapability(skillName: "watched", capability: "list_dir(notes)") { capability grantedBy }
    }"""
    api.data('mutation { grantAllCapabilities(skillName: "watched") { capability } }')
    assert api.data(mutation)["revokeCapability"]["capability"] == "list_dir(notes)"
    assert api.code(mutation) == "INPUT_INVALID"


def test_an_executor_is_chosen_by_the_caller(api: Client) -> None:
    run = api.data(INVOKE, name="watched", input={}, executor="INLINE", capabilities=[])["invokeSkill"]
    assert (run["executor"], run["capabilitiesGranted"]) == ("INLINE", [])
    assert run["result"]["references"] == {}


@pytest.mark.parametrize("timeout", [0, 9, 600_001, -5])
def test_a_timeout_has_bounds(api: Client, timeout: int) -> None:
    assert api.code(INVOKE, name="watched", input={}, timeoutMs=timeout) == "INPUT_INVALID"


def test_trust_and_limits_are_decided(api: Client) -> None:
    trust = 'mutation ($tier: TrustTier!) { setSkillTrust(name: "flawed", tier: $tier) { tier warning } }'
    assert api.data(trust, tier="UNTRUSTED")["setSkillTrust"] == {"tier": "UNTRUSTED", "warning": None}
    raised = api.data(trust, tier="LOCAL")["setSkillTrust"]
    assert raised["tier"] == "LOCAL"
    assert "scripts run as programs" in raised["warning"]
    assert api.code(trust, tier="BUILTIN") == "INPUT_INVALID"
    limits = """mutation ($limits: SkillLimitsInput!, $executors: [Executor!]) {
      setSkillLimits(name: "flawed", limits: $limits, executors: $executors) {
        executors limits { timeMs memoryBytes }
      }
    }"""
    decided = api.data(limits, limits={"memoryBytes": 2147483648, "timeMs": 70}, executors=["WASM"])
    assert decided["setSkillLimits"] == {
        "executors": ["WASM"], "limits": {"timeMs": 70, "memoryBytes": 2147483648},
    }  # fmt: skip
    for wrong in ({"memoryBytes": 2147483649}, {"timeMs": 0}, {"fuel": -1}):
        assert api.code(limits, limits=wrong) == "INPUT_INVALID"


@pytest.mark.parametrize("number", ["9007199254740992", "1.5", "true", '"5"', "1e3"])
def test_a_big_integer_is_one_that_every_parser_keeps(api: Client, number: str) -> None:
    document = f'mutation {{ setSkillLimits(name: "flawed", limits: {{ fuel: {number} }}) {{ tier }} }}'
    assert api.code(document) == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize("number", [2**53, 1.5, True, "5", None])
def test_a_big_integer_of_a_variable_is_checked_as_well(api: Client, number: object) -> None:
    document = """mutation ($fuel: BigInt!) {
      setSkillLimits(name: "flawed", limits: { fuel: $fuel }) { tier }
    }"""
    assert api.code(document, fuel=number) == "GRAPHQL_VALIDATION_FAILED"


def test_problems_are_listed_with_field_and_line(api: Client) -> None:
    problems = api.data("{ skillProblems { path leftOut field line message } }")["skillProblems"]
    (problem,) = [each for each in problems if each["path"] == "flawed"]
    assert (problem["leftOut"], problem["field"]) == (False, "metadata.cyberos-activation-events")
    assert problem["line"] is not None
    assert "whenever" in problem["message"]
    assert api.data(SKILL, name="flawed")["skill"]["problems"] != []


def test_skills_are_listed_for_a_prompt(api: Client) -> None:
    text = api.data("{ availableSkills }")["availableSkills"]
    assert text.startswith("<available_skills>")
    assert "<name>watched</name>" in text


def test_events_make_skills_ready(api: Client) -> None:
    activate = "mutation ($event: String!) { activateSkills(event: $event) { name } }"
    assert api.data(activate, event="onCommand:none")["activateSkills"] == []
    assert api.code(activate, event="none") == "INPUT_INVALID"
