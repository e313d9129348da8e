"""Which skill a query is for, as GraphQL tells it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from subgraph.api.types import Persona
from subgraph.routing import builtin_personas
from tests.support.postgres import empty_database
from tests.support.skills import Client, application, component, skill_settings, write_skill

SECRET = "s" * 32

ROUTE = """
query ($query: String!, $persona: Persona) {
  route(query: $query, persona: $persona) {
    catalogFingerprint
    decision {
      requestId query actor skillName arguments input missing ambiguous question confidence rationale routed
      routerPhase tier nudge persona invokedAt result { exitCode }
      breakdown { points named keywords regional }
      alternatives { skillName score rank breakdown { points } }
      deferral { action seat held cause }
    }
  }
}
"""

MST, INVOICE = "cyberskill-vn/vn-mst-validate", "cyberskill-vn/vn-vat-invoice"
TIDY = "acme/tidy-up"


def write_skills(root: Path) -> None:
    for path in (MST, INVOICE):
        write_skill(root, path, fields="metadata: {region: VN}", guest=component())
    write_skill(root, TIDY, tools="exec_command(tidy)", guest=component())


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path_factory.mktemp("home"), dsn)
        write_skills(settings.skill_roots[0])
        with application(settings) as client:
            yield client


def test_a_query_is_routed_with_all_that_it_rests_on(client: Client) -> None:
    query = "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu"
    found = client.data(ROUTE, query=query)["route"]
    decision = found["decision"]
    assert UUID(decision.pop("requestId")).version == 4
    assert len(found["catalogFingerprint"]) == 64
    assert decision.pop("question").startswith("Xin cho biết: mã số thuế bên bán; ")
    assert decision == {
        "query": query,
        "actor": "local-operator",
        "skillName": INVOICE,
        "arguments": {"mst": "0123456789", "amount_vnd": 10_000_000},
        "input": {"buyer_mst": "0123456789", "lines": [{"qty": 1, "unit_price": 10_000_000}]},
        "missing": ["seller_mst", "item", "tax_rate"],
        "ambiguous": [],
        "confidence": 1.0,
        "rationale": "VN-diacritic query + region=VN bonus + 4 keyword hits",
        "routed": True,
        "routerPhase": "phase4_persona",
        "tier": "ASK",
        "nudge": "QUESTION",
        "persona": "CFO",
        "invokedAt": None,
        "result": None,
        "breakdown": {
            "points": 14.0,
            "named": False,
            "keywords": ["hoa don", "tao hoa don", "hoa don cho", "tao hoa don cho"],
            "regional": True,
        },
        "alternatives": [{"skillName": MST, "score": 0.5, "rank": 2, "breakdown": {"points": 5.0}}],
        "deferral": None,
    }


def test_what_only_a_person_does_is_deferred(client: Client) -> None:
    decision = client.data(ROUTE, query="gửi hoá đơn cho khách hàng")["route"]["decision"]
    assert (decision["routed"], decision["skillName"], decision["arguments"]) == (False, None, None)
    assert (decision["input"], decision["tier"], decision["nudge"]) == (None, "DEFER", "REVIEW")
    assert decision["deferral"] == {
        "action": "send invoice to client",
        "seat": "CFO",
        "held": "to be filled · P2+",
        "cause": "DEFERS",
    }


def test_what_is_about_nothing_has_neither_breakdown_nor_persona(client: Client) -> None:
    decision = client.data(ROUTE, query="what is the weather")["route"]["decision"]
    assert (decision["breakdown"], decision["persona"], decision["alternatives"]) == (None, None, [])
    assert (decision["confidence"], decision["routerPhase"]) == (0.0, "phase1_rule")


def test_a_query_is_routed_within_a_persona(client: Client) -> None:
    named = client.data(ROUTE, query="validate MST 0123456789", persona="CFO")["route"]["decision"]
    assert (named["skillName"], named["persona"]) == (MST, "CFO")
    other = client.data(ROUTE, query="validate MST 0123456789", persona="CAIO")["route"]["decision"]
    assert (other["skillName"], other["persona"]) == (None, "CAIO")
    null = client.data(ROUTE, query="validate MST 0123456789", persona=None)["route"]["decision"]
    assert null["skillName"] == MST


def test_the_seats_are_those_of_the_router() -> None:
    assert [each.value for each in Persona] == list(builtin_personas().personas)


ACT = """
mutation ($query: String!, $record: Boolean) {
  routeAndInvoke(query: $query, record: $record) {
    requestId query arguments input state seq invocationId invokedAt catalogFingerprint skillName
    result { exitCode stdout stderr startedAt endedAt }
  }
}
"""

KEPT = """
fragment kept on RoutingDecision {
  requestId query actor arguments input state seq invocationId invokedAt catalogFingerprint skillName
  rationale confidence alternatives { skillName } result { exitCode stdout stderr startedAt endedAt }
}
"""
DECISION = "query ($id: ID!) { decision(requestId: $id) { ...kept } }" + KEPT
DECISIONS = "query ($before: ID) { decisions(limit: 2, before: $before) { ...kept } }" + KEPT
REFERENCES = "query ($of: [_Any!]!) { _entities(representations: $of) { ...kept } }" + KEPT


def test_a_query_is_routed_invoked_and_recorded(client: Client) -> None:
    done = client.data(ACT, query="kiểm tra MST 0123456789")["routeAndInvoke"]
    assert (done["skillName"], done["state"]) == (MST, "SUCCEEDED")
    assert (done["result"]["exitCode"], done["result"]["stdout"]) == (0, '{"mst":"0123456789"}')
    assert done["invokedAt"] == done["result"]["startedAt"]
    found = client.data(DECISION, id=done["requestId"])["decision"]
    assert (found["query"], found["arguments"], found["input"]) == ("", None, None)
    same = ("requestId", "state", "seq", "invocationId", "invokedAt", "catalogFingerprint", "skillName")
    assert [found[name] for name in same] == [done[name] for name in same]
    assert found["result"] == done["result"] | {"stdout": "", "stderr": ""}
    run = client.data(
        "query ($id: ID!) { invocation(invocationId: $id) { exitCode } }", id=done["invocationId"]
    )
    assert run == {"invocation": {"exitCode": 0}}


def test_what_may_not_be_invoked_is_returned_as_it_is(client: Client) -> None:
    done = client.data(ACT, query="gửi hoá đơn cho khách hàng")["routeAndInvoke"]
    assert (done["state"], done["result"], done["invokedAt"], done["invocationId"]) == (
        "DEFERRED",
        None,
        None,
        None,
    )
    assert done["seq"] is not None


def test_a_decision_that_is_not_recorded_is_not_found(client: Client) -> None:
    done = client.data(ACT, query="kiểm tra MST 0123456789", record=False)["routeAndInvoke"]
    assert (done["state"], done["seq"]) == ("SUCCEEDED", None)
    for unknown in (done["requestId"], "a"):
        assert client.data(DECISION, id=unknown) == {"decision": None}


def test_a_query_is_invoked_within_a_persona(client: Client) -> None:
    act = """mutation ($persona: Persona) {
      routeAndInvoke(query: "validate MST 0123456789", persona: $persona, record: false) { skillName state }
    }"""
    cases = ("CFO", MST, "SUCCEEDED"), ("CPO", None, "DEFERRED"), (None, MST, "SUCCEEDED")
    for persona, skill, state in cases:
        done = client.data(act, persona=persona)["routeAndInvoke"]
        assert (done["skillName"], done["state"]) == (skill, state)


def test_the_seats_are_listed(client: Client) -> None:
    seats = client.data("{ personas { code title held seats isEmerging autoOk defers } }")["personas"]
    assert [each["code"] for each in seats] == [each.value for each in Persona]
    assert seats[2] == {
        "code": "CFO",
        "title": "Finance & Runway",
        "held": "to be filled · P2+",
        "seats": ["CFO"],
        "isEmerging": False,
        "autoOk": list(builtin_personas().personas["CFO"].auto_ok),
        "defers": ["send invoice to client", "execute wire", "approve refund", "change banking signatory"],
    }
    assert (seats[12]["seats"], seats[12]["isEmerging"], seats[12]["defers"]) == (["CEO", "CFO"], True, [])


KEYWORDS = """
fragment keywords on KeywordBank {
  version catalogFingerprint text sha256 setBy setAt idioms
  skills { skillName persona keywords added isInstalled }
}
"""
SHOW = "{ keywordBank { ...keywords } }" + KEYWORDS
SET = "mutation ($text: String!) { setKeywordBank(text: $text) { ...keywords } }" + KEYWORDS
CLEAR = "mutation { clearKeywordBank { ...keywords } }" + KEYWORDS


def test_an_operator_s_keywords_are_set_shown_and_cleared(client: Client) -> None:
    before = client.data(SHOW)["keywordBank"]
    assert (before["text"], before["sha256"], before["setBy"], before["setAt"]) == (None, None, None, None)
    text = f"version: a\nbanks: {{CFO: {{{MST}: [mã ví dụ]}}, ANY: {{team/none: [mã ví]}}}}"
    after = client.data(SET, text=text)["setKeywordBank"]
    assert (after["text"], after["setBy"]) == (text, "local-operator")
    assert [list(each.values()) for each in after["skills"]] == [
        [MST, "CFO", ["mã ví dụ"], ["mã ví dụ"], True],
        ["team/none", None, ["mã ví"], ["mã ví"], False],
    ]
    found = client.data(ROUTE, query="mã ví dụ 0123456789")["route"]
    assert found["decision"]["skillName"] == MST
    assert found["catalogFingerprint"] == after["catalogFingerprint"] != before["catalogFingerprint"]
    assert client.code(SET, text=text.replace("CFO", "BOSS")) == "INPUT_INVALID"
    assert client.data(SHOW)["keywordBank"] == after
    assert client.data(CLEAR)["clearKeywordBank"] == before == client.data(SHOW)["keywordBank"]


def test_a_skill_that_could_do_what_cannot_be_undone_is_not_invoked(client: Client) -> None:
    decision = client.data(ROUTE, query="run tidy-up")["route"]["decision"]
    assert decision["deferral"] == {
        "action": f"exec_command by {TIDY}",
        "seat": "CEO",
        "held": "Founder seat",
        "cause": "IRREVERSIBLE",
    }
    done = client.data(ACT, query="run tidy-up")["routeAndInvoke"]
    assert (done["skillName"], done["state"], done["result"]) == (None, "DEFERRED", None)
    # A person who has decided names the skill; the broker is asked, as ever.
    assert client.code(DISPATCH, name="tidy-up", arguments={"a": 1}) == "GRANT_REQUIRED"
    client.data('mutation { grantAllCapabilities(skillName: "tidy-up") { capability } }')
    assert client.data(DISPATCH, name="tidy-up", arguments={"a": 1})["dispatchSkill"]["exitCode"] == 0


def test_metrics_tell_how_sure_the_router_was_and_how_long_it_took(client: Client) -> None:
    def read() -> dict[tuple[str, str], float]:
        text = client.request("GET", "/metrics").text
        return {
            (sample.name.removeprefix("cyberos_routing_"), sample.labels.get("le", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = read()
    for query, record in (("validate MST 0123456789", True), ("what is the weather", True), ("hello", False)):
        client.data(ACT, query=query, record=record)
    after = read()
    more = {key: after[key] - before[key] for key in after if key in before}
    bounds = ("0.1", "0.5", "0.6", "1.0", "+Inf")
    assert [more["confidence_bucket", bound] for bound in bounds] == [1, 1, 2, 2, 2]
    assert more["confidence_count", ""] == 2
    assert more["confidence_sum", ""] == pytest.approx(0.6)
    assert more["decision_seconds_count", ""] == more["decision_seconds_bucket", "+Inf"] == 3
    assert more["decision_seconds_sum", ""] > 0
    assert ("decision_seconds_bucket", "0.005") in more


def test_decisions_are_paged_and_referred_to(client: Client) -> None:
    made = [client.data(ACT, query="what is the weather")["routeAndInvoke"] for _ in range(3)]
    first = client.data(DECISIONS)["decisions"]
    assert [each["requestId"] for each in first] == [made[2]["requestId"], made[1]["requestId"]]
    (last, *_) = client.data(DECISIONS, before=first[-1]["seq"])["decisions"]
    assert last["requestId"] == made[0]["requestId"]
    references = [
        {"__typename": "RoutingDecision", "requestId": each} for each in (last["requestId"], "a", MISSING)
    ]
    assert client.data(REFERENCES, of=references)["_entities"] == [last, None, None]


MISSING = "0191b2f0-0000-4000-8000-000000000001"

DISPATCH = """
mutation ($name: String!, $arguments: JSON!) {
  dispatchSkill(skillName: $name, arguments: $arguments) {
    exitCode stdout stderr startedAt endedAt error { code message }
  }
}
"""


def test_a_skill_is_dispatched_with_the_arguments_of_a_decision(client: Client) -> None:
    done = client.data(DISPATCH, name="vn-vat-invoice", arguments={"mst": "0123456789"})["dispatchSkill"]
    assert (done["exitCode"], done["stdout"], done["error"]) == (0, '{"buyer_mst":"0123456789"}', None)
    assert client.code(DISPATCH, name="vn-vat-invoice", arguments=[]) == "INPUT_INVALID"
    assert client.code(DISPATCH, name="nowhere", arguments={}) == "SKILL_NOT_FOUND"


REPLAY = """
mutation ($id: ID!, $query: String) {
  replay(requestId: $id, query: $query) {
    identical again { skillName query } recorded { skillName query requestId }
  }
}
"""


def test_a_recorded_decision_is_made_again(client: Client) -> None:
    query = "kiểm tra MST 0123456789"
    done = client.data("mutation ($q: String!) { routeAndInvoke(query: $q) { requestId } }", q=query)
    request = done["routeAndInvoke"]["requestId"]
    assert client.code(REPLAY, id=request) == "INPUT_INVALID"
    assert client.code(REPLAY, id=request, query="another") == "INPUT_INVALID"
    assert client.code(REPLAY, id="1", query=query) == "INPUT_INVALID"
    assert client.data(REPLAY, id=request, query=query)["replay"] == {
        "identical": True,
        "again": {"skillName": MST, "query": query},
        "recorded": {"skillName": MST, "query": "", "requestId": request},
    }


CHAIN_FIELDS = """
  requestId state error { code message } result { exitCode stdout }
  chain { stepIndex step skillName after status arguments result { exitCode stdout } invocationId code }
