"""A lean HTTP/1.1 client: one kept-alive connection, one request at a time."""

from __future__ import annotations

import asyncio
from typing import Self, cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class HttpError(Exception):
    """The server closed the connection or answered with something other than 200."""


class HttpConnection(asyncio.Protocol):
    """Posts JSON over one connection. A general client would use more of the machine than the service."""

    def __init__(self, host: str, path: str) -> None:
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()
        self._received = bytearray()
        self._expected = 0
        self._body_start = 0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the server of an address; requests go to its path."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: cls(parts.netloc, parts.path), parts.hostname or "", parts.port or 80
        )
        return connection

    async def post(self, body: bytes) -> bytes:
        """Send a body, return the body of the answer. Raises `HttpError`."""
        if self._transport is None:
            raise HttpError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%b%d%b%b" % (self._head, len(body), _HEAD_END, body))
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio's part)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way (asyncio's part)."""
        self._transport = None
        self._fail("the server closed the connection")

    def data_received(self, data: bytes) -> None:
        """Collect an answer until it is whole (asyncio's part)."""
        self._received += data
        if not self._expected and not self._read_head():
            return
        if len(self._received) >= self._expected and self._answer is not None:
            body = bytes(self._received[self._body_start :])
            self._received.clear()
            self._expected = 0
            if not self._answer.done():
                self._answer.set_result(body)

    def _read_head(self) -> bool:
        end = self._received.find(_HEAD_END)
        if end < 0:
            return False
        status, *fields = bytes(self._received[:end]).lower().split(b"\r\n")
        if status.split()[1] != b"200":
            self._fail(bytes(self._received).decode(errors="replace"))
            self.close()
            return False
        length = next(int(field.removeprefix(_LENGTH)) for field in fields if field.startswith(_LENGTH))
        self._body_start = end + len(_HEAD_END)
        self._expected = self._body_start + length
        return True

    def _fail(self, message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(HttpError(message))
