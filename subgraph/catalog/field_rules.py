"""The rules of the fields in the front matter, each as strictly as the standard has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from subgraph.catalog.activation_events import parse_events
from subgraph.catalog.chain import chain_fault, parse_chain
from subgraph.catalog.dependencies import dependency_names
from subgraph.catalog.front_matter import Value
from subgraph.catalog.header import SCRIPT
from subgraph.catalog.manifest import (
    ACTIVATION_EVENTS,
    CHAIN,
    CHAIN_BROKEN,
    COMPATIBILITY_LENGTH,
    CONTROL,
    DEPENDS_ON,
    DESCRIPTION_LENGTH,
    EXTENSION_PREFIX,
    FIELDS,
    KEY_SHOWN,
    METADATA_LIMIT,
    TOOLS_BOUND,
    is_same_name,
    name_faults,
)
from subgraph.catalog.problem import Finding, Level
from subgraph.catalog.report import Check
from subgraph.catalog.showing import shown_in_line

CheckTool = Callable[[str], str | None]
CheckSkill = Callable[[str], str | None]
"""Both say what is wrong with a name that stands in the front matter, None for nothing."""

COMPONENT = f"{EXTENSION_PREFIX}component"
KEYWORDS = f"{EXTENSION_PREFIX}keywords"
PERSONA = f"{EXTENSION_PREFIX}persona"
EXTENSIONS = frozenset({ACTIVATION_EVENTS, CHAIN, COMPONENT, DEPENDS_ON, KEYWORDS, PERSONA, SCRIPT})
"""This host's own fields of `metadata`."""

UNKNOWN_LIMIT = 16
TOOLS_LIMIT = 64
"""Bounds of the fields without a meaning and of the tools that are looked at one by one."""

_VALUE_SHOWN = 60

