"""Fetching from real servers on loopback, with a resolver that says what the test wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from subgraph.capabilities import Capability
from subgraph.capabilities.urls import normalise_url
from subgraph.execution.host import HostCallDenied, HostCallError
from subgraph.execution.host import fetch as module
from subgraph.execution.host.fetch import (
    ADDRESSES_LIMIT,
    CONTENT_TYPE_LIMIT,
    REDIRECTS_LIMIT,
    Fetcher,
    Resolver,
)
from tests.support.loopback import Reply, certified, redirect, serving, text_answer
from tests.support.postgres import run

LIMIT = 10_000
SECONDS = 10.0


async def loopback(host: str, port: int) -> Sequence[str]:
    """Every name leads to this machine."""
    return ["127.0.0.1"]


class Net:
    """Servers of one test, and a fetcher for what was granted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.heads: list[bytes] = []

    def serve(self, reply: Reply | bytes, tls: ssl.SSLContext | None = None) -> int:
        def answer(head: bytes) -> object:
            self.heads.append(head)
            return reply if isinstance(reply, bytes) else reply(head)

        return self._stack.enter_context(serving(answer, tls))  # type: ignore[arg-type]

    def close(self) -> None:
        self._stack.close()

    def fetch(
        self,
        url: str,
        *grants: str,
        resolver: Resolver = loopback,
        tls: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
        limit: int = LIMIT,
    ) -> str:
        capabilities = [Capability("fetch_url", grant) for grant in grants]

        async def scenario() -> str:
            async with Fetcher(resolver, tls) as fetcher:
                return await fetcher.fetch(
                    normalise_url(url),
                    permits=lambda target: any(each.admits(target) for each in capabilities),
                    permits_private=lambda target: any(each.permits_private(target) for each in capabilities),
                    deadline=asyncio.get_running_loop().time() + seconds,
                    byte_limit=limit,
                )

        return run(scenario())


@pytest.fixture
def net() -> Iterator[Net]:
    one = Net()
    yield one
    one.close()


def test_what_is_sent_is_the_address_that_was_checked_and_nothing_of_the_machine(net: Net) -> None:
    port = net.serve(text_answer("xin chào"))
    url = f"http://tax.internal:{port}/a/../b/%7Ec?q=%C3%B3&x#fragment"
    assert net.fetch(url, f"http://tax.internal:{port}/*") == "xin chào"
    (head,) = net.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /b/~c?q=%C3%B3&x HTTP/1.1"
    assert sorted(line.partition(":")[0].lower() for line in lines[1:-2]) == [
        "accept", "accept-encoding", "connection", "host", "user-agent",
    ]  # fmt: skip
    assert f"Host: tax.internal:{port}" in lines


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=utf-8", "Đồng".encode(), "Đồng"),
        ("text/html; charset=windows-1258", b"\xd0", "Đ"),
        ('text/plain; charset="ISO-8859-1"', b"\xe9", "é"),
        ("application/json", b"{}", "{}"),
        ("application/problem+json", b"{}", "{}"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("text/plain; charset=utf-16", b"\xff\xfea\0", "a"),
        ("text/plain; charset=Shift_JIS", b"\x83\x41", "ア"),
    ],
)
def test_text_is_read_in_its_charset(net: Net, content_type: str, body: bytes, text: str) -> None:
    port = net.serve(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode() + body)
    assert net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}") == text


