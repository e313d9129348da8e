"""The front matter of SKILL.md: where it begins and ends, and its YAML as text, lists and mappings.

YAML is read without its guesses at types: `version: 1.10` stays what its author wrote. Tags mean nothing,
a merge key is a key like any other, and an alias is the value that it names, never a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias, cast

import yaml
from yaml._yaml import CParser

from subgraph.catalog.problem import ManifestInvalid
from subgraph.catalog.showing import shown_in_line

FRONT_MATTER_LIMIT = 64 * 1024
"""Bound of the front matter, in bytes; the largest of 5,279 published ones has 2,003."""

HEAD_BYTES = FRONT_MATTER_LIMIT + 1024
"""The front matter with both its fences lies within the first bytes of a file, as many as this."""

NESTING_LIMIT = 16
"""Bound of nesting in the front matter; the standard's fields need two levels."""

EVENTS_LIMIT = 4096
"""Bound of what libyaml tells of a front matter: each key, value, beginning and end counts."""

FIRST_LINE = 2
"""The line of SKILL.md on which the front matter begins: the one after the fence."""

Value: TypeAlias = "str | list[Value] | dict[str, Value]"

_FENCE = b"---"
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t\v\f]*(?:\r\n|\r|\n|\Z)")
_REST_OF_CLOSING = re.compile(rb"[ \t\v\f]*(?:\r\n|\r|\n|\Z)")
_NOTHING = object()


def split(document: bytes) -> tuple[bytes, bytes]:
    """Find the lines between two fences, and what follows; a fence is a line that is exactly `---`.

    Raises `ManifestInvalid`.
    """
    opening = _OPENING.match(document)
    if opening is None:
        raise ManifestInvalid("front matter must start with a line ---", line=1)
    start = position = opening.end()
    while True:
        position = document.find(_FENCE, position, start + FRONT_MATTER_LIMIT + len(_FENCE))
        if position < 0:
            break
        # The first fence's own line end precedes `start`; a fence elsewhere follows a line end as well.
        if document[position - 1] in b"\r\n" or position == start:
            closing = _REST_OF_CLOSING.match(document, position + len(_FENCE))
            if closing is not None:
                return document[start:position], document[closing.end() :]
        position += len(_FENCE)
    if len(document) - start > FRONT_MATTER_LIMIT:
        raise ManifestInvalid(f"the front matter is over {FRONT_MATTER_LIMIT} bytes")
    raise ManifestInvalid("the front matter has no closing line ---")


def decode(front_matter: bytes) -> str:
    """Decode the front matter. Raises `ManifestInvalid` with the line that is not UTF-8."""
    try:
        return front_matter.decode()
    except UnicodeDecodeError as error:
        line = FIRST_LINE + front_matter.count(b"\n", 0, error.start)
        raise ManifestInvalid("the front matter is not UTF-8", line=line) from None


def load(text: str, lines: dict[str, int] | None = None) -> Mapping[str, Value]:
    """Read the front matter's mapping, in one pass over the events of libyaml.

    `lines` is given the line of each key of the first two levels, as `metadata` and `metadata.version`.
    Raises `ManifestInvalid`, with the line: no YAML, not one mapping, the same key twice, nested more
    deeply than `NESTING_LIMIT`, or of more parts than `EVENTS_LIMIT`.
    """
    try:
        value = _load(text, lines)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + FIRST_LINE
        raise ManifestInvalid("the front matter is not YAML", line=line) from error
    if not isinstance(value, dict):
        raise ManifestInvalid("the front matter is not a mapping", line=FIRST_LINE)
    return value


def _load(text: str, lines: dict[str, int] | None) -> Value | None:
    """Build the one document of a stream; None for an empty stream.

    It does what libyaml's composer does in C, which recurses and would overflow its stack on deep nesting.
    """
    stack: list[tuple[list[Value] | dict[str, Value] | None, object, str | None]] = []
    anchors: dict[str, Value] = {}
    root: Value | None = None
    container: list[Value] | dict[str, Value] | None = None
    key: object = _NOTHING
    anchor: str | None = None  # of the container
    documents = 0
    kind: object = None
    for event in islice(events(text), EVENTS_LIMIT):
        kind = type(event)
        value: Value
        if kind is yaml.ScalarEvent:
            value = event.value
            if event.anchor is not None:
                anchors[event.anchor] = value
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            stack.append((container, key, anchor))
            if len(stack) > NESTING_LIMIT:
                raise ManifestInvalid("the front matter is nested too deeply", line=_line(event))
            container = {} if kind is yaml.MappingStartEvent else []
            key, anchor = _NOTHING, event.anchor
            continue
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            value = cast("list[Value] | dict[str, Value]", container)
            if anchor is not None:
                anchors[anchor] = value
            container, key, anchor = stack.pop()
        elif kind is yaml.AliasEvent:
            if event.anchor not in anchors:  # nor has a list or mapping its own anchor within itself
                raise ManifestInvalid("the front matter is not YAML: unknown alias", line=_line(event))
            value = anchors[event.anchor]
        else:
            documents += kind is yaml.DocumentStartEvent
            if documents > 1:
                raise ManifestInvalid("the front matter is more than one document", line=_line(event))
            continue
        if container is None:
            root = value
        elif type(container) is list:
            container.append(value)
        elif key is not _NOTHING:
            container[key] = value  # type: ignore[index, call-overload] # a key is text, as checked below
            key = _NOTHING
        else:
            key = _key(value, container, event)
            if lines is not None and len(stack) <= 2:
                prefix = "" if len(stack) == 1 else f"{stack[-1][1]}."
                lines.setdefault(f"{prefix}{value}", _line(event))
    if kind is not yaml.StreamEndEvent:
        raise ManifestInvalid("the front matter has too many parts")
    return root


def events(text: str) -> Iterator[Any]:
    """Yield what libyaml tells of a text. The stubs do not say what each kind of event has."""
    return iter(CParser(text).get_event, None)


def _key(value: Value, container: object, event: Any) -> str:
    if type(value) is not str:
        raise ManifestInvalid("the front matter is not YAML: a key must be text", line=_line(event))
    if value in container:  # type: ignore[operator] # a mapping
        key = shown_in_line(value, 80)
        raise ManifestInvalid("the front matter has this key twice", field=key, line=_line(event))
    return value


def _line(event: Any) -> int:
    return int(event.start_mark.line) + FIRST_LINE
