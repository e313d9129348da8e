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
    fields = _fields(front_matter)
    name = _required(fields, "name")
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        rule = f"1 to {_NAME_LENGTH} lower-case letters, digits and single hyphens"
        raise SourceInvalid(f"{MANIFEST_NAME}: name: must be {rule}, is {name[:80]!r}")
    description = _required(fields, "description")
    if len(description) > _DESCRIPTION_LENGTH:
        raise SourceInvalid(f"{MANIFEST_NAME}: description: over {_DESCRIPTION_LENGTH} characters")
    manifest = SkillManifest(
        name=name,
        description=description,
        license=_optional(fields, "license"),
        compatibility=_optional(fields, "compatibility"),
        allowed_tools=_tools(fields.get("allowed-tools", "")),
        metadata=_metadata(fields.get("metadata", {})),
    )
    return manifest, body


def _split(document: bytes) -> tuple[bytes, str]:
    """Find the lines between two fences; a fence is a line that is exactly `---`."""
    lines = document.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        raise SourceInvalid(f"{MANIFEST_NAME}: line 1: front matter must start with a line ---")
    size = 0
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            try:
                return b"".join(lines[1:number]), b"".join(lines[number + 1 :]).decode()
            except UnicodeDecodeError:
                raise SourceInvalid(f"{MANIFEST_NAME}: the body is not UTF-8") from None
        size += len(line)
        if size > FRONT_MATTER_LIMIT:
            raise SourceInvalid(f"{MANIFEST_NAME}: the front matter is over {FRONT_MATTER_LIMIT} bytes")
    raise SourceInvalid(f"{MANIFEST_NAME}: the front matter has no closing line ---")


def _fields(front_matter: bytes) -> dict[str, object]:
    try:
        # Without YAML's guesses at types: `version: 1.10` stays what its author wrote.
        fields = yaml.load(front_matter.decode(), yaml.CBaseLoader)  # noqa: S506 - strings, lists, mappings
    except UnicodeDecodeError:
        raise SourceInvalid(f"{MANIFEST_NAME}: the front matter is not UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceInvalid(f"{MANIFEST_NAME}: {_where(error)}the front matter is not YAML") from error
    if not isinstance(fields, dict):
        raise SourceInvalid(f"{MANIFEST_NAME}: line 2: the front matter is not a mapping")
    return {str(key): value for key, value in fields.items()}


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
