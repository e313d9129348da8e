"""Who calls, and what they may ask for."""

from __future__ import annotations

import unicodedata
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


def account_actor(account: str) -> str:
    """Name whoever works at a shell of the service's machine, by the account.

    The name is of a form that no token has, whoever issues it: a subject that is called like an account, here
    or where another replica runs, would else share its payload key and what it decided.
    """
    return f"{LOCAL_OPERATOR.actor}:{account}"


def is_local(actor: str) -> bool:
    """Whether a name is one of the local operator's, or looks like one.

    Names are compared as they are everywhere; case, width and spaces around are left out here alone, so that
    nobody who reads the audit trail takes one for the other.
    """
    folded = unicodedata.normalize("NFKC", actor).casefold().strip()
    return folded.partition(":")[0].strip() == LOCAL_OPERATOR.actor
