"""Calls that reach for machines beyond what was granted, by every trick of addresses that is known."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Callable, Iterable, Iterator

from tests.security.ground import CANARY, PUBLIC, Attempt, End, Ground
from tests.support.loopback import redirect, text_answer

ANY = ("fetch_url",)
HOSTILE = ("fetch_url(http://127.0.0.1:{evil}/*)",)
"""What names the hostile server's own address, so that it may be fetched although it is private."""

MEBIBYTE = 1 << 20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def server(answer: bytes | Callable[[], Iterable[bytes]]) -> Callable[[Ground], None]:
    """Start a hostile server that answers so; `{evil}` is its port."""

    def arrange(ground: Ground) -> None:
        def reply(head: bytes) -> bytes | Iterable[bytes]:
            return (
                ground.fill(answer.decode("latin-1")).encode("latin-1")
                if isinstance(answer, bytes)
                else answer()
            )

        ground.values["evil"] = str(ground.serve(reply))

    return arrange


def named(*answers: list[str]) -> Callable[[Ground], None]:
    """Have the resolver say so for `rebind.test`, each list once, the last one for good."""
    return lambda ground: ground.names.update({"rebind.test": list(answers)})


LOOPBACKS = {
    "plainly": "127.0.0.1",
    "by its name": "localhost",
    "by its name in other case": "LocalHost",
    "by its name with a dot": "localhost.",
    "in two numbers": "127.1",
    "in three numbers": "127.0.1",
    "in one number": "2130706433",
    "in hexadecimal": "0x7f000001",
    "in hexadecimal parts": "0x7f.0x0.0x0.0x1",
    "in octal": "017700000001",
    "in octal parts": "0177.0.0.1",
    "with zeros before": "127.000.000.001",
    "with an overflow": "4425673729",
    "with a dot behind": "127.0.0.1.",
    "by another of its addresses": "127.8.9.10",
    "by the address of this host": "0.0.0.0",  # noqa: S104
    "by zero": "0",
    "in IPv6": "[::1]",
    "in long IPv6": "[0:0:0:0:0:0:0:1]",
    "by no address of IPv6": "[::]",
    "mapped to IPv6": "[::ffff:127.0.0.1]",
    "mapped to IPv6 in hexadecimal": "[::ffff:7f00:1]",
    "compatible with IPv4": "[::127.0.0.1]",
    "translated to IPv4": "[::ffff:0:127.0.0.1]",
    "by NAT64": "[64:ff9b::7f00:1]",
    "by the local NAT64": "[64:ff9b:1::7f00:1]",
    "by 6to4": "[2002:7f00:1::]",
    "by Teredo": "[2001:0:7f00:1::80ff:fffe]",
    "with a zone": "[::1%25lo]",
    "with a plain zone": "[::1%lo]",
    "link-local with a zone": "[fe80::1%25lo]",
    "in full-width digits": "１２７.0.0.1",  # noqa: RUF001
    "in digits in circles": "①②⑦.⓪.⓪.①",
    "with other dots": "127。0。0。1",
    "by a full-width name": "ｌocalhost",  # noqa: RUF001
    "with an escape": "127.0.0.%31",
    "with an escaped dot": "127%2e0.0.1",
    "by a name with an empty label": "localhost..",
    "without a host": "",
}

