"""Scalars that GraphQL does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)

_SAFE_INTEGER = 2**53 - 1  # the largest that every JSON parser keeps as it is


def _parse_integer(value: object) -> BigInt:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _SAFE_INTEGER:
        raise GraphQLError("BigInt is an integer of at most 53 bits")
    return BigInt(value)


SCALARS: Mapping[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of up to 53 bits, as a JSON number; Int has 32.",
        serialize=int,
        parse_value=_parse_integer,
    )
}
