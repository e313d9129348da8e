"""Who calls, and what they may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from subgraph.errors import Forbidden


class Scope(StrEnum):
    """What a token may allow; names as they stand in the token's `scope` claim."""

    READ = "skill:read"
    INVOKE = "skill:invoke"
    GRANT = "skill:grant"
    AUDIT = "skill:audit"
    ROUTE = "cuo:route"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `actor` is the name that the audit trail keeps."""

    actor: str
    scopes: frozenset[str]

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` when the caller lacks a scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope}, which the token does not have")


LOCAL_OPERATOR = Principal("local-operator", frozenset(Scope))
"""The one caller of a service without authentication, which listens on loopback alone."""
