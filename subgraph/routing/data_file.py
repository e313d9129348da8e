"""Version-controlled data of the router: YAML as text, lists and mappings, each fault with its line.

The same readers take what a stored snapshot holds, which is JSON and has no lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from subgraph.routing.errors import RoutingDataInvalid

FILE_LIMIT = 256 * 1024
"""Bound of a data file, in characters: ten times the largest of this project."""

NESTING_LIMIT = 8
"""Bound of its nesting. libyaml composes by recursion; the format needs five levels."""

Data: TypeAlias = "str | list[Data] | dict[str, Data]"
Place: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a data file, which knows where it stands."""

    name: str
    value: object
    place: Place = ()
    lines: Mapping[Place, int] = field(default_factory=dict)

    def fault(self, message: str) -> NoReturn:
        """Refuse the value. Raises `RoutingDataInvalid` with the file and the line."""
        line = self.lines.get(self.place)
        where = f"{self.name}, line {line}" if line is not None else self.name
        raise RoutingDataInvalid(f"{where}: {message}")

    def text(self) -> str:
        """Read a text, which must hold something."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.fault("a text is expected here")
        return self.value

    def items(self) -> list[Part]:
        """Read a list."""
        if not isinstance(self.value, list):
            self.fault("a list is expected here")
        return [self._part(index, value) for index, value in enumerate(self.value)]

    def entries(self) -> dict[str, Part]:
        """Read a mapping whose keys are names."""
        if not isinstance(self.value, dict):
            self.fault("a mapping is expected here")
        return {key: self._part(key, value) for key, value in self.value.items()}

    def fields(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Part]:
        """Read a mapping of these fields and no others."""
        parts = self.entries()
        for key, part in parts.items():
            if key not in required and key not in optional:
                part.fault(f"unknown field {key!r}; known are {', '.join((*required, *optional))}")
        for key in required:
            if key not in parts:
                self.fault(f"the field {key!r} is missing")
        return parts

    def _part(self, key: str | int, value: object) -> Part:
        return Part(self.name, value, (*self.place, key), self.lines)


def load(text: str, name: str) -> Part:
    """Read a data file. Raises `RoutingDataInvalid`: no YAML, over a bound, or the same key twice."""
    if len(text) > FILE_LIMIT:
        raise RoutingDataInvalid(f"{name}: over {FILE_LIMIT} characters")
    try:
        _check_events(text, name)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None else f"{name}, line {mark.line + 1}"
        raise RoutingDataInvalid(f"{where}: not YAML") from error
    if node is None:
        raise RoutingDataInvalid(f"{name}: empty")
    lines: dict[Place, int] = {}
    return Part(name, _plain(node, name, (), lines), (), lines)


def _check_events(text: str, name: str) -> None:
    depth = 0
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > NESTING_LIMIT or isinstance(event, yaml.AliasEvent):
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "nested too deeply"
            raise RoutingDataInvalid(f"{name}, line {_line(event)}: {what}")


def _plain(node: yaml.Node, name: str, place: Place, lines: dict[Place, int]) -> Data:
    lines[place] = _line(node)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, name, (*place, index), lines) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)  # without YAML's guesses: a version stays what its author wrote
    found: dict[str, Data] = {}
    for key, value in node.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            raise RoutingDataInvalid(f"{name}, line {line}: a key must be text")
        if key.value in found:
            raise RoutingDataInvalid(f"{name}, line {line}: {key.value!r} stands here twice")
        found[key.value] = _plain(value, name, (*place, key.value), lines)
        lines[(*place, key.value)] = line
    return found


def _line(mark: Any) -> int:
    """Return the line, from 1, of what libyaml found; the stubs allow for one without marks."""
    return int(mark.start_mark.line) + 1
