"""The process that runs a skill's script. It is forked from the script zygote and never trusted.

1. Move the service's socket out of the way of what the script opens; let go of the service's log.
2. Bound memory, files, descriptors and processes; give up every capability.
3. Landlock: read the standard library, the time zones, the skill's snapshot and what is granted to
   read; write what is granted to write; nothing else.
4. seccomp, without threads and executable memory; then try everything forbidden, and refuse work if any
   of it succeeds.
5. Say so, and run scripts until the service closes the socket.

The script shares the process with the code here, so it can write what it likes on the socket. That is
an answer to its own call and to no other: the service checks each, and ends the worker at the first that
is none.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import sys
import sysconfig
import zoneinfo
from dataclasses import replace
from functools import cache
from pathlib import Path

from subgraph.execution import script_host
from subgraph.execution.confinement import (
    ConfinementError,
    FileAccess,
    confine_files,
    confine_system_calls,
)
from subgraph.execution.confinement.syscalls import drop_capabilities
from subgraph.execution.forking import let_go_of_the_log
from subgraph.execution.protocol import READY, REFUSED, ProtocolError, Reply, decode, encode, receive
from subgraph.execution.script_run import ScriptCall, ScriptRunner
from subgraph.execution.script_state import restrict_imports

FILE_BYTES_LIMIT = 64 * 1024 * 1024
"""Bound of each file that a script writes, in bytes (RLIMIT_FSIZE). It bounds no number of files."""

DESCRIPTORS_LIMIT = 64
"""Descriptors of a worker (RLIMIT_NOFILE): four of its own; a script that opens more than 60 leaks them."""

_SOCKET_FROM = 60  # the lowest number for the service's socket, above whatever a script gets

_OWN_MODULES = ("subgraph", "msgpack")  # of the worker and no business of a script's


def prepare() -> None:
    """Do once, in the zygote, what every worker would do: find the standard library."""
    restrict_imports(standard_library())


@cache
def standard_library() -> tuple[Path, ...]:
    """Return the directories of the standard library and of the time zones, as they really lie."""
    named = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *zoneinfo.TZPATH]
    found = (Path(path).resolve() for path in named)
    # In a virtual environment the second one is the environment's, which has no standard library.
    environment = Path(sys.prefix).resolve() if sys.prefix != sys.base_prefix else None
    return tuple(
        dict.fromkeys(
            path
            for path in found
            if path.is_dir() and (environment is None or not path.is_relative_to(environment))
        )
    )


def serve(connection: socket.socket, access: FileAccess, memory_bytes: int) -> None:
    """Confine this process and run scripts for the service until it closes the connection.

    The first directory of `access` is the skill's snapshot. The script may take `memory_bytes` of
    address space beside what the process has already.
    """
    try:
        connection = _confine(connection, access, memory_bytes)
    except (ConfinementError, OSError) as error:
        reason = str(error) if isinstance(error, ConfinementError) else str(error.strerror)
        connection.sendall(encode([REFUSED, reason]))
        return

    def give_up(reply: Reply) -> None:
        connection.sendall(encode(reply))
        os._exit(0)

    script_host.install(connection)
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN_MODULES]:
        del sys.modules[name]
    runner = ScriptRunner(access, give_up)
    connection.sendall(encode([READY, os.getpid()]))
    while (body := receive(connection)) is not None:
        match decode(body):
            case ["script", str(entry), str(input_), int(time_ms), int(memory), int(output)]:
                reply = runner.run(ScriptCall(entry, input_, time_ms, memory, output))
            case _:
                raise ProtocolError("not a call")
        connection.sendall(encode(reply))
        runner.clean_up()  # while the service is busy with the reply


def _confine(connection: socket.socket, access: FileAccess, memory_bytes: int) -> socket.socket:
    moved = socket.socket(fileno=fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, _SOCKET_FROM))
    let_go_of_the_log()
    snapshot, *granted = (*access.read, *access.write)
    os.chdir(granted[0] if granted else snapshot)
    for limit, value in (
        (resource.RLIMIT_AS, _address_space() + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES_LIMIT),
        (resource.RLIMIT_NOFILE, DESCRIPTORS_LIMIT),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    drop_capabilities()
    everything = replace(access, read=(*access.read, *standard_library()))
    confine_files(everything)
    confine_system_calls(executable_memory=False, access=everything, script=True)
    connection.close()
    return moved


def _address_space() -> int:
    """Return the size of this process's address space, in bytes (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
