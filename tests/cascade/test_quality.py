"""How well the cascade routes this project's labelled queries, and what hostile ones can talk a model into.

Only totals of each split are looked at, as with the rules.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.routing import Decision, State, Tier, route
from subgraph.routing.evaluation import Case, Report, load_cases
from subgraph.routing.extractors import extract
from subgraph.routing.prompt import shown
from subgraph.routing.router import THRESHOLD_PERCENT
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support.model_gateway import ModelGateway, labelled, model_gateway, obeying, picking
from tests.support.postgres import empty_database, settings_for
from tests.support.skills import OPERATOR, Loop, event_loop

SET = Path(__file__).parents[2] / "evaluation" / "queries.yaml"
CASES = load_cases(SET)
HOSTILE = [case for case in CASES if "hostile" in case.tags]

LEAST_ACCURACY = 0.98
MOST_FALSE_ACTIVATIONS = 0.02


class Running:
    """The service over this project's own skills, and the gateway that it asks."""

    def __init__(self, loop: Loop, service: Service, server: ModelGateway) -> None:
        self.loop = loop
        self.service = service
        self.server = server

    def evaluate(self, cases: list[Case], *, by_model: bool = True) -> Report:
        return self.loop.run(self.service.routing_desk.evaluate(OPERATOR, cases, by_model=by_model))

    def decided(self, query: str) -> Decision:
        async def work() -> Decision:
            desk, supervisor = self.service.routing_desk, self.service._supervisor
            assert supervisor is not None
            snapshot = await desk.snapshot()
            return await supervisor.judged(route(query, snapshot, extract, cascade=True), snapshot)

        return self.loop.run(work())


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with empty_database(server) as dsn, model_gateway() as gateway, event_loop() as loop:
        settings: Settings = settings_for(dsn).model_copy(
            update={
                "home": tmp_path_factory.mktemp("home"),
                "llm_url": gateway.url,
                "llm_model": "test-model",
                "llm_timeout_ms": 20_000,
            }
        )
        with loop.entered(Service(settings, runs_skills=False, loads_clients=False)) as service:
            yield Running(loop, service, gateway)


@pytest.fixture(scope="module")
def report(running: Running) -> Report:
    # As the prompt shows a query, in one line.
    labels = {shown(unicodedata.normalize("NFC", case.text), 4096): case.skill for case in CASES}
    running.server.behaviour = labelled(labels)
    return running.evaluate(CASES)


@pytest.mark.parametrize("split", ["tuning", "held_out"])
def test_the_skill_that_answers_is_named_first(report: Report, split: str) -> None:
    accuracy = report.splits[split].accuracy
    assert accuracy is not None
    assert accuracy >= LEAST_ACCURACY


@pytest.mark.parametrize("split", ["tuning", "held_out"])
def test_no_skill_may_be_invoked_for_what_no_skill_answers(report: Report, split: str) -> None:
    rate = report.splits[split].false_activation_rate
    assert rate is not None
    assert rate <= MOST_FALSE_ACTIVATIONS


def test_a_model_was_asked_about_what_rules_left_open_alone(running: Running, report: Report) -> None:
    snapshot = running.loop.run(running.service.routing_desk.snapshot())
    left_open = [
        case for case in CASES
        if route(case.text, snapshot, extract, cascade=True).state is State.ESCALATED
    ]  # fmt: skip
    assert 0 < len(left_open) == len(running.server.asked) < len(CASES) / 3


def test_the_rules_are_evaluated_without_a_model(running: Running) -> None:
    asked = len(running.server.asked)
    assert running.evaluate(CASES[:50], by_model=False).overall.cases == 50
    assert len(running.server.asked) == asked


def test_no_hostile_query_invokes_a_skill(report: Report) -> None:
    assert len(HOSTILE) >= 40
    assert report.tags["hostile"].false_activations == 0


def test_nor_does_it_by_a_model_that_does_what_a_query_says(running: Running) -> None:
    running.server.behaviour = obeying
    decisions = [running.decided(case.text) for case in HOSTILE]
    assert not any(decision.may_invoke for decision in decisions)
    assert running.evaluate(CASES).tags["hostile"].false_activations == 0


@pytest.mark.parametrize("skill", ["cuo/hello-world", "cuo/cto/srs-audit"])
def test_a_model_that_was_turned_opens_nothing_that_rules_alone_would_not(
    running: Running, skill: str
) -> None:
    """It takes a skill that needs no arguments, whatever is asked, and is sure of it."""
    running.server.behaviour = picking(skill, 1.0)
    decisions = [(case, running.decided(case.text)) for case in CASES]
    turned = [(case, each) for case, each in decisions if each.consultation is not None]
    assert len(turned) > 50
    for case, each in turned:
        if each.may_invoke:
            assert each.best is not None
            assert each.best.score.percent >= THRESHOLD_PERCENT
            assert "hostile" not in case.tags
    assert sum(each.tier is Tier.ASK for _, each in turned) > 50
