"""What the kernel denies to a process that runs a skill.

Two layers, each of which holds alone where it can. Landlock takes away every file, TCP, signals and
tracing of other processes; seccomp leaves only the system calls that running WebAssembly needs. Both
are proved at start: a process tries what it must not be able to do and refuses work if any of it
succeeds. Silent non-enforcement is the fault that sandboxes repeat.
"""

from __future__ import annotations

from subgraph.execution.confinement import attempts, landlock, seccomp
from subgraph.execution.confinement.syscalls import no_new_privileges

__all__ = [
    "ConfinementError",
    "confine_files",
    "confine_system_calls",
    "filter_system_calls",
    "landlock_available",
]


class ConfinementError(Exception):
    """The process could not be confined, or something forbidden still succeeds."""


def landlock_available() -> bool:
    """Whether this kernel has Landlock, switched on."""
    return landlock.abi_version() > 0


def confine_files() -> None:
    """Apply Landlock to this thread and every thread it starts from now on.

    Raises `ConfinementError` when the kernel does not do it.
    """
    try:
        no_new_privileges()
        landlock.deny_everything()
    except OSError as error:
        raise ConfinementError(f"Landlock was not applied: {error.strerror}") from error


def confine_system_calls(*, executable_memory: bool) -> None:
    """Apply seccomp to every thread of this process, then prove the whole confinement.

    `executable_memory` lets the process make memory executable, which a compiler needs and a worker
    does not. Raises `ConfinementError` when the kernel refuses, or when a forbidden act succeeds.
    """
    filter_system_calls(executable_memory=executable_memory)
    escaped = attempts.succeeding(executable_memory=executable_memory)
    if escaped:
        raise ConfinementError("the process could still do this: " + ", ".join(escaped))


def filter_system_calls(*, executable_memory: bool) -> None:
    """Apply seccomp, and prove nothing; see `confine_system_calls`."""
    try:
        no_new_privileges()
        seccomp.install(executable_memory=executable_memory)
    except OSError as error:
        raise ConfinementError(f"seccomp was not applied: {error.strerror}") from error
