"""`metadata.cyberos-depends-on`: which skills a skill builds on, and cycles of them, which are refused."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

from subgraph.catalog.showing import shown_in_line

DEPENDENCIES_LIMIT = 32
"""Bound of the skills that one skill says it depends on."""

Edges: TypeAlias = "Mapping[str, Set[str]]"
"""The paths of what each skill depends on, by its path; those that are no key depend on nothing."""

_WAY_SHOWN = 8
_NAME_SHOWN = 80

_SEPARATOR = re.compile(r"[\s,]+")


def dependency_names(text: str) -> tuple[str, ...]:
    """Read the names, each once; those beyond `DEPENDENCIES_LIMIT` are left out."""
    return tuple(dict.fromkeys(filter(None, _SEPARATOR.split(text))))[:DEPENDENCIES_LIMIT]


def resolve(
    name: str, of: str, *, holds: Callable[[str], bool], named: Callable[[str], Sequence[str]]
) -> str | None:
    """Find the path of a dependency of the skill at the path `of`; None where there is none, or several.

    A path is that skill. A short name is the neighbour of that name, else the only skill that has it: a skill
    that is added elsewhere must not come in between. `holds` tells whether a path is there, `named` lists the
    paths of a short name.
    """
    if "/" in name:
        path = name.removeprefix("./")
        return path if holds(path) else None
    parent, slash, _ = of.rpartition("/")
    neighbour = f"{parent}{slash}{name}"
    if holds(neighbour):
        return neighbour
    paths = named(name)
    return paths[0] if len(paths) == 1 else None


def unmet(
    name: str, of: str, *, holds: Callable[[str], bool], named: Callable[[str], Sequence[str]]
) -> str | None:
    """Say what is wrong with a dependency that `resolve` does not find; None for one that it does."""
    if resolve(name, of, holds=holds, named=named) is not None:
        return None
    shown = shown_in_line(name, _NAME_SHOWN)
    if "/" not in name and len(named(name)) > 1:
        return f"it depends on {shown}, and several skills are named so: give the path of one"
    return f"it depends on {shown}, which is not in the catalogue"


class Cycle(NamedTuple):
    """Skills that all depend on each other. `way` leads from one of them back to it."""

    way: tuple[str, ...]
    members: frozenset[str]

    def __str__(self) -> str:
        names = self.way if len(self.way) <= _WAY_SHOWN else (*self.way[: _WAY_SHOWN - 2], "…", self.way[-1])
        return " → ".join(names)


def cycles(edges: Edges) -> list[Cycle]:
    """Find the skills that depend on themselves, through others or not; time in proportion to the edges."""
    found = []
    for group in _components(edges):
        first = min(group)
        if len(group) > 1 or first in edges.get(first, ()):
            found.append(Cycle(_shortest_way(first, group, edges), group))
    return sorted(found)


def _components(edges: Edges) -> Iterator[frozenset[str]]:
    """Find the strongly connected components (Tarjan 1972), without recursion: chains may be long."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    for start in edges:
        if start in number:
            continue
        way: list[tuple[str, Iterator[str]]] = []
        following: str | None = start
        while following is not None or way:
            if following is not None:
                number[following] = low[following] = len(number)
                open_[following] = None
                way.append((following, iter(sorted(edges.get(following, ())))))
            node, others = way[-1]
            following = next((other for other in others if _is_new(other, node, number, low, open_)), None)
            if following is not None:
                continue
            way.pop()
            if way:
                before = way[-1][0]
                low[before] = min(low[before], low[node])
            if low[node] == number[node]:
                group = set()
                while node not in group:
                    group.add(open_.popitem()[0])
                yield frozenset(group)


def _is_new(
    other: str, node: str, number: Mapping[str, int], low: dict[str, int], open_: Collection[str]
) -> bool:
    if other in open_:
        low[node] = min(low[node], number[other])
    return other not in number


def _shortest_way(first: str, group: frozenset[str], edges: Edges) -> tuple[str, ...]:
    """Find a shortest way from a skill back to itself, within the group of those on a cycle with it."""
    before: dict[str, str] = {}
    queue = deque([first])
    while first not in before:
        node = queue.popleft()
        for other in sorted(group & edges[node]):
            if other not in before:
                before[other] = node
                queue.append(other)
    way = [first]
    while len(way) == 1 or way[-1] != first:
        way.append(before[way[-1]])
    return tuple(reversed(way))
