"""Addresses and patterns over them: one form for each, and nothing that two readers read differently."""

from __future__ import annotations

import fnmatch
import time
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities.patterns import WILDCARD_LIMIT, PatternError
from subgraph.capabilities.urls import (
    URL_LIMIT,
    UrlPattern,
    escape_url,
    join_url,
    normalise_host,
    normalise_url,
    url_pattern,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://A.VN", "https://a.vn/"),
        ("HTTPS://a.vn:443/x", "https://a.vn/x"),
        ("http://a.vn:443/x", "http://a.vn:443/x"),
        ("https://a.vn:/x", None),
        ("https://a.vn/x#y", "https://a.vn/x"),
        ("https://a.vn?q#y", "https://a.vn/?q"),
        ("https://a.vn/a/../b/./c", "https://a.vn/b/c"),
        ("https://a.vn/a/%2e%2E/b", "https://a.vn/b"),
        ("https://a.vn/../../b", "https://a.vn/b"),
        ("https://a.vn/a/..", "https://a.vn/"),
        ("https://a.vn/%7ea%3f%c3", "https://a.vn/~a%3F%C3"),
        ("https://a.vn/hóa đơn".replace(" ", "%20"), "https://a.vn/h%C3%B3a%20%C4%91%C6%A1n"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://a。vn/", "https://a.vn/"),  # the other dot of IDNA
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("https://[0:0:0:0:0:0:0:1]/", "https://[::1]/"),
        ("https://１２７.0.0.1/", "https://127.0.0.1/"),  # noqa: RUF001
        ("https://a.vn/100%25", "https://a.vn/100%25"),
        ("https://a.vn/x?u=..%2f..", "https://a.vn/x?u=..%2F.."),
    ],
)
def test_an_address_has_one_form(text: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(PatternError):
            normalise_url(text)
    else:
        assert str(normalise_url(text)) == url
        assert str(normalise_url(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "a.vn", "//a.vn", "file:///etc/passwd", "ftp://a.vn/", "gopher://a.vn/",
        "https:a.vn", "https:/a.vn",
        "https:///a", "https://", "https://u@a.vn/", "https://u:p@a.vn/", "https://a.vn@b.vn/",
        "https://a.vn\\@b.vn",
        "https://a.vn/\\b", "https://a.vn/ b", "https://a.vn/\r\nHost: b", "https://a.vn/%0d%0aHost:b",
        "https://a.vn/?q=%00", "https://a.vn/%zz", "https://a.vn/%", "https://a.vn:0/", "https://a.vn:65536/",
        "https://a.vn:+1/", "https://a.vn:080/", "https://a.vn./", "https://.a.vn/", "https://a..vn/", "https://-a.vn",
        "https://a.vn%2eb/", "https://127.1/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://0x7f000001/",
        "https://2130706433/", "https://127.0.0.01/", "https://1.2.3.4.5/", "https://256.0.0.1/",
        "https://[::1", "https://[::1]x/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[1.2.3.4]/",
        "https://::1/", "https://a_b$.vn/", "https://a.vn/..%2fadmin", "https://a.vn/x/..%5cadmin",
        "https://a.vn/%252e%252e/admin", "https://a.vn/..;/admin", "https://a.vn/x;/..;a=b/y", "https://*/",
        "https://*.a.vn/", "https://a.vn/%2525252525252e", "https://" + "a" * 64 + ".vn/",
    ],
)  # fmt: skip
def test_what_readers_disagree_about_is_no_address(text: str) -> None:
    with pytest.raises(PatternError):
        normalise_url(text)


def test_addresses_are_bounded() -> None:
    base = "https://a.vn/"
    assert len(str(normalise_url(base + "a" * (URL_LIMIT - len(base))))) == URL_LIMIT
    with pytest.raises(PatternError, match="longer"):
        normalise_url(base + "a" * (URL_LIMIT - len(base) + 1))
    assert normalise_host(".".join(["a" * 49] * 5) + ".vn")
    with pytest.raises(PatternError):
        normalise_host(".".join(["a" * 50] * 5) + ".vn")


@settings(max_examples=1000)
@given(st.text(max_size=40) | st.text("htps:/.@#?%2eE5cfF\\a1;[]*", max_size=30).map("https://a.vn/".__add__))
def test_any_text_is_an_address_in_one_form_or_none(text: str) -> None:
    try:
        url = normalise_url(text)
    except PatternError:
        return
    assert normalise_url(str(url)) == url
    assert str(url).isascii()
    assert not {"..", "."} & set(url.path.split("/"))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://a.vn:8443/b"),
        ("b", "https://a.vn:8443/x/b"),
        ("../b", "https://a.vn:8443/b"),
        ("?q", "https://a.vn:8443/x/y?q"),
        ("//b.vn/c", "https://b.vn/c"),
        ("http://b.vn", "http://b.vn/"),
        ("javascript:alert(1)", None),
        ("http:b.vn", None),
        ("file:///etc/passwd", None),
        ("//u@b.vn", None),
        ("\\\\b.vn", None),
    ],
)
def test_redirects_are_resolved(location: str, url: str | None) -> None:
    base = normalise_url("https://a.vn:8443/x/y?z")
    if url is None:
        with pytest.raises(PatternError):
            join_url(base, location)
    else:
        assert str(join_url(base, location)) == url


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (
            "https://api.a.vn/v1/*",
            ["https://api.a.vn/v1/", "https://API.a.vn:443/v1/x/y?q", "https://api.a.vn/v2/../v1/x"],
            ["https://api.a.vn/v1", "https://api.a.vn/v1/%2e%2e/admin", "https://api.a.vn/v1/../x",
             "http://api.a.vn/v1/x", "https://api.a.vn:8443/v1/x", "https://a.vn/v1/x",
             "https://api.a.vn.b.vn/v1/x", "https://xapi.a.vn/v1/x", "https://b.vn/api.a.vn/v1/"],
        ),
        ("https://a.vn", ["https://a.vn/", "https://a.vn/x?y"], ["https://b.a.vn/", "https://a.vnn/"]),
        ("https://a.vn/", ["https://a.vn", "https://a.vn/?q"], ["https://a.vn/x"]),
        ("https://*.a.vn/*", ["https://b.a.vn/", "https://c.b.a.vn/x"], ["https://a.vn/", "https://xa.vn/"]),
        ("https://*.vn", ["https://a.vn"], ["https://vn/", "https://a.com"]),
        ("https://*", ["https://a.vn", "https://b"], ["http://a.vn", "https://1.2.3.4/", "https://a.vn:8443"]),
        ("http://1.2.3.4:80/*", ["http://1.2.3.4/"], ["http://1.2.3.5/"]),
        ("http://[::1]:8080", ["http://[0::1]:8080/x"], ["http://[::1]/"]),
        ("https://a.vn/**/x", ["https://a.vn/b/c/x"], ["https://a.vn/x", "https://a.vn/b/y"]),
        ("https://bücher.example", ["https://xn--bcher-kva.example/"], ["https://bucher.example"]),
    ],
)  # fmt: skip
def test_a_pattern_matches_addresses(pattern: str, inside: list[str], outside: list[str]) -> None:
    parsed = UrlPattern.parse(pattern)
    assert [text for text in inside if not parsed.matches(normalise_url(text))] == []
    assert [text for text in outside if parsed.matches(normalise_url(text))] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "a.vn", "http://*", "*://a.vn", "https://a.*", "https://a*.vn", "https://*.*.vn", "https://*.1.2.3.4",
        "https://a.vn:*", "https://u@a.vn", "https://a.vn/?q=*", "https://a.vn/#x", "https://a.vn/..%2f*", "ftp://a.vn",
        "https://**.a.vn", "https://*.", "https://*.[::1]",
    ],
)  # fmt: skip
def test_malformed_url_patterns_match_nothing(pattern: str) -> None:
    with pytest.raises(PatternError):
        UrlPattern.parse(pattern)
    assert url_pattern(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("http://10.0.0.1", True),
        ("http://[fd00::1]/*", True),
        ("http://tax.internal:8080/*", True),
        ("https://a.vn:443", True),
        ("http://tax.internal/*", False),
        ("https://*.a.vn:8443", False),
        ("https://*:8443", False),
    ],
)
def test_a_private_host_must_be_named(pattern: str, named: bool) -> None:
    assert UrlPattern.parse(pattern).names_one_host is named


