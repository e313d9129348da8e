"""The service's side of one worker: it sends a call, waits for the reply, and kills at the deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

from subgraph.errors import ExecutionFailed
from subgraph.execution.limits import GRACE_MS, ExitCode, Limits, time_exceeded
from subgraph.execution.priority import run_last
from subgraph.execution.protocol import (
    HEADER,
    READY,
    REFUSED,
    HostCall,
    ProtocolError,
    Reply,
    decode,
    decode_host_call,
    decode_reply,
    encode,
    is_host_call,
    reply_frame_limit,
)

START_SECONDS = 10.0
"""Bound of a start, which takes about 10 ms; a machine under heavy load takes its time."""

_GREETING_LIMIT = 64 * 1024
_READ_SIZE = 256 * 1024


class WorkerGone(Exception):
    """The worker died before it was given the whole call, which therefore did not run."""


class RunEnds(Exception):
    """A host call that ends its run at once: a violation, or one call too many."""

    def __init__(self, exit_code: ExitCode, error_code: str, message: str, limit: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.error_code = error_code
        self.message = message
        self.limit = limit


HostHandler = Callable[[HostCall], list[object] | Awaitable[list[object]]]
"""Serves the host calls of one run: `["ok", value]` or `["err", message]`, or raises `RunEnds`.

