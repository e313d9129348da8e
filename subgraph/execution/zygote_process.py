"""The service's side of a zygote: start it, give it components, have it fork workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess

from subgraph.errors import ExecutionFailed
from subgraph.execution.child import child_command
from subgraph.execution.confinement import NOTHING, FileAccess
from subgraph.execution.engine import EngineProfile
from subgraph.execution.protocol import (
    CONTROL_FRAME_LIMIT,
    ProtocolError,
    decode,
    encode,
    receive_with_descriptors,
)
from subgraph.execution.run import Imports

ANSWER_SECONDS = 30.0
"""Bound of one exchange. Loading takes milliseconds, a start half a second on an idle machine."""

WASM_ZYGOTE = "subgraph.execution.zygote"
SCRIPT_ZYGOTE = "subgraph.execution.script_zygote"


class ZygoteGone(Exception):
    """The zygote has died; it must be started again, and its workers died with it."""


class ZygoteProcess:
    """A zygote. Exchanges block a thread, not the event loop; the caller makes them one at a time.

    `module` is the program that it runs: that of WASM workers, or that of script workers.
    """

    def __init__(self, *, landlock: bool, module: str = WASM_ZYGOTE) -> None:
        self._landlock = landlock
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._exchanging: asyncio.Future[tuple[object, list[int]]] | None = None
        self._usable = False

    @property
    def running(self) -> bool:
        """Whether the process is there and in step with this side."""
        return self._usable and self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the process, after stopping what is left of the one before. Raises `ZygoteGone`."""
        await self.stop()
        try:
            self._spawn()
        except OSError as error:
            raise ZygoteGone(f"the zygote could not be started: {error.strerror}") from error
        self._usable = True
        await self._exchange(None)

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_SECONDS)
        self._control = ours
        with theirs:
            # By exec and with an empty environment: it must not hold what the service knows.
            self._process = subprocess.Popen(
                child_command(
                    self._module,
                    str(theirs.fileno()),
                    "landlock" if self._landlock else "no-landlock",
                ),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )

    async def load(self, key: str, profile: EngineProfile, machine_code: bytes) -> Imports:
        """Load a component; return what it imports.

        Raises `ExecutionFailed` when it cannot be loaded, and `ZygoteGone`.
        """
        frame = await asyncio.to_thread(encode, ["load", key, profile.value, machine_code])
        if len(frame) > CONTROL_FRAME_LIMIT:
            raise ExecutionFailed(f"the machine code of the component is over {CONTROL_FRAME_LIMIT} bytes")
        answer, _ = await self._exchange(frame)
        match answer:
            case ["loaded", [bool(host), bool(wasi), bool(files)]]:
                return Imports(host, wasi, files)
            case ["failed", str(message)]:
                raise ExecutionFailed(message)
        self.kill()
        raise ZygoteGone("the zygote does not speak the protocol")

    async def unload(self, key: str) -> None:
        """Forget a component. Raises `ZygoteGone`."""
        await self._exchange(encode(["unload", key]))

    async def fork(
        self, access: FileAccess = NOTHING, *, memory_bytes: int | None = None
    ) -> tuple[socket.socket, int]:
        """Fork a worker that may use these directories; return the socket it serves and its pidfd.

        `memory_bytes` bounds the memory of a script worker; the zygote of scripts needs it.
        Raises `ExecutionFailed` when the system has no room for a process, and `ZygoteGone`.
        """
        request: list[object] = ["fork", *(access.as_message() if access else [])]
        if memory_bytes is not None:
            request.append(memory_bytes)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer, descriptors = await self._exchange(encode(request), theirs)
        except BaseException:
            ours.close()
            raise
        match answer, descriptors:
            case ["forked"], [pidfd]:
                return ours, pidfd
        ours.close()
        _close(descriptors)
        match answer:
            case ["forked"] if not descriptors:
                # This process has no descriptor left to take it; the worker ends with its socket.
                raise ExecutionFailed("the service has too many open files to start a worker")
            case ["failed", str(message)]:
                raise ExecutionFailed(message)
        self.kill()
        raise ZygoteGone("the zygote does not speak the protocol")

    def kill(self) -> None:
        """Kill the process, and with it every worker; an exchange under way fails. Idempotent."""
        self._usable = False
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the process, and with it every worker. Idempotent."""
        self.kill()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            self._process = None
        if self._exchanging is not None:
            await asyncio.wait([self._exchanging])  # its thread still uses the socket
            self._exchanging = None
        if self._control is not None:
            self._control.close()
            self._control = None

    async def _exchange(
        self, frame: bytes | None, descriptor: socket.socket | None = None
    ) -> tuple[object, list[int]]:
        control = self._control
        if control is None:
            raise ZygoteGone("the zygote is not running")

        def exchange() -> tuple[object, list[int]]:
            if descriptor is not None and frame is not None:
                socket.send_fds(control, [frame], [descriptor.fileno()])
            elif frame is not None:
                control.sendall(frame)
            body, descriptors = receive_with_descriptors(control)
            if body is None:
                raise ZygoteGone("the zygote has died")
            return decode(body), descriptors

        self._exchanging = asyncio.ensure_future(asyncio.to_thread(exchange))
        try:
            return await asyncio.shield(self._exchanging)
        except asyncio.CancelledError:
            # Left alone, its answer would be taken for the answer to the next one.
            self._exchanging.add_done_callback(_drop)
            await asyncio.wait([self._exchanging])
            raise
        except (OSError, ProtocolError, ZygoteGone) as error:
            self.kill()  # whatever it still says would be out of step
            raise ZygoteGone("the zygote has died") from error


def _drop(exchange: asyncio.Future[tuple[object, list[int]]]) -> None:
    """Take the outcome of an exchange that nobody waits for."""
    if not exchange.cancelled() and exchange.exception() is None:
        _close(exchange.result()[1])


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
