"""The service's side of a worker, against a peer that says what a worker never would."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution import worker_process
from subgraph.execution.limits import Limits
from subgraph.execution.protocol import HEADER, READY, REFUSED, Call, Reply, encode, reply_frame_limit
from subgraph.execution.worker_process import WorkerGone, WorkerProcess
from tests.support.postgres import run

LIMITS = Limits(time_ms=5000, memory_bytes=1 << 20, output_bytes=1024)
OK = Reply(0, "answer", None, None, None, 12, 34, "", "")
GREETING = encode([READY, 1])

Peer = Callable[["Theirs"], Coroutine[Any, Any, None]]


class Theirs:
    """The far end of the connection, in the place of a worker."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def receive(self) -> bytes:
        """Receive one frame's body."""
        (length,) = HEADER.unpack(await self._exactly(HEADER.size))
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = await asyncio.get_running_loop().sock_recv(self.connection, length - len(data))
            assert more, "the service closed the connection"
            data += more
        return data

    async def ended(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while await asyncio.get_running_loop().sock_recv(self.connection, 4096):
                pass
        except ConnectionResetError:
            pass
        return True


class Started:
    """A worker and what became of it."""

    def __init__(self, process: subprocess.Popen[bytes], theirs: Theirs) -> None:
        self.process = process
        self.theirs = theirs
        self.deaths: list[WorkerProcess] = []

    async def start(self, ours: socket.socket) -> WorkerProcess:
        return await WorkerProcess.start(ours, os.pidfd_open(self.process.pid), 0, self.deaths.append)

    async def killed(self) -> bool:
        """Wait for the process to be killed, within a second."""
        async with asyncio.timeout(5):
            return await asyncio.to_thread(self.process.wait) == -9


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[Started, socket.socket]]:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - it stands for the worker's process
    with theirs, ours:
        try:
            yield Started(process, Theirs(theirs)), ours
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def worker() -> AsyncIterator[tuple[WorkerProcess, Started]]:
    async with peer() as (started, ours):
        await started.theirs.send(GREETING)
        process = await started.start(ours)
        yield process, started
        process.kill()


def call() -> Call:
    return Call.of("key", "{}", LIMITS)


def test_calls_are_answered_one_after_the_other() -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            for number in range(3):
                running = asyncio.create_task(process.call(call(), LIMITS))
                assert await started.theirs.receive()
                reply = OK._replace(output=str(number))
                for byte in encode(reply):
                    await started.theirs.send(bytes([byte]))
                assert await running == reply
            assert process.alive
            assert process.calls == 3
            assert not started.deaths

    run(scenario())


