"""Entries about decisions of people: what skills may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from subgraph.audit.entry import MAX_ACTOR_CHARACTERS, Entry, SkillEntry, names, text

MAX_BANK_BYTES = 48 * 1024
"""Of a keyword bank that an entry holds, in UTF-8: three times the built-in one. JSON escapes line ends and
quotes, so that it may be twice as long there, and is within `MAX_ENTRY_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedGrant(SkillEntry):
    """A capability was granted to a skill, for the files of one content hash."""

    kind: ClassVar[str] = "grant.created"

    capability: str

    def _details(self) -> dict[str, object]:
        return {"capability": self.capability}


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedGrant(SkillEntry):
    """A capability was taken back from a skill, whatever its files."""

    kind: ClassVar[str] = "grant.revoked"
    level: ClassVar[str] = "warn"

    capability: str

    def _details(self) -> dict[str, object]:
        return {"capability": self.capability}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedCapability(SkillEntry):
    """A call needed a capability that nobody had granted; an operator is asked."""

    kind: ClassVar[str] = "capability.requested"

    capability: str
    request_id: str

    def _details(self) -> dict[str, object]:
        return {"capability": self.capability, "requestId": self.request_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedCapability(SkillEntry):
    """An operator said no to a request for a capability."""

    kind: ClassVar[str] = "capability.denied"
    level: ClassVar[str] = "warn"

    capability: str
    request_id: str
    note: str

    def _details(self) -> dict[str, object]:
        return {"capability": self.capability, "requestId": self.request_id, "note": text(self.note)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedTrust(SkillEntry):
    """An operator moved a skill to another trust tier; `warning` is what he was told that this opens."""

    kind: ClassVar[str] = "trust.changed"
    level: ClassVar[str] = "warn"

    before: str
    after: str
    warning: str

    def _details(self) -> dict[str, object]:
        return {"before": self.before, "after": self.after, "warning": text(self.warning)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedLimits(SkillEntry):
    """An operator changed what one run of a skill may use; a limit that is not there is that of its tier."""

    kind: ClassVar[str] = "limits.changed"
    level: ClassVar[str] = "warn"

    limits: Mapping[str, int]
    executors: tuple[str, ...] | None

    def _details(self) -> dict[str, object]:
        return {
            "limits": dict(self.limits),
            "executors": None if self.executors is None else names(self.executors),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedBank(Entry):
    """An operator set the keyword bank that is laid over the built-in one, or took it away.

    `sha256` is that of the file's bytes, in hex, `version` the one that it names; both are None where it was
    taken away. `skills` and `keywords` count what is in it. `text` is the file, None where it is over
    `MAX_BANK_BYTES`: the log alone then tells which file it was, and no longer what stood in it.
    """

    kind: ClassVar[str] = "routing.bank"
    level: ClassVar[str] = "warn"

    version: str | None
    sha256: str | None
    skills: int
    keywords: int
    text: str | None

    def _details(self) -> dict[str, object]:
        return {
            "code": "cleared" if self.sha256 is None else "set",
            "version": None if self.version is None else text(self.version),
            "sha256": self.sha256,
            "skills": self.skills,
            "keywords": self.keywords,
            "text": None if self.text is None or len(self.text.encode()) > MAX_BANK_BYTES else self.text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSkill(SkillEntry):
    """A skill was revoked and runs no more."""

    kind: ClassVar[str] = "skill.revoked"
    level: ClassVar[str] = "warn"

    note: str

    def _details(self) -> dict[str, object]:
        return {"note": text(self.note)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinstatedSkill(SkillEntry):
    """A revocation was taken back, and the skill may run again."""

    kind: ClassVar[str] = "skill.reinstated"
    level: ClassVar[str] = "warn"

    note: str

    def _details(self) -> dict[str, object]:
        return {"note": text(self.note)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedSubject(Entry):
    """The key of a subject was destroyed: what the log holds of its inputs and outputs cannot be read again.

    `destroyed` is False when there was no key.
    """

    kind: ClassVar[str] = "subject.erased"
    level: ClassVar[str] = "warn"

    subject: str
    destroyed: bool

    def _details(self) -> dict[str, object]:
        return {"subject": text(self.subject, MAX_ACTOR_CHARACTERS), "destroyed": self.destroyed}
