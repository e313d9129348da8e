"""Variables of the service's environment that a skill may read."""

from __future__ import annotations

from collections.abc import Mapping

from subgraph.capabilities.patterns import is_reserved_variable
from subgraph.execution.host.errors import HostCallDenied, HostCallError


def read_variable(environment: Mapping[str, str], name: str) -> str:
    """Return a variable. Raises `HostCallDenied` for the service's own, `HostCallError` for an unset one.

    Whether a variable that usually holds a secret was granted by its name is for `Capability.admits`.
    """
    if is_reserved_variable(name):
        raise HostCallDenied("variables of the service itself cannot be read")
    try:
        value = environment[name]
    except KeyError:
        raise HostCallError(f"the variable {name} is not set") from None
    # The system's bytes that are no UTF-8 stand as surrogates, which no skill can be handed.
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
