"""The process that runs skills, one call at a time. It is forked from the zygote and never trusted.

1. Open what is needed from outside: the account of its memory; let go of the service's log.
2. Landlock: no file outside the granted directories (of which most have none), no TCP, no signal to
   others.
3. Start the watchdog thread, which inherits Landlock.
4. seccomp on every thread, then try everything forbidden; refuse work if any of it succeeds.
5. Bring memory into place for the trusted components that are loaded.
6. Say that it is ready, and serve calls until the service closes the socket.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Callable

from subgraph.execution.confinement import (
    NOTHING,
    ConfinementError,
    FileAccess,
    confine_files,
    confine_system_calls,
)
from subgraph.execution.confinement.syscalls import drop_capabilities, prctl
from subgraph.execution.engine import SkillEngine
from subgraph.execution.forking import let_go_of_the_log
from subgraph.execution.protocol import (
    READY,
    REFUSED,
    Call,
    ProtocolError,
    Reply,
    decode,
    encode,
    receive,
)

_PR_SET_THP_DISABLE = 41
_M_MMAP_THRESHOLD = -3

_DESCRIPTORS_LIMIT = 64
"""A worker has five, and Wasmtime a few for the clocks of WASI, for initial memory and for what a guest
opens beneath granted directories."""

FILE_BYTES_LIMIT = 64 * 1024 * 1024
"""Bound of each file that is written beneath a granted directory, in bytes (RLIMIT_FSIZE)."""


def serve(
    connection: socket.socket, engine: SkillEngine, *, landlock: bool, access: FileAccess = NOTHING
) -> None:
    """Confine this process and answer calls on a connection until it is closed; never returns an error.

    `landlock`: whether the kernel has it. Without it seccomp alone confines, and the service decides
    what may still run; directories are then not granted at all. `access`: the directories beneath
    which guests may open files.
    """

    def give_up(reply: Reply) -> None:
        connection.sendall(encode(reply))
        os._exit(0)

    try:
        _confine(connection, engine, give_up, landlock=landlock, access=access)
    except ConfinementError as error:
        connection.sendall(encode([REFUSED, str(error)]))
        return
    if not access:
        engine.rehearse()  # one with directories was forked for a call that waits
    engine.connect(connection)
    connection.sendall(encode([READY, os.getpid()]))
    while (body := receive(connection)) is not None:
        fields = decode(body)
        if not isinstance(fields, list):
            raise ProtocolError("not a call")
        connection.sendall(encode(engine.run(Call(*fields))))


def _confine(
    connection: socket.socket,
    engine: SkillEngine,
    give_up: Callable[[Reply], None],
    *,
    landlock: bool,
    access: FileAccess,
) -> None:
    if access and not landlock:
        raise ConfinementError("without Landlock no directory can be granted")
    # Huge pages would let a guest take 2 MiB with each touch; see `Watchdog`.
    prctl(_PR_SET_THP_DISABLE, 1)
    # A fixed threshold: large strings go back to the kernel at once and do not blur the account.
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
    watchdog = engine.prepare(give_up)
    let_go_of_the_log()
    drop_capabilities()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS_LIMIT, _DESCRIPTORS_LIMIT))
    if access:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_LIMIT, FILE_BYTES_LIMIT))
    if landlock:
        confine_files(access)
    watchdog.start()
    confine_system_calls(executable_memory=False, access=access)
