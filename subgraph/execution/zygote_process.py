"""The service's side of the zygote: start it, give it components, have it fork workers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys

from subgraph.errors import ExecutionFailed
from subgraph.execution.protocol import ProtocolError, decode, encode, receive_with_descriptors

_ANSWER_SECONDS = 30.0
"""Bound of one exchange. Loading takes milliseconds, a start half a second on an idle machine."""


class ZygoteGone(Exception):
    """The zygote has died; it must be started again, and its workers died with it."""


class ZygoteProcess:
    """The zygote. Exchanges block a thread, not the event loop; the caller makes them one at a time."""

    def __init__(self, *, landlock: bool) -> None:
        self._landlock = landlock
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the process, after stopping what is left of the one before. Raises `ZygoteGone`."""
        await self.stop()
        ours, theirs = socket.socketpair()
        ours.settimeout(_ANSWER_SECONDS)
        self._control = ours
        with theirs:
            # By exec and with an empty environment: it must not hold what the service knows.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a start takes a millisecond
                [
                    sys.executable, "-I", "-m", "subgraph.execution.zygote",
                    str(theirs.fileno()), "landlock" if self._landlock else "no-landlock",
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )  # fmt: skip
        await self._exchange(None)

    async def load(self, key: str, machine_code: bytes) -> None:
        """Load a component. Raises `ExecutionFailed` when it cannot be, and `ZygoteGone`."""
        answer, _ = await self._exchange(encode(["load", key, machine_code]))
        match answer:
            case ["loaded"]:
                return
            case ["failed", str(message)]:
                raise ExecutionFailed(message)
        raise ZygoteGone("the zygote does not speak the protocol")

    async def unload(self, key: str) -> None:
        """Forget a component. Raises `ZygoteGone`."""
        await self._exchange(encode(["unload", key]))

    async def fork(self) -> tuple[socket.socket, int]:
        """Fork a worker; return the socket it serves and its pidfd. Raises `ZygoteGone`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer, descriptors = await self._exchange(encode(["fork"]), theirs)
            if answer != ["forked"] or len(descriptors) != 1:
                raise ZygoteGone("the zygote does not speak the protocol")
        except BaseException:
            ours.close()
            raise
        return ours, descriptors[0]

    async def stop(self) -> None:
        """End the process, and with it every worker. Idempotent."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

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

        try:
            return await asyncio.to_thread(exchange)
        except (OSError, ProtocolError) as error:
            raise ZygoteGone("the zygote has died") from error