def test_an_answer_without_a_type_is_text(net: Net) -> None:
    port = net.serve(b"HTTP/1.1 200 OK\r\n\r\nplain")
    assert net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}") == "plain"


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        ("Content-Type: application/pdf", b"x", "is not text"),
        ("Content-Type: text/plain; charset=rot13", b"x", "unknown encoding of characters"),
        ("Content-Type: text/plain; charset=idna", b"x", "unknown encoding of characters"),
        ("Content-Type: text/plain; charset=utf-8", b"\xff", "is not utf-8 text"),
        ("Content-Type: text/plain; charset=utf-16-le", b"\x00\xd8", "is not utf-16-le text"),
        ("Content-Type: text/plain;" + "x" * CONTENT_TYPE_LIMIT, b"x", "too long to be one"),
        ("Content-Encoding: br", b"x", "an encoding that was not asked for"),
        ("X: y", b"x" * (LIMIT + 1), f"more than {LIMIT} bytes"),
        ("Content-Type: text/plain; charset=cp1252", b"\x80" * (LIMIT // 2), f"more than {LIMIT} bytes"),
    ],
)  # fmt: skip
def test_what_is_no_bounded_text_is_refused(net: Net, head: str, body: bytes, reason: str) -> None:
    port = net.serve(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)
    with pytest.raises(HostCallError, match=reason) as caught:
        net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}")
    assert not isinstance(caught.value, HostCallDenied)


def test_the_limit_of_an_answer_is_exact(net: Net) -> None:
    port = net.serve(text_answer("x" * LIMIT))
    assert len(net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}")) == LIMIT


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oh", "304 Not Modified"])
def test_other_answers_than_success_are_errors_with_their_status(net: Net, status: str) -> None:
    port = net.serve(text_answer("x", status=status))
    with pytest.raises(HostCallError, match=f"status {status[:3]}"):
        net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}")


def test_redirects_are_followed_within_what_was_granted(net: Net) -> None:
    def reply(head: bytes) -> bytes:
        return text_answer("there") if head.startswith(b"GET /b/there ") else redirect("there")

    port = net.serve(reply)
    assert net.fetch(f"http://a.test:{port}/b/here", f"http://a.test:{port}/b/*") == "there"
    with pytest.raises(HostCallDenied, match=r"/b/there is not granted"):
        net.fetch(f"http://a.test:{port}/b/here", f"http://a.test:{port}/b/here")


def test_a_redirect_without_an_address_is_an_error_of_the_server(net: Net) -> None:
    port = net.serve(text_answer("x", status="302 Found"))
    with pytest.raises(HostCallError, match="without saying where to") as caught:
        net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}")
    assert not isinstance(caught.value, HostCallDenied)


def test_redirects_are_counted(net: Net) -> None:
    def counting(last: int) -> Callable[[bytes], bytes]:
        def reply(head: bytes) -> bytes:
            number = int(head.split(b" ")[1].strip(b"/") or b"0")
            return text_answer("end") if number == last else redirect(f"/{number + 1}")

        return reply

    port = net.serve(counting(REDIRECTS_LIMIT))
    assert net.fetch(f"http://127.0.0.1:{port}/0", f"http://127.0.0.1:{port}") == "end"
    net.heads.clear()
    port = net.serve(counting(REDIRECTS_LIMIT + 1))
    with pytest.raises(HostCallError, match="more than 5 redirects"):
        net.fetch(f"http://127.0.0.1:{port}/0", f"http://127.0.0.1:{port}")
    assert len(net.heads) == REDIRECTS_LIMIT + 1


def test_a_name_is_looked_up_once_for_each_request(net: Net) -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = net.serve(lambda head: text_answer("x") if b"/b" in head[:6] else redirect("/b"))
    net.fetch(f"http://a.test:{port}/", f"http://a.test:{port}", resolver=resolver)
    assert asked == ["a.test", "a.test"]


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["169.254.169.254"], "link-local"),
        (["127.0.0.1", "169.254.169.254"], "link-local"),
        (["127.0.0.1", "224.0.0.1"], "no single machine"),
        ([], "has no address"),
        (["127.0.0.1"] * (ADDRESSES_LIMIT + 1), "too many"),
        (["127.0.0.1", "fe80::1%lo"], "local to this machine"),
        (["127.0.0.1", "nonsense"], "has no address"),
    ],
)
def test_all_addresses_of_a_name_must_be_allowed(net: Net, addresses: list[str], reason: str) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    port = net.serve(text_answer("x"))
    with pytest.raises(HostCallError, match=reason):
        net.fetch(f"http://a.test:{port}/", f"http://a.test:{port}", resolver=resolver)
    assert net.heads == []


