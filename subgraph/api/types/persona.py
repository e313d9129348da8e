"""The seats that a query can belong to, and what only a person in one of them does."""

from __future__ import annotations

from enum import Enum
from typing import Self

import strawberry

from subgraph import routing
from subgraph.routing.personas import Cause

strawberry.enum(Cause, name="DeferralCause", description="Why a query goes to a person whatever its score.")


@strawberry.enum(description="A seat that a query can belong to; the last four are emerging ones.")
class Persona(Enum):
    CEO = "CEO"
    COO = "COO"
    CFO = "CFO"
    CMO = "CMO"
    CTO = "CTO"
    CHRO = "CHRO"
    CSO = "CSO"
    CLO = "CLO"
    CDO = "CDO"
    CPO = "CPO"
    CAIO = "CAIO"
    CXO = "CXO"
    CRO = "CRO"
    CSO_SUSTAINABILITY = "CSO_SUSTAINABILITY"


@strawberry.type(description="An action that only a person does.")
class Deferral:
    action: str = strawberry.field(
        description="The action, as a list has it; or a capability whose effects cannot be undone, and the "
        "skill that declares it."
    )
    seat: Persona = strawberry.field(description="Whose decision it is.")
    held: str = strawberry.field(description="How that seat is filled.")
    cause: Cause = strawberry.field(description="Why it goes to a person.")

    @classmethod
    def of(cls, deferral: routing.Deferral) -> Self:
        """Present a deferral."""
        return cls(
            action=deferral.action, seat=Persona(deferral.seat), held=deferral.held, cause=deferral.cause
        )