URL_PATTERNS = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.vn", "*.a.vn", "b.a.vn", "*.vn", "1.2.3.4"]),
    st.sampled_from(["", ":443", ":80"]),
    st.sampled_from(["", "/*", "/", "/x", "/x/*", "/*/y", "/x*", "/x/*/y", "/x/**"]),
)
URLS = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.vn", "b.a.vn", "c.b.a.vn", "1.2.3.4"]),
    st.sampled_from(["", ":443", ":80"]),
    st.sampled_from(["", "/x", "/x/", "/x/y", "/x/a/y", "/xx"]),
)


@settings(max_examples=1500)
@given(URL_PATTERNS, URL_PATTERNS, URLS)
def test_what_a_covered_url_pattern_matches_its_cover_matches(wide: str, narrow: str, text: str) -> None:
    ours, theirs, url = UrlPattern.parse(wide), UrlPattern.parse(narrow), normalise_url(text)
    if ours.covers(theirs):
        assert ours.names_one_host or not theirs.names_one_host
        assert not theirs.matches(url) or ours.matches(url)


def test_wildcards_are_bounded() -> None:
    assert UrlPattern.parse("https://a.vn/" + "a*" * WILDCARD_LIMIT).path == "/" + "a*" * WILDCARD_LIMIT
    with pytest.raises(PatternError, match="wildcards"):
        UrlPattern.parse("https://a.vn/" + "a*" * (WILDCARD_LIMIT + 1))


