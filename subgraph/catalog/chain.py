"""`metadata.cyberos-chain`: how a skill's dependencies are run before it, and what goes from one to the next.

It is a JSON object, as the standard's metadata holds text alone:

    {"steps": {"buyer": {"skill": "vn-mst-validate", "when": "/buyer_mst",
                         "input": {"/mst": "/buyer_mst"}, "expect": {"/ok": true},
                         "output": {"/buyer_mst": "/normalized"}}},
     "needs": {"write_file": "/output_path"}}

Places are JSON Pointers (RFC 6901). A step's `input` takes values from the input of the skill that declares
the chain, from the answer of another step (`other#/place`), or as they are (`{"value": true}`). `expect` says
what its answer must hold, `output` what of its answer goes into the skill's own input, and `when` which place
of that input must hold something, else the step is left out. `needs` names the capabilities without which the
router does not start the skill, and the place that asks for each, or true; without `needs` it is all that the
skill declares.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

import orjson

from subgraph.catalog.pointer import Pointer, PointerInvalid
from subgraph.catalog.showing import shown_in_line

CHAIN_TEXT_LIMIT = 4096
"""Bound of a declaration in characters; that of vn-vat-invoice has 400."""

STEPS_LIMIT = 16
"""Bound of the steps that one skill declares."""

MAPPINGS_LIMIT = 32
"""Bound of each of the mappings of a step."""

_STEP_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_CAPABILITY = re.compile(r"[a-z][a-z_]{0,31}", re.ASCII)
_SHOWN = 60


class ChainInvalid(ValueError):
    """A declaration of a chain is not as documented; the message says where."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: a place of a step's answer, or of the skill's input; or it is `value`."""

    step: str | None
    pointer: Pointer | None
    value: object = None


@dataclass(frozen=True, slots=True)
class Step:
    """One declared step; `skill` is named as in `cyberos-depends-on`."""

    name: str
    skill: str
    when: Pointer | None
    input: Mapping[Pointer, Source]
    expect: Mapping[Pointer, object]
    output: Mapping[Pointer, Pointer]

    @property
    def after(self) -> frozenset[str]:
        """The steps whose answers it takes."""
        return frozenset(source.step for source in self.input.values() if source.step is not None)


@dataclass(frozen=True, slots=True)
class ChainDeclaration:
    """The steps, by generations: those of one depend on earlier ones alone. `needs` None is all declared."""

    generations: tuple[tuple[Step, ...], ...] = ()
    needs: Mapping[str, Pointer | None] | None = None


@functools.lru_cache(maxsize=512)
def parse_chain(text: str) -> ChainDeclaration:
    """Read a declaration; an empty text is one of no steps.

    Raises `ChainInvalid`, also for a cycle of steps, which it names.
    """
    if not text:
        return ChainDeclaration()
    if len(text) > CHAIN_TEXT_LIMIT:
        raise ChainInvalid(f"over {CHAIN_TEXT_LIMIT} characters")
    try:
        declared = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ChainInvalid("not JSON") from error
    fields = _fields(declared, "the chain", {"steps", "needs"})
    listed = _object(fields.get("steps", {}), "steps")
    if len(listed) > STEPS_LIMIT:
        raise ChainInvalid(f"over {STEPS_LIMIT} steps")
    steps = {name: _step(name, of) for name, of in listed.items()}
    return ChainDeclaration(_generations(steps), _needs(fields["needs"]) if "needs" in fields else None)


def chain_fault(text: str, depends_on: Collection[str]) -> str | None:
    """Say why a declaration cannot be run, whatever other skills there are; None for one that can.

    `depends_on` are the names of `cyberos-depends-on`: a step runs none but these.
    """
    try:
        declared = parse_chain(text)
    except ChainInvalid as error:
        return str(error)
    for step in itertools.chain.from_iterable(declared.generations):
        if step.skill not in depends_on:
            return f"{step.name} runs {_shown(step.skill)}, which cyberos-depends-on does not name"
    return None


