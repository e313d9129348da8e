"""The seats that a query can belong to: what each may do alone, and what always goes to a person."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from subgraph.errors import InputInvalid
from subgraph.routing.data_file import Data, Part, load
from subgraph.routing.keyword_bank import phrases_of
from subgraph.routing.patterns import check_pattern

_FILE = Path(__file__).with_name("personas.yaml")


class Cause(Enum):
    """Why a query goes to a person whatever its score."""

    DEFERS = "defers"
    IRREVERSIBLE = "irreversible"
    MANIPULATION = "manipulation"


@dataclass(frozen=True, slots=True)
class Action:
    """Something that only a person does. `also` are patterns of other words for it; see `patterns`."""

    text: str
    seat: str
    cause: Cause
    also: tuple[str, ...]

    def as_data(self) -> dict[str, Data]:
        """Give it in the form of its file, but for what its place there says."""
        return {"action": self.text, "also": list(self.also)}


@dataclass(frozen=True, slots=True)
class Persona:
    """A seat. `seats` are those that do its work today: itself, or the closest ones of an emerging seat.

    `held` says how the seat is filled. `auto_ok` and `defers` are normative, word for word.
    """

    code: str
    title: str
    held: str
    seats: tuple[str, ...]
    aliases: tuple[str, ...]
    auto_ok: tuple[str, ...]
    defers: tuple[Action, ...]
    keywords: tuple[str, ...]

    @property
    def is_emerging(self) -> bool:
        """Whether other seats do its work today."""
        return self.seats != (self.code,)


@dataclass(frozen=True, slots=True)
class PersonaBook:
    """All seats in their order; the version is stamped on every decision."""

    version: str
    personas: Mapping[str, Persona]
    irreversible: tuple[Action, ...]
    manipulation: tuple[Action, ...]

    def resolve(self, code: str) -> Persona:
        """Find a seat by its code or another name of it. Raises `InputInvalid`, which lists the codes."""
        for persona in self.personas.values():
            if code == persona.code or code in persona.aliases:
                return persona
        raise InputInvalid(f"no persona is named {code[:40]!r}; there are {', '.join(self.personas)}")

    def actions(self) -> Iterator[Action]:
        """Iterate over all that goes to a person, in the order in which equal ones decide."""
        for persona in self.personas.values():
            yield from persona.defers
        yield from self.irreversible
        yield from self.manipulation

    def as_data(self) -> Data:
        """Give it in the form of its file."""
        seats: dict[str, Data] = {}
        emerging: dict[str, Data] = {}
        for persona in self.personas.values():
            common: dict[str, Data] = {"title": persona.title, "keywords": list(persona.keywords)}
            if persona.is_emerging:
                emerging[persona.code] = common | {"seats": list(persona.seats)}
            else:
                seats[persona.code] = common | {
                    "held": persona.held,
                    "aliases": list(persona.aliases),
                    "auto_ok": list(persona.auto_ok),
                    "defers": [action.as_data() for action in persona.defers],
                }
        return {
            "version": self.version,
            # Lists keep the order of the seats, which keys of canonical bytes do not.
            "order": list(self.personas),
            "personas": seats,
            "emerging": emerging,
            "irreversible": [action.as_data() | {"seat": action.seat} for action in self.irreversible],
            "manipulation": [action.as_data() | {"seat": action.seat} for action in self.manipulation],
        }


@functools.cache
def builtin_personas() -> PersonaBook:
    """Return the personas of this version of the service."""
    return load_personas(_FILE.read_text(encoding="utf-8"), _FILE.name)


def load_personas(text: str, name: str) -> PersonaBook:
    """Read a file of personas. Raises `RoutingDataInvalid` with the line of the first fault."""
    return personas_of(load(text, name))


def personas_of(part: Part) -> PersonaBook:
    """Read a book of personas. Raises `RoutingDataInvalid`."""
    fields = part.fields(("version", "personas", "emerging", "irreversible", "manipulation"), ("order",))
    seats = {code: _persona(code, of) for code, of in fields["personas"].entries().items()}
    if not seats:
        fields["personas"].fault("there must be a seat")
    emerging: dict[str, Persona] = {}
    for code, of in fields["emerging"].entries().items():
        if code in seats:
            of.fault(f"{code!r} is a seat already")
        emerging[code] = _emerging(code, of, seats)
    found = seats | emerging
    if "order" in fields:
        order = [item.text() for item in fields["order"].items()]
        if sorted(order) != sorted(found):
            fields["order"].fault("the order must name each persona once")
        found = {code: found[code] for code in order}
    _check_aliases(part, found)
    return PersonaBook(
        fields["version"].text(),
        found,
        _guards(fields["irreversible"], Cause.IRREVERSIBLE, seats),
        _guards(fields["manipulation"], Cause.MANIPULATION, seats),
    )


def _persona(code: str, part: Part) -> Persona:
    fields = part.fields(("title", "held", "auto_ok", "defers", "keywords"), ("aliases",))
    return Persona(
        code,
        fields["title"].text(),
        fields["held"].text(),
        (code,),
        _texts(fields["aliases"]) if "aliases" in fields else (),
        phrases_of(fields["auto_ok"]),
        tuple(
            _action(item.fields(("action",), ("also",)), code, Cause.DEFERS)
            for item in fields["defers"].items()
        ),
        phrases_of(fields["keywords"]),
    )


def _emerging(code: str, part: Part, seats: Mapping[str, Persona]) -> Persona:
    fields = part.fields(("title", "seats", "keywords"))
    closest = _texts(fields["seats"])
    for seat in fields["seats"].items():
        _known_seat(seat, seats)
    if not closest:
        fields["seats"].fault("an emerging seat needs at least one that does its work")
    held = f"emerging: its work is done by {' and '.join(closest)}"
    return Persona(code, fields["title"].text(), held, closest, (), (), (), phrases_of(fields["keywords"]))


def _guards(part: Part, cause: Cause, seats: Mapping[str, Persona]) -> tuple[Action, ...]:
    actions = []
    for item in part.items():
        fields = item.fields(("action", "seat"), ("also",))
        actions.append(_action(fields, _known_seat(fields["seat"], seats), cause))
    return tuple(actions)


def _action(fields: Mapping[str, Part], seat: str, cause: Cause) -> Action:
    text = fields["action"].text()
    check_pattern(fields["action"])
    also = fields["also"].items() if "also" in fields else []
    for pattern in also:
        check_pattern(pattern)
    return Action(text, seat, cause, tuple(pattern.text() for pattern in also))


def _known_seat(part: Part, seats: Mapping[str, Persona]) -> str:
    seat = part.text()
    if seat not in seats:
        part.fault(f"{seat!r} is no seat; there are {', '.join(seats)}")
    return seat


def _texts(part: Part) -> tuple[str, ...]:
    return tuple(item.text() for item in part.items())


def _check_aliases(part: Part, personas: Mapping[str, Persona]) -> None:
    names = [name for persona in personas.values() for name in (persona.code, *persona.aliases)]
    for name in names:
        if names.count(name) > 1:
            part.fault(f"{name!r} names two personas")
