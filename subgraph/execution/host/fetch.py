"""Fetch a text from the network, so that a skill reaches nothing but what was granted.

For the address that a skill asks for, and again for each redirect:

1. The address must be within a granted pattern.
2. The name is resolved once. Every address that it has must be one that the pattern allows.
3. The connection goes to the very address that was checked; the certificate is checked against the name.
   A resolver that answers differently the second time is not asked a second time.
4. Status, type, encoding and size of the answer are checked before and while it is read.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from functools import partial
from types import TracebackType
from typing import Final, Self

import httpx

from subgraph.capabilities.patterns import PatternError
from subgraph.capabilities.urls import Url, join_url
from subgraph.execution.host.addresses import Address, Reach, reach_of
from subgraph.execution.host.errors import HostCallDenied, HostCallError

REDIRECTS_LIMIT: Final = 5
"""Redirects of one call; browsers allow 20, services that are well set up need two."""

FETCH_SECONDS: Final = 30.0
"""Bound of one call, with all redirects, whatever the deadline of the run."""

CONNECT_SECONDS: Final = 5.0
"""Bound of one attempt to connect, so that a second address of a host gets its turn."""

ADDRESSES_LIMIT: Final = 16
"""Addresses of one name that are checked; a name with more is refused."""

ATTEMPTS_LIMIT: Final = 2
"""Addresses of one name that are tried."""

CONNECTIONS_LIMIT: Final = 64
"""Connections at the same time; further calls wait until their deadline."""

FETCH_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one answer, as of one file."""

RESOLUTIONS_AT_ONCE: Final = 16
"""Names that are looked up at the same time. A lookup cannot be given up: one whose servers are silent keeps
its thread for some ten seconds, so they have threads to themselves and hold up nothing else."""

CONTENT_TYPE_LIMIT: Final = 200
"""Characters of the header that names type and charset. Reading it costs more than its length, so that a long
one would hold up the whole service."""

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the IP addresses of a host name, for a port. Raises `OSError` when there are none."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEXT_TYPES = frozenset({
    "application/json", "application/xml", "application/javascript", "application/x-ndjson",
    "application/yaml", "application/x-yaml", "application/toml", "application/x-www-form-urlencoded",
    "application/graphql", "image/svg+xml",
})  # fmt: skip
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml")

# Encodings of characters that decode in time and space linear to their bytes; Python knows others too.
_CHARSETS = frozenset({
    "utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "iso8859-2",
    "iso8859-5", "iso8859-15", "cp1250", "cp1251", "cp1252", "cp1258", "koi8-r", "shift_jis", "euc_jp",
    "euc_kr", "gb2312", "gbk", "gb18030", "big5", "tis-620",
})  # fmt: skip


