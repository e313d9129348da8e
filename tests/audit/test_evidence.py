from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit import evidence as module
from subgraph.audit.entry import MAX_ENTRY_BYTES
from subgraph.audit.evidence import (
    MAX_EVIDENCE_BYTES,
    MAX_PROOF_HASHES,
    Evidence,
    EvidenceInvalid,
    Growth,
    verify_evidence,
)
from subgraph.audit.merkle import Frontier, leaf_hash
from subgraph.audit.notes import MAX_NOTE_BYTES, Checkpoint, Signer
from tests.audit import reference_tree as reference
from tests.audit.factory import finished
from tests.audit.reference_tree import entry, mth

ORIGIN = "log.example/audit"
SIGNER = Signer.generate(ORIGIN)
OTHER = Signer.generate("other.example/audit")
KNOWN = [SIGNER.verifier]
SIZE = 11


def note(size: int, signer: Signer = SIGNER) -> str:
    return signer.sign(Checkpoint(signer.name, size, mth(0, size)))


def bundle(seq: int = 6, size: int = SIZE, old_size: int | None = 5) -> Evidence:
    grown = None if old_size is None else Growth(note(old_size), reference.proof(old_size, size))
    return Evidence(entry(seq), seq, note(size), reference.path(seq, 0, size), grown)


def alone(content: bytes) -> Evidence:
    """Evidence of the only entry of a log."""
    return Evidence(content, 0, SIGNER.sign(Checkpoint(ORIGIN, 1, leaf_hash(content))), ())


def written(document: object) -> bytes:
    return json.dumps(document).encode()


def document(**changes: Any) -> bytes:
    return written(json.loads(bundle().encode()) | changes)


def refused(content: bytes) -> str:
    with pytest.raises(EvidenceInvalid) as error:
        verify_evidence(content, KNOWN)
    return error.value.message


@given(st.integers(1, 300), st.data())
def test_evidence_of_every_entry_verifies(size: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(0, size - 1))
    old_size = data.draw(st.none() | st.integers(1, size))
    made = bundle(seq, size, old_size)
    verdict = verify_evidence(made.encode(), [OTHER.verifier, *KNOWN])
    assert (verdict.entry, verdict.seq) == (entry(seq), seq)
    assert verdict.checkpoint == Checkpoint(ORIGIN, size, mth(0, size))
    assert verdict.older == (None if old_size is None else Checkpoint(ORIGIN, old_size, mth(0, old_size)))
    assert Evidence.parse(made.encode()) == made


def test_evidence_of_an_audit_entry_gives_its_bytes() -> None:
    encoded = finished().encode()
    assert verify_evidence(alone(encoded).encode(), KNOWN).entry == encoded


def test_a_log_extends_the_one_without_entries() -> None:
    verdict = verify_evidence(replace(bundle(), consistency=Growth(note(0), ())).encode(), KNOWN)
    assert verdict.older is not None
    assert verdict.older.size == 0


def test_evidence_may_be_laid_out_for_people() -> None:
    laid_out = json.dumps(json.loads(bundle().encode()), indent=2, sort_keys=True).encode()
    assert verify_evidence(laid_out, KNOWN).seq == 6


def test_every_field_is_documented() -> None:
    fields = json.loads(bundle().encode())
    for name in [*fields, *fields["consistency"]]:
        assert f"`{name}`" in str(module.__doc__)
    assert f'"{fields["schema"]}"' in str(module.__doc__)


@pytest.mark.parametrize("old_size", [None, 5])
def test_every_single_byte_that_changes_refuses_the_evidence(old_size: int | None) -> None:
    encoded = bundle(old_size=old_size).encode()
    for at, byte in enumerate(encoded):
        for other in {byte ^ 1, byte ^ 0x80, 0x20, 0x30, 0x22} - {byte}:
            refused(encoded[:at] + bytes([other]) + encoded[at + 1 :])


def test_evidence_that_was_cut_is_refused() -> None:
    encoded = bundle().encode()
    for length in range(len(encoded)):
        refused(encoded[:length])


@given(st.binary() | st.text().map(str.encode))
def test_any_other_bytes_are_refused(content: bytes) -> None:
    refused(content)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.sampled_from(["schema", "entry", "seq", "checkpoint", "inclusion", "consistency"]), anything)
def test_a_field_with_any_other_value_is_refused(name: str, value: object) -> None:
    refused(document(**{name: value}))


@given(st.sampled_from(["checkpoint", "proof"]), anything)
def test_a_field_of_the_consistency_with_any_other_value_is_refused(name: str, value: object) -> None:
    consistency = json.loads(bundle().encode())["consistency"]
    refused(document(consistency=consistency | {name: value}))


def test_a_missing_field_is_named() -> None:
    fields = json.loads(bundle().encode())
    for name in fields.keys() - {"consistency"}:
        rest = {key: value for key, value in fields.items() if key != name}
        assert name in refused(written(rest))
    for name in fields["consistency"]:
        rest = {key: value for key, value in fields["consistency"].items() if key != name}
        assert name in refused(document(consistency=rest))