def _step(name: str, declared: object) -> Step:
    if _STEP_NAME.fullmatch(name) is None:
        raise ChainInvalid(f"{_shown(name)} is no name of a step: letters, digits and hyphens, at most 32")
    fields = _fields(declared, name, {"skill", "when", "input", "expect", "output"})
    skill = fields.get("skill")
    if not isinstance(skill, str) or not skill:
        raise ChainInvalid(f"{name}: `skill` must name one of cyberos-depends-on")
    inputs, expected, outputs = (_mapping(fields, name, field) for field in ("input", "expect", "output"))
    return Step(
        name,
        skill,
        _pointer(fields["when"], name) if "when" in fields else None,
        MappingProxyType({_target(place, name): _source(of, name) for place, of in inputs}),
        MappingProxyType({_pointer(place, name): _scalar(of, name) for place, of in expected}),
        MappingProxyType({_target(place, name): _pointer(of, name) for place, of in outputs}),
    )


def _mapping(fields: Mapping[str, object], name: str, field: str) -> list[tuple[str, object]]:
    items = list(_object(fields.get(field, {}), f"{name}.{field}").items())
    if len(items) > MAPPINGS_LIMIT:
        raise ChainInvalid(f"{name}.{field}: over {MAPPINGS_LIMIT} places")
    return items


def _source(declared: object, name: str) -> Source:
    if isinstance(declared, dict):
        if declared.keys() != {"value"}:
            raise ChainInvalid(f'{name}: a value stands as {{"value": …}}')
        return Source(None, None, declared["value"])
    if not isinstance(declared, str):
        raise ChainInvalid(f"{name}: a source is a place, or an object with `value`")
    step, mark, place = declared.rpartition("#")
    return Source(step if mark else None, _pointer(place, name))


def _target(declared: str, name: str) -> Pointer:
    pointer = _pointer(declared, name)
    if not pointer.keys:
        raise ChainInvalid(f"{name}: a value goes to a place within an input, such as /mst")
    return pointer


def _pointer(declared: object, name: str) -> Pointer:
    if not isinstance(declared, str):
        raise ChainInvalid(f"{name}: a place is a JSON Pointer, such as /mst")
    try:
        return Pointer.parse(declared)
    except PointerInvalid as error:
        raise ChainInvalid(f"{name}: {_shown(declared)} {error}") from error


def _scalar(declared: object, name: str) -> object:
    if isinstance(declared, dict | list):
        raise ChainInvalid(f"{name}: `expect` compares with text, numbers, true, false or null")
    return declared


def _needs(declared: object) -> Mapping[str, Pointer | None]:
    needs: dict[str, Pointer | None] = {}
    for name, place in _object(declared, "needs").items():
        if _CAPABILITY.fullmatch(name) is None:
            raise ChainInvalid(f"needs: {_shown(name)} is no name of a capability")
        needs[name] = None if place is True else _pointer(place, "needs")
    return MappingProxyType(needs)


def _generations(steps: Mapping[str, Step]) -> tuple[tuple[Step, ...], ...]:
    for step in steps.values():
        unknown = sorted(step.after - steps.keys())
        if unknown:
            raise ChainInvalid(f"{step.name} takes from {_shown(unknown[0])}, which is no step")
    sorter = TopologicalSorter({name: steps[name].after for name in sorted(steps)})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ChainInvalid(f"its steps form a cycle: {' → '.join(reversed(error.args[1]))}") from error
    generations = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        generations.append(tuple(steps[name] for name in ready))
        sorter.done(*ready)
    return tuple(generations)


def _fields(declared: object, what: str, known: set[str]) -> dict[str, object]:
    fields = _object(declared, what)
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ChainInvalid(f"{what}: {_shown(unknown[0])} is not known; there are {', '.join(sorted(known))}")
    return fields


def _object(declared: object, what: str) -> dict[str, object]:
    if not isinstance(declared, dict):
        raise ChainInvalid(f"{what}: must be an object")
    return declared


def _shown(text: str) -> str:
    return shown_in_line(text, _SHOWN)
