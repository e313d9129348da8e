"""Why a host call gave no answer. The messages reach the skill: no secret, no path of the machine."""

from __future__ import annotations


class HostCallError(Exception):
    """The call could not be answered."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class HostCallInvalid(HostCallError):
    """The call's arguments are malformed: a wrong type, or a path, address or name that cannot be."""


class HostCallDenied(HostCallError):
    """The call goes beyond what was granted to the skill, or to where no skill may go."""
