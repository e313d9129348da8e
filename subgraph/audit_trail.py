"""The audit trail as its readers see it: entries proved, payloads opened, subjects erased."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid4

from subgraph.audit import FinishedInvocation, InterruptedInvocation, SubjectKeys, find_invocations
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.consistency_check import check_structure
from subgraph.audit.evidence import Evidence
from subgraph.audit.findings import Finding, FindingCode
from subgraph.audit.json_forms import forms_of
from subgraph.audit.log_changes import DroppedEntries, RotatedKey
from subgraph.audit.log_tree import LogDamaged, LogTree
from subgraph.audit.notes import Checkpoint, NoteInvalid, Verifier
from subgraph.audit.payloads import Part, SubjectKey, commitment
from subgraph.audit.tiles import Tile
from subgraph.audit.verification import KeptCheckpoint, Verification, verify_log
from subgraph.capabilities.decision_check import check_decisions
from subgraph.errors import InputInvalid
from subgraph.principal import Principal, Scope
from subgraph.storage import Database

MAX_SUBJECT_CHARACTERS = 256

MAX_CHECKPOINTS = 10_000
"""Of the stores, that one verification compares: three hours of them, or of more an even choice. To open one
takes 0.15 ms, and what the newest proves is all of the log; the others say better where a fault lies."""


class Likeness(StrEnum):
    """How some bytes compare with what was committed to."""

    SAME = "the same"
    SAME_BUT_NEWLINE = "the same, but for the newline at the end"
    SAME_JSON = "the same JSON, written otherwise"
    OTHER = "NOT the same"
    ERASED = "erased"

    @property
    def agrees(self) -> bool:
        """Whether it is the same content."""
        return self not in (Likeness.OTHER, Likeness.ERASED)


@dataclass(frozen=True, slots=True)
class Payload:
    """What is known of one part of an invocation: the commitment, the salt that opens it, the bytes.

    `salt` is None when the subject was erased; `data` too, and where nothing was encrypted. `too_long` says
    that the part was not kept for its length.
    """

    part: Part
    commitment: str
    salt: bytes | None
    data: bytes | None
    too_long: bool

    def matches(self, data: bytes) -> bool | None:
        """Whether these bytes are the ones that were committed to; None when nobody can tell any more."""
        if self.salt is None:
            return None
        return hmac.compare_digest(commitment(self.salt, data), self.commitment)

    def compare(self, data: bytes) -> Likeness:
        """Compare bytes as they are, without one newline at the end, and as JSON in its other forms.

        Whoever called over GraphQL, or kept what `run` printed, never saw the bytes of the commitment.
        """
        if self.salt is None:
            return Likeness.ERASED
        if self.matches(data):
            return Likeness.SAME
        if data.endswith(b"\n") and self.matches(data[:-1]):
            return Likeness.SAME_BUT_NEWLINE
        return Likeness.SAME_JSON if any(map(self.matches, forms_of(data))) else Likeness.OTHER


class AuditTrail:
    """What surfaces ask of the log. Methods name the scope that they need, and raise `Forbidden` without it.

    All raise `StorageUnavailable`, and `LogDamaged` where the log is not what was signed.
    """

    def __init__(
        self, database: Database, tree: LogTree, checkpoints: Checkpoints, subjects: SubjectKeys
    ) -> None:
        self._database = database
        self._tree = tree
        self._checkpoints = checkpoints
        self._subjects = subjects

    @property
    def checkpoint_age_seconds(self) -> float:
        """How long ago everything had a checkpoint."""
        return self._checkpoints.age_seconds

    @property
    def vkey(self) -> str:
        """The public key that signs checkpoints; everybody may have it."""
        return self._checkpoints.vkey

    async def checkpoint(self) -> tuple[Checkpoint, str]:
        """Return the newest signed checkpoint and its note; everybody may have it."""
        return await self._checkpoints.newest()

    async def tile(self, path: str) -> bytes | None:
        """Return a tile's hashes (C2SP tlog-tiles); None when the signed log has no such tile.

        Everybody may have it: the hashes of entries tell nothing of them, each has a random id.
        """
        try:
            tile = Tile.parse(path)
        except ValueError:
            return None
        checkpoint, _ = await self._checkpoints.newest()
        width = (checkpoint.size >> 8 * tile.level) - tile.index * 256
        if width < tile.width:
            return None
        return b"".join(await self._tree.tile(tile))

    async def entry(self, principal: Principal, seq: int) -> bytes | None:
        """Return an entry's bytes; None when there is none (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await self._tree.entry(seq) if seq >= 0 else None

    async def prove(self, principal: Principal, seq: int, older: str | None = None) -> Evidence:
        """Return what proves an entry to whoever has the public key (`skill:audit`).

        `older` is a signed checkpoint that somebody kept: then it is proved, too, that the log has grown out
        of it. Raises `InputInvalid` for an entry or a checkpoint that is none of this log.
        """
        principal.require(Scope.AUDIT)
        _, evidence = await self._checkpoints.prove(seq, older)
        return evidence

    async def verify(
        self,
        principal: Principal,
        notes: Sequence[tuple[str, str]] = (),
        tell: Callable[[int, int], None] | None = None,
    ) -> Verification:
        """Read the whole log, and hold it to what was signed of it (`skill:audit`).

        `notes` are signed checkpoints from elsewhere, each with where it was kept; they are compared beside
        those of the stores: all of them, or an even choice of up to `MAX_CHECKPOINTS` and the last one.
        A note that no key of the log has signed is a finding. `tell` gets how far it is, and of how much.
        """
        principal.require(Scope.AUDIT)
        opened, invalid = [], []
        for source, note in (*notes, *await self._checkpoints.kept(MAX_CHECKPOINTS)):
            try:
                opened.append(KeptCheckpoint(source, self._checkpoints.opened(note)))
            except NoteInvalid as error:
                message = f"A checkpoint in {source} is refused. {error.message}"
                invalid.append(Finding(FindingCode.CHECKPOINT_INVALID, message))
        result = await verify_log(self._database, opened, tell)
        return replace(result, findings=(*dict.fromkeys(invalid), *result.findings))

    async def check_structure(self, principal: Principal) -> tuple[Finding, ...]:
        """Check that what is derived from entries follows from them, and that the log is protected.

        Decisions that hold are among it: grants, revocations, trust and limits (`skill:audit`).
        """
        principal.require(Scope.AUDIT)
        return (*await check_structure(self._database), *await check_decisions(self._database))

    async def payloads(self, principal: Principal, invocation_id: UUID) -> list[Payload]:
        """Return what is known of an invocation's input and output (`skill:audit`).

        Raises `InputInvalid` when there is no such invocation.
        """
        principal.require(Scope.AUDIT)
        found = await find_invocations(self._database, [invocation_id])
        recorded = found.get(invocation_id)
        if recorded is None:
            raise InputInvalid("there is no such invocation")
        entry = recorded.entry
        if isinstance(entry, InterruptedInvocation):
            raise InputInvalid(
                f"this run was cut off: entry {entry.started_seq} has what is known of its input"
            )
        key = await self._subjects.find(entry.actor)
        if key is not None and key.key_id != entry.key_id:
            key = None  # that one was destroyed, and the subject has called again since
        committed = {Part.INPUT: entry.input_commitment, Part.OUTPUT: entry.output_commitment}
        return [
            _payload(entry, part, digest, key) for part, digest in committed.items() if digest is not None
        ]

    async def erase(self, principal: Principal, subject: str) -> bool:
        """Destroy the key of a subject, for good (`skill:grant`); False when there was none.

        What the log holds of its inputs and outputs can then neither be read nor compared. Proofs hold.
        """
        principal.require(Scope.GRANT)
        if not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS or not _storable(subject):
            raise InputInvalid(f"a subject has 1 to {MAX_SUBJECT_CHARACTERS} characters")
        return await self._subjects.erase(subject, principal.actor)

    async def rotate_key(self, principal: Principal) -> tuple[Verifier, Verifier]:
        """Sign checkpoints by a new key, and record that; return the old and the new one (`skill:grant`).

        The old private key is destroyed. Its public one is kept, and verifies what it has signed.
        """
        principal.require(Scope.GRANT)
        retired, current = await self._checkpoints.rotate_key()
        entry = RotatedKey(actor=principal.actor, retired=retired.vkey, current=current.vkey)
        await self._database.fetchval("audit_append", uuid4(), [entry.encode()])
        await self._checkpoints.publish()
        return retired, current

    async def drop(self, principal: Principal, before: int) -> tuple[int, int]:
        """Drop entries before a number, in whole partitions, and record that (`skill:grant`).

        Returns the first entry that was left until now, and the first that is left. Hashes stay, and with
        them the proofs of later entries. All entries have a signed checkpoint before any is dropped.
        """
        principal.require(Scope.GRANT)
        await self._checkpoints.publish()
        checkpoint, _ = await self._checkpoints.newest()
        if not 0 <= before <= checkpoint.size:
            raise InputInvalid(f"there is no entry {before}: the log has {checkpoint.size}")
        async with self._database.owner() as connection, connection.transaction():
            # In the order in which whoever appends takes these locks.
            await connection.fetchval(self._database.sql("audit_head_lock"))
            await connection.fetchval(self._database.sql("audit_drop_patience"))
            had = await connection.fetchval(self._database.sql("audit_drop"), 0)
            left = await connection.fetchval(self._database.sql("audit_drop"), before)
            if left != had:
                entry = DroppedEntries(actor=principal.actor, first=left)
                await connection.fetchval(self._database.sql("audit_append"), uuid4(), [entry.encode()])
        await self._checkpoints.publish()
        return had, left


def _payload(entry: FinishedInvocation, part: Part, digest: str, key: SubjectKey | None) -> Payload:
    kept = entry.sealed is not None and part.value in entry.sealed
    sealed = entry.sealed[part.value] if entry.sealed is not None and kept else None
    if key is None:
        return Payload(part, digest, None, None, too_long=kept and sealed is None)
    try:
        data = None if sealed is None else key.open(entry.invocation_id, part, sealed)
    except (ValueError, LookupError, TypeError) as error:
        raise LogDamaged(
            "What was sealed of an invocation cannot be opened by the key that it names."
        ) from error
    return Payload(part, digest, key.salt(entry.invocation_id, part), data, too_long=kept and sealed is None)


def _storable(text: str) -> bool:
    """Whether PostgreSQL's text can hold it."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