_SEMVER = re.compile(
    r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_REGION = re.compile(r"[A-Z]{2}")
_SPDX = frozenset({
    "0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
    "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC0-1.0", "EPL-2.0", "EUPL-1.2",
    "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only",
    "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "MS-PL", "OFL-1.1",
    "PostgreSQL", "Python-2.0", "Unlicense", "UPL-1.0", "WTFPL", "Zlib",
})  # fmt: skip
"""The identifiers of spdx.org/licenses that skills and packages have in all but rare cases."""

# A tool and perhaps a pattern in parentheses, which may hold spaces and commas.
_TOOL = re.compile(r"(?:\([^()]*\)|[^\s,])+")


class FieldRules:
    """The fields of one front matter. `lines` has the line of each, `directory` is the directory's name."""

    def __init__(
        self,
        fields: Mapping[str, Value],
        lines: Mapping[str, int],
        directory: str,
        check_tool: CheckTool,
        check_skill: CheckSkill,
    ) -> None:
        self._fields = fields
        self._lines = lines
        self._directory = directory
        self._check_tool = check_tool
        self._check_skill = check_skill

    def checks(self) -> Iterator[Check]:
        """Check every field that is there or must be, in the order of the standard."""
        yield self._name()
        yield self._description()
        if "license" in self._fields:
            yield self._license()
        if "compatibility" in self._fields:
            yield self._compatibility()
        if "metadata" in self._fields:
            yield from self._metadata()
        if "allowed-tools" in self._fields:
            yield self._tools()
        unknown = (field for field in self._fields if field not in FIELDS)
        for field in islice(unknown, UNKNOWN_LIMIT):
            message = "not a field of the standard; put it into metadata"
            yield self._check(f"field: {field}", field, errors=[message])

    def _check(
        self,
        subject: str,
        field: str,
        note: str = "",
        *,
        errors: Iterable[str] = (),
        warnings: Iterable[str] = (),
    ) -> Check:
        line = self._lines.get(field)
        shown = shown_in_line(field, KEY_SHOWN)
        found = [Finding(Level.ERROR, shown, line, message) for message in errors]
        found += [Finding(Level.WARNING, shown, line, message) for message in warnings]
        return Check(subject, note, tuple(found))

    def _name(self) -> Check:
        value = self._fields.get("name")
        if not isinstance(value, str) or not value.strip():
            return self._check("field: name", "name", errors=[_missing(value)])
        name = value.strip()
        errors = name_faults(name)
        if not is_same_name(name, self._directory):
            errors.append(f"must be that of the directory, {shown_in_line(self._directory, KEY_SHOWN)}")
        return self._check(f"field: name={_shown(name)}", "name", "dir-match", errors=errors)

    def _description(self) -> Check:
        value = self._fields.get("description")
        if not isinstance(value, str) or not value.strip():
            return self._check("field: description", "description", errors=[_missing(value)])
        errors = _control_characters(value)
        if len(value) > DESCRIPTION_LENGTH:
            errors.append(f"over {DESCRIPTION_LENGTH} characters")
        return self._check(f"field: description ({len(value)} chars)", "description", errors=errors)

    def _license(self) -> Check:
        value = self._fields["license"]
        if not isinstance(value, str):
            return self._check("field: license", "license", errors=["must be text"])
        words = value.replace("(", " ").replace(")", " ").split()
        note = "SPDX" if words and all(word in _SPDX for word in words if word not in {"AND", "OR"}) else ""
        return self._check(
            f"field: license={_shown(value)}",
            "license",
            note,
            errors=_control_characters(value),
            warnings=[] if words else ["empty"],
        )

    def _compatibility(self) -> Check:
        value = self._fields["compatibility"]
        if not isinstance(value, str) or not value.strip():
            return self._check("field: compatibility", "compatibility", errors=[_missing(value)])
        errors = _control_characters(value)
        if len(value) > COMPATIBILITY_LENGTH:
            errors.append(f"over {COMPATIBILITY_LENGTH} characters")
        return self._check(f"field: compatibility ({len(value)} chars)", "compatibility", errors=errors)

    def _metadata(self) -> Iterator[Check]:
        metadata = self._fields["metadata"]
        if metadata == "":
            yield self._check("field: metadata", "metadata", warnings=["empty"])
            return
        if not isinstance(metadata, dict):
            yield self._check("field: metadata", "metadata", errors=["must be a mapping of text to text"])
            return
        if len(metadata) > METADATA_LIMIT:
            yield self._check("field: metadata", "metadata", errors=[f"over {METADATA_LIMIT} keys"])
        for key, value in islice(metadata.items(), METADATA_LIMIT):
            field = f"metadata.{key}"
            if not isinstance(value, str):
                yield self._check(f"field: {field}", field, errors=["must be text"])
                continue
            errors = _control_characters(key + value)
            if key == CHAIN:
                note, faults = self._of_chain(value)
                errors += faults
                warnings: list[str] = []
            else:
                note, warnings = _of_metadata(key, value)
            if key == DEPENDS_ON:
                problems = map(self._check_skill, dependency_names(value))
                warnings += [problem for problem in problems if problem is not None]
            yield self._check(
                f"field: {field}={_shown(value)}", field, note, errors=errors, warnings=warnings
            )

    def _of_chain(self, value: str) -> tuple[str, list[str]]:
        """Return what is good about a chain, and why it cannot be run."""
        metadata = self._fields["metadata"]
        named = metadata.get(DEPENDS_ON) if isinstance(metadata, dict) else None
        fault = chain_fault(value, dependency_names(named) if isinstance(named, str) else ())
        if fault is not None:
            return "", [f"{fault}; {CHAIN_BROKEN}"]
        count = sum(map(len, parse_chain(value).generations))
        return f"{count} step{'' if count == 1 else 's'}", []

    def _tools(self) -> Check:
        value = self._fields["allowed-tools"]
        warnings = []
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            warnings.append("a list; the standard has one text, separated by spaces")
            value = " ".join(item for item in value if isinstance(item, str))
        if not isinstance(value, str):
            return self._check("field: allowed-tools", "allowed-tools", errors=["must be text"])
        if "," in _TOOL.sub("", value):
            warnings.append("separated by commas; the standard has spaces")
        tools = [tool[0] for tool in islice(_TOOL.finditer(value), TOOLS_LIMIT + 1)]
        if len(tools) > TOOLS_LIMIT:
            warnings.append(f"over {TOOLS_LIMIT} tools; the rest is not looked at")
        if len(value) > TOOLS_BOUND:
            warnings.append(f"over {TOOLS_BOUND} characters; nothing is declared")
        problems = ((tool, self._check_tool(tool)) for tool in tools[:TOOLS_LIMIT])
        warnings += [f"{_shown(tool)}: {problem}" for tool, problem in problems if problem is not None]
        subject = f"field: allowed-tools={_shown(','.join(tools))}"
        return self._check(
            subject, "allowed-tools", "declared", errors=_control_characters(value), warnings=warnings
        )


def _of_metadata(key: str, value: str) -> tuple[str, list[str]]:
    """Return what is good about a field of `metadata`, and warnings about it."""
    if key == "version":
        semantic = _SEMVER.fullmatch(value) is not None
        return ("SemVer", []) if semantic else ("", ["not a version of SemVer, as 1.0.0 is"])
    if key == "region":
        known = _REGION.fullmatch(value) is not None
        return "", [] if known else ["not a country of ISO 3166, as VN is"]
    if key == ACTIVATION_EVENTS:
        good, bad = parse_events(value)
        return ", ".join(good), [f"{shown_in_line(word, KEY_SHOWN)} is no activation event" for word in bad]
    if key == DEPENDS_ON:
        faulty = (name for name in dependency_names(value) if name_faults(name.rpartition("/")[2]))
        return "", [f"{_shown(name)} is no name of a skill" for name in faulty]
    if key.startswith(EXTENSION_PREFIX) and key not in EXTENSIONS:
        return "", ["not a field of this host"]
    return "", []


def _missing(value: Value | None) -> str:
    return "missing or empty" if value is None or isinstance(value, str) else "must be text"


def _control_characters(value: str) -> list[str]:
    return ["holds control characters"] if CONTROL.search(value) else []


def _shown(value: str) -> str:
    return shown_in_line(value, _VALUE_SHOWN)
