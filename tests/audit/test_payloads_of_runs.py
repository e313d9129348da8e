"""What a service keeps of the inputs and outputs of its runs, who reads it, and what erasing leaves."""

from __future__ import annotations

import base64
import hashlib
import logging
import uuid
from typing import Any

import asyncpg
import orjson
import pytest

from subgraph.audit.evidence import verify_evidence
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.notes import Verifier
from subgraph.audit.payloads import MAX_SEALED_BYTES, Part, commitment
from subgraph.errors import Forbidden, InputInvalid
from subgraph.execution.invocation import Invocation
from subgraph.principal import Principal, Scope
from subgraph.settings import PayloadMode
from tests.audit.factory import finished
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

MARKER = "dấu-vết-không-được-thấy-4711"
"""Stands in the input and in the answer, and nowhere in the database."""


@pytest.fixture(scope="module", params=list(PayloadMode))
def service(request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with empty_database(server) as dsn:
        fields = {"audit_payloads": request.param}
        with service_in_process(skill_settings(tmp_path_factory.mktemp("home"), dsn, **fields)) as running:
            running.write("echo", guest=component())
            yield running


def invoke(service: RunningService, value: object, actor: str = "an") -> Invocation:
    principal = Principal(actor, frozenset(Scope))
    return service.run(service.service.runner.invoke(principal, "echo", value))


def encrypted(service: RunningService) -> bool:
    return service.settings.audit_payloads is PayloadMode.ENCRYPTED


async def everything(dsn: str) -> bytes:
    """The bytes of all tables."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        held = []
        for table in tables:
            rows = await connection.fetch(f"SELECT * FROM {table['name']}")  # noqa: S608
            held += [
                value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
            ]
        return b"\n".join(held)
    finally:
        await connection.close()


def test_nothing_of_input_or_output_stands_in_the_database(
    service: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = invoke(service, {"mark": MARKER})
    assert MARKER in (answer.stdout or "")
    assert service.settings.database_url is not None
    held = service.run(everything(service.settings.database_url.get_secret_value()))
    assert b"invocation.finished" in held
    data = orjson.dumps({"mark": MARKER})
    key = service.run(service.service._subjects.find("an"))
    assert key is not None
    for trace in (
        MARKER.encode(),
        base64.b64encode(data)[:20],
        data.hex().encode(),
        hashlib.sha256(data).digest(),
        hashlib.sha256(data).hexdigest().encode(),
        key._key,
        key._key.hex().encode(),
        base64.b64encode(key._key),
    ):
        assert trace not in held, trace
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert MARKER not in logged
    assert key._key.hex() not in logged


def test_payloads_are_read_and_compared(service: RunningService) -> None:
    trail = service.service.audit_trail
    answer = invoke(service, {"a": 1})
    given_, returned = service.run(trail.payloads(OPERATOR, answer.invocation_id))
    assert (given_.part, returned.part) == (Part.INPUT, Part.OUTPUT)
    assert given_.matches(b'{"a":1}') is True
    assert given_.matches(b'{"a":2}') is False
    assert returned.matches(b'{"a":1}') is True
    assert given_.salt is not None
    assert commitment(given_.salt, b'{"a":1}') == given_.commitment
    assert given_.data == (b'{"a":1}' if encrypted(service) else None)
    assert given_.too_long is False


def test_a_payload_that_is_too_long_is_committed_to_and_not_kept(service: RunningService) -> None:
    trail = service.service.audit_trail
    for length, kept in ((MAX_SEALED_BYTES, True), (MAX_SEALED_BYTES + 1, False)):
        data = orjson.dumps({"a": "x" * (length - len('{"a":""}'))})
        assert len(data) == length
        answer = invoke(service, orjson.loads(data))
        given_, _ = service.run(trail.payloads(OPERATOR, answer.invocation_id))
        assert given_.matches(data) is True
        assert given_.data == (data if kept and encrypted(service) else None)
        assert given_.too_long is (encrypted(service) and not kept)


def test_erased_payloads_are_told_from_others_and_proofs_hold(service: RunningService) -> None:
    trail = service.service.audit_trail
    before = invoke(service, {"n": 1}, "chi")
    assert service.run(trail.erase(OPERATOR, "chi")) is True
    for payload in service.run(trail.payloads(OPERATOR, before.invocation_id)):
        assert (payload.salt, payload.data) == (None, None)
        assert payload.matches(b'{"n":1}') is None, "nobody can tell any more"
    after = invoke(service, {"n": 1}, "chi")
    entries = service.entries("echo")
    old, new = (
        next(each for each in entries if each.get("invocationId") == str(run_.invocation_id))
        for run_ in (before, after)
    )
    assert old["inputCommitment"] != new["inputCommitment"]
    assert old["keyId"] != new["keyId"]
    for payload in service.run(trail.payloads(OPERATOR, before.invocation_id)):
        assert payload.matches(b'{"n":1}') is None, "the new key is not the old one"
    given_, _ = service.run(trail.payloads(OPERATOR, after.invocation_id))
    assert given_.matches(b'{"n":1}') is True
    everything_ = service.entries()
    for seq in (everything_.index(old), everything_.index(new), len(everything_) - 1):
        evidence = service.run(trail.prove(OPERATOR, seq))
        assert (
            orjson.loads(verify_evidence(evidence.encode(), [Verifier.parse(trail.vkey)]).entry)
            == (everything_[seq])
        )
    assert service.run(trail.erase(OPERATOR, "chi")) is True
    assert service.run(trail.erase(OPERATOR, "chi")) is False
    erased = [each for each in service.entries() if each["kind"] == "subject.erased"]
    assert [(each["subject"], each["destroyed"], each["actor"]) for each in erased[-2:]] == [
        ("chi", True, OPERATOR.actor),
        ("chi", False, OPERATOR.actor),
    ]


@pytest.mark.parametrize("subject", ["", "a" * 257, "a\0b", "\udcff"])
def test_a_subject_that_nobody_can_be_is_refused(service: RunningService, subject: str) -> None:
    with pytest.raises(InputInvalid):
        service.run(service.service.audit_trail.erase(OPERATOR, subject))


def test_who_may_read_may_not_erase_and_the_other_way_round(service: RunningService) -> None:
    trail = service.service.audit_trail
    reads, decides = (Principal("x", frozenset({scope})) for scope in (Scope.AUDIT, Scope.GRANT))
    for refused in (
        trail.payloads(decides, uuid.uuid4()),
        trail.entry(decides, 0),
        trail.prove(decides, 0),
        trail.erase(reads, "an"),
        trail.rotate_key(reads),
        trail.drop(reads, 0),
    ):
        with pytest.raises(Forbidden):
            service.run(refused)
    with pytest.raises(InputInvalid, match="no such invocation"):
        service.run(trail.payloads(reads, uuid.uuid4()))


@pytest.mark.parametrize("sealed", [{}, {"nonce": "AAAA", "ciphertext": "AAAA"}, {"nonce": 5}, [], "text"])
def test_a_forged_ciphertext_is_damage(service: RunningService, sealed: object) -> None:
    key = service.run(service.service._subjects.of("dung"))
    run_id = str(uuid.uuid4())
    entry = finished(
        actor="dung",
        invocation_id=run_id,
        key_id=key.key_id,
        input_commitment=key.commitment(run_id, Part.INPUT, b"{}"),
        sealed={"input": sealed},
    )
    service.run(service.service._ledger.append(entry))
    with pytest.raises(LogDamaged, match="cannot be opened"):
        service.run(service.service.audit_trail.payloads(OPERATOR, uuid.UUID(run_id)))
