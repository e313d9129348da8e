"""How well the rules route this project's labelled queries, over its own skills: totals of each split."""

from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.routing import CatalogueSnapshot, Decision, route
from subgraph.routing.evaluation import Case, Prediction, Report, load_cases, measure
from subgraph.routing.extractors import EXTRACTORS_VERSION, extract
from tests.support.routing import own_headers

SET = Path(__file__).parents[2] / "evaluation" / "queries.yaml"

LEAST_ACCURACY = 0.92
MOST_FALSE_ACTIVATIONS = 0.02


@pytest.fixture(scope="module")
def decisions() -> list[tuple[Case, Decision]]:
    snapshot = CatalogueSnapshot.of(own_headers(), extractors=EXTRACTORS_VERSION)
    return [(case, route(case.text, snapshot, extract)) for case in load_cases(SET)]


@pytest.fixture(scope="module")
def report(decisions: list[tuple[Case, Decision]]) -> Report:
    return measure([case for case, _ in decisions], [Prediction.of(decision) for _, decision in decisions])


@pytest.mark.parametrize("split", ["tuning", "held_out"])
def test_the_skill_that_answers_is_picked(report: Report, split: str) -> None:
    accuracy = report.splits[split].accuracy
    assert accuracy is not None
    assert accuracy >= LEAST_ACCURACY


@pytest.mark.parametrize("split", ["tuning", "held_out"])
def test_no_skill_may_be_invoked_for_what_no_skill_answers(report: Report, split: str) -> None:
    rate = report.splits[split].false_activation_rate
    assert rate is not None
    assert rate <= MOST_FALSE_ACTIVATIONS


def test_a_pick_that_lacks_no_argument_may_be_invoked(decisions: list[tuple[Case, Decision]]) -> None:
    """No question keeps a skill from being invoked but one about its arguments."""
    for _, decision in decisions:
        if decision.routed:
            assert decision.may_invoke is not bool(decision.missing or decision.ambiguous), decision.query


def test_no_hostile_query_may_invoke_a_skill(decisions: list[tuple[Case, Decision]]) -> None:
    hostile = [decision for case, decision in decisions if "hostile" in case.tags]
    assert len(hostile) >= 40
    assert not any(decision.may_invoke for decision in hostile)


def test_what_a_person_decides_goes_to_the_right_seat(report: Report) -> None:
    assert report.overall.deferral_rate == 1.0
