"""The audit log in GraphQL: entries, their proofs, the checkpoint, and subjects that are erased."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from subgraph.audit.evidence import verify_evidence
from subgraph.audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from subgraph.audit.notes import Verifier, open_note
from subgraph.audit.payloads import commitment
from subgraph.principal import Scope
from tests.api.tokens import AUDIENCE, SECRET, token
from tests.support.postgres import empty_database, execute, run
from tests.support.skills import Client, application, component, skill_settings, write_skill

ENTRY = """
query ($seq: ID!, $since: String) {
  auditEntry(seq: $seq) {
    seq kind level at actor skillPath body leafHash
    proof(since: $since) { checkpoint inclusion consistency evidence }
  }
}
"""
CHECKPOINT = "{ auditCheckpoint { origin size rootHash note publicKey } }"
ERASE = "mutation ($subject: String!) { eraseSubject(subject: $subject) }"
INVOKE = 'mutation { invokeSkill(name: "cuo/echo", input: {a: 1}) { invocationId } }'


def checkpoint_of(api: Client) -> dict[str, Any]:
    checkpoint: dict[str, Any] = api.data(CHECKPOINT)["auditCheckpoint"]
    return checkpoint


def hashes(items: list[str]) -> tuple[bytes, ...]:
    return tuple(map(base64.b64decode, items))


def test_an_entry_is_shown_with_what_proves_it(api: Client) -> None:
    older = checkpoint_of(api)
    key = Verifier.parse(older["publicKey"])
    assert open_note(older["note"], [key]).root == base64.b64decode(older["rootHash"])
    assert (key.name, open_note(older["note"], [key]).size) == (older["origin"], older["size"])
    made = api.data(INVOKE)["invokeSkill"]["invocationId"]
    seq = -1
    while True:  # what others in this room have recorded stands before it
        seq += 1
        entry = api.data(ENTRY, seq=seq, since=older["note"])["auditEntry"]
        if entry["body"].get("invocationId") == made:
            break
    assert (entry["seq"], entry["kind"], entry["level"]) == (str(seq), "invocation.finished", "info")
    assert (entry["actor"], entry["skillPath"]) == ("local-operator", "cuo/echo")
    assert entry["at"][:19] == entry["body"]["at"][:19]
    proof = entry["proof"]
    verdict = verify_evidence(proof["evidence"].encode(), [key])
    assert base64.b64decode(entry["leafHash"]) == leaf_hash(verdict.entry)
    tree = open_note(proof["checkpoint"], [key])
    verify_inclusion(leaf_hash(verdict.entry), seq, tree.size, hashes(proof["inclusion"]), tree.root)
    old = open_note(older["note"], [key])
    verify_consistency(old.size, old.root, tree.size, tree.root, hashes(proof["consistency"]))
    assert api.data(ENTRY, seq=seq)["auditEntry"]["proof"]["consistency"] is None


@pytest.mark.parametrize("seq", [10**6, 2**31, "9007199254740991"])
def test_there_is_no_such_entry(api: Client, seq: object) -> None:
    assert api.data(ENTRY, seq=seq)["auditEntry"] is None


@pytest.mark.parametrize("seq", [-1, "", "1.5", "0x1", "٣", "1" * 17])
def test_what_is_no_number_of_an_entry_is_refused(api: Client, seq: object) -> None:
    assert api.code(ENTRY, seq=seq) == "INPUT_INVALID"


@pytest.mark.parametrize("since", ["", "nonsense", "a\n1\nb\n\n— a b\n", "\x00", "x" * 200_000])
def test_a_checkpoint_that_is_none_proves_no_growth(api: Client, since: str) -> None:
    answer = api.query(ENTRY, seq=0, since=since)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] in ("INPUT_INVALID", "BAD_REQUEST")
    if answer.get("data"):
        assert error["path"] == ["auditEntry", "proof"]


@pytest.mark.parametrize("subject", ["", "a" * 257, "a\0b"])
def test_a_subject_that_nobody_can_be_is_refused(api: Client, subject: str) -> None:
    assert api.code(ERASE, subject=subject) == "INPUT_INVALID"


def test_a_subject_is_erased_once(api: Client) -> None:
    api.data(INVOKE)
    assert api.data(ERASE, subject="local-operator")["eraseSubject"] is True
    assert api.data(ERASE, subject="local-operator")["eraseSubject"] is False
    assert api.data(ERASE, subject="nobody-ever")["eraseSubject"] is False
    api.data(INVOKE)
    newest = checkpoint_of(api)["size"] - 1
    assert api.data(ENTRY, seq=newest)["auditEntry"]["body"]["kind"] in (
        "invocation.finished",
        "subject.erased",
    )


@pytest.fixture(scope="module")
def guarded(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, str]]:
    """An application that wants tokens, and the address of its database."""
    with empty_database(server) as dsn:
        fields = {"jwt_key": SecretStr(SECRET), "jwt_audience": AUDIENCE}
        settings = skill_settings(tmp_path_factory.mktemp("home"), dsn, **fields)
        write_skill(settings.skill_roots[0], "cuo/echo", guest=component())
        with application(settings) as client:
            yield client, dsn


def asked(client: Client, scopes: str | None, document: str, **variables: Any) -> dict[str, Any]:
    headers = {} if scopes is None else {"authorization": f"Bearer {token(scope=scopes)}"}
    answer: dict[str, Any] = client.post({"query": document, "variables": variables}, headers=headers).json()
    return answer


def code_of(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


def test_each_field_wants_its_scope(guarded: tuple[Client, str]) -> None:
    client, _ = guarded
    assert "errors" not in asked(client, Scope.INVOKE, INVOKE)
    every = {Scope.READ, Scope.INVOKE, Scope.GRANT, Scope.AUDIT}
    wanted: list[tuple[str, dict[str, Any], set[str]]] = [
        (ENTRY, {"seq": 0}, {Scope.AUDIT}),
        (ERASE, {"subject": "nobody"}, {Scope.GRANT}),
        (CHECKPOINT, {}, set(every)),
    ]
    for document, variables, allowed in wanted:
        assert code_of(asked(client, None, document, **variables)) == "UNAUTHENTICATED"
        for scope in every:
            answer = asked(client, scope, document, **variables)
            assert ("errors" not in answer) == (scope in allowed), (scope, answer)
            if scope not in allowed:
                assert code_of(answer) == "FORBIDDEN"


def test_the_actor_of_a_token_is_the_subject(guarded: tuple[Client, str]) -> None:
    client, _ = guarded
    asked(client, Scope.INVOKE, INVOKE)
    assert asked(client, Scope.GRANT, ERASE, subject="ann")["data"]["eraseSubject"] is True
    size = asked(client, Scope.READ, CHECKPOINT)["data"]["auditCheckpoint"]["size"]
    entries = [asked(client, Scope.AUDIT, ENTRY, seq=seq)["data"]["auditEntry"] for seq in range(size)]
    assert {entry["actor"] for entry in entries} == {"ann"}
    for entry in entries:
        assert '"a":1' not in str(entry)
        committed = entry["body"].get("inputCommitment")
        assert committed != commitment(b"", b'{"a":1}')


def test_an_entry_that_was_changed_is_damage_and_stops_runs(guarded: tuple[Client, str]) -> None:
    client, dsn = guarded
    run(
        execute(
            dsn,
            "ALTER TABLE audit.entry DISABLE TRIGGER USER",
            "ALTER TABLE audit.entry_00000000 DISABLE TRIGGER USER",
            "UPDATE audit.entry SET entry = '[1]' WHERE seq = 0",
        )
    )
    answer = asked(client, Scope.AUDIT, ENTRY, seq=0)
    assert code_of(answer) == "STORAGE_UNAVAILABLE"
    assert "not one that was ever written" in answer["errors"][0]["message"]
    another = "(SELECT entry FROM audit.entry WHERE seq = 1)"
    run(execute(dsn, f"UPDATE audit.entry SET entry = {another} WHERE seq = 0"))  # noqa: S608
    answer = asked(client, Scope.AUDIT, ENTRY, seq=0)
    assert "is not the one that was signed" in answer["errors"][0]["message"]
    refused = asked(client, Scope.INVOKE, INVOKE)
    assert code_of(refused) == "STORAGE_UNAVAILABLE"
    assert "is not the one that was signed" in refused["errors"][0]["message"]
    assert client.request("GET", "/readyz").status_code == 503