TEXTS = {
    "with a user": "http://example.vn@127.0.0.1:{canary}/",
    "with a user and a password": "http://example.vn:80@127.0.0.1:{canary}/",
    "with an empty user": "http://@127.0.0.1:{canary}/",
    "with two users": "http://a@b@127.0.0.1:{canary}/",
    "with a fragment before": "http://127.0.0.1:{canary}#@example.vn/",
    "with a query before": "http://127.0.0.1:{canary}?@example.vn/",
    "with a backslash": "http://example.vn\\@127.0.0.1:{canary}/",
    "with a backslash at the end": "http://127.0.0.1:{canary}\\.example.vn/",
    "with backslashes alone": "http:\\\\127.0.0.1:{canary}/",
    "with one slash": "http:/127.0.0.1:{canary}/",
    "without slashes": "http:127.0.0.1:{canary}",
    "with three slashes": "http:///127.0.0.1:{canary}/",
    "without a scheme": "//127.0.0.1:{canary}/",
    "without all of it": "127.0.0.1:{canary}/",
    "in upper case": "HTTP://127.0.0.1:{canary}/",
    "with a line break in its scheme": "ht\ntp://127.0.0.1:{canary}/",
    "with a tab in its host": "http://127.0.\t0.1:{canary}/",
    "with a space before": " http://127.0.0.1:{canary}/",
    "with a zero byte": "http://127.0.0.1:{canary}\0.example.vn/",
    "with an odd port": "http://127.0.0.1:0{canary}/",
    "with a signed port": "http://127.0.0.1:+{canary}/",
    "with a wide port": "http://127.0.0.1:６５/",  # noqa: RUF001
    "of a file": "file://{outside}/canary.txt",
    "of a file in upper case": "FILE://{outside}/canary.txt",
    "of a file on a host": "file://localhost{outside}/canary.txt",
    "of a file without slashes": "file:{outside}/canary.txt",
    "over FTP": "ftp://127.0.0.1:{canary}/",
    "over Gopher": "gopher://127.0.0.1:{canary}/_GET%20/",
    "over dict": "dict://127.0.0.1:{canary}/",
    "over a web socket": "ws://127.0.0.1:{canary}/",
    "of data": f"data:text/plain,{CANARY}",
    "of a script": f"javascript:'{CANARY}'",
    "of an archive": "jar:http://127.0.0.1:{canary}/!/",
    "over a socket of the machine": "http+unix://%2ftmp%2fsocket/",
    "of a cloud's own service": "http://169.254.169.254/latest/meta-data/",
    "of a cloud's own service in one number": "http://2852039166/latest/meta-data/",
    "of a cloud's own service in IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "of a cloud's own service, mapped": "http://[::ffff:169.254.169.254]/",
    "of Alibaba's service": "http://100.100.100.200/latest/meta-data/",
    "of a private network": "http://10.0.0.1/",
    "of a private network of IPv6": "http://[fd12:3456::1]/",
    "of everybody": "http://255.255.255.255/",
    "of a group": "http://224.0.0.1/",
    "of nothing": "",
    "that is too long": "http://127.0.0.1:{canary}/" + "a" * 100_000,
}  # fmt: skip


def _texts() -> Iterator[Attempt]:
    for name, host in LOOPBACKS.items():
        yield Attempt(f"fetch from this machine {name}", ANY, "fetch_url", (f"http://{host}:{{canary}}/",),
                      end=End.DENIED if host != "localhost.." else End.REFUSED)  # fmt: skip
    for name, text in TEXTS.items():
        yield Attempt(f"fetch an address {name}", ANY, "fetch_url", (text,), end=End.DENIED)
    yield Attempt("fetch without a grant", (), "fetch_url", ("http://127.0.0.1:{canary}/",), end=End.DENIED)
    quiet = server(text_answer("nothing of note"))
    beyond = {
        "another port": "http://127.0.0.1:{canary}/",
        "another port behind a user": "http://127.0.0.1:{evil}@127.0.0.1:{canary}/",
        "another port behind a fragment": "http://127.0.0.1:{canary}#:{evil}/",
        "no port": "http://127.0.0.1/",
        "another host": "http://localhost:{evil}/",
        "another form of the host": "http://[::ffff:127.0.0.1]:{evil}/",
        "another scheme": "https://127.0.0.1:{evil}/",
    }
    for name, text in beyond.items():
        yield Attempt(f"fetch beyond a pattern: {name}", HOSTILE, "fetch_url", (text,), quiet, End.DENIED)
    public = ("fetch_url(http://127.0.0.1:{canary}/public/*)",)
    for path in (
        "/private", "/", "/public", "/public/../private", "/public/%2e%2e/private", "/public/..%2fprivate",
        "/public/%252e%252e/private", "/public/..;/private", "/public/..%5cprivate", "/public/.%2e/private",
        "//public/../private", "/PUBLIC/x", "/x?/public/", "/x#/public/", "/publicx", "/%70ublic/../private",
        "/public/%c0%ae%c0%ae/private",
        "/public/%ef%bc%8e%ef%bc%8e/private", "/public/%e2%80%a5/private",
        "/public/x/%2e%2e%2f%2e%2e/private", "/;/public/",
    ):  # fmt: skip
        yield Attempt(f"fetch beyond a path: {path}", public, "fetch_url",
                      (f"http://127.0.0.1:{{canary}}{path}",), end=End.DENIED)  # fmt: skip
    wildcard = ("fetch_url(http://*.example.test:{canary}/*)",)
    for host in (
        "127.0.0.1", "example.test", "xexample.test", "example.test.evil.test", "evil.test",
        "127.0.0.1?.example.test",
        "a.example.test@127.0.0.1", "ex\u0430mple.test", "a.exämple.test", "xn--xample-9uf.test",
    ):  # fmt: skip
        yield Attempt(f"fetch beyond a domain: {host}", wildcard, "fetch_url", (f"http://{host}:{{canary}}/",),
                      lambda ground: ground.names.update({
                          name: [["127.0.0.1"]] for name in ("example.test", "xexample.test", "evil.test",
                          "example.test.evil.test", "xn--xample-9uf.test", "xn--exmple-cua.test")}),
                      End.DENIED)  # fmt: skip


