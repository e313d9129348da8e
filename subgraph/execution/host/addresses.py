"""Which addresses of the network a skill may be connected to.

The networks are those of the IANA special-purpose registries (RFC 6890 and what followed), written out:
what Python's `ipaddress` calls global has changed between its versions.
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Reach(enum.Enum):
    """Where an address leads, and so what a pattern must say for it."""

    PUBLIC = "the public internet"
    PRIVATE = "a private network or this machine: the pattern must name the host"
    LOCAL_SERVICE = "link-local, or a cloud's service for its machines: the pattern must be this address"
    NOWHERE = "no single machine that could be meant"


_PRIVATE_4: Final = [
    ipaddress.IPv4Network(text)
    for text in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
]
_NOWHERE_4: Final = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host: Linux connects it to loopback
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_LINK_LOCAL_4: Final = ipaddress.IPv4Network("169.254.0.0/16")
_UNIQUE_LOCAL_6: Final = ipaddress.IPv6Network("fc00::/7")
_LINK_LOCAL_6: Final = ipaddress.IPv6Network("fe80::/10")
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_NOWHERE_6: Final = [
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")
]  # protocol assignments with Teredo, documentation
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED: Final = [ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96")]
_6TO4: Final = ipaddress.IPv6Network("2002::/16")

# Services of clouds for their own machines that lie outside of link-local networks.
_CLOUD_SERVICES: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


def reach_of(address: Address) -> Reach:
    """Say where an address leads. An IPv4 address within an IPv6 one counts as that IPv4 address."""
    if address in _CLOUD_SERVICES:
        return Reach.LOCAL_SERVICE
    if isinstance(address, ipaddress.IPv4Address):
        return _reach_of_4(address)
    return _reach_of_6(address)


def _reach_of_4(address: ipaddress.IPv4Address) -> Reach:
    if address in _LINK_LOCAL_4:
        return Reach.LOCAL_SERVICE
    if any(address in network for network in _PRIVATE_4):
        return Reach.PRIVATE
    if any(address in network for network in _NOWHERE_4):
        return Reach.NOWHERE
    return Reach.PUBLIC


def _reach_of_6(address: ipaddress.IPv6Address) -> Reach:
    number = int(address)
    if number == 1:
        return Reach.PRIVATE  # loopback
    if number == 0:
        return Reach.NOWHERE
    if address in _MAPPED or any(address in network for network in _TRANSLATED):
        return reach_of(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    if address in _6TO4:
        return reach_of(ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF))
    if address in _LINK_LOCAL_6:
        return Reach.LOCAL_SERVICE
    if address in _UNIQUE_LOCAL_6:
        return Reach.PRIVATE
    if address not in _GLOBAL_6 or any(address in network for network in _NOWHERE_6):
        return Reach.NOWHERE
    return Reach.PUBLIC
