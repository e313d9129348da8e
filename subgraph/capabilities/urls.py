"""Addresses that a skill may fetch, and patterns over them.

An address is brought into one form before it is compared: scheme and host in lower case, the host as
A-labels, the port always there, `%` escapes of plain characters undone, dot segments removed (RFC 3986,
section 6.2.2). That form is also what is sent, so nothing is left for two readers to read differently.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

import idna

from subgraph.capabilities.patterns import WILDCARD_LIMIT, PatternError, check_showable, matches_wildcards

URL_LIMIT: Final = 2048
"""Bound of an address, in characters; longer ones are refused by many servers too."""

DECODING_ROUNDS: Final = 5
"""How often escapes are undone when looking for hidden dot segments; deeper nesting is refused."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY_END = re.compile(r"[/?#]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_HIDDEN_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
# `.`, `/` and `\` in more bytes of UTF-8 than they need, which no honest address has.
_OVERLONG = re.compile(r"%C0%A[EF]|%C1%9C|%E0%80%A[EF]|%E0%81%9C|%F0%80%80%A[EF]|%F0%80%81%9C", re.IGNORECASE)
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HOST_LIMIT = 253  # RFC 1035, as text without the root's dot

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Url:
    """An address in its one form. `path` begins with `/`; `query` is None when there is none."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None

    def __str__(self) -> str:
        query = "" if self.query is None else f"?{self.query}"
        return f"{self.origin}{self.path}{query}"

    @property
    def origin(self) -> str:
        """Scheme, host and port; the scheme's own port is left out."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        return _authority(self.scheme, self.host, self.port)

    @property
    def target(self) -> str:
        """What the request line asks for."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def address(self) -> Address | None:
        """The host as an IP address, when it is one."""
        return _address_of(self.host)

    @property
    def recorded(self) -> str:
        """The address as it is recorded: what stands in a query may be a key or a person's name."""
        return f"{self.origin}{self.path}" + ("" if self.query is None else "?…")


def _authority(scheme: str, host: str, port: int) -> str:
    """Write a host and its port; the scheme's own port is left out."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"


def _address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def normalise_url(text: str) -> Url:
    """Read an address. Raises `PatternError` for all that another reader could take for something else."""
    scheme, authority, rest = _split(text)
    host, port = _split_port(authority)
    address, _, _ = rest.partition("#")
    path, question, query = address.partition("?")
    return Url(
        scheme,
        normalise_host(host),
        _port(port, scheme),
        normalise_url_path(path or "/"),
        escape_url(query) if question else None,
    )


def join_url(base: Url, location: str) -> Url:
    """Resolve what a redirect names against the address that sent it. Raises `PatternError`."""
    if _SCHEME.match(location) or ":" in location.split("/")[0].split("?")[0].split("#")[0]:
        return normalise_url(location)
    if location.startswith("//"):
        return normalise_url(f"{base.scheme}:{location}")
    if location.startswith("/"):
        return normalise_url(base.origin + location)
    if location.startswith("?"):
        return normalise_url(base.origin + base.path + location)
    folder = base.path.rpartition("/")[0]
    return normalise_url(f"{base.origin}{folder}/{location}")


def _split(text: str) -> tuple[str, str, str]:
    """Split into scheme, authority and the rest, which is empty or begins with `/`, `?` or `#`."""
    if len(text) > URL_LIMIT:
        raise PatternError(f"the address is longer than {URL_LIMIT} characters")
    check_showable(text, "the address")
    if "\\" in text or any(character.isspace() for character in text):
        raise PatternError("the address holds a backslash or white space")
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() not in _DEFAULT_PORTS:
        raise PatternError("the address does not begin with https:// or http://")
    end = _AUTHORITY_END.search(text, scheme.end())
    position = len(text) if end is None else end.start()
    authority = text[scheme.end() : position]
    if "@" in authority:
        raise PatternError("the address holds a user name or password")
    return scheme[1].lower(), authority, text[position:]


def _split_port(authority: str) -> tuple[str, str | None]:
    """Split host and port; None when no port is written."""
    if authority.startswith("["):
        host, bracket, after = authority.partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise PatternError("the address has no valid host")
        return host + bracket, after[1:] if after else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str | None, scheme: str) -> int:
    if text is None:
        return _DEFAULT_PORTS[scheme]
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise PatternError("the port is no number from 1 to 65535")
    return int(text)


def normalise_host(text: str) -> str:
    """Bring a host into its one form: lower-case A-labels, or an IP address. Raises `PatternError`.

    Addresses in octal, hexadecimal or fewer than four numbers are refused: readers disagree about them.
    """
    if text.startswith("["):
        try:
            if "%" in text:  # a zone, which names an interface of this machine
                raise ValueError(text)
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise PatternError("the host is no IPv6 address") from None
    if len(text) > _HOST_LIMIT:
        raise PatternError("the host is no domain name")
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(text, uts46=True, transitional=False, std3_rules=True).decode()
        except idna.IDNAError:
            raise PatternError("the host is no international domain name") from None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise PatternError("the host is no IPv4 address of four decimal numbers") from None
    if len(host) > _HOST_LIMIT or not all(_LABEL.fullmatch(label) for label in labels):
        raise PatternError("the host is no domain name")
    return host


def normalise_url_path(text: str) -> str:
    """Bring a path into its one form. Raises `PatternError` for escapes that hide a dot segment."""
    path = escape_url(text)
    decoded = path
    for _ in range(DECODING_ROUNDS):
        following = unquote(decoded, errors="replace")
        if following == decoded:
            break
        decoded = following
    else:
        raise PatternError("the path is escaped over and over")
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if path.endswith(("/.", "/..")):
        kept.append("")
    if any(_hides_dots(segment) for segment in kept):
        raise PatternError("the path hides a dot segment")
    return "/" + "/".join(kept)


def _hides_dots(segment: str) -> bool:
    """Whether a segment may still hold dot segments for some server.

    Servers undo more than plain characters, cut parameters off a segment, read UTF-8 that is longer than
    it may be, and take letters for others that look alike.
    """
    inner = segment
    for _ in range(DECODING_ROUNDS):
        if _OVERLONG.search(inner):
            return True
        inner = unquote(inner, errors="replace")
    pieces = re.split(r"[/\\]", unicodedata.normalize("NFKC", inner))
    return any(piece.partition(";")[0] in {".", ".."} for piece in pieces)


def escape_url(text: str) -> str:
    """Escape what must be, undo the escapes of plain characters, write the others in upper case.

    Raises `PatternError` for what begins no escape, and for an escaped control character.
    """
    if _BAD_ESCAPE.search(text):
        raise PatternError("the address holds a % that begins no escape")
    if _HIDDEN_CONTROL.search(text):
        raise PatternError("the address holds an escaped control character")
    quoted = quote(text, safe="%/?:@!$&'()*+,;=-._~")
    return _ESCAPE.sub(_one_escape, quoted)


def _one_escape(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    return character if character in _PLAIN else found[0].upper()


@dataclass(frozen=True, slots=True)
class UrlPattern:
    """A pattern over addresses: `https://api.example.vn/v1/*`, `https://*.example.vn`.

    The scheme and the port are exact. A host is a name, an IP address, `*.` and a domain (one or more
    labels to its left, never the domain itself), or with https `*`; wildcards stand for names, never for
    IP addresses. `*.vn` is allowed: an operator who grants it sees what it says. `*` and `**` in the path
    both cross slashes; no path is any path; any query is within a pattern, which itself has none.
    """

    scheme: str
    host: str
    port: int
    path: str
    explicit_port: bool

    @classmethod
    def parse(cls, text: str) -> UrlPattern:
        """Read a pattern. Raises `PatternError`."""
        scheme, authority, rest = _split(text)
        if "?" in rest or "#" in rest:
            raise PatternError("a pattern has no query and no fragment; every query is within it")
        name, port = _split_port(authority)
        wildcard, host = name.startswith("*."), name.removeprefix("*.")
        if name == "*":
            if scheme != "https":
                raise PatternError("* as a host is for https alone")
        else:
            host = normalise_host(host)
            if wildcard and _address_of(host) is not None:
                raise PatternError("a wildcard stands before a domain, not before an IP address")
        path = re.sub(r"\*+", "*", normalise_url_path(rest or "/*"))
        if path.count("*") > WILDCARD_LIMIT:
            raise PatternError(f"a pattern has at most {WILDCARD_LIMIT} wildcards *")
        return cls(scheme, f"*.{host}" if wildcard else host, _port(port, scheme), path, port is not None)

    @property
    def origin(self) -> str:
        """Scheme, host and port; the scheme's own port is left out."""
        return f"{self.scheme}://{_authority(self.scheme, self.host, self.port)}"

    def matches(self, url: Url) -> bool:
        """Whether an address is within the pattern."""
        return (
            (self.scheme, self.port) == (url.scheme, url.port)
            and self._has_host(url.host)
            and matches_wildcards(self.path, url.path)
        )

    @property
    def names_one_host(self) -> bool:
        """Whether the pattern names its host so plainly that a private one may be meant.

        An IP address, or a name without wildcard with its port written out. Whoever grants
        `https://api.example.vn/*` means a public service, whatever the owner of that name makes it
        resolve to; whoever writes `http://tax.internal:8080/*` means that machine.
        """
        return _address_of(self.host) is not None or (self.explicit_port and not self.host.startswith("*"))

    def covers(self, other: UrlPattern) -> bool:
        """Whether every address within `other` is within this one; False when that is not plain to see."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return False
        if other.names_one_host and not self.names_one_host:
            return False
        if other.host != self.host and not self._has_host(other.host):
            return False
        if self.path == other.path:
            return True
        if "*" not in other.path:
            return matches_wildcards(self.path, other.path)
        prefix = self.path.removesuffix("*")
        return prefix != self.path and "*" not in prefix and other.path.partition("*")[0].startswith(prefix)

    def _has_host(self, host: str) -> bool:
        if not self.host.startswith("*"):
            return host == self.host
        return _address_of(host) is None and host.endswith(self.host[1:])


@functools.lru_cache(maxsize=4096)
def url_pattern(text: str) -> UrlPattern | None:
    """Read a pattern over addresses; None when it is malformed and so matches nothing."""
    try:
        return UrlPattern.parse(text)
    except PatternError:
        return None