class Fetcher:
    """Fetches texts over HTTP. Use it as an async context manager.

    It works on httpx's transport, below its client: no cookie, proxy setting, redirect or credential of
    one call can reach another. Connections are not kept, because one that was proved to be one host's
    must not carry the request for another at the same address.
    """

    def __init__(self, resolver: Resolver | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self._threads = ThreadPoolExecutor(RESOLUTIONS_AT_ONCE, thread_name_prefix="resolve")
        self._resolver = self._ask_system if resolver is None else resolver
        self._transport = httpx.AsyncHTTPTransport(
            verify=ssl_context if ssl_context is not None else ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS_LIMIT, max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._transport.__aexit__(kind, error, trace)

    async def fetch(
        self,
        url: Url,
        *,
        permits: Callable[[str], bool],
        permits_private: Callable[[str], bool],
        deadline: float,
        byte_limit: int,
    ) -> str:
        """Return the text at an address; `deadline` is the loop's time.

        Raises `HostCallDenied` for what was not granted, on the way too, and `HostCallError`.
        """
        limit = min(byte_limit, FETCH_LIMIT)
        until = min(deadline, asyncio.get_running_loop().time() + FETCH_SECONDS)
        try:
            async with asyncio.timeout_at(until):
                for _ in range(REDIRECTS_LIMIT + 1):
                    if not permits(str(url)):  # 1.
                        raise HostCallDenied(f"{url.recorded} is not granted")
                    addresses = await self._addresses(url, permits_private(str(url)))  # 2.
                    answer = await self._get(url, addresses, limit)  # 3. and 4.
                    if isinstance(answer, str):
                        return answer
                    url = answer
        except TimeoutError:
            raise HostCallError(f"{url.origin} did not answer in time") from None
        raise HostCallError(f"there are more than {REDIRECTS_LIMIT} redirects")

    async def _addresses(self, url: Url, private: bool) -> list[Address]:
        """Resolve a host and check all its addresses. One that is forbidden among others forbids all."""
        literal = url.address
        found = [literal] if literal is not None else await self._resolve(url)
        allowed = {Reach.PUBLIC}
        if private:
            allowed.add(Reach.PRIVATE)
            if literal is not None:
                allowed.add(Reach.LOCAL_SERVICE)
        for address in found:
            reach = reach_of(address)
            if reach not in allowed:
                raise HostCallDenied(f"{url.host} leads to {reach.value}")
        return found

    async def _resolve(self, url: Url) -> list[Address]:
        try:
            texts = await self._resolver(url.host, url.port)
            # A zone would name an interface of this machine: no address of the internet has one.
            found: list[Address] = [ipaddress.ip_address(text) for text in texts if "%" not in text]
        except TimeoutError:
            raise
        except (OSError, ValueError):
            raise HostCallError(f"{url.host} has no address") from None
        if not found or len(found) != len(texts) or len(found) > ADDRESSES_LIMIT:
            raise HostCallError(f"{url.host} has no address, too many, or one that is local to this machine")
        return found

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        """Ask the system's resolver. Raises `OSError`."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _get(self, url: Url, addresses: Sequence[Address], limit: int) -> str | Url:
        """Return the text of the answer, or where it redirects to."""
        for attempt, address in enumerate(addresses[:ATTEMPTS_LIMIT], start=1):
            try:
                response = await self._transport.handle_async_request(_request(url, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if attempt == min(len(addresses), ATTEMPTS_LIMIT):
                    raise HostCallError(f"{url.origin} cannot be reached{_tls_reason(error)}") from None
                continue
            except httpx.HTTPError:
                raise HostCallError(f"{url.origin} gave no valid answer") from None
            try:
                return await _read(url, response, limit)
            except httpx.HTTPError:
                raise HostCallError(f"{url.origin} broke off its answer") from None
            finally:
                # A server that does not end its part must not hold the call.
                with contextlib.suppress(httpx.HTTPError, OSError):
                    await response.aclose()
        raise AssertionError("the last attempt returns or raises")


def _tls_reason(error: httpx.HTTPError) -> str:
    return ": its certificate is not valid for it" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""


def _request(url: Url, address: Address) -> httpx.Request:
    """A request that connects to `address`, asks for `url` to the letter and proves the name of its host."""
    host = f"[{address}]" if address.version == 6 else str(address)
    timeouts = dict.fromkeys(("read", "write", "pool"), FETCH_SECONDS) | {"connect": CONNECT_SECONDS}
    return httpx.Request(
        "GET",
        f"{url.scheme}://{host}:{url.port}/",
        headers={
            "Host": url.authority,
            "Accept": "text/*, application/json, application/xml;q=0.9, */*;q=0.1",
            "Accept-Encoding": "identity",
            "User-Agent": "cyberos-skill/1",
            "Connection": "close",
        },
        extensions={
            "target": url.target.encode("ascii"),
            "sni_hostname": url.host,
            "timeout": timeouts,
        },
    )


async def _read(url: Url, response: httpx.Response, limit: int) -> str | Url:
    if response.status_code in _REDIRECTS:
        location = response.headers.get("location")
        if location is None:
            raise HostCallError(f"{url.origin} redirects without saying where to")
        try:
            return join_url(url, location)
        except PatternError:
            raise HostCallDenied(f"{url.origin} redirects to what is no address for a skill") from None
    if not 200 <= response.status_code <= 299:
        raise HostCallError(f"{url.origin} answered with status {response.status_code}")
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise HostCallError(f"{url.origin} sent an encoding that was not asked for")
    charset = _charset(response.headers.get("content-type"))
    data = bytearray()
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101  (of an asynchronous transport)
    async for chunk in stream:
        data += chunk
        if len(data) > limit:
            raise HostCallError(f"the answer has more than {limit} bytes")
    try:
        text = data.decode(charset)
        size = len(text.encode())  # UTF-16 may hold half a pair in some codecs
    except (UnicodeError, ValueError):
        raise HostCallError(f"the answer is not {charset} text") from None
    if size > limit:  # a byte of another charset may be three of UTF-8
        raise HostCallError(f"the answer has more than {limit} bytes")
    return text


def _charset(content_type: str | None) -> str:
    """Name Python's codec for an answer of text. Raises `HostCallError` for one that is no text."""
    if content_type is None:
        return "utf-8"
    if len(content_type) > CONTENT_TYPE_LIMIT:
        raise HostCallError("the answer's type is too long to be one")
    header = Message()
    header["content-type"] = content_type
    media = header.get_content_type()
    if not (media.startswith("text/") or media in _TEXT_TYPES or media.endswith(_TEXT_SUFFIXES)):
        raise HostCallError("the answer is not text")
    charset = header.get_content_charset("utf-8")
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise HostCallError("the answer is in an unknown encoding of characters")
    return name
