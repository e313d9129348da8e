"""What a skill says of itself in the front matter of SKILL.md (agentskills.io/specification).

A skill is read where that is possible: what breaks a rule without being in the way becomes a warning, as
the open standard's guide for hosts asks. `validation` has the rules in full.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from subgraph.catalog import front_matter
from subgraph.catalog.activation_events import parse_events
from subgraph.catalog.chain import chain_fault
from subgraph.catalog.dependencies import dependency_names
from subgraph.catalog.front_matter import Value
from subgraph.catalog.problem import MANIFEST_NAME, Finding, Level, ManifestInvalid
from subgraph.catalog.showing import shown_in_line
from subgraph.errors import SourceInvalid

NAME_LENGTH = 64
DESCRIPTION_LENGTH = 1024
COMPATIBILITY_LENGTH = 500
FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
"""The standard's fields."""

DESCRIPTION_BOUND = 4096
"""What is kept of a description that is too long, in characters: it is in memory for every skill."""

TEXT_BOUND = 1024
"""Bound of any other text that is kept of a skill, in characters, but for `allowed-tools`."""

TOOLS_BOUND = 4096
"""Bound of `allowed-tools`, in characters. A longer one declares nothing: cut off, a capability could lose
the pattern that narrows it."""

EXTENSIONS_BOUND = 4096
"""Bound of a skill's own fields of this host (`metadata.cyberos-*`), in characters together."""

METADATA_LIMIT = 64
"""Bound of the keys of `metadata`."""

KEY_SHOWN = 80
"""What is shown of a key that somebody made up, in characters."""

WARNINGS_LIMIT = 16
"""Bound of the warnings about one skill; whoever mends these sees the next."""

EXTENSION_PREFIX = "cyberos-"
ACTIVATION_EVENTS = f"{EXTENSION_PREFIX}activation-events"
CHAIN = f"{EXTENSION_PREFIX}chain"
DEPENDS_ON = f"{EXTENSION_PREFIX}depends-on"

CHAIN_BROKEN = "the skill can be run alone, and neither routed to nor dispatched"
"""What follows from a chain that cannot be run."""

_USUAL_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_UNQUOTED = re.compile(r"(?m)^(name|description|license|compatibility): +([^\s'\"|>\[{&*!%@`#].*: .*)$")


@dataclass(frozen=True, slots=True)
class SkillManifest:
    """What a skill says of itself. `name` is None when it says none that is a name.

    `allowed_tools` is the raw text of the field. `warnings` is no part of what two manifests are compared by.
    """

    name: str | None
    description: str
    license: str | None
    compatibility: str | None
    allowed_tools: str
    metadata: Mapping[str, str]
    warnings: tuple[Finding, ...] = field(default=(), compare=False)


def parse_manifest(document: bytes, directory: str | None = None) -> tuple[SkillManifest, str]:
    """Split SKILL.md into its front matter and its body.

    `directory` is the name of the skill's directory, which its name should be. Raises `SourceInvalid`, with
    the line and the field, when no skill can be read from it.
    """
    head, body = front_matter.split(document)
    manifest = parse_front_matter(head, directory)
    try:
        return manifest, body.decode()
    except UnicodeDecodeError:
        raise SourceInvalid(f"{MANIFEST_NAME}: the body is not UTF-8") from None


def parse_front_matter(head: bytes, directory: str | None = None) -> SkillManifest:
    """Read the lines between the fences. Raises `SourceInvalid`, as `parse_manifest`.

    `directory` is the name of the skill's directory, which its name should be.
    """
    text = front_matter.decode(head)
    quoted = False
    try:
        fields = front_matter.load(text)
    except ManifestInvalid:
        # The commonest fault of published skills: a colon in a description that is not quoted.
        mended = with_quotes(text)
        if mended == text:
            raise
        try:
            fields = front_matter.load(mended)
        except ManifestInvalid:
            fields = front_matter.load(text)  # what it says of the lines as they are written
        text, quoted = mended, True
    # An escape in a quoted text is the only way for a control character into it.
    reader = _Reader(fields, escapes="\\" in text)
    if quoted:
        reader.warn("", "a value that holds a colon must be quoted")
    return reader.manifest(text, directory)


def with_quotes(text: str) -> str:
    """Put values in quotes that hold a colon and should have them; other lines stay as they are."""
    return _UNQUOTED.sub(lambda line: f"{line[1]}: {json.dumps(line[2].rstrip(), ensure_ascii=False)}", text)


def name_faults(name: str) -> list[str]:
    """Say which rules of the standard a name breaks. Letters are those of any script, composed (NFKC)."""
    if len(name) <= NAME_LENGTH and _USUAL_NAME.fullmatch(name):
        return []
    name = unicodedata.normalize("NFKC", name)
    faults = {
        f"must be 1 to {NAME_LENGTH} characters long, has {len(name)}": not 0 < len(name) <= NAME_LENGTH,
        "must be lower-case": name != name.lower(),
        "must hold nothing but letters, digits and hyphens": not name.replace("-", "a").isalnum(),
        "must neither begin nor end with a hyphen": name.startswith("-") or name.endswith("-"),
        "must not have two hyphens in a row": "--" in name,
    }
    return [fault for fault, is_broken in faults.items() if is_broken]


def is_same_name(name: str, directory: str) -> bool:
    """Whether a name is that of a directory, whichever way their letters are composed."""
    first, second = (unicodedata.normalize("NFKC", text) for text in (name, directory))
    return first == second


