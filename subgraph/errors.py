"""Every error that a caller can see: one base class, one stable code each.

The docstring of a class is its default message. Codes are part of the interface
(`extensions.code` in GraphQL) and never change.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class SubgraphError(Exception):
    """The request could not be served; try again, and report it if it fails again."""

    code: ClassVar[str] = "EXECUTION_FAILED"

    request_id: str | None = None
    """The recorded decision that came to this, where one did."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "")
        super().__init__(self.message)


class Unauthenticated(SubgraphError):
    """The request carries no valid bearer token; send `Authorization: Bearer <token>`."""

    code = "UNAUTHENTICATED"


class Forbidden(SubgraphError):
    """The token lacks a scope that this operation needs."""

    code = "FORBIDDEN"


class SkillNotFound(SubgraphError):
    """No skill has this name; `skills { name path }` lists those that exist."""

    code = "SKILL_NOT_FOUND"


class SkillAmbiguous(SubgraphError):
    """Several skills share this short name; ask by path."""

    code = "SKILL_AMBIGUOUS"


class SkillRevoked(SubgraphError):
    """This skill was revoked and does not run."""

    code = "SKILL_REVOKED"


class InputInvalid(SubgraphError):
    """The input is not a JSON object within the size limit."""

    code = "INPUT_INVALID"


class CapabilityDenied(SubgraphError):
    """The skill does not declare this capability in `allowed-tools`."""

    code = "CAPABILITY_DENIED"


class GrantRequired(SubgraphError):
    """Nobody has granted this capability to the skill; use `grantCapability`."""

    code = "GRANT_REQUIRED"


class GrantDenied(GrantRequired):
    """An operator was asked for this capability and has denied it; use `grantCapability`."""


class GrantStale(SubgraphError):
    """The skill changed since its capabilities were granted; review it and grant again."""

    code = "GRANT_STALE"


class ExecutionFailed(SubgraphError):
    """The skill could not be run."""

    code = "EXECUTION_FAILED"


class SourceInvalid(SubgraphError):
    """The skill's files are not a valid Agent Skill."""

    code = "SOURCE_INVALID"


class Overloaded(SubgraphError):
    """Too many calls are waiting; try again in a moment."""

    code = "OVERLOADED"


class StorageUnavailable(SubgraphError):
    """The database cannot be reached, so nothing is run that could not be recorded; try again."""

    code = "STORAGE_UNAVAILABLE"


ERROR_CODES = frozenset(error.code for error in SubgraphError.__subclasses__())
"""Every code there is."""
