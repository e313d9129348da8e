"""Entries about runs of skills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from subgraph.audit.entry import MAX_ITEM_CHARACTERS, SkillEntry, names, text, timestamp
from subgraph.audit.stored_fields import StoredFields

MAX_TARGET_CHARACTERS = 200
HOST_CALLS_IN_ENTRY = 24
HOST_CALLS_PER_PAGE = 64
"""Host calls that the entry of a run holds, and that a page of further ones holds, with so much of each
target: with four bytes a character, all that an entry holds is within `MAX_ENTRY_BYTES`."""

EXECUTORS = frozenset({"WASM", "SCRIPT", "INLINE"})
"""By what a skill is run, as entries name it."""

HOST_CALL_OUTCOMES = frozenset({"ok", "error", "denied", "unknown"})
"""What becomes of a host call, as entries say it."""

INTERRUPTED = "INTERRUPTED"
"""Stable code of the error of a run that was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorNote:
    """The error of an invocation: a stable code and a message for people."""

    code: str
    message: str

    def fields(self) -> dict[str, str]:
        """Return what an entry says of it, within its bounds."""
        return {"code": self.code, "message": text(self.message)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCallNote:
    """What a skill asked of the service during a run: never a secret's value or a file's content.

    `outcome` is `ok`, `error` (it could not be done), `denied` (nobody allowed it) or `unknown` (the run
    ended meanwhile). `target` is the path, address or name; `elapsed_us` in microseconds.
    """

    function: str
    target: str
    outcome: str
    elapsed_us: int

    @classmethod
    def parse(cls, fields: StoredFields) -> Self:
        """Read a note of a stored entry back. Raises `ValueError` for something else."""
        return cls(
            function=fields.text("function"),
            target=fields.text("target"),
            outcome=fields.text("outcome"),
            elapsed_us=fields.integer("elapsedUs"),
        )

    def fields(self) -> dict[str, object]:
        """The note as it stands in an entry."""
        return {
            "function": text(self.function, MAX_ITEM_CHARACTERS),
            "target": text(self.target, MAX_TARGET_CHARACTERS),
            "outcome": self.outcome,
            "elapsedUs": self.elapsed_us,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedInvocation(SkillEntry):
    """A skill is about to run that may change something outside: what it may use, before it uses it."""

    kind: ClassVar[str] = "invocation.started"

    invocation_id: str
    executor: str
    key_id: str
    input_commitment: str
    capabilities: tuple[str, ...]

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "executor": self.executor,
            "keyId": self.key_id,
            "inputCommitment": self.input_commitment,
            "capabilities": names(self.capabilities),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NotableHostCall(SkillEntry):
    """A host call that was denied, or that reaches outside: written when it happens, one for each call."""

    kind: ClassVar[str] = "host.call"
    level: ClassVar[str] = "warn"

    invocation_id: str
    call: HostCallNote
    reason: str | None = None

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "call": self.call.fields(),
            "reason": None if self.reason is None else text(self.reason),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherHostCalls(SkillEntry):
    """Host calls of a run for which the entry that finished it had no room; at most `HOST_CALLS_PER_PAGE`."""

    kind: ClassVar[str] = "host.calls"

    invocation_id: str
    first: int
    calls: tuple[HostCallNote, ...]

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "first": self.first,
            "calls": [call.fields() for call in self.calls],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedInvocation(SkillEntry):
    """A skill ran to an end, of whatever kind. Level `warn` unless `exit_code` is 0.

    `elapsed_us` in microseconds, `memory_bytes` in bytes. Commitments are those of `SubjectKey`, that of the
    output None if there was none; `key_id` names the key that they are under. `sealed` holds what
    `SubjectKey.seal` made of each part, None for one that was too long; without encryption it is None.
    """

    kind: ClassVar[str] = "invocation.finished"

    invocation_id: str
    executor: str
    exit_code: int
    started_at: datetime
    ended_at: datetime
    elapsed_us: int
    key_id: str
    input_commitment: str
    output_commitment: str | None = None
    sealed: Mapping[str, Mapping[str, Any] | None] | None = None
    capabilities: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] = ()
    memory_bytes: int | None = None
    error: ErrorNote | None = None
    host_calls: tuple[HostCallNote, ...] = ()
    """The first `HOST_CALLS_IN_ENTRY` that are no entries of their own."""

    host_call_count: int = 0
    """All of them."""

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read stored bytes back. Raises `ValueError` if they are not a finished invocation."""
        entry = StoredFields.decode(encoded, cls.kind)
        sealed, error = entry.optional_object("sealed"), entry.optional_object("error")
        note = None if error is None else ErrorNote(code=error.text("code"), message=error.text("message"))
        return cls(
            actor=entry.text("actor"),
            skill=entry.text("skill"),
            content_hash=entry.text("contentHash"),
            entry_id=entry.text("id"),
            at=entry.moment("at"),
            invocation_id=entry.text("invocationId"),
            executor=_executor(entry),
            exit_code=entry.integer("exitCode"),
            started_at=entry.moment("startedAt"),
            ended_at=entry.moment("endedAt"),
            elapsed_us=entry.integer("elapsedUs"),
            key_id=entry.text("keyId"),
            input_commitment=entry.text("inputCommitment"),
            output_commitment=entry.optional_text("outputCommitment"),
            sealed=None if sealed is None else sealed.values,
            capabilities=entry.texts("capabilities"),
            limits_hit=entry.texts("limitsHit"),
            memory_bytes=entry.optional_place("memoryBytes"),
            host_calls=tuple(map(HostCallNote.parse, entry.objects("hostCalls"))),
            host_call_count=entry.integer("hostCallCount", 0),
            error=note,
        )

    def _level(self) -> str:
        return "info" if self.exit_code == 0 else "warn"

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "executor": self.executor,
            "exitCode": self.exit_code,
            "startedAt": timestamp(self.started_at),
            "endedAt": timestamp(self.ended_at),
            "elapsedUs": self.elapsed_us,
            "keyId": self.key_id,
            "inputCommitment": self.input_commitment,
            "outputCommitment": self.output_commitment,
            "sealed": self.sealed,
            "capabilities": names(self.capabilities),
            "limitsHit": names(self.limits_hit),
            "memoryBytes": self.memory_bytes,
            "hostCalls": [call.fields() for call in self.host_calls[:HOST_CALLS_IN_ENTRY]],
            "hostCallCount": self.host_call_count,
            "error": self.error and self.error.fields(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInvocation(SkillEntry):
    """A skill did not run: `code` and `message` as the caller saw them, `capabilities` as requested.

    `invocation_id` is None unless an entry said before that this run starts.
    """

    kind: ClassVar[str] = "invocation.refused"
    level: ClassVar[str] = "warn"

    code: str
    message: str
    capabilities: tuple[str, ...] = ()
    invocation_id: str | None = None

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "code": self.code,
            "message": text(self.message),
            "capabilities": names(self.capabilities),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedInvocation(SkillEntry):
    """Nothing was heard of a run that an entry said starts, for longer than any may take.

    The service was killed while it ran, so nobody knows how it ended or what it did outside by then. `at` is
    when that was found; `started_seq` is where the entry stands that says that it starts. `executor` is None
    where that entry cannot be read. An end that comes all the same counts instead.
    """

    kind: ClassVar[str] = "invocation.interrupted"
    level: ClassVar[str] = "warn"

    invocation_id: str
    executor: str | None
    started_at: datetime
    started_seq: int
    capabilities: tuple[str, ...]

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read stored bytes back. Raises `ValueError` if they do not tell of a run that was cut off."""
        entry = StoredFields.decode(encoded, cls.kind)
        return cls(
            actor=entry.text("actor"),
            skill=entry.text("skill"),
            content_hash=entry.text("contentHash"),
            entry_id=entry.text("id"),
            at=entry.moment("at"),
            invocation_id=entry.text("invocationId"),
            executor=_executor(entry),
            started_at=entry.moment("startedAt"),
            started_seq=entry.place("startedSeq"),
            capabilities=entry.texts("capabilities"),
        )

    @property
    def exit_code(self) -> int:
        """That of a skill that failed: one that was cut off has none of its own."""
        return 1

    @property
    def ended_at(self) -> datetime:
        """When it was found that it must have ended."""
        return self.at

    @property
    def elapsed_us(self) -> int:
        """Nobody measured it."""
        return 0

    @property
    def error(self) -> ErrorNote:
        """Say what is known."""
        return ErrorNote(
            code=INTERRUPTED,
            message="the service ended while the skill ran; what it had done outside by then is not known",
        )

    @property
    def host_calls(self) -> tuple[HostCallNote, ...]:
        """Those that are entries of their own are all that is known."""
        return ()

    @property
    def host_call_count(self) -> int:
        """As `host_calls`."""
        return 0

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "executor": self.executor,
            "startedAt": timestamp(self.started_at),
            "startedSeq": self.started_seq,
            "capabilities": names(self.capabilities),
        }


def parse_ended(encoded: bytes) -> FinishedInvocation | InterruptedInvocation:
    """Read stored bytes back that tell how a run ended. Raises `ValueError` if they do not."""
    try:
        return FinishedInvocation.parse(encoded)
    except ValueError:
        return InterruptedInvocation.parse(encoded)


def _executor(entry: StoredFields) -> str:
    executor = entry.text("executor")
    if executor not in EXECUTORS:
        raise ValueError(f"{executor!r} runs no skills")
    return executor
