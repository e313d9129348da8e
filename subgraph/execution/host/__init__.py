"""What the service does for a skill when it asks: files, addresses, secrets, notes, commands, the log."""

from subgraph.execution.host.arguments import HOST_FUNCTIONS, recorded_target, target_of
from subgraph.execution.host.errors import HostCallDenied, HostCallError, HostCallInvalid
from subgraph.execution.host.secrets import Redactor
from subgraph.execution.host.services import CallContext, HostServices, check_apart

__all__ = [
    "HOST_FUNCTIONS",
    "CallContext",
    "HostCallDenied",
    "HostCallError",
    "HostCallInvalid",
    "HostServices",
    "Redactor",
    "check_apart",
    "recorded_target",
    "target_of",
]