class _Reader:
    """Reads the fields of one mapping, and notes what is wrong with them."""

    def __init__(self, fields: Mapping[str, Value], *, escapes: bool) -> None:
        self._fields = fields
        self._escapes = escapes
        self._warnings: list[tuple[str, str]] = []

    def warn(self, name: str, message: str) -> None:
        """Note a fault that is not in the way."""
        if len(self._warnings) < WARNINGS_LIMIT:
            self._warnings.append((name, message))

    def manifest(self, text: str, directory: str | None) -> SkillManifest:
        """Read all fields. `text` is what they were read from: faults are looked up in it."""
        for key in self._fields:
            if key not in FIELDS:
                self.warn(key, "not a field of the standard; it is passed over")
        name = self._name()
        if name is not None and directory is not None and not is_same_name(name, directory):
            self.warn("name", f"{name!r} differs from the directory, whose name holds")
        description = self._description(text)
        license_ = self._text("license", TEXT_BOUND)
        compatibility = self._text("compatibility", TEXT_BOUND)
        if compatibility is not None and len(compatibility) > COMPATIBILITY_LENGTH:
            self.warn("compatibility", f"over {COMPATIBILITY_LENGTH} characters")
        tools = self._tools()
        metadata = self._metadata()
        warnings = self._located(text) if self._warnings else ()
        return SkillManifest(name, description, license_, compatibility, tools, metadata, warnings)

    def _located(self, text: str) -> tuple[Finding, ...]:
        lines: dict[str, int] = {}
        front_matter.load(text, lines)
        return tuple(
            Finding(Level.WARNING, shown_in_line(name, KEY_SHOWN), lines.get(name), message)
            for name, message in self._warnings
        )

    def _name(self) -> str | None:
        value = self._text("name", TEXT_BOUND)
        if value is None:
            if "name" not in self._fields or self._fields["name"] == "":
                self.warn("name", "missing or empty; the directory's name holds")
            return None
        if faults := name_faults(value):
            self.warn("name", f"{value[:80]!r} {faults[0]}; the directory's name holds")
            return None
        return value

    def _description(self, text: str) -> str:
        value = self._text("description", front_matter.FRONT_MATTER_LIMIT)
        if value is None:
            lines: dict[str, int] = {}
            front_matter.load(text, lines)
            written = self._fields.get("description")
            message = "missing or empty" if written is None or isinstance(written, str) else "must be text"
            raise ManifestInvalid(message, field="description", line=lines.get("description"))
        if len(value) > DESCRIPTION_LENGTH:
            self.warn("description", f"over {DESCRIPTION_LENGTH} characters: it has {len(value)}")
        return value[:DESCRIPTION_BOUND]

    def _text(self, name: str, bound: int) -> str | None:
        value = self._fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            if name != "description":
                self.warn(name, "must be text; it is passed over")
            return None
        return self._clean(name, value.strip(), bound) or None

    def _clean(self, name: str, value: str, bound: int) -> str:
        if self._escapes and CONTROL.search(value):
            self.warn(name, "holds control characters; they are left out")
            value = CONTROL.sub("", value).strip()
        if len(value) > bound:
            self.warn(name, f"over {bound} characters; it is passed over")
            return ""
        return value

    def _tools(self) -> str:
        """Read both spellings: the standard's text, and a list, which many skills have."""
        value = self._fields.get("allowed-tools", "")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            self.warn("allowed-tools", "a list; the standard has one text, separated by spaces")
            value = " ".join(item for item in value if isinstance(item, str))
        if not isinstance(value, str):
            self.warn("allowed-tools", "must be text; nothing is declared")
            return ""
        if self._escapes and CONTROL.search(value):
            self.warn("allowed-tools", "holds control characters; nothing is declared")
            return ""
        if len(value) > TOOLS_BOUND:
            self.warn("allowed-tools", f"over {TOOLS_BOUND} characters; nothing is declared")
            return ""
        return value

    def _metadata(self) -> dict[str, str]:
        value = self._fields.get("metadata", "")
        if value == "":
            return {}
        if not isinstance(value, dict):
            self.warn("metadata", "must be a mapping; it is passed over")
            return {}
        found: dict[str, str] = {}
        for key, item in value.items():
            where = f"metadata.{key}"
            if key == ACTIVATION_EVENTS and isinstance(item, list):
                item = " ".join(word for word in item if isinstance(word, str))
            if not isinstance(item, str):
                self.warn(where, "must be text; it is passed over")
            elif len(found) >= METADATA_LIMIT:
                self.warn("metadata", f"over {METADATA_LIMIT} keys; the rest is passed over")
                break
            elif len(key) > NAME_LENGTH or (self._escapes and CONTROL.search(key)):
                self.warn(where, f"a key over {NAME_LENGTH} characters; it is passed over")
            else:
                bound = EXTENSIONS_BOUND if key.startswith(EXTENSION_PREFIX) else TEXT_BOUND
                found[key] = self._clean(where, item, bound)
        self._check_extensions(found)
        return found

    def _check_extensions(self, metadata: dict[str, str]) -> None:
        extensions = [key for key in metadata if key.startswith(EXTENSION_PREFIX)]
        room = EXTENSIONS_BOUND
        for key in extensions:
            room -= len(key) + len(metadata[key])
            if room < 0:
                message = f"over {EXTENSIONS_BOUND} characters with the others; it is passed over"
                self.warn(f"metadata.{key}", message)
                del metadata[key]
        for word in parse_events(metadata.get(ACTIVATION_EVENTS, ""))[1]:
            self.warn(f"metadata.{ACTIVATION_EVENTS}", f"{word!r} is no activation event")
        fault = chain_fault(metadata.get(CHAIN, ""), dependency_names(metadata.get(DEPENDS_ON, "")))
        if fault is not None:
            self.warn(f"metadata.{CHAIN}", f"{fault}; {CHAIN_BROKEN}")