def test_a_second_address_is_tried_when_the_first_is_silent(net: Net) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    port = net.serve(text_answer("x"))
    assert net.fetch(f"http://a.test:{port}/", f"http://a.test:{port}", resolver=resolver) == "x"


def test_who_cannot_be_reached_is_told_without_details(net: Net) -> None:
    with serving(lambda _: b"") as port:
        pass
    with pytest.raises(HostCallError, match=f"^http://a.test:{port} cannot be reached$"):
        net.fetch(f"http://a.test:{port}/x?key=1", f"http://a.test:{port}")


@pytest.mark.parametrize("error", [OSError("no"), UnicodeError("label too long")])
def test_a_name_that_cannot_be_looked_up_has_no_address(net: Net, error: Exception) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        raise error

    with pytest.raises(HostCallError, match=r"a\.test has no address"):
        net.fetch("https://a.test/", "https://a.test", resolver=resolver)


def test_the_deadline_holds_while_looking_up_connecting_and_reading(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    def drip(head: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b"x" * 10
            time.sleep(0.05)

    with pytest.raises(HostCallError, match="did not answer in time"):
        net.fetch("https://a.test/", "https://a.test", resolver=silent, seconds=0.2)
    port = net.serve(drip)
    with pytest.raises(HostCallError, match="did not answer in time"):
        net.fetch(f"http://a.test:{port}/", f"http://a.test:{port}", seconds=0.3, limit=1 << 20)
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.2)  # whatever the deadline of the run
    with pytest.raises(HostCallError, match="did not answer in time"):
        net.fetch(f"http://a.test:{port}/", f"http://a.test:{port}", limit=1 << 20)


def test_certificates_are_checked_against_the_name_that_was_asked_for(net: Net, tmp_path: Path) -> None:
    server, client = certified(tmp_path, "a.test", "127.0.0.1")
    port = net.serve(text_answer("safe"), server)
    for host in ("a.test", "127.0.0.1"):
        assert net.fetch(f"https://{host}:{port}/", f"https://{host}:{port}", tls=client) == "safe"
    with pytest.raises(HostCallError, match="its certificate is not valid for it"):
        net.fetch(f"https://b.test:{port}/", f"https://b.test:{port}", tls=client)
    with pytest.raises(HostCallError, match="its certificate is not valid for it"):
        net.fetch(f"https://a.test:{port}/", f"https://a.test:{port}")  # nobody vouches for it
    assert len(net.heads) == 2


def test_a_redirect_from_https_to_http_needs_a_grant_for_it(net: Net, tmp_path: Path) -> None:
    server, client = certified(tmp_path, "a.test")
    plain = net.serve(text_answer("plain"))
    port = net.serve(redirect(f"http://a.test:{plain}/"), server)
    with pytest.raises(HostCallDenied, match="is not granted"):
        net.fetch(f"https://a.test:{port}/", f"https://a.test:{port}", f"https://a.test:{plain}", tls=client)
    assert len(net.heads) == 1


def test_environment_of_the_machine_changes_nothing(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = net.serve(text_answer("by the proxy"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
    port = net.serve(text_answer("direct"))
    assert net.fetch(f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}") == "direct"


def test_the_systems_resolver_is_asked_in_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def getaddrinfo(host: str, port: int, **what: object) -> list[object]:
        names.append(threading.current_thread().name)
        return [(0, 0, 0, "", ("10.0.0.1", port)), (0, 0, 0, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def scenario() -> None:
        async with Fetcher() as fetcher:
            assert await fetcher._resolver("a.test", 80) == ["10.0.0.1"]

    run(scenario())
    assert names[0].startswith("resolve")