def _redirects() -> Iterator[Attempt]:
    denied = {
        "this machine": "http://127.0.0.1:{canary}/",
        "this machine by its name": "http://localhost:{canary}/",
        "this machine in IPv6": "http://[::ffff:127.0.0.1]:{canary}/",
        "this machine without a scheme": "//127.0.0.1:{canary}/",
        "this machine behind a user": "http://127.0.0.1:{evil}@127.0.0.1:{canary}/",
        "this machine behind a backslash": "http://127.0.0.1:{evil}\\@127.0.0.1:{canary}/",
        "this machine in one number": "http://2130706433:{canary}/",
        "this machine, encrypted": "https://127.0.0.1:{evil}/",
        "this machine by one slash": "http:/127.0.0.1:{canary}/",
        "a cloud's own service": "http://169.254.169.254/latest/meta-data/",
        "a private network": "http://10.0.0.1/",
        "a file": "file://{outside}/canary.txt",
        "a file in upper case": "FILE://{outside}/canary.txt",
        "Gopher": "gopher://127.0.0.1:{canary}/_x",
        "FTP": "ftp://127.0.0.1:{canary}/",
        "data": f"data:text/plain,{CANARY}",
        "a name that leads to this machine": "http://rebind.test:{canary}/",
        "nowhere": "",
    }
    for name, location in denied.items():

        def arrange(ground: Ground, location: str = location) -> None:
            server(redirect(location))(ground)
            named(["127.0.0.1"])(ground)

        for grants, wide in ((HOSTILE, ""), ((*HOSTILE, "fetch_url"), ", with a grant for any address")):
            end = End.REFUSED if name == "nowhere" else End.DENIED
            yield Attempt(f"be redirected to {name}{wide}", grants, "fetch_url", ("http://127.0.0.1:{evil}/",),
                          arrange, end)  # fmt: skip
    for status in ("301 Moved", "303 See Other", "307 Temporary", "308 Permanent", "300 Choices"):
        yield Attempt(f"be redirected by {status}", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                      server(redirect("http://127.0.0.1:{canary}/", status)))  # fmt: skip
    yield Attempt("be redirected in a circle", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                  server(redirect("/again")))  # fmt: skip
    yield Attempt("be redirected beyond a path", ("fetch_url(http://127.0.0.1:{evil}/a/*)",), "fetch_url",
                  ("http://127.0.0.1:{evil}/a/b",), server(redirect("../c")), End.DENIED)  # fmt: skip
    yield Attempt("be redirected with a header more", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                  server(redirect("/x%0d%0aX-Injected:%20yes")))  # fmt: skip
    yield Attempt("be led on by a header of the browser", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                  server(text_answer("x", "Refresh: 0; url=http://127.0.0.1:{canary}/",
                                     "Link: <http://127.0.0.1:{canary}/>; rel=preload")),
                  End.HARMLESS)  # fmt: skip


def _names() -> Iterator[Attempt]:
    address = ("http://rebind.test:{canary}/",)
    answers: dict[str, tuple[list[str], ...]] = {
        "this machine": (["127.0.0.1"],),
        "this machine in IPv6": (["::1"],),
        "this machine, mapped": (["::ffff:127.0.0.1"],),
        "no address": (["0.0.0.0"],),  # noqa: S104
        "a private network": (["10.1.2.3"],),
        "a cloud's own service": (["169.254.169.254"],),
        "an address of this link": (["fe80::1%lo"],),
        "this machine at the second time": ([PUBLIC], ["127.0.0.1"]),
        "the internet and this machine": ([PUBLIC, "127.0.0.1"],),
        "this machine and the internet": (["127.0.0.1", PUBLIC],),
        "the internet many times, then this machine": ([PUBLIC] * 20 + ["127.0.0.1"],),
        "nothing": ([],),
        "what is no address": (["127.0.0.1 "],),
    }
    for name, lists in answers.items():
        yield Attempt(f"fetch from a name that leads to {name}", ANY, "fetch_url", address, named(*lists))
    for name in ("this machine", "the internet and this machine"):
        yield Attempt(f"fetch from a granted name that leads to {name}", ("fetch_url(https://*:{canary})",),
                      "fetch_url", ("https://rebind.test:{canary}/",), named(*answers[name]),
                      End.DENIED)  # fmt: skip
    yield Attempt("fetch from a named private host that leads to a cloud's own service",
                  ("fetch_url(http://rebind.test:{canary}/*)",), "fetch_url", address,
                  named(["169.254.169.254"]), End.DENIED)  # fmt: skip


def drip() -> Iterator[bytes]:
    yield _HEAD + b"Content-Length: 1000000\r\n\r\n"
    while True:
        time.sleep(0.05)
        yield b"x"


def endless() -> Iterator[bytes]:
    yield _HEAD + b"\r\n"
    yield from itertools.repeat(b"x" * 65_536)


