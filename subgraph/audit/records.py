"""Decisions as records to read: each has an address and a text in Markdown, made of its entry alone.

An address is `brain://meta/decisions/<unix seconds>_<first 4 digits of the entry's id>.md`; decisions about
queries lie in `meta/cuo-decisions`. The text begins with front matter; then come a title and fields, a line
each. What an entry holds stands in fields alone, each within its line, with everything escaped that Markdown
or HTML would obey.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson

from subgraph.errors import InputInvalid
from subgraph.storage import Database

SCHEME = "brain://"

SHARED_LIMIT = 64
"""Records of one address that are returned: two that share it need the same second and 16 equal bits."""

TAKEN_BACK_LIMIT = 1000
"""Entries of capabilities that were taken back that are returned, the newest: a person is to read them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ADDRESS = re.compile(rf"(?:{SCHEME})?(meta/[a-z]+(?:-[a-z]+)*/([0-9]{{1,11}})_([0-9a-f]{{4}})\.md)")

# A backslash before these is never shown (CommonMark, section 2.4). `:` and `.` only where some renderers
# would make a link of what follows.
_OBEYED = re.compile(r"[\\`*_\[\]<>&~|#$]|:(?=//)|(?<=www)\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """How entries of one kind read: where they lie, their schema and title, and fields by label and key."""

    title: str
    fields: tuple[tuple[str, str], ...]
    folder: str = "meta/decisions"
    schema: str = "decision-v1"


_MADE = (("By", "actor"), ("At", "at"))
_ENTRY = ("Entry", "id")
_CAPABILITY = ("Capability", "capability")
_REQUEST = ("Request", "requestId")
_NOTE = ("Note", "note")


def _about_a_skill(title: str, *fields: tuple[str, str]) -> Form:
    """Make the form of a decision about a skill."""
    return Form(title, (("Skill", "skill"), *fields, *_MADE, ("Content hash", "contentHash"), _ENTRY))


def _about_the_log(title: str, *fields: tuple[str, str]) -> Form:
    """Make the form of a decision about the log itself."""
    return Form(title, (*fields, *_MADE, _ENTRY))


def _about_a_query(title: str, *fields: tuple[str, str]) -> Form:
    """Make the form of what the router decided."""
    return Form(title, fields, folder="meta/cuo-decisions", schema="cuo-decision-v1")


def _after_a_query(title: str, *fields: tuple[str, str]) -> Form:
    """Make the form of what became of the router's decision."""
    result = (("Decision", "skill"), ("Result", "code"))
    return _about_a_query(title, *result, *fields, *_MADE, _REQUEST, _ENTRY)


FORMS: Mapping[str, Form] = {
    "grant.created": _about_a_skill("Capability granted", _CAPABILITY),
    "grant.revoked": _about_a_skill("Capability taken back", _CAPABILITY),
    "capability.requested": _about_a_skill("Capability asked for", _CAPABILITY, _REQUEST),
    "capability.denied": _about_a_skill("Capability denied", _CAPABILITY, _NOTE, _REQUEST),
    "trust.changed": _about_a_skill(
        "Trust changed", ("Before", "before"), ("After", "after"), ("Warning", "warning")
    ),
    "limits.changed": _about_a_skill("Limits changed", ("Limits", "limits"), ("Executors", "executors")),
    "skill.revoked": _about_a_skill("Skill revoked", _NOTE),
    "skill.reinstated": _about_a_skill("Skill reinstated", _NOTE),
    "subject.erased": _about_the_log(
        "Subject erased", ("Subject", "subject"), ("Key destroyed", "destroyed")
    ),
    "key.rotated": _about_the_log("Signing key rotated", ("Old key", "retired"), ("New key", "current")),
    "entries.dropped": _about_the_log("Old entries dropped", ("First that is left", "first")),
    "routing.bank": _about_the_log(
        "Keyword bank changed",
        ("Change", "code"),
        ("Version", "version"),
        ("SHA-256", "sha256"),
        ("Skills", "skills"),
        ("Keywords", "keywords"),
        ("Text", "text"),
    ),
    "routing.decision": _about_a_query(
        "CUO routing decision",
        ("Query commitment", "queryCommitment"),
        ("Catalog fingerprint", "catalogFingerprint"),
        ("Decision", "skillName"),
        ("Confidence", "confidence"),
        ("Rationale", "rationale"),
        ("Alternatives", "alternatives"),
        ("Persona", "persona"),
        ("Persona version", "personaVersion"),
        ("Missing", "missing"),
        ("Ambiguous", "ambiguous"),
        ("State", "code"),
        ("Lifecycle", "lifecycle"),
        *_MADE,
        _REQUEST,
    ),
    "routing.consultation": _about_a_query(
        "CUO model asked",
        ("Model", "model"),
        ("Result", "code"),
        ("Pick", "pick"),
        ("Confidence in percent", "confidencePercent"),
        ("Temperature", "temperature"),
        ("Seed", "seed"),
        ("Prompt version", "promptVersion"),
        ("Prompt commitment", "promptCommitment"),
        ("Attempts", "attempts"),
        ("Tokens in", "tokensIn"),
        ("Tokens out", "tokensOut"),
        ("Cost in USD", "cost"),
        *_MADE,
        _REQUEST,
        _ENTRY,
    ),
    "routing.outcome": _after_a_query(
        "CUO routing outcome",
        ("Error", "error"),
        ("Invocation", "invocationId"),
        ("Lifecycle", "lifecycle"),
    ),
    "routing.chain": _after_a_query("CUO chain", ("Steps", "steps"), ("Elapsed us", "elapsedUs")),
    "routing.replay": _after_a_query("CUO decision replayed"),
}
"""A kind that is not here reads under `Decision`, with all of its fields by their own names."""

_COMMON = frozenset({"schema", "id", "kind", "level", "at", "actor", "skill", "contentHash"})


@dataclass(frozen=True)
class AuditRecord:
    """An entry that tells of a decision: the bytes that are in the log, and what they say."""

    seq: int
    encoded: bytes

    @cached_property
    def body(self) -> dict[str, Any]:
        """All that the entry says."""
        body: dict[str, Any] = orjson.loads(self.encoded)
        return body

    @property
    def kind(self) -> str:
        """What was decided, such as `grant.created`."""
        return str(self.body["kind"])

    @property
    def level(self) -> str:
        """`info`, or `warn` for what takes away or opens."""
        return str(self.body["level"])

    @property
    def at(self) -> datetime:
        """When it was decided."""
        return datetime.fromisoformat(self.body["at"])

    @property
    def actor(self) -> str:
        """Who decided."""
        return str(self.body["actor"])

    @property
    def skill_path(self) -> str | None:
        """The skill that it is about."""
        return self._text("skill")

    @property
    def capability(self) -> str | None:
        """The capability that it is about."""
        return self._text("capability")

    @cached_property
    def address(self) -> str:
        """Where the record is found."""
        return address_of(self.body)

    @cached_property
    def markdown(self) -> str:
        """The record as text."""
        return markdown_of(self.body)

    @property
    def is_readable(self) -> bool:
        """Whether all of that can be told: an entry that this program did not write may hold anything.

        The text itself can be told of any other fields, so it need not be written to know.
        """
        try:
            if not all(isinstance(self.body[name], str) for name in ("id", "kind", "level", "actor")):
                return False
            UUID(self.body["id"])
            has_zone = self.at.tzinfo is not None
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return False
        return has_zone

    def _text(self, key: str) -> str | None:
        value = self.body.get(key)
        return value if isinstance(value, str) else None


def form_of(body: Mapping[str, Any]) -> Form:
    """Find the form of an entry."""
    kind = str(body["kind"])
    if kind in FORMS:
        return FORMS[kind]
    details = sorted(set(body) - _COMMON)
    return _about_a_skill("Decision", ("Kind", "kind"), *((key, key) for key in details))


def address_of(body: Mapping[str, Any]) -> str:
    """Tell the address of an entry's record."""
    seconds = (datetime.fromisoformat(body["at"]) - _EPOCH) // timedelta(seconds=1)
    return f"{SCHEME}{form_of(body).folder}/{seconds}_{UUID(body['id']).hex[:4]}.md"


def markdown_of(body: Mapping[str, Any]) -> str:
    """Write an entry as its record. Fields that the entry lacks or that say nothing are left out."""
    form = form_of(body)
    front = {
        "kind": "decisions",
        "sync_class": "private",
        "classification": "internal",
        "schema": form.schema,
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {value}" for name, value in front.items()),
            "---",
            f"# {form.title}",
            "",
            *fields_of(body, form.fields),
            "",
        ]
    )


