"""The front matter of SKILL.md (agentskills.io/specification)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from subgraph.errors import SourceInvalid

MANIFEST_NAME = "SKILL.md"

FRONT_MATTER_LIMIT = 64 * 1024
"""Bound of the front matter, in bytes; the largest of 5,279 published ones has 2,003."""

HEAD_BYTES = FRONT_MATTER_LIMIT + 1024
"""The front matter with both its fences lies within the first bytes of a file, as many as this."""

NESTING_LIMIT = 16
"""Bound of nesting in the front matter; the standard's fields need two levels."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NAME_LENGTH = 64
_DESCRIPTION_LENGTH = 1024
_FENCE = b"---"


@dataclass(frozen=True, slots=True)
class SkillManifest:
    """What a skill says of itself. `allowed_tools` is the raw text of the field."""

    name: str
    description: str
    license: str | None
    compatibility: str | None
    allowed_tools: str
    metadata: Mapping[str, str]


def parse_manifest(document: bytes) -> tuple[SkillManifest, str]:
    """Split SKILL.md into its front matter and its body.

    Raises `SourceInvalid`, with the line and the field, when it is not a valid skill.
    """
    front_matter, body = _split(document)
    try:
        return _manifest(front_matter), body.decode()
    except UnicodeDecodeError:
        raise SourceInvalid(f"{MANIFEST_NAME}: the body is not UTF-8") from None


def parse_head(head: bytes) -> SkillManifest:
    """Read the front matter from the first `HEAD_BYTES` of SKILL.md, which may end within a character.

    Raises `SourceInvalid`, as `parse_manifest`.
    """
    front_matter, _ = _split(head)
    return _manifest(front_matter)


def _manifest(front_matter: bytes) -> SkillManifest:
    fields = _fields(front_matter)
    name = _required(fields, "name")
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        rule = f"1 to {_NAME_LENGTH} lower-case letters, digits and single hyphens"
        raise SourceInvalid(f"{MANIFEST_NAME}: name: must be {rule}, is {name[:80]!r}")
    description = _required(fields, "description")
    if len(description) > _DESCRIPTION_LENGTH:
        raise SourceInvalid(f"{MANIFEST_NAME}: description: over {_DESCRIPTION_LENGTH} characters")
    return SkillManifest(
        name=name,
        description=description,
        license=_optional(fields, "license"),
        compatibility=_optional(fields, "compatibility"),
        allowed_tools=_tools(fields.get("allowed-tools", "")),
        metadata=_metadata(fields.get("metadata", {})),
    )


def _split(document: bytes) -> tuple[bytes, bytes]:
    """Find the lines between two fences; a fence is a line that is exactly `---`."""
    lines = document.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        raise SourceInvalid(f"{MANIFEST_NAME}: line 1: front matter must start with a line ---")
    size = 0
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            return b"".join(lines[1:number]), b"".join(lines[number + 1 :])
        size += len(line)
        if size > FRONT_MATTER_LIMIT:
            raise SourceInvalid(f"{MANIFEST_NAME}: the front matter is over {FRONT_MATTER_LIMIT} bytes")
    raise SourceInvalid(f"{MANIFEST_NAME}: the front matter has no closing line ---")


def _fields(front_matter: bytes) -> dict[str, object]:
    try:
        text = front_matter.decode()
        _check_nesting(text)
        # Without YAML's guesses at types: `version: 1.10` stays what its author wrote.
        fields = yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - strings, lists, mappings
    except UnicodeDecodeError:
        raise SourceInvalid(f"{MANIFEST_NAME}: the front matter is not UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceInvalid(f"{MANIFEST_NAME}: {_where(error)}the front matter is not YAML") from error
    if not isinstance(fields, dict):
        raise SourceInvalid(f"{MANIFEST_NAME}: line 2: the front matter is not a mapping")
    return {str(key): value for key, value in fields.items()}


def _check_nesting(text: str) -> None:
    """Refuse deep nesting before it is loaded: the loader recurses in C and would overflow its stack."""
    depth = 0
    for event in yaml.parse(text, yaml.CBaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > NESTING_LIMIT:
                raise SourceInvalid(f"{MANIFEST_NAME}: the front matter is nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f"line {mark.line + 2}: "


def _required(fields: Mapping[str, object], key: str) -> str:
    value = _optional(fields, key)
    if value is None:
        raise SourceInvalid(f"{MANIFEST_NAME}: {key}: missing or empty")
    return value


def _optional(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SourceInvalid(f"{MANIFEST_NAME}: {key}: must be text")
    return value.strip() or None


def _tools(value: object) -> str:
    """Read both spellings: the standard's text, and a list, which many skills have."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    if isinstance(value, str):
        return value
    raise SourceInvalid(f"{MANIFEST_NAME}: allowed-tools: must be text")


def _metadata(value: object) -> dict[str, str]:
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise SourceInvalid(f"{MANIFEST_NAME}: metadata: must be a mapping")
    return {str(key): item for key, item in value.items() if isinstance(item, str)}