def endless_chunks() -> Iterator[bytes]:
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    yield from itertools.repeat(b"10000\r\n" + b"x" * 65_536 + b"\r\n")


def endless_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in itertools.count():
        yield b"X-%d: y\r\n" % number * 100


def endless_header() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Long: "
    yield from itertools.repeat(b"x" * 65_536)


def endless_promises() -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)


def silence() -> Iterator[bytes]:
    while True:
        time.sleep(0.05)
        yield b""


def bomb(*headers: bytes) -> bytes:
    body = gzip.compress(b"x" * 64 * MEBIBYTE)
    return _HEAD + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def typed(content_type: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type + b"\r\n\r\n" + (body or CANARY.encode())


def _answers() -> Iterator[Attempt]:
    refused: dict[str, bytes | Callable[[], Iterable[bytes]]] = {
        "that never ends": endless,
        "of chunks that never end": endless_chunks,
        "of headers that never end": endless_headers,
        "of a header that never ends": endless_header,
        "of promises that never end": endless_promises,
        "that is longer than allowed": _HEAD + b"\r\n" + b"x" * 2 * MEBIBYTE,
        "that is longer when it is text": typed(b"text/plain; charset=windows-1252", b"\x80" * 900_000),
        "that is compressed": lambda: [bomb(b"Content-Encoding: gzip")],
        "that is compressed over and over": lambda: [bomb(b"Content-Encoding: gzip, gzip")],
        "that is compressed on the way": lambda: [bomb(b"Transfer-Encoding: gzip, chunked")],
        "that is compressed in secret": lambda: [bomb()],
        "that is no text": typed(b"application/octet-stream"),
        "that is a picture": typed(b"image/png"),
        "in a charset that is a compression": typed(b"text/plain; charset=zlib"),
        "in a charset that is slow to read": typed(b"text/plain; charset=punycode"),
        "in a type that is slow to read": typed(b"text/plain" + b';"a' * 20_000),
        "in a charset that is long": typed(b"text/plain; charset*=punycode''" + b"a" * 60_000),
        "that contradicts its length": _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "with a negative length": _HEAD + b"Content-Length: -1\r\n\r\nhello",
        "that ends too early": _HEAD + b"Content-Length: 100\r\n\r\nhello",
        "that is not HTTP": b"220 mail.example.vn ESMTP\r\n",
        "of another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        + b"x" * 10,
        "of no bytes": b"",
        "of a failure": text_answer(CANARY, status="500 Oh"),
    }
    for name, answer in refused.items():
        yield Attempt(f"fetch an answer {name}", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                      server(answer), slow=name == "of promises that never end")  # fmt: skip
    for name, slow in {"that drips": drip, "that does not come": silence}.items():
        yield Attempt(f"fetch an answer {name}", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                      server(slow), slow=True)  # fmt: skip


def _requests() -> Iterator[Attempt]:
    for name, text in {
        "a line break": "/ HTTP/1.1\r\nX-Injected: yes\r\n\r\n",
        "escapes": "/%0d%0aX-Injected:%20yes",
        "escapes in a query": "/?q=%0aX-Injected:%20yes",
        "wide letters": "/?q=\u560d\u560aX-Injected:yes",
        "a line break in the port": "\r\nX-Injected: yes/",
    }.items():
        yield Attempt(f"send a header by {name}", HOSTILE, "fetch_url", (f"http://127.0.0.1:{{evil}}{text}",),
                      server(text_answer("x")), End.HARMLESS)  # fmt: skip
    yield Attempt("send a cookie that was set", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                  cookie, End.HARMLESS, times=3)  # fmt: skip
    yield Attempt("send what stands in .netrc", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",), netrc,
                  End.HARMLESS)  # fmt: skip
    yield Attempt("go over the environment's proxy", HOSTILE, "fetch_url", ("http://127.0.0.1:{evil}/",),
                  proxy, End.HARMLESS)  # fmt: skip


def sent(ground: Ground, header: bytes) -> str | None:
    return "a header was sent" if any(header in head.lower() for head in ground.requests) else None


def cookie(ground: Ground) -> None:
    server(text_answer("x", "Set-Cookie: a=b; Path=/"))(ground)
    ground.checks.append(lambda: sent(ground, b"\r\ncookie:"))


def netrc(ground: Ground) -> None:
    server(text_answer("x"))(ground)
    place = ground.outside / "netrc"
    place.write_text(f"machine 127.0.0.1 login me password {CANARY}\n")
    ground.variable("NETRC", str(place))
    ground.checks.append(lambda: sent(ground, b"\r\nauthorization:"))


def proxy(ground: Ground) -> None:
    server(text_answer("x"))(ground)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        ground.variable(name, ground.fill("http://127.0.0.1:{canary}"))


ADDRESS_ATTEMPTS = [*_texts(), *_redirects(), *_names(), *_answers(), *_requests()]
