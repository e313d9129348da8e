"""The process that workers are forked from: it has the engine and every component loaded.

It starts by exec, so it holds nothing of the service's memory; it has one thread, so a fork of it is
whole; it never compiles, since compiling starts threads. On its control socket it takes

    ["load", key, profile, machine code]          → ["loaded", [what it imports]] or ["failed", message]
    ["unload", key]                               → ["unloaded"]
    ["fork"] with a socket                        → ["forked"] with a pidfd, or ["failed", message]
    ["fork", directories to read, directories to write] with a socket
                                                  → the same; the worker may open files beneath those
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from functools import partial

from subgraph.execution import worker
from subgraph.execution.confinement import NOTHING, FileAccess
from subgraph.execution.engine import ComponentError, EngineProfile, SkillEngine
from subgraph.execution.forking import fork_worker, reap
from subgraph.execution.lifetime import die_with
from subgraph.execution.protocol import ProtocolError, decode, encode, receive_with_descriptors


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

    def fork(descriptor: int, access: FileAccess) -> None:
        serve = partial(worker.serve, engine=engine, landlock=landlock, access=access)
        fork_worker(control, descriptor, serve)

    while True:
        body, descriptors = receive_with_descriptors(control)
        if body is None:
            return
        reap()
        match decode(body):
            case ["load", str(key), str(profile), bytes(machine_code)]:
                control.sendall(encode(_load(engine, key, EngineProfile(profile), machine_code)))
            case ["unload", str(key)]:
                engine.unload(key)
                control.sendall(encode(["unloaded"]))
            case ["fork"] if len(descriptors) == 1:
                fork(descriptors[0], NOTHING)
            case ["fork", list(read), list(write)] if len(descriptors) == 1:
                fork(descriptors[0], FileAccess.of(read, write))
            case _:
                raise ProtocolError("not a message to the zygote")


def _load(engine: SkillEngine, key: str, profile: EngineProfile, machine_code: bytes) -> list[object]:
    try:
        return ["loaded", engine.load(key, profile, machine_code)]
    except ComponentError as error:
        return ["failed", str(error)]


if __name__ == "__main__":
    main()
