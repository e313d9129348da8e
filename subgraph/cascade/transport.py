"""HTTP to the gateway and to nobody else: no proxy, no redirect, and answers of bounded size."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import httpx

ANSWER_BYTES = 256 * 1024
"""Bound of a gateway's answer: a hundred times one with a pick and a reason."""

CONNECT_SECONDS = 2.0
"""For one connection: an address that does not answer leaves time for another attempt."""

CONNECTIONS = 16
"""Requests under way at once; others wait for one of them within their own time."""

_SENT = frozenset({"host", "authorization", "content-type", "content-length", "accept", "connection"})
"""Headers that are sent. Clients add names of organisations out of the environment, and of this machine."""


_ERRORS = 400  # from which HTTP status on
_KEPT_OF_ERRORS = frozenset({"retry-after"})


class AnswerTooLong(httpx.TransportError):
    """The gateway sends more than an answer can be."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Sends requests, and reads no more of an answer than `ANSWER_BYTES`."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises `httpx.TransportError`."""
        sent = {name: value for name, value in request.headers.items() if name in _SENT}
        sent["accept-encoding"] = "identity"  # what is packed could unpack to any size
        response = await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                request.url,
                headers=sent,
                stream=request.stream,
                extensions=request.extensions,
            )
        )
        if response.status_code >= _ERRORS:
            # Nothing reads what is said of an error, and LiteLLM would search it for secrets, for seconds.
            await response.aclose()
            kept = [(name, value) for name, value in response.headers.items() if name in _KEPT_OF_ERRORS]
            return httpx.Response(response.status_code, headers=kept, json={})
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise AnswerTooLong("the gateway packs its answer, which it was asked not to")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream | httpx.SyncByteStream) -> None:
        if not isinstance(inner, httpx.AsyncByteStream):
            raise TypeError("an answer that is read at once")
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._inner:
            read += len(chunk)
            if read > ANSWER_BYTES:
                raise AnswerTooLong(f"an answer of more than {ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