What takes no waiting is returned; anything else is awaited, in a task of its own."""


class WorkerProcess:
    """One worker. It lives until it dies, is killed, or breaks the protocol, which is the same."""

    def __init__(
        self,
        connection: socket.socket,
        pidfd: int,
        generation: int,
        on_death: Callable[[WorkerProcess], None],
    ) -> None:
        connection.setblocking(False)
        self.generation = generation
        self.calls = 0
        self.alive = True
        self.low_priority = False
        self._connection = connection
        self._pidfd = pidfd
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._to_send = memoryview(b"")
        self._awaits_room = False
        self._unread = False
        self._frame_limit = _GREETING_LIMIT
        self._answer: asyncio.Future[bytes] | None = None
        self._died: asyncio.Future[None] | None = None
        self._served = False
        self._loop.add_reader(connection.fileno(), self._read)

    @classmethod
    async def start(
        cls, connection: socket.socket, pidfd: int, generation: int, on_death: Callable[[WorkerProcess], None]
    ) -> Self:
        """Take over a worker that was just forked, once it has proved its confinement.

        `on_death` is told when the worker dies later. Raises `WorkerGone` when it dies before, and
        `ExecutionFailed` when it refuses to work.
        """
        worker = cls(connection, pidfd, generation, lambda _: None)
        try:
            async with asyncio.timeout(START_SECONDS):
                greeting = decode(await worker._next_frame(_GREETING_LIMIT))
        except (TimeoutError, ProtocolError) as error:
            worker.kill()
            raise WorkerGone("the worker did not start") from error
        except BaseException:
            worker.kill()
            raise
        match greeting:
            case [str(word), int()] if word == READY:
                worker._on_death = on_death
                return worker
            case [str(word), str(reason)] if word == REFUSED:
                worker.kill()
                raise ExecutionFailed(f"a worker's confinement could not be proved: {reason}")
        worker.kill()
        raise WorkerGone("the worker does not speak the protocol")

    async def call(self, call: Sequence[object], limits: Limits, host: HostHandler | None = None) -> Reply:
        """Run a call and return how it ended, also when it ended by the worker's death.

        `host` serves its host calls; without it they are the end of the worker. Raises `WorkerGone` when
        the worker died before it had the whole call.
        """
        if not self.alive:
            raise WorkerGone("the worker has died")
        started = self._loop.time()
        deadline = self._loop.call_later((limits.time_ms + GRACE_MS) / 1000, self.kill)
        try:
            frame = encode(call)
            answer = self._next_frame(reply_frame_limit(limits))
            self._send(frame)
            self.calls += 1
            self._served = False
            while is_host_call(body := await answer):
                answer = await self._serve(decode_host_call(body), limits, host)
            return decode_reply(body, limits)
        except WorkerGone:
            elapsed = self._loop.time() - started
            unread = bool(self._to_send or self._unread) and not self._served
            if unread and elapsed < limits.time_ms / 1000:
                raise  # it never had the whole call, and there is time to run it elsewhere
            return _death(limits, elapsed)
        except RunEnds as end:
            self.kill()
            elapsed_us = int((self._loop.time() - started) * 1e6)
            return Reply.stopped(end.exit_code, end.error_code, end.message, elapsed_us, limit=end.limit)
        except ProtocolError:
            self.kill()
            return _death(limits, self._loop.time() - started)
        except BaseException:
            # The caller is gone; what the worker would answer belongs to nobody.
            self.kill()
            raise
        finally:
            deadline.cancel()

    async def _serve(self, call: HostCall, limits: Limits, host: HostHandler | None) -> asyncio.Future[bytes]:
        """Serve a host call, and return where the next frame will be. Raises as `call` and as the handler."""
        if host is None:
            raise ProtocolError("a host call in a run that has none")
        self._served = True
        served = host(call)
        if not isinstance(served, list):
            served = await self._unless_dead(served)
        frame = encode(served)
        answer = self._next_frame(reply_frame_limit(limits))
        self._send(frame)
        return answer

    async def _unless_dead(self, served: Awaitable[list[object]]) -> list[object]:
        """Await an answer for as long as the worker lives. Raises `WorkerGone` when it dies meanwhile."""
        serving = asyncio.ensure_future(served)
        self._died = self._loop.create_future()
        try:
            await asyncio.wait((serving, self._died), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not serving.done():
                serving.cancel()  # the worker died meanwhile, or the caller has gone
                await asyncio.wait((serving,))
            if not serving.cancelled():
                serving.exception()  # looked at here: below it may be nobody's
            self._died.cancel()
        if not self.alive:
            raise WorkerGone("the worker died")
        return serving.result()

    def lower_priority(self) -> None:
        """Give the process what the processors have left, for good: undoing it needs privileges."""
        self.low_priority = True
        if self.alive:
            with contextlib.suppress(OSError):  # it has died by itself
                run_last(_pid(self._pidfd))

    def kill(self) -> None:
        """Kill the process, fail what it was doing, and say that it is dead. Idempotent."""
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):  # it has died by itself
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WorkerGone("the worker died"))
        if self._died is not None and not self._died.done():
            self._died.set_result(None)
        self._on_death(self)

    def _next_frame(self, limit: int) -> asyncio.Future[bytes]:
        """Expect one frame of at most `limit` bytes; a frame that nobody expects kills the worker."""
        self._frame_limit = limit
        self._answer = self._loop.create_future()
        return self._answer

    def _send(self, frame: bytes) -> None:
        self._to_send = memoryview(frame)
        self._write()

    def _write(self) -> None:
        try:
            sent = self._connection.send(self._to_send)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.kill()
            return
        self._to_send = self._to_send[sent:]
        if self._to_send and not self._awaits_room:
            self._awaits_room = True
            self._loop.add_writer(self._connection.fileno(), self._write)
        elif not self._to_send and self._awaits_room:
            self._awaits_room = False
            self._loop.remove_writer(self._connection.fileno())

    def _read(self) -> None:
        try:
            data = self._connection.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._unread = True  # so the kernel says that the worker died with bytes in its socket
            data = b""
        except OSError:
            data = b""
        if not data:
            self.kill()
            return
        self._received += data
        if self._answer is None or self._answer.done():
            self.kill()  # nobody has asked
            return
        if len(self._received) < HEADER.size:
            return
        (length,) = HEADER.unpack_from(self._received)
        end = HEADER.size + length
        if length > self._frame_limit or len(self._received) > end:
            self.kill()
        elif len(self._received) == end:
            body = bytes(self._received[HEADER.size :])
            self._received.clear()
            self._answer.set_result(body)


def _pid(pidfd: int) -> int:
    """The process of a pidfd (proc(5), fdinfo): -1 once it has gone. Raises `OSError` for that."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid" and int(value) > 0:
            return int(value)
    raise ProcessLookupError


def _death(limits: Limits, elapsed_seconds: float) -> Reply:
    """Describe a run that ended with its worker: killed at the deadline, or dead of something else."""
    elapsed_us = int(elapsed_seconds * 1e6)
    if elapsed_us >= limits.time_ms * 1000:
        message = time_exceeded(limits.time_ms)
        return Reply.stopped(ExitCode.TIME, "LIMIT_EXCEEDED", message, elapsed_us, limit="time")
    message = "the worker process died while it ran the skill"
    return Reply.stopped(ExitCode.FAILED, "EXECUTION_FAILED", message, elapsed_us)
