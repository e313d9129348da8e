"""What an answer of a model makes of a query that rules left open."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from subgraph.errors import InputInvalid
from subgraph.routing import (
    Consultation,
    ConsultationOutcome,
    Decision,
    Nudge,
    RouterPhase,
    State,
    Tier,
    route,
    settle,
)
from subgraph.routing.consultation import EXPLANATIONS
from subgraph.routing.decision import Extractor
from subgraph.routing.stored import decision_of
from tests.support.routing import Found, catalogue, decide, header, nothing, own_catalogue

LAW, RETURN = "cyberskill-vn/vn-legal-compliance", "cyberskill-vn/vn-tax-filing"
QUERY = "please look at the decree"
FAILURES = sorted(EXPLANATIONS, key=lambda outcome: outcome.value)

CONSULTATION = Consultation(
    model="test-model", temperature="0.0", seed=0, prompt_version="1", attempts=1, elapsed_us=1,
    outcome=ConsultationOutcome.ANSWERED, pick=LAW, confidence_percent=90, prompt=b"p", answer=b"a",
)  # fmt: skip


def consulted(pick: str | None = LAW, percent: int = 90) -> Consultation:
    return replace(CONSULTATION, pick=pick, confidence_percent=percent)


def failed(outcome: ConsultationOutcome) -> Consultation:
    return replace(CONSULTATION, outcome=outcome, pick=None, confidence_percent=None)


def settled(
    consultation: Consultation, query: str = QUERY, extract: Extractor = nothing, persona: str | None = None
) -> Decision:
    snapshot = own_catalogue()
    return settle(
        route(query, snapshot, extract, persona=persona, cascade=True), snapshot, consultation, extract
    )


def test_the_query_of_these_tests_is_left_open_by_rules() -> None:
    found = decide(QUERY, cascade=True)
    assert (found.state, found.confidence_percent) == (State.ESCALATED, 30)
    assert decide("decree in Việt Nam", cascade=True).confidence_percent == 50


def test_a_sure_pick_is_picked() -> None:
    found = settled(consulted(percent=70))
    assert (found.state, found.tier, found.nudge) == (State.PICKED, Tier.INVOKE, Nudge.NOTIFY)
    assert (found.skill_name, found.confidence, found.routed) == (LAW, 0.7, True)
    assert found.router_phase is RouterPhase.PHASE2_LLM
    assert found.may_invoke
    assert found.rationale == (
        "1 keyword hit; confidence 0.30 is below 0.70; a model picked vn-legal-compliance with 0.70"
    )
    assert found.best is not None
    assert (found.best.rank, found.best.score.keywords) == (1, ("decree",))
    assert found.persona == "CLO"


def test_a_pick_that_is_not_sure_is_put_to_a_person_first_of_three() -> None:
    found = settled(consulted(percent=69))
    assert (found.state, found.tier, found.nudge) == (State.DEFERRED, Tier.ASK, Nudge.QUESTION)
    assert (found.skill_name, found.routed, found.may_invoke) == (None, False, False)
    assert found.rationale.endswith("a model picked vn-legal-compliance with 0.69, which is below 0.70")
    assert found.question == "Is vn-legal-compliance meant?"
    assert [each.skill_name for each in found.alternatives] == [LAW]


def test_no_model_opens_a_skill_that_no_word_of_the_query_speaks_for() -> None:
    found = settled(consulted(RETURN, 100))
    assert (found.state, found.tier, found.may_invoke) == (State.DEFERRED, Tier.ASK, False)
    assert found.question == "Which skill is meant: vn-tax-filing, vn-legal-compliance?"
    assert [(each.skill_name, each.rank, each.confidence) for each in found.alternatives] == [
        (RETURN, 1, 0.0),
        (LAW, 2, 0.3),
    ]
    assert found.rationale.endswith("but the query's words speak for that skill with 0.00 alone")


def test_what_scores_by_its_region_alone_is_asked_about_in_vietnamese() -> None:
    query = "giúp tôi việc này với ạ"
    assert decide(query, cascade=True).state is State.ESCALATED
    found = settled(consulted(LAW, 100), query)
    assert found.tier is Tier.ASK
    assert found.question == "Ý bạn là vn-legal-compliance phải không?"
    assert len(found.alternatives) == 3


def test_no_pick_is_left_to_a_person() -> None:
    found = settled(consulted(None, 20))
    assert (found.state, found.tier, found.nudge) == (State.DEFERRED, Tier.DEFER, Nudge.REVIEW)
    assert (found.skill_name, found.confidence) == (None, 0.3)
    assert found.router_phase is RouterPhase.PHASE2_LLM
    assert found.rationale.endswith("; a model found no skill that fits")
    assert found.question == "No skill fits: what is it about?"
    vietnamese = settled(consulted(None), "giúp tôi việc này với ạ")
    assert vietnamese.question == "Không có kỹ năng nào phù hợp: bạn muốn làm gì?"


@pytest.mark.parametrize(
    "found", [Found(missing=("mst",)), Found(ambiguous=("mst",)), Found(question="Which?")]
)
def test_what_is_missing_is_asked_for(found: Found) -> None:
    decision = settled(consulted(), extract=lambda *_: found)
    assert (decision.state, decision.tier, decision.nudge) == (State.PICKED, Tier.ASK, Nudge.QUESTION)
    assert (decision.routed, decision.may_invoke) == (True, False)
    assert (decision.missing, decision.ambiguous) == (found.missing, found.ambiguous)


def test_arguments_that_cannot_be_recorded_are_refused() -> None:
    with pytest.raises(InputInvalid, match="beyond what can be recorded"):
        settled(consulted(), extract=lambda *_: Found({"amount": 2**70}))


@pytest.mark.parametrize("outcome", FAILURES, ids=lambda outcome: outcome.value)
@pytest.mark.parametrize("query", [QUERY, "giúp tôi việc này với ạ"])
@pytest.mark.parametrize("persona", [None, "CLO"])
def test_without_an_answer_rules_decide_alone_and_say_so(
    outcome: ConsultationOutcome, query: str, persona: str | None
) -> None:
    alone = decide(query, persona=persona)
    found = settled(failed(outcome), query, persona=persona)
    assert found.rationale == f"{alone.rationale}; {EXPLANATIONS[outcome]}"
    asked = replace(found, rationale=alone.rationale, cascade=False, consultation=None)
    assert asked.encode() == alone.encode()
    assert found.router_phase is not RouterPhase.PHASE2_LLM


@pytest.mark.parametrize(
    "query",
    [
        "kiểm tra MST 0123456789",
        "validate MST 0123456789",
        "what is the weather",
        "gửi hoá đơn cho khách hàng",
    ],
)
def test_a_model_changes_nothing_that_was_not_left_open(query: str) -> None:
    decision = decide(query, cascade=True)
    assert settle(decision, own_catalogue(), consulted(LAW, 100), nothing) is decision


@pytest.mark.parametrize(
    "consultation",
    [consulted(), consulted(percent=10), consulted(RETURN), consulted(None), *map(failed, FAILURES)],
)
def test_a_settled_decision_read_back_has_the_same_bytes(consultation: Consultation) -> None:
    decision = settled(consultation).stamped("r", "an")
    again = decision_of(orjson.loads(decision.encode()))
    assert again.encode() == decision.encode()
    assert again.consultation is not None
    # What was said is lost on the way, and not needed to settle it again.
    first = route(QUERY, own_catalogue(), nothing, cascade=True).stamped("r", "an")
    assert settle(first, own_catalogue(), again.consultation, nothing).encode() == decision.encode()


def test_neither_query_nor_words_of_a_model_are_in_a_rationale() -> None:
    for consultation in (consulted(), consulted(percent=10), consulted(None), failed(FAILURES[0])):
        said = replace(consultation, answer=b"because-the-client-is-ill", prompt=b"secret")
        decision = settled(said)
        assert "because-the-client" not in decision.encode().decode()
        assert "look at" not in decision.rationale
        assert "secret" not in decision.encode().decode()


def test_a_pick_of_another_catalogue_is_refused() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        settled(consulted("nowhere/at-all"))


def test_what_cannot_be_undone_goes_to_a_seat_whatever_a_model_says() -> None:
    snapshot = catalogue(header("team/tool", tools="exec_command"), keywords={"team/tool": ("decree",)})
    decision = route(QUERY, snapshot, nothing, cascade=True)
    assert decision.state is State.ESCALATED
    found = settle(decision, snapshot, consulted("team/tool", 100), nothing)
    assert (found.state, found.tier, found.skill_name) == (State.DEFERRED, Tier.DEFER, None)
    assert found.deferral is not None
    assert found.deferral.action == "exec_command by team/tool"
    assert [each.skill_name for each in found.alternatives] == ["team/tool"]
    assert found.arguments == {}


def test_a_pick_has_its_chain_as_ever() -> None:
    chain = '{"steps": {"one": {"skill": "first"}}}'
    snapshot = catalogue(
        header("team/first"),
        header("team/second", cyberos_depends_on="first", cyberos_chain=chain),
        keywords={"team/second": ("decree",)},
    )
    left_open = route(QUERY, snapshot, nothing, cascade=True)
    found = settle(left_open, snapshot, consulted("team/second"), nothing)
    assert found.skill_name == "team/second"
    assert [step.name for step in found.chain] == ["one", "second"]
    assert found.chain == route(QUERY, snapshot, nothing).chain
    assert found.router_phase is RouterPhase.PHASE2_LLM
