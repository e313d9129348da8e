"""`_entities`: a gateway's references to our types, resolved in one batch for each type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from subgraph.api.context import Context
from subgraph.api.identifiers import parse_identifier
from subgraph.api.types import CapabilityGrant, Invocation, RoutingDecision, Skill
from subgraph.errors import InputInvalid, SubgraphError

REPRESENTATIONS_LIMIT = 1000
"""References in one request; a gateway asks for those of one page of results."""

Representation = Mapping[str, object]
Resolved = list[object]
"""One item for each reference, in order: the object, None when there is none, or its own error."""


async def resolve_entities(context: Context, representations: Sequence[object]) -> Resolved:
    """Resolve references. A reference that cannot be resolved is an error of its own, not of all.

    Raises `InputInvalid` for more than `REPRESENTATIONS_LIMIT`.
    """
    if len(representations) > REPRESENTATIONS_LIMIT:
        raise InputInvalid(f"more than {REPRESENTATIONS_LIMIT} representations in one request")
    resolved: Resolved = [None] * len(representations)
    batches: dict[str, list[tuple[int, Representation]]] = {}
    for index, representation in enumerate(representations):
        type_name = representation.get("__typename") if isinstance(representation, Mapping) else None
        if isinstance(representation, Mapping) and isinstance(type_name, str) and type_name in _RESOLVERS:
            batches.setdefault(type_name, []).append((index, representation))
        else:
            resolved[index] = InputInvalid("a representation needs the __typename of an entity")
    for type_name, batch in batches.items():
        try:
            items = await _RESOLVERS[type_name](context, [representation for _, representation in batch])
        except SubgraphError as error:
            items = [error] * len(batch)
        for (index, _), item in zip(batch, items, strict=True):
            resolved[index] = item
    return resolved


async def _skills(context: Context, representations: Sequence[Representation]) -> Resolved:
    resolved: Resolved = []
    for representation in representations:
        try:
            name = _text(representation, "name")
            resolved.append(Skill(header=await context.service.skills.find(context.principal, name)))
        except SubgraphError as error:
            resolved.append(error)
    return resolved


async def _invocations(context: Context, representations: Sequence[Representation]) -> Resolved:
    identifiers = [parse_identifier(item.get("invocationId")) for item in representations]
    wanted = {identifier for identifier in identifiers if identifier is not None}
    entries = await context.service.history.invocations(context.principal, list(wanted))
    found = (None if identifier is None else entries.get(identifier) for identifier in identifiers)
    return [None if entry is None else Invocation.recorded(entry) for entry in found]


async def _decisions(context: Context, representations: Sequence[Representation]) -> Resolved:
    identifiers = [parse_identifier(item.get("requestId")) for item in representations]
    wanted = {identifier for identifier in identifiers if identifier is not None}
    found = await context.service.decision_log.find(context.principal, list(wanted))
    decisions = (None if identifier is None else found.get(identifier) for identifier in identifiers)
    return [None if each is None else RoutingDecision.recorded(each) for each in decisions]


async def _grants(context: Context, representations: Sequence[Representation]) -> Resolved:
    resolved: Resolved = []
    for representation in representations:
        try:
            grants = await context.service.oversight.grants(
                context.principal, _text(representation, "skillName")
            )
        except SubgraphError as error:
            resolved.append(error)
            continue
        capability = representation.get("capability")
        matching = [grant for grant in grants if capability in (None, grant.capability)]
        newest = max(matching, key=lambda grant: grant.granted_at, default=None)
        resolved.append(None if newest is None else CapabilityGrant(grant=newest))
    return resolved


def _text(representation: Representation, field: str) -> str:
    value = representation.get(field)
    if not isinstance(value, str):
        raise InputInvalid(f"a representation lacks {field}")
    return value


_RESOLVERS: dict[str, Callable[[Context, Sequence[Representation]], Awaitable[Resolved]]] = {
    "Skill": _skills,
    "Invocation": _invocations,
    "RoutingDecision": _decisions,
    "CapabilityGrant": _grants,
}
