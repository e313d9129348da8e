"""What the log says of inputs and outputs: commitments that bind, ciphertexts that open in one place.

The end of a subject's key is the end of both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.audit import ErrorNote, HostCallNote, payloads
from subgraph.audit.entry import (
    MAX_ACTOR_CHARACTERS,
    MAX_ENTRY_BYTES,
    MAX_ITEM_CHARACTERS,
    MAX_LIST_ITEMS,
    MAX_TEXT_CHARACTERS,
)
from subgraph.audit.evidence import verify_evidence
from subgraph.audit.invocations import HOST_CALLS_IN_ENTRY, MAX_TARGET_CHARACTERS
from subgraph.audit.key_files import KeyFileRefused
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.notes import Verifier
from subgraph.audit.payloads import (
    MAX_SEALED_BYTES,
    KeyUnusable,
    Part,
    SubjectKey,
    SubjectKeys,
    commitment,
)
from subgraph.errors import Forbidden, InputInvalid
from subgraph.execution.invocation import Invocation
from subgraph.principal import Principal, Scope
from subgraph.settings import PayloadMode
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.support.postgres import empty_database, execute, run, settings_for
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

T = TypeVar("T")

KEY = SubjectKey(bytes(range(32)))
OTHER = SubjectKey(bytes(32))
RUN = "0191b2f0-0000-4000-8000-000000000001"
OTHER_RUN = "0191b2f0-0000-4000-8000-000000000002"


def test_a_commitment_is_an_hmac_under_a_salt_of_its_own() -> None:
    salt = hmac.new(bytes(range(32)), f"cyberos.payload/1 salt {RUN} input".encode(), hashlib.sha256).digest()
    expected = hmac.new(salt, b'{"mst":"0123456789"}', hashlib.sha256).hexdigest()
    assert KEY.salt(RUN, Part.INPUT) == salt
    assert KEY.commitment(RUN, Part.INPUT, b'{"mst":"0123456789"}') == expected
    assert commitment(salt, b'{"mst":"0123456789"}') == expected


def test_salts_commitments_and_ids_differ_by_key_run_and_part() -> None:
    places = [(key, run_id, part) for key in (KEY, OTHER) for run_id in (RUN, OTHER_RUN) for part in Part]
    assert len({key.salt(run_id, part) for key, run_id, part in places}) == len(places)
    assert len({key.commitment(run_id, part, b"{}") for key, run_id, part in places}) == len(places)
    assert KEY.key_id != OTHER.key_id
    assert len(KEY.key_id) == 16


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=50)
def test_what_is_sealed_opens_in_its_place_alone(data: bytes, other: bytes) -> None:
    sealed = KEY.seal(RUN, Part.INPUT, data)
    assert KEY.open(RUN, Part.INPUT, sealed) == data
    elsewhere = [(OTHER, RUN, Part.INPUT), (KEY, OTHER_RUN, Part.INPUT), (KEY, RUN, Part.OUTPUT)]
    for key, run_id, part in elsewhere:
        with pytest.raises(ValueError, match="not of this place and key"):
            key.open(run_id, part, sealed)
    mixed = sealed | {"nonce": KEY.seal(RUN, Part.INPUT, other)["nonce"]}
    with pytest.raises(ValueError, match="not of this place and key"):
        KEY.open(RUN, Part.INPUT, mixed)
    assert KEY.seal(RUN, Part.INPUT, data) != sealed, "a nonce is used once"


def test_a_key_is_never_shown() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert "\\x" not in text
        assert "SubjectKey()" in text


def texts(limit: int) -> st.SearchStrategy[str]:
    """Texts as long as they may be, of characters that JSON writes in one byte to six."""
    return st.sampled_from('a\x01\x1f"\\é漢😀').map(lambda character: character * limit)


@given(
    st.fixed_dictionaries(
        {
            "actor": texts(MAX_ACTOR_CHARACTERS),
            "capabilities": texts(MAX_ITEM_CHARACTERS).map(lambda text: (text,) * MAX_LIST_ITEMS),
            "error": texts(MAX_TEXT_CHARACTERS).map(lambda text: ErrorNote(code="A" * 40, message=text)),
            "host_calls": texts(MAX_TARGET_CHARACTERS).map(
                lambda text: (
                    (
                        HostCallNote(
                            function="search_memory", target=text, outcome="unknown", elapsed_us=2**53 - 1
                        ),
                    )
                    * HOST_CALLS_IN_ENTRY
                )
            ),
        }
    )
)
@settings(max_examples=60, deadline=None)
def test_an_entry_with_everything_at_its_bound_is_one(fields: dict[str, Any]) -> None:
    sealed = {part.value: KEY.seal(RUN, part, b"a" * MAX_SEALED_BYTES) for part in (Part.INPUT, Part.OUTPUT)}
    entry = finished(sealed=sealed, limits_hit=("memory",), skill="a" * 1024, **fields)
    assert len(entry.encode()) <= MAX_ENTRY_BYTES


def test_the_longest_entry_of_all_is_one() -> None:
    worst = "\x01"  # six bytes in JSON
    call = HostCallNote(
        function="search_memory",
        target=worst * MAX_TARGET_CHARACTERS,
        outcome="unknown",
        elapsed_us=2**53 - 1,
    )
    entry = finished(
        sealed={
            part.value: KEY.seal(RUN, part, b"a" * MAX_SEALED_BYTES) for part in (Part.INPUT, Part.OUTPUT)
        },
        actor=worst * MAX_ACTOR_CHARACTERS,
        skill="a" * 1024,
        capabilities=(worst * MAX_ITEM_CHARACTERS,) * MAX_LIST_ITEMS,
        error=ErrorNote(code="A" * 40, message=worst * MAX_TEXT_CHARACTERS),
        host_calls=(call,) * HOST_CALLS_IN_ENTRY,
    )
    assert 0.9 * MAX_ENTRY_BYTES < len(entry.encode()) <= MAX_ENTRY_BYTES


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "wrapping.key"


def with_keys(
    dsn: str, file: Path, scenario: Callable[[Database, SubjectKeys, SubjectKeys], Awaitable[T]]
) -> T:
    """A scenario with the keys of two replicas."""

    async def opened() -> T:
        async with (
            Database(settings_for(dsn)) as database,
            SubjectKeys(database, file, PayloadMode.COMMITTED) as one,
            SubjectKeys(database, file, PayloadMode.COMMITTED) as two,
        ):
            return await scenario(database, one, two)

    return run(opened())


def test_replicas_have_one_key_for_a_subject(dsn: str, keys_file: Path) -> None:
    async def scenario(_: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        assert await one.find("an") is None
        first, second = await one.of("an"), await two.of("an")
        assert first == second == await two.find("an")
        assert (await one.of("binh")).key_id != first.key_id

    with_keys(dsn, keys_file, scenario)


def test_a_wrapped_key_is_of_its_subject_and_its_wrapping_key(dsn: str, keys_file: Path) -> None:
    async def scenario(database: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        await one.of("an")
        await one.of("binh")
        await execute(
            dsn,
            "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE subject = 'an')"
            " WHERE subject = 'binh'",
        )
        with pytest.raises(KeyUnusable, match="CYBEROS_AUDIT_KEYS_DIR"):
            await two.of("binh")
        assert (await two.of("an")).key_id == (await one.of("an")).key_id
        async with SubjectKeys(database, keys_file.with_name("other.key"), PayloadMode.COMMITTED) as foreign:
            for attempt in (foreign.of, foreign.find):
                with pytest.raises(KeyUnusable) as refused:
                    await attempt("an")
                assert refused.value.__cause__ is None
        await execute(dsn, "UPDATE subject_key SET wrapped = ''")
        with pytest.raises(KeyUnusable):
            await two.find("an")

    with_keys(dsn, keys_file, scenario)


@pytest.mark.parametrize("line", ["", "cyberos-wrapping-key/1 AAAA\n", "x" * 67 + "\n", "\xff\n"])
def test_a_wrapping_key_that_is_none_is_refused_without_being_shown(
    dsn: str, keys_file: Path, line: str
) -> None:
    keys_file.parent.mkdir(mode=0o700)
    keys_file.write_text(line, encoding="latin-1")
    keys_file.chmod(0o600)
    with pytest.raises(KeyFileRefused) as refused:
        with_keys(dsn, keys_file, lambda *_: pytest.fail("it was used"))
    assert "AAAA" not in str(refused.value)


def test_an_erased_key_is_used_from_memory_for_a_while_and_reads_nothing(
    dsn: str, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        now = [1000.0]
        monkeypatch.setattr(payloads.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
        old = await one.of("an")
        await two.of("an")
        assert await one.erase("an", "operator") is True
        assert await one.erase("an", "operator") is False
        assert await one.find("an") is None
        assert await two.find("an") is None, "reading always asks the database"
        assert await two.of("an") == old, "writing does not, for so long"
        new = await one.of("an")
        assert new.key_id != old.key_id
        now[0] += payloads.KEPT_SECONDS - 0.001
        assert await two.of("an") == old
        now[0] += 0.002
        assert await two.of("an") == new

    with_keys(dsn, keys_file, scenario)


def test_so_many_keys_are_in_memory(dsn: str, keys_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "KEYS_KEPT", 3)

    async def scenario(_: Database, one: SubjectKeys, __: SubjectKeys) -> None:
        for name in "abcde":
            await one.of(name)
        assert list(one._kept) == ["c", "d", "e"]

    with_keys(dsn, keys_file, scenario)


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
    return service.run(service.service.invoke(principal, "echo", value))


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
