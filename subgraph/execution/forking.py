"""What every zygote does: it forks workers that serve a socket, and collects those that have died."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from typing import NoReturn

from subgraph.execution.lifetime import die_with, go_first_when_memory_runs_out
from subgraph.execution.protocol import encode

_FIRST_DESCRIPTOR, _DESCRIPTORS_END = 3, 1 << 20  # beside the standard streams


def fork_worker(control: socket.socket, descriptor: int, serve: Callable[[socket.socket], None]) -> None:
    """Fork a worker that serves the socket; send back a pidfd, which no other process can inherit.

    Answers `["forked"]`, or `["failed", message]`, on the control socket.
    """
    zygote = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:  # too many processes: those that run must not die of it
        os.close(descriptor)
        control.sendall(encode(["failed", f"no worker could be forked: {error.strerror}"]))
        return
    if pid == 0:
        _become_worker(zygote, descriptor, serve)
    os.close(descriptor)
    # The child is not reaped before this, so its number cannot have gone to another process.
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(control, [encode(["forked"])], [pidfd])
    finally:
        os.close(pidfd)


def _become_worker(zygote: int, descriptor: int, serve: Callable[[socket.socket], None]) -> NoReturn:
    """Run the forked child, which must never return into the zygote's loop."""
    status = 1
    try:
        die_with(zygote)
        go_first_when_memory_runs_out()
        os.setsid()  # a session of its own: see `priority`
        os.closerange(_FIRST_DESCRIPTOR, descriptor)
        os.closerange(descriptor + 1, _DESCRIPTORS_END)
        serve(socket.socket(fileno=descriptor))
        status = 0
    except Exception:  # noqa: BLE001 - a worker that failed in any way must end here
        # The end of the connection tells the service; the reason goes to its log.
        traceback.print_exc()
    finally:
        # Not sys.exit: the zygote's exit handlers and buffers are not this process's to run.
        os._exit(status)


def reap() -> None:
    """Collect workers that have died."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return


def let_go_of_the_log() -> None:
    """Send stderr nowhere: whoever takes over a worker could write what he likes into the service's log."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
