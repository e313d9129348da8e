"""YAML that other readers take otherwise, or that the standard's reference validator refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.resolver import Resolver

from subgraph.catalog.front_matter import FIRST_LINE, events

_TYPED_LENGTH = 64
"""No number or date that somebody writes is longer, in characters."""

_TEXT = "tag:yaml.org,2002:str"
_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}


class Doubt(NamedTuple):
    """A place where readers differ. `field` is a path of keys, as `metadata.version`."""

    field: str
    line: int
    message: str


def doubts(text: str) -> Iterator[Doubt]:
    """Go through the YAML of a front matter, which `front_matter.load` has read."""
    resolver = Resolver()
    path: list[str | None] = []  # the key of each open mapping; None before one and in lists
    mappings: list[bool] = []
    for event in events(text):
        kind = type(event)
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            mappings.pop()
            path.pop()
            _end_value(path, mappings)
        elif isinstance(event, yaml.NodeEvent):
            is_key = bool(mappings) and mappings[-1] and path[-1] is None
            if is_key:
                path[-1] = getattr(event, "value", "")  # an alias has none
            for message in _of(event, resolver):
                field = ".".join(key for key in path[:2] if key is not None)
                yield Doubt(field, _line(event), message)
            if isinstance(event, yaml.CollectionStartEvent):
                mappings.append(kind is yaml.MappingStartEvent)
                path.append(None)
            elif not is_key:
                _end_value(path, mappings)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + FIRST_LINE


def _end_value(path: list[str | None], mappings: list[bool]) -> None:
    if mappings and mappings[-1]:
        path[-1] = None


def _of(event: Any, resolver: Resolver) -> Iterator[str]:
    if event.anchor is not None:
        yield "an anchor or alias of YAML, which the reference validator refuses"
    if isinstance(event, yaml.AliasEvent):
        return
    if event.tag is not None:
        yield "a tag of YAML, which the reference validator refuses"
    if isinstance(event, yaml.CollectionStartEvent):
        if event.flow_style:
            yield "brackets of YAML, which the reference validator refuses; write a line for each"
    elif event.implicit[0] and event.value and len(event.value) <= _TYPED_LENGTH:
        tag = resolver.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
        if tag != _TEXT:
            what = _KINDS.get(tag.rpartition(":")[2], "no text")
            yield f"{event.value} is {what} to readers of YAML; write it in quotes"
