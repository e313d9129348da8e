"""Evidence of one entry: a file that proves, without the service, that the log holds these bytes.

A bundle is a JSON object of schema "cyberos.evidence/1". Bytes are base64 (RFC 4648, section 4).

| field         | meaning                                                                                 |
|---------------|-----------------------------------------------------------------------------------------|
| `schema`      | "cyberos.evidence/1"                                                                    |
| `entry`       | the entry's bytes, exactly as the log hashed them                                       |
| `seq`         | the entry's number in the log, counted from 0                                           |
| `checkpoint`  | a signed checkpoint (C2SP tlog-checkpoint), as text                                     |
| `inclusion`   | the hashes of the inclusion proof (RFC 9162, section 2.1.3), the leaf's sibling first   |
| `consistency` | may be left out: that the log grew out of an older state of it which somebody kept      |

`consistency` is an object of `checkpoint`, the older signed checkpoint, and `proof`, the hashes of the
consistency proof from there to the bundle's checkpoint (RFC 9162, section 2.1.4).

A verified bundle says that the log's key signed a tree which holds the entry at this place. That everybody
is shown the same tree, it says only for checkpoints which were kept or published elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from subgraph.audit import base64_text
from subgraph.audit.entry import MAX_ENTRY_BYTES
from subgraph.audit.merkle import (
    HASH_BYTES,
    MAX_SIZE,
    ProofInvalid,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from subgraph.audit.notes import Checkpoint, NoteInvalid, Verifier, open_note
from subgraph.errors import InputInvalid

SCHEMA = "cyberos.evidence/1"

MAX_EVIDENCE_BYTES = 512 * 1024
"""Of a bundle: an entry of 128 KiB in base64, two notes of 128 KiB and their escapes, and two proofs."""

MAX_PROOF_HASHES = 64
"""Of a proof: a tree of 2**63 leaves has inclusion proofs of 63 hashes and consistency proofs of 64."""

_FIELDS = frozenset({"schema", "entry", "seq", "checkpoint", "inclusion"})
_OPTIONAL = frozenset({"consistency"})
_CONSISTENCY_FIELDS = frozenset({"checkpoint", "proof"})


class EvidenceInvalid(InputInvalid):
    """The evidence does not prove that the log holds the entry."""


@dataclass(frozen=True, slots=True)
class Growth:
    """That the log grew out of an older checkpoint, given as its note."""

    checkpoint: str
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a bundle holds, not yet verified."""

    entry: bytes
    seq: int
    checkpoint: str
    inclusion: tuple[bytes, ...]
    consistency: Growth | None = None

    def encode(self) -> bytes:
        """Write the bundle."""
        document: dict[str, object] = {
            "schema": SCHEMA,
            "entry": base64_text.encode(self.entry),
            "seq": self.seq,
            "checkpoint": self.checkpoint,
            "inclusion": [base64_text.encode(item) for item in self.inclusion],
        }
        if self.consistency is not None:
            document["consistency"] = {
                "checkpoint": self.consistency.checkpoint,
                "proof": [base64_text.encode(item) for item in self.consistency.proof],
            }
        return orjson.dumps(document)

    @classmethod
    def parse(cls, document: bytes) -> Evidence:
        """Read a bundle without verifying it. Raises `EvidenceInvalid` unless it has its documented form."""
        fields = _object(_json(document), _FIELDS, _OPTIONAL, "evidence")
        if fields["schema"] != SCHEMA:
            raise EvidenceInvalid(f"The evidence is not of schema {SCHEMA}.")
        seq = fields["seq"]
        if type(seq) is not int or not 0 <= seq < MAX_SIZE:
            raise EvidenceInvalid("`seq` is not the number of an entry.")
        growth = None
        if "consistency" in fields:
            older = _object(fields["consistency"], _CONSISTENCY_FIELDS, frozenset(), "`consistency`")
            growth = Growth(_text(older["checkpoint"], "consistency"), _hashes(older["proof"], "proof"))
        return cls(
            entry=_bytes(fields["entry"], "entry", MAX_ENTRY_BYTES),
            seq=seq,
            checkpoint=_text(fields["checkpoint"], "checkpoint"),
            inclusion=_hashes(fields["inclusion"], "inclusion"),
            consistency=growth,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verified evidence proves: entry number `seq` of the log has these bytes.

    `older` is the earlier checkpoint that the log was proved to extend, None if the evidence has none.
    """

    entry: bytes
    seq: int
    checkpoint: Checkpoint
    older: Checkpoint | None


def verify_evidence(document: bytes, verifiers: Collection[Verifier]) -> Verdict:
    """Verify a bundle by the log's public keys and nothing else. Raises `EvidenceInvalid`.

    1. The bundle has its documented form, within bounds.
    2. A known key signed the checkpoint.
    3. The entry's bytes are leaf `seq` of the checkpoint's tree.
    4. If there is an older checkpoint, a known key signed it too, it is of the same log, and the
       checkpoint's tree begins with it.
    """
    evidence = Evidence.parse(document)  # 1
    checkpoint = _opened(evidence.checkpoint, verifiers, "checkpoint")  # 2
    leaf = leaf_hash(evidence.entry)
    try:
        verify_inclusion(leaf, evidence.seq, checkpoint.size, evidence.inclusion, checkpoint.root)  # 3
    except ProofInvalid as error:
        raise EvidenceInvalid(f"The entry is not proved to be in the log. {error.message}") from error
    older = None
    if evidence.consistency is not None:  # 4
        older = _opened(evidence.consistency.checkpoint, verifiers, "older checkpoint")
        if older.origin != checkpoint.origin:
            raise EvidenceInvalid("The two checkpoints are of different logs.")
        proof = evidence.consistency.proof
        try:
            verify_consistency(older.size, older.root, checkpoint.size, checkpoint.root, proof)
        except ProofInvalid as error:
            raise EvidenceInvalid(f"The log is not proved to have grown. {error.message}") from error
    return Verdict(evidence.entry, evidence.seq, checkpoint, older)


def _opened(note: str, verifiers: Collection[Verifier], name: str) -> Checkpoint:
    try:
        return open_note(note, verifiers)
    except NoteInvalid as error:
        raise EvidenceInvalid(f"The {name} is refused. {error.message}") from error


def _json(document: bytes) -> object:
    """Read JSON, in which no name may stand twice: readers differ in which of the two they see."""
    if len(document) > MAX_EVIDENCE_BYTES:
        raise EvidenceInvalid(f"The evidence is longer than {MAX_EVIDENCE_BYTES} bytes.")
    try:
        return json.loads(document.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise EvidenceInvalid("The evidence is not JSON.") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return fields


def _object(value: object, needed: frozenset[str], optional: frozenset[str], name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EvidenceInvalid(f"The {name} is not a JSON object.")
    if missing := sorted(needed - value.keys()):
        raise EvidenceInvalid(f"The {name} lacks {', '.join(missing)}.")
    if value.keys() - needed - optional:
        raise EvidenceInvalid(f"The {name} has a field that its schema does not know.")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise EvidenceInvalid(f"`{name}` is not text.")
    return value


def _hashes(value: object, name: str) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_PROOF_HASHES:
        raise EvidenceInvalid(f"`{name}` is not a list of at most {MAX_PROOF_HASHES} hashes.")
    hashes = tuple(_bytes(item, name, HASH_BYTES) for item in value)
    if any(len(item) != HASH_BYTES for item in hashes):
        raise EvidenceInvalid(f"`{name}` holds a hash that is not {HASH_BYTES} bytes long.")
    return hashes


def _bytes(value: object, name: str, limit: int) -> bytes:
    try:
        content = base64_text.decode(_text(value, name))
    except ValueError as error:
        raise EvidenceInvalid(f"`{name}` is malformed: {error}.") from error
    if len(content) > limit:
        raise EvidenceInvalid(f"`{name}` is longer than {limit} bytes.")
    return content