"""


def test_a_chain_is_planned_run_and_read_back(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn)
        root = settings.skill_roots[0]
        write_skill(root, "cyberskill-vn/other", guest=component(), tools="read_file")
        step = '{"steps": {"check": {"skill": "other", "input": {"/of": "/mst"}}}}'
        fields = f"metadata:\n  cyberos-depends-on: other\n  cyberos-chain: '{step}'"
        write_skill(root, MST, fields=fields, guest=component())
        with application(settings) as client:
            query = "validate MST 0123456789"
            route = (
                "query ($q: String!) { route(query: $q) { decision { routerPhase chain { step status } } } }"
            )
            planned = client.data(route, q=query)["route"]["decision"]
            assert planned == {
                "routerPhase": "phase3_chain",
                "chain": [
                    {"step": "check", "status": "planned"},
                    {"step": "vn-mst-validate", "status": "planned"},
                ],
            }
            mutation = f"mutation ($q: String!) {{ routeAndInvoke(query: $q) {{ {CHAIN_FIELDS} }} }}"
            (error,) = client.post({"query": mutation, "variables": {"q": query}}).json()["errors"]
            (refused,) = client.data(f"{{ decisions(limit: 1) {{ {CHAIN_FIELDS} }} }}")["decisions"]
            assert error["extensions"] == {"code": "GRANT_REQUIRED", "requestId": refused["requestId"]}
            assert refused["state"] == "FAILED"
            assert refused["error"]["code"] == "GRANT_REQUIRED"
            assert [(each["status"], each["code"]) for each in refused["chain"]] == [
                ("failed", "GRANT_REQUIRED"), ("skipped", None)
            ]  # fmt: skip
            grant = 'mutation { grantCapability(skillName: "other", capability: "read_file") { grantedAt } }'
            client.data(grant)
            done = client.data(mutation, q=query)["routeAndInvoke"]
            assert (done["state"], done["error"]) == ("SUCCEEDED", None)
            check, last = done["chain"]
            assert (check["arguments"], check["status"]) == ({"of": "0123456789"}, "ok")
            assert check["result"] == {"exitCode": 0, "stdout": '{"of":"0123456789"}'}
            assert (last["stepIndex"], last["after"], last["result"]) == (1, [0], done["result"])
            (read,) = client.data(f"{{ decisions(limit: 1) {{ {CHAIN_FIELDS} }} }}")["decisions"]
            assert [each["invocationId"] for each in read["chain"]] == [
                check["invocationId"], last["invocationId"]
            ]  # fmt: skip
            assert [each["arguments"] for each in read["chain"]] == [None, None]


def test_a_query_that_is_too_long_is_refused(client: Client) -> None:
    assert client.code(ROUTE, query="a" * 5000) == "INPUT_INVALID"


def test_it_needs_its_scope(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn, jwt_key=SecretStr(SECRET), jwt_audience="cyberos")
        write_skills(settings.skill_roots[0])
        with application(settings) as client:

            def ask(scope: str) -> dict[str, object]:
                claims = {"sub": "an", "aud": "cyberos", "exp": int(time.time()) + 60, "scope": scope}
                headers = {"authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
                body = {"query": ROUTE, "variables": {"query": "kiểm tra MST 0123456789"}}
                answer: dict[str, object] = client.post(body, headers=headers).json()
                return answer

            allowed = ask("cuo:route")
            assert "errors" not in allowed
            assert allowed["data"]["route"]["decision"]["actor"] == "an"  # type: ignore[index]
            refused = ask("skill:read skill:invoke skill:audit")
            assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"  # type: ignore[index]
