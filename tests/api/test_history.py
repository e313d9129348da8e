"""The past, as GraphQL and /metrics show it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from subgraph.storage import EmbeddedPostgres
from subgraph.storage.database import Transaction
from tests.support import guests
from tests.support.host_calls import calls, host_caller
from tests.support.postgres import empty_database, open_directory, run
from tests.support.skills import Client, application, component, skill_settings, write_skill

SECRET = "s" * 32

INVOCATIONS = """
query ($skill: String, $actor: String, $since: DateTime, $limit: Int! = 50, $before: ID) {
  invocations(skillName: $skill, actor: $actor, since: $since, limit: $limit, before: $before) {
    seq invocationId skillName actor exitCode result
  }
}
"""

DECISIONS = """
query ($actor: String, $since: DateTime, $limit: Int! = 50, $before: ID) {
  auditDecisions(actor: $actor, since: $since, limit: $limit, before: $before) {
    seq kind level at actor skillPath capability address markdown body
  }
}
"""

KPIS = """
query ($since: DateTime) {
  kpis(since: $since) { name value unit numerator denominator target targetIs met }
}
"""

GRANT = 'mutation { grantCapability(skillName: "echo", capability: "list_dir") { grantedAt } }'

INVOKE = """
mutation ($n: String!, $v: JSON!) { invokeSkill(name: $n, input: $v) { invocationId seq exitCode } }
"""


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service with a past: 8 runs of one skill, 2 failures of another, a denied host call, decisions."""
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(home, dsn)
        root = settings.skill_roots[0]
        write_skill(root, "cuo/echo", tools="read_file list_dir", guest=component())
        write_skill(root, "fails", guest=component(guests.FAILS))
        write_skill(root, "caller", guest=host_caller())
        with application(settings) as client:
            for number in range(8):
                invoke(client, "echo", {"number": number})
            for _ in range(2):
                invoke(client, "fails", {})
            invoke(client, "caller", calls(["read_file", "a"]))
            client.data(
                'mutation { grantCapability(skillName: "echo", capability: "list_dir") { grantedAt } }'
            )
            client.data('mutation { revokeSkill(name: "fails", note: "# it\\n---\\nleaks") { name } }')
            client.query('mutation { invokeSkill(name: "fails", input: {}) { exitCode } }')
            yield client


def invoke(client: Client, name: str, value: object) -> dict[str, Any]:
    answer: dict[str, Any] = client.data(INVOKE, n=name, v=value)["invokeSkill"]
    return answer


def test_a_run_has_a_place_in_the_log_once_it_is_read_from_there(client: Client) -> None:
    ran = invoke(client, "echo", {})
    assert ran["seq"] is None
    document = "query ($id: ID!) { invocation(invocationId: $id) { seq } }"
    (newest,) = client.data(INVOCATIONS, limit=1)["invocations"]
    assert newest["invocationId"] == ran["invocationId"]
    assert client.data(document, id=ran["invocationId"])["invocation"] == {"seq": newest["seq"]}


def test_invocations_are_read_in_pages_of_one_skill_or_of_all(client: Client) -> None:
    everything = client.data(INVOCATIONS)["invocations"]
    places = [int(each["seq"]) for each in everything]
    assert places == sorted(places, reverse=True)
    paged: list[Any] = []
    before = None
    while page := client.data(INVOCATIONS, limit=3, before=before)["invocations"]:
        paged += page
        before = page[-1]["seq"]
    assert paged == everything
    failed = client.data(INVOCATIONS, skill="fails")["invocations"]
    ends = [(each["skillName"], each["exitCode"], each["result"]) for each in failed]
    assert ends == [("fails", 1, None)] * 2
    by_path = client.data(INVOCATIONS, skill="cuo/echo", actor="local-operator")["invocations"]
    assert by_path == client.data(INVOCATIONS, skill="echo")["invocations"]
    assert len(by_path) >= 8
    assert client.data(INVOCATIONS, actor="nobody")["invocations"] == []
    assert client.data(INVOCATIONS, skill="gone/long-ago")["invocations"] == []
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert client.data(INVOCATIONS, since=later)["invocations"] == []


@pytest.mark.parametrize("document", [INVOCATIONS, DECISIONS])
@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": 201},
        {"before": "newest"},
        {"before": "-1"},
        {"before": "1" * 17},
        {"before": "\u0661"},
        {"since": "2026-11-01T00:00:00"},
        {"since": "9999-12-31T23:59:59-12:00"},
    ],
)
def test_a_page_out_of_bounds_is_invalid_input(
    client: Client, document: str, arguments: dict[str, object]
) -> None:
    assert client.code(document, **arguments) == "INPUT_INVALID"


@pytest.mark.parametrize("name", ["a\0", "a" * 3000])
def test_a_name_that_nobody_can_have_has_no_past(client: Client, name: str) -> None:
    assert client.data(INVOCATIONS, actor=name)["invocations"] == []
    assert client.data(DECISIONS, actor=name)["auditDecisions"] == []