def without_padding(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


HASH = base64.b64encode(leaf_hash(b"")).decode()

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "an unknown field": (lambda: document(more=1), "does not know"),
    "an unknown field of the consistency": (
        lambda: document(consistency=json.loads(bundle().encode())["consistency"] | {"more": 1}),
        "does not know",
    ),
    "no consistency": (lambda: document(consistency=None), "not a JSON object"),
    "another schema": (lambda: document(schema="cyberos.evidence/2"), "schema"),
    "a name twice": (lambda: bundle().encode().replace(b'"seq":6', b'"seq":0,"seq":6'), "not JSON"),
    "two documents": (lambda: bundle().encode() * 2, "not JSON"),
    "a list": (lambda: b"[" + bundle().encode() + b"]", "not a JSON object"),
    "deep nesting": (lambda: b"[" * (MAX_EVIDENCE_BYTES - 1), "not JSON"),
    "deep nesting of objects": (lambda: b'{"a":' * 100_000, "not JSON"),
    "another encoding": (lambda: bundle().encode().decode().encode("utf-16"), "not JSON"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + bundle().encode(), "not JSON"),
    "a number that is true": (lambda: document(seq=True), "seq"),
    "a number with a fraction": (lambda: document(seq=6.0), "seq"),
    "a number as text": (lambda: document(seq="6"), "seq"),
    "a negative number": (lambda: document(seq=-1), "seq"),
    "a number out of bounds": (lambda: document(seq=2**63 - 1), "seq"),
    "a number of many digits": (
        lambda: document().replace(b'"seq": 6', b'"seq": ' + b"6" * 9999),
        "not JSON",
    ),
    "another number": (lambda: document(seq=7), "not proved to be in the log"),
    "a number beyond the tree": (lambda: document(seq=SIZE), "not proved to be in the log"),
    "another entry": (lambda: replace(bundle(), entry=entry(7)).encode(), "not proved to be in the log"),
    "an empty entry": (lambda: document(entry=""), "not proved to be in the log"),
    "an entry without padding": (lambda: document(entry=without_padding(b"a")), "entry"),
    "an entry with unused bits": (lambda: document(entry="YR=="), "entry"),
    "an entry in base64 of URLs": (lambda: document(entry="__-_"), "entry"),
    "an entry with a space": (lambda: document(entry="YWFh YWFh"), "entry"),
    "an entry that is too long": (lambda: alone(b"a" * (MAX_ENTRY_BYTES + 1)).encode(), "longer"),
    "a short hash": (lambda: document(inclusion=[HASH[:40]]), "32 bytes"),
    "a long hash": (lambda: document(inclusion=["A" * 48]), "longer"),
    "too many hashes": (lambda: document(inclusion=[HASH] * (MAX_PROOF_HASHES + 1)), "at most 64"),
    "a proof that is too long": (lambda: document(inclusion=[HASH] * MAX_PROOF_HASHES), "too long"),
    "a proof that is too short": (lambda: document(inclusion=[]), "too short"),
    "an unsigned checkpoint": (lambda: document(checkpoint=note(SIZE).split("\n\n")[0] + "\n"), "checkpoint"),
    "a checkpoint by an unknown key": (lambda: document(checkpoint=note(SIZE, OTHER)), "No known key"),
    "a checkpoint of another size": (lambda: document(checkpoint=note(SIZE + 1)), "not proved"),
    "an older checkpoint by an unknown key": (
        lambda: replace(bundle(), consistency=Growth(note(5, OTHER), reference.proof(5, SIZE))).encode(),
        "older checkpoint",
    ),
    "an older checkpoint that is newer": (
        lambda: replace(bundle(), consistency=Growth(note(SIZE + 1), ())).encode(),
        "not proved to have grown",
    ),
    "a consistency proof of another size": (
        lambda: replace(bundle(), consistency=Growth(note(4), reference.proof(5, SIZE))).encode(),
        "not proved to have grown",
    ),
    "too large a document": (lambda: b" " * (MAX_EVIDENCE_BYTES + 1), "longer"),
    "text that is no text": (lambda: document(checkpoint="\ud800"), "checkpoint"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_evidence_is_refused_with_its_reason(make: Callable[[], bytes], reason: str) -> None:
    assert reason in refused(make())


def test_a_hash_of_another_length_is_refused_before_anything_is_verified() -> None:
    for length in (0, 31, 33):
        with pytest.raises(EvidenceInvalid, match="inclusion"):
            Evidence.parse(document(inclusion=[base64.b64encode(b"a" * length).decode()]))


def test_checkpoints_of_two_logs_prove_no_growth() -> None:
    mixed = replace(bundle(), consistency=Growth(note(5, OTHER), reference.proof(5, SIZE)))
    with pytest.raises(EvidenceInvalid, match="different logs"):
        verify_evidence(mixed.encode(), [*KNOWN, OTHER.verifier])


def test_a_log_that_rewrote_an_entry_does_not_extend_its_older_self() -> None:
    forged = Frontier()
    forged.extend(leaf_hash(b"forged" if number == 2 else entry(number)) for number in range(8))
    older = SIGNER.sign(Checkpoint(ORIGIN, 8, forged.root()))
    made = replace(bundle(), consistency=Growth(older, reference.proof(8, SIZE)))
    assert "grown" in refused(made.encode())


def test_evidence_is_refused_when_no_key_is_known() -> None:
    with pytest.raises(EvidenceInvalid, match="No known key"):
        verify_evidence(bundle().encode(), [])


def test_the_longest_entry_and_notes_fit() -> None:
    content = b"\xff" * MAX_ENTRY_BYTES
    checkpoint = Checkpoint(ORIGIN, 1, leaf_hash(content))
    room = MAX_NOTE_BYTES - len(SIGNER.sign(checkpoint).encode()) - 1
    longest = SIGNER.sign(replace(checkpoint, extensions=("x" * room,)))
    made = Evidence(content, 0, longest, (), Growth(longest, ()))
    assert len(made.encode()) <= MAX_EVIDENCE_BYTES
    assert verify_evidence(made.encode(), KNOWN).entry == content


def test_the_largest_document_is_read_to_its_end() -> None:
    padded = bundle().encode().ljust(MAX_EVIDENCE_BYTES)
    assert verify_evidence(padded, KNOWN).seq == 6
    assert "longer" in refused(padded + b" ")
