"""What the kernel denies to a process that runs a skill.

Two layers, each of which holds alone where it can. Landlock takes away every file, TCP, signals and
tracing of other processes; seccomp leaves only the system calls that running WebAssembly or a script
needs. Directories may be granted; Landlock then decides where, seccomp what can be done there. Both are
proved at start: a process tries what it must not be able to do and refuses work if any of it
succeeds. Silent non-enforcement is the fault that sandboxes repeat.

What neither layer hides from a process that is granted a directory: whether a path exists, and its kind,
size, owner, mode and times. Landlock does not mediate `stat`, and seccomp cannot see a path.
"""

from __future__ import annotations

from subgraph.execution.confinement import attempts, landlock, seccomp
from subgraph.execution.confinement.access import NOTHING, FileAccess
from subgraph.execution.confinement.syscalls import no_new_privileges

__all__ = [
    "NOTHING",
    "ConfinementError",
    "FileAccess",
    "confine_files",
    "confine_system_calls",
    "directories_grantable",
    "filter_system_calls",
    "landlock_available",
]


class ConfinementError(Exception):
    """The process could not be confined, or something forbidden still succeeds."""


def landlock_available() -> bool:
    """Whether this kernel has Landlock, switched on."""
    return landlock.abi_version() > 0


def directories_grantable() -> bool:
    """Whether this kernel's Landlock can grant directories, read-only ones too (Linux 6.2)."""
    return landlock.abi_version() >= landlock.GRANTS_SINCE


def confine_files(access: FileAccess = NOTHING) -> None:
    """Apply Landlock to this thread and every thread it starts from now on.

    What `access` grants stays allowed. Raises `ConfinementError` when the kernel does not do it, or when
    a granted directory is not there.
    """
    try:
        no_new_privileges()
        landlock.deny_everything(access)
    except OSError as error:
        raise ConfinementError(f"Landlock was not applied: {error.strerror}") from error


def confine_system_calls(
    *, executable_memory: bool, access: FileAccess = NOTHING, script: bool = False
) -> None:
    """Apply seccomp to every thread of this process, then prove the whole confinement.

    `executable_memory` lets the process make memory executable, which a compiler needs and a worker
    does not. `access` is what `confine_files` was given. A process that runs a `script` may start no
    thread. Raises `ConfinementError` when the kernel refuses, or when a forbidden act succeeds.
    """
    filter_system_calls(executable_memory=executable_memory, access=access, script=script)
    escaped = attempts.succeeding(executable_memory=executable_memory, access=access, script=script)
    if escaped:
        raise ConfinementError("the process could still do this: " + ", ".join(escaped))


def filter_system_calls(
    *, executable_memory: bool, access: FileAccess = NOTHING, script: bool = False
) -> None:
    """Apply seccomp, and prove nothing; see `confine_system_calls`."""
    try:
        no_new_privileges()
        seccomp.install(executable_memory=executable_memory, access=access, script=script)
    except OSError as error:
        raise ConfinementError(f"seccomp was not applied: {error.strerror}") from error