def test_hard_patterns_are_matched_fast() -> None:
    address = UrlPattern.parse("https://a.vn/*a*a*a*a*a*a*a*b")
    url = normalise_url("https://a.vn/" + "a" * 2000)
    started = time.perf_counter()
    assert not address.matches(url)
    assert time.perf_counter() - started < 0.25


@pytest.mark.parametrize(
    "path",
    [
        "/%c0%ae%c0%ae/x", "/%C0%AF..", "/..%c1%9cx", "/%e0%80%ae%e0%80%ae/", "/%f0%80%80%ae", "/%25c0%25ae",
        "/%ef%bc%8e%ef%bc%8e/x", "/\uff0e\uff0e/x", "/%e2%80%a5/x", "/x%2f\uff0e\uff0e%2fy", "/..%ef%bc%8fx",
    ],
)  # fmt: skip
def test_dots_in_too_many_bytes_or_other_letters_are_no_address(path: str) -> None:
    with pytest.raises(PatternError):
        normalise_url(f"https://a.vn{path}")


@pytest.mark.parametrize("path", ["/%C3%A0", "/%C0%C1", "/a%2Fb", "/...", "/a..b", "/%E2%80%A6x", "/.a/x"])
def test_honest_paths_are_left_as_they_are(path: str) -> None:
    assert normalise_url(f"https://a.vn{path}").path == path


@pytest.mark.parametrize(
    ("text", "escaped"), [("a b", "a%20b"), ("%7e%2F", "~%2F"), ("đ", "%C4%91"), ("a/b+c=d", "a/b+c=d")]
)
def test_escapes_have_one_form(text: str, escaped: str) -> None:
    assert escape_url(text) == escaped
    assert escape_url(escaped) == escaped


PIECES = st.sampled_from([
    "http", "https", "HTTP", "://", ":", "/", "//", "\\", "@", "#", "?", "%2e", "%2f", "%00", "..", ".", ";",
    "a.vn", "b.vn", "127.0.0.1", "[::1]", "localhost", "80", "443", "x", "*", " ", "\t", "\uff0e", "\u3002",
    "%25", "%",
])  # fmt: skip
ADDRESSES = st.lists(PIECES, max_size=10).map("".join) | st.lists(PIECES, max_size=8).map(
    lambda pieces: "https://" + "".join(pieces)
)


@settings(max_examples=3000)
@given(ADDRESSES)
def test_other_readers_read_an_address_as_we_do(text: str) -> None:
    try:
        url = normalise_url(text)
    except PatternError:
        return
    ours = (url.scheme, url.host, url.port)
    split, parsed = urlsplit(str(url)), httpx.URL(str(url))
    assert (split.scheme, split.hostname, split.port or {"http": 80, "https": 443}[url.scheme]) == ours
    assert (parsed.scheme, parsed.host, parsed.port or {"http": 80, "https": 443}[url.scheme]) == ours
    assert split.username is split.password is None
    assert (split.path, parsed.raw_path.decode()) == (url.path, url.target)
    if text.isascii():
        raw = urlsplit(text)
        assert (raw.scheme, raw.hostname) == (url.scheme, url.host)


@settings(max_examples=2000)
@given(URL_PATTERNS, URLS | ADDRESSES)
def test_what_is_within_a_pattern_is_so_for_fnmatch_too(pattern: str, text: str) -> None:
    try:
        url = normalise_url(text)
    except PatternError:
        return
    parsed = UrlPattern.parse(pattern)
    if not parsed.matches(url):
        return
    assert (parsed.scheme, parsed.port) == (url.scheme, url.port)
    assert fnmatch.fnmatchcase(url.host, parsed.host)
    assert fnmatch.fnmatchcase(url.path, parsed.path)
    assert not {"..", "."} & set(unquote(url.path).replace("\\", "/").split("/"))
