"""Chains: which skills are run before the one that a query is for, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from subgraph.catalog.chain import ChainInvalid, Step, parse_chain
from subgraph.catalog.dependencies import resolve
from subgraph.catalog.pointer import Pointer
from subgraph.routing.catalogue import CatalogueSnapshot
from subgraph.routing.skill_entry import SkillEntry

CHAIN_STEPS_LIMIT = 64
"""Bound of the runs of one chain, those of its steps' own chains included. Each is an entry of the log, and
the entry of the chain lists them all; the largest chain of this project has three."""

CHAIN_DEPTH_LIMIT = 16
"""Bound of the skills on the way from the one that was asked for to one that is run for it: planning them
recurses."""


class ChainBroken(ValueError):
    """A skill's chain cannot be run; the message says why, in words of a rationale."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One run of a chain. `after` are the indexes of those that must end before it."""

    index: int
    name: str
    skill_path: str
    after: tuple[int, ...]

    def as_data(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "index": self.index,
            "step": self.name,
            "skillName": self.skill_path,
            "after": list(self.after),
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PlannedStep:
        """Read what `as_data` gave."""
        return cls(data["index"], data["step"], data["skillName"], tuple(data["after"]))


@dataclass(frozen=True, slots=True)
class ChainNode:
    """A skill of a chain, with its own steps by generations: those of one run side by side.

    `skill` is what the catalogue says of it, `step` how the skill above it feeds it, None at the root.
    `needs` are the capabilities without which it is not started, and the places of its input that ask for
    them; None is all that it declares.
    """

    planned: PlannedStep
    skill: SkillEntry
    step: Step | None
    generations: tuple[tuple[ChainNode, ...], ...]
    needs: Mapping[str, Pointer | None] | None

    def nodes(self) -> Iterator[ChainNode]:
        """Go through all nodes below it and then itself, in the order of their indexes."""
        for generation in self.generations:
            for node in generation:
                yield from node.nodes()
        yield self

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All runs in their order; empty where the skill runs alone."""
        return tuple(node.planned for node in self.nodes()) if self.generations else ()


def plan_chain(skill: SkillEntry, snapshot: CatalogueSnapshot) -> ChainNode:
    """Plan the runs of a skill, which comes last. Raises `ChainBroken`."""
    return _Planner(snapshot).plan(skill, _Place((), (), None, ()))


class _Place(NamedTuple):
    """Where in a chain a skill stands: by the names of steps and the skills above, as what, after which."""

    names: tuple[str, ...]
    above: tuple[str, ...]
    step: Step | None
    after: tuple[int, ...]


class _Planner:
    def __init__(self, snapshot: CatalogueSnapshot) -> None:
        self._snapshot = snapshot
        self._count = 0

    def plan(self, skill: SkillEntry, at: _Place) -> ChainNode:
        if skill.path in at.above:
            way = (*at.above[at.above.index(skill.path) :], skill.path)
            raise ChainBroken(f"its chain is a cycle: {' → '.join(way)}")
        if len(at.above) == CHAIN_DEPTH_LIMIT:
            raise ChainBroken(f"its chain is deeper than {CHAIN_DEPTH_LIMIT} skills")
        try:
            declared = parse_chain(skill.chain)
        except ChainInvalid as error:
            raise ChainBroken(f"the chain of {skill.path} is invalid: {error}") from error
        generations: list[tuple[ChainNode, ...]] = []
        indexes: dict[str, int] = {}
        for steps in declared.generations:
            generation = []
            for step in steps:
                after = tuple(sorted(indexes[name] for name in step.after))
                place = _Place((*at.names, step.name), (*at.above, skill.path), step, after)
                generation.append(self.plan(self._dependency(step, skill), place))
                indexes[step.name] = generation[-1].planned.index
            generations.append(tuple(generation))
        index, self._count = self._count, self._count + 1
        if index == CHAIN_STEPS_LIMIT:
            raise ChainBroken(f"its chain has more than {CHAIN_STEPS_LIMIT} steps")
        after = tuple(sorted({*at.after, *indexes.values()}))
        planned = PlannedStep(index, ".".join(at.names) or skill.name, skill.path, after)
        return ChainNode(planned, skill, at.step, tuple(generations), declared.needs)

    def _dependency(self, step: Step, of: SkillEntry) -> SkillEntry:
        if step.skill not in of.depends_on:
            raise ChainBroken(f"{of.path} runs {step.skill}, which it does not say it depends on")
        skills, names, revoked = self._snapshot.by_path, self._snapshot.by_name, self._snapshot.revoked
        path = resolve(
            step.skill,
            of.path,
            holds=lambda path: path in skills or path in revoked,
            named=lambda name: names.get(name, ()),
        )
        if path in revoked:
            raise ChainBroken(f"{of.path} depends on {path}, which is revoked")
        if path is None:
            raise ChainBroken(f"{of.path} depends on {step.skill}, which is not in the catalogue")
        return skills[path]
