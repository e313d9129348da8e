from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit import (
    CreatedGrant,
    EntryRefused,
    ErrorNote,
    FinishedInvocation,
    HostCallNote,
    RefusedInvocation,
    RevokedSkill,
    canonical,
)
from subgraph.audit.entry import MAX_ENTRY_BYTES, MAX_INTEGER, MAX_TEXT_CHARACTERS
from tests.audit.factory import NOON, finished

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)
entries = st.dictionaries(text, values, max_size=8).filter(lambda entry: _depth(entry) <= 8)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        order.shuffle(items)
        return {key: _shuffled(item, order) for key, item in items}
    return [_shuffled(item, order) for item in value] if isinstance(value, list) else value


@given(entries, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_the_bytes(entry: dict[str, Any], order: random.Random) -> None:
    assert canonical(_shuffled(entry, order)) == canonical(entry)


@given(entries)
def test_canonical_bytes_read_back_as_the_same_entry_and_the_same_bytes(entry: dict[str, Any]) -> None:
    encoded = canonical(entry)
    assert orjson.loads(encoded) == entry
    assert canonical(orjson.loads(encoded)) == encoded


def test_canonical_bytes_are_sorted_compact_utf8() -> None:
    assert canonical({"b": [1, True, None], "a": {"z": "ễ", "y": "\u0001"}}) == (
        '{"a":{"y":"\\u0001","z":"ễ"},"b":[1,true,null]}'.encode()
    )


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        2**70,
        b"bytes",
        NOON,
        UUID(int=1),
        {1: "a"},
        {"a", "b"},
        "\ud800",
        "\0",
        {"\0": 1},
        [[[[[[[[[1]]]]]]]]],
        "x" * MAX_ENTRY_BYTES,
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(EntryRefused):
        canonical({"value": value})


def test_a_finished_invocation_is_written_with_every_field() -> None:
    entry = finished(
        entry_id="1b0f4f3c-6c3b-4f0e-9c64-3a1f6c1f2d10",
        invocation_id="7a3f7a52-58a4-4a52-8a0f-0a8f7bb0a6a1",
        exit_code=137,
        output_commitment=None,
        limits_hit=("memory",),
        error=ErrorNote(code="LIMIT_EXCEEDED", message="too large"),
        host_calls=(HostCallNote(function="read_file", target="a.txt", outcome="ok", elapsed_us=80),),
        host_call_count=30,
    )
    assert orjson.loads(entry.encode()) == {
        "schema": "cyberos.audit/2",
        "id": "1b0f4f3c-6c3b-4f0e-9c64-3a1f6c1f2d10",
        "kind": "invocation.finished",
        "level": "warn",
        "at": "2026-11-20T12:00:00.123456Z",
        "actor": "local",
        "skill": "cuo/cpo/prd-author",
        "contentHash": "a" * 64,
        "invocationId": "7a3f7a52-58a4-4a52-8a0f-0a8f7bb0a6a1",
        "executor": "WASM",
        "exitCode": 137,
        "startedAt": "2026-11-20T12:00:00.122644Z",
        "endedAt": "2026-11-20T12:00:00.123456Z",
        "elapsedUs": 812,
        "keyId": "0123456789abcdef",
        "inputCommitment": "b" * 64,
        "outputCommitment": None,
        "sealed": None,
        "capabilities": ["fs.read", "log"],
        "limitsHit": ["memory"],
        "memoryBytes": 1_048_576,
        "hostCalls": [{"function": "read_file", "target": "a.txt", "outcome": "ok", "elapsedUs": 80}],
        "hostCallCount": 30,
        "error": {"code": "LIMIT_EXCEEDED", "message": "too large"},
    }


@pytest.mark.parametrize(
    "entry",
    [
        finished(),
        finished(exit_code=1, error=ErrorNote(code="EXECUTION_FAILED", message="no")),
        finished(memory_bytes=None),
    ],
)
def test_a_finished_invocation_reads_back_equal(entry: FinishedInvocation) -> None:
    assert FinishedInvocation.parse(entry.encode()) == entry


def test_other_kinds_do_not_read_back_as_an_invocation() -> None:
    entry = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="leaks")
    with pytest.raises(ValueError, match=r"skill\.revoked"):
        FinishedInvocation.parse(entry.encode())


def test_a_refusal_carries_what_the_caller_saw() -> None:
    entry = RefusedInvocation(
        actor="ann",
        skill="a/b",
        content_hash="a",
        code="GRANT_STALE",
        message="changed",
        capabilities=("fs.read",),
    )
    written = orjson.loads(entry.encode())
    assert (written["kind"], written["level"]) == ("invocation.refused", "warn")
    assert (written["code"], written["message"]) == ("GRANT_STALE", "changed")
    assert written["capabilities"] == ["fs.read"]


def test_grants_and_revocations_carry_their_own_fields() -> None:
    grant = CreatedGrant(actor="ann", skill="a/b", content_hash="a", capability="fs.read")
    written = orjson.loads(grant.encode())
    assert (written["kind"], written["level"], written["capability"]) == ("grant.created", "info", "fs.read")
    revoked = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="leaks")
    written = orjson.loads(revoked.encode())
    assert (written["kind"], written["level"], written["note"]) == ("skill.revoked", "warn", "leaks")
    assert grant.entry_id != revoked.entry_id


def test_times_are_written_in_utc_with_microseconds() -> None:
    hanoi = datetime(2026, 11, 20, 19, 0, tzinfo=timezone(timedelta(hours=7)))
    assert orjson.loads(finished(at=hanoi).encode())["at"] == "2026-11-20T12:00:00.000000Z"
    with pytest.raises(EntryRefused, match="without a zone"):
        finished(at=datetime(2026, 11, 20)).encode()  # noqa: DTZ001 -- what is refused


def test_text_from_outside_never_keeps_an_entry_out_of_the_log() -> None:
    message = "\x00\ud800" + "ễ" * 100_000
    written = orjson.loads(finished(error=ErrorNote(code="EXECUTION_FAILED", message=message)).encode())
    assert written["error"]["message"].startswith("\ufffd?ễ")
    assert len(written["error"]["message"]) == MAX_TEXT_CHARACTERS
    long = "\x01" * 100_000
    refused = RefusedInvocation(
        actor=long, skill="a/b", content_hash="a", code="X", message=long, capabilities=(long,) * 1000
    )
    assert len(refused.encode()) <= MAX_ENTRY_BYTES


def test_an_entry_is_dated_when_it_is_made() -> None:
    entry = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="leaks")
    assert datetime.now(UTC) - entry.at < timedelta(seconds=5)
