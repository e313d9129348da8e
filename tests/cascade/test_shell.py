"""`cyberos-cuo` with a gateway: what it prints of a model, and what it says where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.cli import cuo
from tests.cli.shell import Shell
from tests.support.model_gateway import COST, KEY, ModelGateway, model_gateway, picking, refusing
from tests.support.postgres import empty_database

QUERY = "please look at the decree"
LAW = "cyberskill-vn/vn-legal-compliance"

CASES = f"""\
version: 1
cases:
  - {{id: a-001, query: "{QUERY}", skill: {LAW}, tags: [en]}}
  - {{id: a-002, query: "validate MST 0123456789", skill: cyberskill-vn/vn-mst-validate, tags: [en]}}
  - {{id: a-003, query: "what is the weather", skill: null, tags: [en]}}
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[ModelGateway]:
    with model_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def shell(server: str, gateway: ModelGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path_factory.mktemp("home"), dsn, cuo.app)
        shell.environment |= {
            "CYBEROS_LLM_URL": gateway.url,
            "CYBEROS_LLM_MODEL": "test-model",
            "CYBEROS_LLM_API_KEY": KEY,
            "CYBEROS_LLM_TIMEOUT_MS": "20000",
            "CYBEROS_LLM_RETRIES": "0",
            "CYBEROS_AUDIT_PAYLOADS": "encrypted",
        }
        yield shell


def test_a_decision_has_lines_for_its_tier_and_for_the_model(shell: Shell, gateway: ModelGateway) -> None:
    gateway.behaviour = picking(LAW, 0.4, "a reason")
    ended = shell("route", QUERY, "--record")
    assert ended.exit_code == 0
    line = (
        r"  tier:       ask\n"
        rf"  model:      test-model  answered  {LAW} \(conf=0\.4\)  attempts=1  elapsed_ms=[0-9.]+  "
        rf"tokens=1200\+40  cost_usd={re.escape(COST)}\n"
    )
    assert re.search(line, ended.stdout)
    assert '  question:   "Is vn-legal-compliance meant?"\n' in ended.stdout
    assert "a reason" not in ended.stdout
    request = re.search(r"request: +(\S+)", ended.stdout)
    assert request is not None
    explained = shell("explain", request[1])
    assert re.search(line, explained.stdout)
    told = json.loads(shell("explain", request[1], "--format", "json").stdout)
    assert told["model"]["pick"] == LAW
    assert json.loads(told["transcript"]["answer"])["reason"] == "a reason"
    assert told["transcript"]["prompt"]["messages"][0]["role"] == "system"
    replayed = shell("replay", request[1])
    assert (replayed.exit_code, "identical" in replayed.stdout) == (0, True)


def test_a_gateway_that_fails_is_said(shell: Shell, gateway: ModelGateway) -> None:
    gateway.behaviour = refusing(401)
    ended = shell("route", QUERY)
    assert "the gateway refused the request" in ended.stdout
    assert "  model:      test-model  gateway_refused  no answer  attempts=1" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr


def test_what_rules_decide_has_its_tier_and_no_model(shell: Shell, gateway: ModelGateway) -> None:
    gateway.asked.clear()
    ended = shell("route", "kiểm tra MST 0123456789")
    assert "  tier:       invoke\n" in ended.stdout
    assert "model:" not in ended.stdout
    assert gateway.asked == []


def test_queries_are_evaluated_by_a_model_where_that_is_asked_for(
    shell: Shell, gateway: ModelGateway, tmp_path: Path
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES, encoding="utf-8")
    gateway.behaviour = picking(LAW, 0.95)
    gateway.asked.clear()
    by_rules = json.loads(shell("eval", str(file), "--format", "json").stdout)
    assert gateway.asked == []
    by_model = json.loads(shell("eval", str(file), "--model", "--format", "json").stdout)
    assert [asked.query for asked in gateway.asked] == [QUERY]
    assert by_model["overall"]["accuracy"] == by_rules["overall"]["accuracy"] == 1.0
    assert by_model["overall"]["activated_right"] == 1  # the other one is asked about


def test_without_a_gateway_an_evaluation_by_model_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES, encoding="utf-8")
    plain = {name: value for name, value in shell.environment.items() if "_LLM_" not in name}
    shell.environment, gateways = plain, shell.environment
    try:
        ended = shell("eval", str(file), "--model")
    finally:
        shell.environment = gateways
    assert ended.exit_code == 1
    assert "INPUT_INVALID: no model can be asked: set CYBEROS_LLM_URL and CYBEROS_LLM_MODEL" in ended.stderr


def test_a_gateway_in_clear_is_refused(shell: Shell) -> None:
    before = shell.environment["CYBEROS_LLM_URL"]
    shell.environment["CYBEROS_LLM_URL"] = "http://gateway.example/v1"
    try:
        ended = shell("route", QUERY)
    finally:
        shell.environment["CYBEROS_LLM_URL"] = before
    assert ended.exit_code == 2
    assert "must be https" in ended.stderr
    assert KEY not in ended.stderr
