"""What somebody appends by the service's role who is not this program: answers lack it, and say so."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from subgraph.audit import outcome_id
from subgraph.storage.database import SERVICE_ROLE
from tests.api.test_history import samples
from tests.audit.factory import finished
from tests.support.postgres import empty_database, run
from tests.support.skills import Client, application, component, skill_settings, write_skill

LISTS = {
    "invocations": "{ invocations(limit: 3) { seq executor } }",
    "auditDecisions": "{ auditDecisions(limit: 50) { seq kind body markdown } }",
    "decisions": "{ decisions(limit: 3) { seq rationale alternatives { skillName } chain { step status } } }",
}


@pytest.fixture
def dsn_and_client(server: str, tmp_path: Path) -> Iterator[tuple[str, Client]]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn)
        write_skill(settings.skill_roots[0], "echo", tools="list_dir", guest=component())
        with application(settings) as client:
            yield dsn, client


def forge(dsn: str, *bodies: dict[str, Any]) -> list[int]:
    """Append entries as whoever has the rights of the service."""

    async def append() -> list[int]:
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            await connection.execute(f"SET ROLE {SERVICE_ROLE}")
            encoded = [orjson.dumps(body) for body in bodies]
            first = await connection.fetchval("SELECT audit.append($1, $2)", uuid.uuid4(), encoded)
        finally:
            await connection.close()
        return list(range(first, first + len(bodies)))

    return run(append())


def entry(kind: str, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(finished().encode())
    return body | {"id": str(uuid.uuid4()), "kind": kind} | fields


def unreadable(client: Client, document: str) -> tuple[list[Any], list[str]]:
    answer = client.query(document)
    assert "errors" not in answer, answer
    (items,) = answer["data"].values()
    return items, answer.get("extensions", {}).get("unreadableEntries", [])


def test_lists_go_on_without_what_cannot_be_read_and_name_it(dsn_and_client: tuple[str, Client]) -> None:
    dsn, client = dsn_and_client
    for _ in range(2):
        client.data('mutation { invokeSkill(name: "echo", input: {}) { exitCode } }')
        client.data('mutation { grantCapability(skillName: "echo", capability: "list_dir") { grantedAt } }')
        client.data('mutation { routeAndInvoke(query: "echo it") { requestId } }')
    known = {name: unreadable(client, document) for name, document in LISTS.items()}
    assert [len(items) for items, _ in known.values()] == [2, 4, 2]
    assert all(places == [] for _, places in known.values())
    decided = orjson.loads(run(newest(dsn, "routing.decision")))
    runs = forge(
        dsn,
        entry("invocation.finished", executor="MAGIC"),
        entry("invocation.finished", elapsedUs=2**40),
        entry("invocation.interrupted"),
    )
    grants = forge(dsn, entry("grant.created", at="now"))
    routed = forge(
        dsn,
        *(
            decided | {"id": str(uuid.uuid4())} | change
            for change in (
                {"rationale": 5},
                {"alternatives": [{"skillName": 1, "rank": 1, "breakdown": {}}]},
                {"chain": [{"index": "0", "step": "a", "skillName": "b", "after": []}]},
                {"missing": [None]},
                {"lifecycle": [{"state": "no", "at": "no"}]},
                {"code": "no"},
            )
        ),
    )
    wanted = {"invocations": runs, "auditDecisions": grants, "decisions": routed}
    for name, document in LISTS.items():
        items, places = unreadable(client, document)
        assert set(map(int, places)) >= set(wanted[name]), name
        assert items, name
        if name != "auditDecisions":
            assert items == known[name][0]
    assert client.data("{ capabilityGrants { capability } }")["capabilityGrants"] == [
        {"capability": "list_dir"}
    ]


async def newest(dsn: str, kind: str) -> bytes:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return bytes(
            await connection.fetchval(
                "SELECT entry FROM audit.entry WHERE kind = $1 ORDER BY seq DESC LIMIT 1", kind
            )
        )
    finally:
        await connection.close()


def test_an_outcome_that_cannot_be_read_takes_its_decision_alone(dsn_and_client: tuple[str, Client]) -> None:
    dsn, client = dsn_and_client
    for _ in range(2):
        client.data('mutation { routeAndInvoke(query: "echo it") { requestId } }')
    before, _ = unreadable(client, LISTS["decisions"])
    decided = orjson.loads(run(newest(dsn, "routing.decision")))
    place = str(outcome_id(uuid.UUID(decided["id"])))
    forge(dsn, entry("routing.outcome", id=place, code="succeeded", error=None, lifecycle=5))
    items, places = unreadable(client, LISTS["decisions"])
    assert len(items) + len(places) == len(before) == 2
    assert len(places) == 1


def test_metrics_have_a_label_for_what_is_known_alone(dsn_and_client: tuple[str, Client]) -> None:
    """Whoever appends could make a monitoring system keep a series for each text that he thinks of."""
    dsn, client = dsn_and_client
    client.data('mutation { grantCapability(skillName: "echo", capability: "list_dir") { grantedAt } }')
    forge(
        dsn,
        *(
            entry(kind, executor=f"E{number}", exitCode=None, **outcome)
            for number in range(30)
            for kind, outcome in (
                (f"made.up{number}", {}),
                ("invocation.finished", {"code": f"C{number}"}),
                ("invocation.refused", {"code": f"C{number}"}),
                ("host.call", {"call": {"outcome": f"O{number}"}}),
            )
        ),
        *(entry("invocation.interrupted", executor=f"E{number}", exitCode=None) for number in range(3)),
    )
    found = samples(client.request("GET", "/metrics").text)
    assert found["cyberos_decisions_total", (("kind", "grant.created"),)] == 1
    assert found["cyberos_decisions_total", (("kind", "other"),)] == 30
    other = (("executor", "other"), ("outcome", "other"))
    assert found["cyberos_invocations_total", other] == 30
    assert found["cyberos_invocations_total", (("executor", "other"), ("outcome", "interrupted"))] == 3
    assert found["cyberos_invocations_refused_total", (("code", "other"),)] == 30
    assert found["cyberos_host_calls_recorded_total", (("outcome", "other"),)] == 30
    assert found["cyberos_invocation_seconds_count", (("executor", "other"),)] == 30
    labels = {value for _, pairs in found for name, value in pairs if name != "le"}
    assert labels == {"other", "grant.created", "interrupted"}