def test_decisions_are_records(client: Client) -> None:
    revoked, granted = client.data(DECISIONS, actor="local-operator")["auditDecisions"][:2]
    assert (revoked["kind"], revoked["level"], revoked["skillPath"]) == ("skill.revoked", "warn", "fails")
    assert revoked["capability"] is None
    assert revoked["body"]["note"] == "# it\n---\nleaks"
    assert revoked["markdown"].count("\n---\n") == 1
    assert (granted["kind"], granted["capability"]) == ("grant.created", "list_dir")
    assert re.fullmatch(r"brain://meta/decisions/[0-9]+_[0-9a-f]{4}\.md", granted["address"])
    older = client.data(DECISIONS, limit=1, before=revoked["seq"])["auditDecisions"]
    assert older == [granted]


def test_key_figures_are_those_of_the_runs(client: Client) -> None:
    figures = {each["name"]: each for each in client.data(KPIS)["kpis"]}
    runs = client.data(INVOCATIONS)["invocations"]
    success = figures["invocation_success_rate"]
    assert success["denominator"] == len(runs)
    assert success["numerator"] == sum(each["exitCode"] == 0 for each in runs)
    assert (success["target"], success["targetIs"], success["met"]) == (0.98, "at least", False)
    assert figures["host_calls_denied"]["value"] == 1
    assert figures["invocations_refused"]["value"] == 1
    assert figures["capability_grant_rate"]["value"] is None
    assert figures["component_latency_p95"]["value"] > 0
    assert client.code(KPIS, since="2020-01-01T00:00:00Z") == "INPUT_INVALID"


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read metrics as the format's own library does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_those_of_the_log_and_of_this_process(client: Client) -> None:
    answer = client.request("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    runs = client.data(INVOCATIONS)["invocations"]
    outcomes = {0: "ok", 1: "failed", 126: "violation"}
    for code, outcome in outcomes.items():
        labels = (("executor", "WASM"), ("outcome", outcome))
        assert found["cyberos_invocations_total", labels] == sum(each["exitCode"] == code for each in runs)
    assert found["cyberos_invocations_refused_total", (("code", "SKILL_REVOKED"),)] == 1
    assert found["cyberos_host_calls_recorded_total", (("outcome", "denied"),)] == 1
    assert found["cyberos_decisions_total", (("kind", "grant.created"),)] == 1
    latencies = [value for (name, _), value in found.items() if name == "cyberos_invocation_seconds_bucket"]
    assert latencies == sorted(latencies)
    assert latencies[-1] == found["cyberos_invocation_seconds_count", (("executor", "WASM"),)] == len(runs)
    assert found["cyberos_invocation_seconds_sum", (("executor", "WASM"),)] > 0
    assert found["cyberos_audit_entries_total", ()] >= len(runs) + 3
    assert found["cyberos_storage_up", ()] == 1
    assert (found["cyberos_ledger_queue_entries", ()], found["cyberos_ledger_queue_limit", ()]) == (0, 4096)
    assert found["cyberos_routing_confidence_count", ()] == 0
    assert found["cyberos_routing_decision_seconds_count", ()] == 0
    assert (found["cyberos_workers", ()], found["cyberos_workers_idle", ()]) == (1, 1)


def test_metrics_and_pages_are_one_statement_each(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    fetch = Transaction.fetch

    async def counted(self: Transaction, name: str, *args: object) -> Any:
        if not name.startswith(("authority", "audit")):
            made.append(name)
        return await fetch(self, name, *args)

    monkeypatch.setattr(Transaction, "fetch", counted)
    client.request("GET", "/metrics")
    client.data(INVOCATIONS, limit=200)
    client.data(DECISIONS, limit=200)
    client.data(KPIS)
    assert made == ["tally_totals", "invocation_page", "decision_page", "tally_since"]


def test_metrics_need_a_token_with_its_scope(server: str, tmp_path: Path) -> None:
    def authorization(scope: str) -> dict[str, str]:
        claims = {"sub": "ann", "aud": "cyberos", "exp": int(time.time()) + 60, "scope": scope}
        return {"authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}

    with (
        empty_database(server) as dsn,
        application(
            skill_settings(tmp_path, dsn, jwt_key=SecretStr(SECRET), jwt_audience="cyberos")
        ) as client,
    ):
        refused = client.request("GET", "/metrics")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        forbidden = client.request("GET", "/metrics", headers=authorization("skill:read skill:invoke"))
        assert (forbidden.status_code, forbidden.text.split(":")[0]) == (403, "FORBIDDEN")
        assert client.request("GET", "/metrics", headers=authorization("skill:audit")).status_code == 200
        for document in (INVOCATIONS, DECISIONS, KPIS):
            answer = client.post({"query": document}, headers=authorization("skill:read skill:invoke")).json()
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_metrics_are_for_loopback_names_alone_without_authentication(client: Client) -> None:
    answer = client.request("GET", "/metrics", headers={"host": "rebound.example"})
    assert answer.status_code == 421


def test_metrics_of_this_process_are_there_without_the_database() -> None:
    with open_directory() as directory:
        server = EmbeddedPostgres(directory / "home" / "postgres")
        settings = skill_settings(directory / "service", run(server.start()))
        try:
            with application(settings) as client:
                run(server.stop())
                found = samples(client.request("GET", "/metrics").text)
                assert found["cyberos_storage_up", ()] == 0
                assert found["cyberos_workers", ()] == 1
                assert not any(name.endswith("_total") for name, _ in found)
        finally:
            run(server.stop())
