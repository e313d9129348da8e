"""Audit entries: what is recorded, and the one way to write it as bytes.

An entry is a JSON object in canonical form: keys sorted, no white space, UTF-8, integers only. Its bytes
are what is stored, hashed and proved later, so equal entries must have equal bytes on every machine.
Names in the JSON are camelCase, as in the GraphQL schema.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Self

import orjson

from subgraph.errors import ExecutionFailed

SCHEMA = "cyberos.audit/1"

MAX_ENTRY_BYTES = 64 * 1024
"""Size of one entry: 100 times a usual one (660 bytes), and a batch of 256 stays under 16 MiB."""

MAX_DEPTH = 8
"""Nesting of an entry; ours reach 2."""

MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

MAX_TEXT_CHARACTERS = 2000
"""Free text (a skill's error message, a note) is cut to this: it must never keep an entry out of the log."""

MAX_ACTOR_CHARACTERS = 256
"""OpenID Connect Core bounds `sub` at 255."""

MAX_LIST_ITEMS = 64
MAX_ITEM_CHARACTERS = 100
"""Capabilities and limits of one entry: the vocabulary is far smaller, what a caller sends may not be. With
each character escaped in 6 bytes, all free text of an entry is within `MAX_ENTRY_BYTES`."""


class EntryRefused(ExecutionFailed):
    """The audit log does not accept this entry."""


def canonical(entry: Mapping[str, object]) -> bytes:
    """Write an entry as canonical bytes.

    Values are str, int, bool, None, lists and objects of them. Raises `EntryRefused` for anything else,
    floats and the character U+0000 among them, and for more than `MAX_ENTRY_BYTES`.
    """
    _check(entry, MAX_DEPTH)
    try:
        encoded = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise EntryRefused(f"An audit entry cannot be written as JSON: {error}.") from error
    if len(encoded) > MAX_ENTRY_BYTES:
        raise EntryRefused(f"An audit entry of {len(encoded)} bytes exceeds {MAX_ENTRY_BYTES}.")
    return encoded


def _check(value: object, depth: int) -> None:
    if isinstance(value, str):
        # PostgreSQL's text cannot hold it, so no column could be derived from the entry.
        if "\0" in value:
            raise EntryRefused("An audit entry holds the character U+0000.")
        return
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise EntryRefused("An audit entry holds an integer beyond 53 bits, which readers would round.")
        return
    if depth == 0:
        raise EntryRefused(f"An audit entry is nested deeper than {MAX_DEPTH}.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EntryRefused("An audit entry has a key that is not text.")
            _check(key, depth)
            _check(item, depth - 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item, depth - 1)
    else:
        raise EntryRefused(f"An audit entry holds a value of type {type(value).__name__}.")


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


def _time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always of one length. Raises `EntryRefused` without a zone."""
    if moment.tzinfo is None:
        raise EntryRefused("An audit entry holds a time without a zone.")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _text(value: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Cut free text to `limit` characters, and replace those that UTF-8 or PostgreSQL cannot hold."""
    cut = value[:limit].replace("\0", "\ufffd")
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def _names(values: Sequence[str]) -> list[str]:
    return [_text(value, MAX_ITEM_CHARACTERS) for value in values[:MAX_LIST_ITEMS]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(ABC):
    """What all kinds share. `skill` is a path, `content_hash` that of the skill's files."""

    kind: ClassVar[str]
    level: ClassVar[str] = "info"

    actor: str
    skill: str
    content_hash: str
    entry_id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=_now)

    def encode(self) -> bytes:
        """The entry's canonical bytes. Raises `EntryRefused` for a value that cannot be written."""
        return canonical(
            {
                "schema": SCHEMA,
                "id": self.entry_id,
                "kind": self.kind,
                "level": self._level(),
                "at": _time(self.at),
                "actor": _text(self.actor, MAX_ACTOR_CHARACTERS),
                "skill": self.skill,
                "contentHash": self.content_hash,
                **self._details(),
            }
        )

    def _level(self) -> str:
        return self.level

    @abstractmethod
    def _details(self) -> dict[str, object]:
        """The fields of this kind alone, by their names in the JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorNote:
    """The error of an invocation: a stable code and a message for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedInvocation(Entry):
    """A skill ran to an end, of whatever kind. Level `warn` unless `exit_code` is 0.

    `elapsed_us` in microseconds, `memory_bytes` in bytes; hashes are hexadecimal SHA-256, that of the
    output None if there was none.
    """

    kind: ClassVar[str] = "invocation.finished"

    invocation_id: str
    executor: str
    exit_code: int
    started_at: datetime
    ended_at: datetime
    elapsed_us: int
    input_sha256: str
    output_sha256: str | None = None
    capabilities: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] = ()
    memory_bytes: int | None = None
    error: ErrorNote | None = None

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read stored bytes back. Raises `ValueError` if they are not a finished invocation."""
        entry = orjson.loads(encoded)
        if entry.get("kind") != cls.kind:
            raise ValueError(f"an entry of kind {entry.get('kind')!r} is not a finished invocation")
        error = entry["error"]
        return cls(
            actor=entry["actor"],
            skill=entry["skill"],
            content_hash=entry["contentHash"],
            entry_id=entry["id"],
            at=datetime.fromisoformat(entry["at"]),
            invocation_id=entry["invocationId"],
            executor=entry["executor"],
            exit_code=entry["exitCode"],
            started_at=datetime.fromisoformat(entry["startedAt"]),
            ended_at=datetime.fromisoformat(entry["endedAt"]),
            elapsed_us=entry["elapsedUs"],
            input_sha256=entry["inputSha256"],
            output_sha256=entry["outputSha256"],
            capabilities=tuple(entry["capabilities"]),
            limits_hit=tuple(entry["limitsHit"]),
            memory_bytes=entry["memoryBytes"],
            error=ErrorNote(code=error["code"], message=error["message"]) if error else None,
        )

    def _level(self) -> str:
        return "info" if self.exit_code == 0 else "warn"

    def _details(self) -> dict[str, object]:
        return {
            "invocationId": self.invocation_id,
            "executor": self.executor,
            "exitCode": self.exit_code,
            "startedAt": _time(self.started_at),
            "endedAt": _time(self.ended_at),
            "elapsedUs": self.elapsed_us,
            "inputSha256": self.input_sha256,
            "outputSha256": self.output_sha256,
            "capabilities": _names(self.capabilities),
            "limitsHit": _names(self.limits_hit),
            "memoryBytes": self.memory_bytes,
            "error": self.error and {"code": self.error.code, "message": _text(self.error.message)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInvocation(Entry):
    """A skill did not run: `code` and `message` as the caller saw them, `capabilities` as requested."""

    kind: ClassVar[str] = "invocation.refused"
    level: ClassVar[str] = "warn"

    code: str
    message: str
    capabilities: tuple[str, ...] = ()

    def _details(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": _text(self.message),
            "capabilities": _names(self.capabilities),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedGrant(Entry):
    """A capability was granted to a skill, for the files of one content hash."""

    kind: ClassVar[str] = "grant.created"

    capability: str

    def _details(self) -> dict[str, object]:
        return {"capability": self.capability}


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSkill(Entry):
    """A skill was revoked and runs no more."""

    kind: ClassVar[str] = "skill.revoked"
    level: ClassVar[str] = "warn"

    note: str

    def _details(self) -> dict[str, object]:
        return {"note": _text(self.note)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinstatedSkill(Entry):
    """A revocation was taken back, and the skill may run again."""

    kind: ClassVar[str] = "skill.reinstated"
    level: ClassVar[str] = "warn"

    note: str

    def _details(self) -> dict[str, object]:
        return {"note": _text(self.note)}
