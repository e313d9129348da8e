"""Where an address leads."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.execution.host.addresses import Reach, reach_of

PLACES = {
    Reach.PUBLIC: [
        "8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
        "169.253.255.255", "11.0.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1", "::8.8.8.8",
    ],
    Reach.PRIVATE: [
        "127.0.0.1", "127.255.255.255", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
        "192.168.0.1", "100.64.0.1", "100.127.255.255", "::1", "fc00::1", "fdff:ffff::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1",
    ],
    Reach.LOCAL_SERVICE: [
        "169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "fd00:ec2::254", "fd20:ce::254",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::", "::ffff:100.100.100.200",
    ],
    Reach.NOWHERE: [
        "0.0.0.0", "0.1.2.3",  # noqa: S104
        "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::",
        "ff02::1", "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "64:ff9b:1::1", "fec0::1",
        "::ffff:0:127.0.0.1", "::ffff:0.0.0.0", "2002:e000:1::",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reach"), [(text, reach) for reach, texts in PLACES.items() for text in texts]
)
def test_every_network_leads_where_its_registry_says(text: str, reach: Reach) -> None:
    assert reach_of(ipaddress.ip_address(text)) is reach


@given(st.ip_addresses(v=4))
def test_an_address_that_is_public_is_so_for_python_too(address: ipaddress.IPv4Address) -> None:
    if reach_of(address) is Reach.PUBLIC:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_address_within_another_leads_where_it_does_itself(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    reach = reach_of(address)
    for written in (0xFFFF << 32 | number, 0x64FF9B << 96 | number):
        assert reach_of(ipaddress.IPv6Address(written)) is reach
    assert reach_of(ipaddress.IPv6Address(0x2002 << 112 | number << 80)) is reach


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_that_is_public_is_global_unicast(address: ipaddress.IPv6Address) -> None:
    embedded = address.ipv4_mapped or int(address) < 1 << 32 or int(address) >> 32 == 0x64FF9B << 64
    if reach_of(address) is Reach.PUBLIC and not embedded:
        assert int(address) >> 125 == 1