FORGERIES = {
    "garbage": b"\xff" * 64,
    "no reply": encode(["hello"]),
    "a forged code": encode(OK._replace(exit_code=99)),
    "a boolean": encode(OK._replace(elapsed_us=True)),
    "a negative time": encode(OK._replace(elapsed_us=-1)),
    "an output over the limit": encode(OK._replace(output="x" * 1025)),
    "a contradiction": encode(OK._replace(error="x")),
    "two replies": encode(OK) * 2,
    "a reply and a byte": encode(OK) + b"x",
    "a frame over its limit": HEADER.pack(reply_frame_limit(LIMITS) + 1),
    "a frame of four gigabytes": HEADER.pack(2**32 - 1),
    "another message": encode([READY, 1]),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_worker_that_forges_an_answer_is_killed_and_the_call_has_failed(forgery: bytes) -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            running = asyncio.create_task(process.call(call(), LIMITS))
            await started.theirs.receive()
            await started.theirs.send(forgery)
            reply = await running
            assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")
            assert reply.error == "the worker process died while it ran the skill"
            assert started.deaths == [process]
            assert await started.killed()
            assert await started.theirs.ended()

    run(scenario())


@pytest.mark.parametrize("unasked", [encode(OK), b"\0", b"\0" * 100_000], ids=["a reply", "a byte", "much"])
def test_a_worker_that_speaks_unasked_is_killed(unasked: bytes) -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            await started.theirs.send(unasked)
            assert await started.killed()
            assert started.deaths == [process]
            assert not process.alive
            with pytest.raises(WorkerGone):
                await process.call(call(), LIMITS)

    run(scenario())


@pytest.mark.parametrize(
    "said", [b"", encode(OK)[:2], encode(OK)[:-1]], ids=["nothing", "a cut", "almost all"]
)
def test_a_worker_that_dies_during_a_call_fails_it(said: bytes) -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            running = asyncio.create_task(process.call(call(), LIMITS))
            await started.theirs.receive()
            await started.theirs.send(said)
            started.theirs.connection.close()
            reply = await running
            assert (reply.exit_code, reply.error_code, reply.output) == (1, "EXECUTION_FAILED", None)
            assert started.deaths == [process]

    run(scenario())


@pytest.mark.parametrize("size", [1, 4 * 1024 * 1024], ids=["a small call", "a large call"])
def test_a_worker_that_dies_before_it_has_read_the_call_did_not_run_it(size: int) -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            running = asyncio.create_task(process.call(Call.of("key", "x" * size, LIMITS), LIMITS))
            await asyncio.sleep(0.05)
            started.theirs.connection.close()
            with pytest.raises(WorkerGone):
                await running
            assert started.deaths == [process]

    run(scenario())


@pytest.mark.parametrize("size", [1, 4 * 1024 * 1024], ids=["a small call", "a large call"])
def test_a_worker_that_reads_nothing_is_killed_at_the_deadline(size: int) -> None:
    limits = Limits(time_ms=50, memory_bytes=1 << 20, output_bytes=1024)

    async def scenario() -> None:
        async with worker() as (process, started):
            reply = await process.call(Call.of("key", "x" * size, limits), limits)
            assert (reply.exit_code, reply.limit) == (124, "time")
            assert reply.elapsed_us >= 50_000
            assert await started.killed()

    run(scenario())


def test_a_large_call_is_sent_in_parts() -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            large = Call.of("key", "x" * 4_000_000, LIMITS)
            running = asyncio.create_task(process.call(large, LIMITS))
            await asyncio.sleep(0.02)
            assert await started.theirs.receive() == encode(large)[HEADER.size :]
            await started.theirs.send(encode(OK))
            assert await running == OK

    run(scenario())


def test_a_call_whose_caller_goes_away_ends_the_worker() -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            running = asyncio.create_task(process.call(call(), LIMITS))
            await started.theirs.receive()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert started.deaths == [process]
            assert await started.killed()

    run(scenario())


def test_a_call_that_cannot_be_encoded_leaves_no_timer_and_no_worker_in_doubt() -> None:
    async def scenario() -> None:
        async with worker() as (process, started):
            with pytest.raises(UnicodeEncodeError):
                await process.call(Call.of("key", "\ud800", LIMITS), LIMITS)
            assert started.deaths == [process]

    run(scenario())


async def greets_with_garbage(theirs: Theirs) -> None:
    await theirs.send(HEADER.pack(3) + b"\xc1\xc1\xc1")


async def greets_otherwise(theirs: Theirs) -> None:
    await theirs.send(encode(["hello", 1]))


async def greets_at_length(theirs: Theirs) -> None:
    await theirs.send(HEADER.pack(1 << 30))


async def greets_twice(theirs: Theirs) -> None:
    await theirs.send(GREETING * 2)


async def goes_away(theirs: Theirs) -> None:
    theirs.connection.close()


async def says_nothing(_: Theirs) -> None:
    return


@pytest.mark.parametrize(
    "greet",
    [greets_with_garbage, greets_otherwise, greets_at_length, greets_twice, goes_away, says_nothing],
)
def test_a_worker_that_does_not_greet_as_it_should_is_not_used(
    greet: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "START_SECONDS", 0.2)

    async def scenario() -> None:
        async with peer() as (started, ours):
            await greet(started.theirs)
            with pytest.raises(WorkerGone):
                await started.start(ours)
            assert await started.killed()
            assert not started.deaths

    run(scenario())


def test_a_worker_that_refuses_says_why() -> None:
    async def scenario() -> None:
        async with peer() as (started, ours):
            await started.theirs.send(encode([REFUSED, "the process could still fly"]))
            with pytest.raises(ExecutionFailed, match="not be proved: the process could still fly"):
                await started.start(ours)
            assert await started.killed()

    run(scenario())
