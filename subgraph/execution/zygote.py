"""The process that workers are forked from: it has the engine and every component loaded.

It starts by exec, so it holds nothing of the service's memory; it has one thread, so a fork of it is
whole; it never compiles, since compiling starts threads. On its control socket it takes

    ["load", key, machine code]   → ["loaded"] or ["failed", message]
    ["unload", key]               → ["unloaded"]
    ["fork"] with a socket        → ["forked"] with a pidfd, or ["failed", message]
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from subgraph.execution import worker
from subgraph.execution.engine import ComponentError, SkillEngine
from subgraph.execution.lifetime import die_with, go_first_when_memory_runs_out
from subgraph.execution.protocol import ProtocolError, decode, encode, receive_with_descriptors

_FIRST_DESCRIPTOR, _DESCRIPTORS_END = 3, 1 << 20  # beside the standard streams


def main() -> None:
    """Serve the control socket given by descriptor in argv[1]; argv[2] says whether Landlock is there."""
    control = socket.socket(fileno=int(sys.argv[1]))
    landlock = sys.argv[2] == "landlock"
    die_with(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine = SkillEngine()
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, every page
    control.sendall(encode(["started"]))
    while True:
        body, descriptors = receive_with_descriptors(control)
        if body is None:
            return
        _reap()
        match decode(body):
            case ["load", str(key), bytes(machine_code)]:
                control.sendall(encode(_load(engine, key, machine_code)))
            case ["unload", str(key)]:
                engine.unload(key)
                control.sendall(encode(["unloaded"]))
            case ["fork"] if len(descriptors) == 1:
                _fork(control, descriptors[0], engine, landlock=landlock)
            case _:
                raise ProtocolError("not a message to the zygote")


def _load(engine: SkillEngine, key: str, machine_code: bytes) -> list[str]:
    try:
        engine.load(key, machine_code)
    except ComponentError as error:
        return ["failed", str(error)]
    return ["loaded"]


def _fork(control: socket.socket, descriptor: int, engine: SkillEngine, *, landlock: bool) -> None:
    """Fork a worker that serves the socket; send back a pidfd, which no other process can inherit."""
    zygote = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:  # too many processes: those that run must not die of it
        os.close(descriptor)
        control.sendall(encode(["failed", f"no worker could be forked: {error.strerror}"]))
        return
    if pid == 0:
        _become_worker(zygote, descriptor, engine, landlock=landlock)
    os.close(descriptor)
    # The child is not reaped before this, so its number cannot have gone to another process.
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(control, [encode(["forked"])], [pidfd])
    finally:
        os.close(pidfd)


def _become_worker(zygote: int, descriptor: int, engine: SkillEngine, *, landlock: bool) -> NoReturn:
    """Run the forked child, which must never return into the zygote's loop."""
    status = 1
    try:
        die_with(zygote)
        go_first_when_memory_runs_out()
        os.closerange(_FIRST_DESCRIPTOR, descriptor)
        os.closerange(descriptor + 1, _DESCRIPTORS_END)
        worker.serve(socket.socket(fileno=descriptor), engine, landlock=landlock)
        status = 0
    except Exception:  # noqa: BLE001 - a worker that failed in any way must end here
        # The end of the connection tells the service; the reason goes to its log.
        traceback.print_exc()
    finally:
        # Not sys.exit: the zygote's exit handlers and buffers are not this process's to run.
        os._exit(status)


def _reap() -> None:
    """Collect workers that have died."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