def fields_of(body: Mapping[str, Any], labels: Iterable[tuple[str, str]]) -> list[str]:
    """Write fields of an entry by label and key, each as a line; without those that say nothing."""
    fields = ((label, _shown(body.get(key))) for label, key in labels)
    return [f"**{escaped(label)}:** {escaped(value)}" for label, value in fields if value]


def escaped(text: str) -> str:
    """Escape a text for the inside of a line of Markdown, where it then reads as itself and does nothing.

    Characters that are not seen, line ends among them, are written as their numbers.
    """
    seen = text if text.isprintable() else "".join(map(_seen, text))
    return _OBEYED.sub(r"\\\g<0>", seen)


def _seen(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _shown(value: object) -> str:
    """Write a value of an entry as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return _shown_objects(value)
    if isinstance(value, dict) and all(type(item) in (str, int) for item in value.values()):
        return ", ".join(f"{name}={item}" for name, item in sorted(value.items()))
    return _as_json(value)


def _shown_objects(objects: Sequence[Mapping[str, Any]]) -> str:
    """Write candidates, steps of a chain and states as the records have them, and other objects as JSON."""
    if all({"skillName", "score"} <= item.keys() for item in objects):
        return ", ".join(f"{item['skillName']} {item['score']}" for item in objects)
    if all({"step", "skill", "status", "code"} <= item.keys() for item in objects):
        parts = (map(item.get, ("step", "skill", "status", "code")) for item in objects)
        return ", ".join(" ".join(str(part) for part in each if part) for each in parts)
    if all({"state", "at"} <= item.keys() for item in objects):
        return ", ".join(f"{item['state']} {item['at']}" for item in objects)
    return _as_json(objects)


def _as_json(value: object) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # deeper than it writes, though not deeper than it reads
        return "(nested too deeply to be shown)"


async def find_record(database: Database, address: str) -> list[AuditRecord]:
    """Find the records of an address, with or without `brain://`: none, one, or several that share it.

    Raises `InputInvalid` for what is no address, and `StorageUnavailable`.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputInvalid(f"an address reads {SCHEME}meta/decisions/1747200611_8c4e.md")
    path, seconds, digits = found.groups()
    second = _EPOCH + timedelta(seconds=int(seconds))
    rows = await database.fetch("decisions_at", second, second + timedelta(seconds=1), digits, SHARED_LIMIT)
    records: Iterable[AuditRecord] = (AuditRecord(row["seq"], row["entry"]) for row in rows)
    # One that cannot be read has no address, so it is none that anybody asks for.
    return [each for each in records if each.is_readable and each.address == f"{SCHEME}{path}"]


async def find_taken_back(database: Database, since: datetime | None = None) -> list[AuditRecord]:
    """Find the newest records of capabilities that were taken back, `TAKEN_BACK_LIMIT` at most.

    Raises `StorageUnavailable`. Entries that were dropped are not among them.
    """
    rows = await database.fetch("grants_revoked", since, TAKEN_BACK_LIMIT)
    records = (AuditRecord(row["seq"], row["entry"]) for row in rows)
    return [each for each in records if each.is_readable]
