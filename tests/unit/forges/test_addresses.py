"""Which addresses calls to git providers may reach."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks

PUBLIC = [
    "1.1.1.1",
    "140.82.121.4",
    "172.15.255.255",
    "172.32.0.0",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
]
NOT_PUBLIC = {
    "this network": "0.0.0.0",
    "private 10": "10.1.2.3",
    "carrier-grade NAT": "100.64.0.1",
    "metadata of Alibaba": "100.100.100.200",
    "loopback": "127.0.0.1",
    "another loopback": "127.255.255.254",
    "metadata of Azure": "168.63.129.16",
    "metadata of AWS": "169.254.169.254",
    "private 172.16": "172.31.255.255",
    "metadata of Oracle": "192.0.0.192",
    "private 192.168": "192.168.0.1",
    "benchmark": "198.19.0.1",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped private": "::ffff:10.0.0.1",
    "IPv4-compatible loopback": "::127.0.0.1",
    "NAT64 of a private address": "64:ff9b::a00:1",
    "local NAT64": "64:ff9b:1::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with a zone": "fe80::1%eth0",
    "IPv6 unique local": "fc00::1",
    "metadata of AWS over IPv6": "fd00:ec2::254",
    "IPv6 multicast": "ff02::1",
    "6to4 of a private address": "2002:a00:1::",
    "Teredo": "2001::1",
    "IPv6 documentation": "2001:db8::1",
    "not an address": "git.example.org",
    "an address in another form": "0x7f000001",
    "empty": "",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_may_be_reached(address: str) -> None:
    assert AddressPolicy().fault(address) is None


@pytest.mark.parametrize("address", [pytest.param(address, id=name) for name, address in NOT_PUBLIC.items()])
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert AddressPolicy().fault(address)


@given(st.ip_addresses(v=4))
def test_address_and_its_ipv4_mapped_form_are_judged_alike(address: ipaddress.IPv4Address) -> None:
    policy = AddressPolicy()
    assert policy.fault(f"::ffff:{address}") == policy.fault(str(address))


@pytest.mark.parametrize("address", ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd00::7"])
def test_address_in_an_allowed_network_may_be_reached(address: str) -> None:
    assert AddressPolicy(parse_networks(["10.1.0.0/16", "fd00::/8"])).fault(address) is None


@pytest.mark.parametrize("address", ["10.0.255.255", "10.2.0.0", "127.0.0.1", "fe80::1"])
def test_address_beside_an_allowed_network_is_refused(address: str) -> None:
    assert AddressPolicy(parse_networks(["10.1.0.0/16, fd00::/8"])).fault(address)


def test_faults_of_all_networks_are_listed() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_networks(["10.1.2.3/16", "10.1.0.0/16,ten,127.0.0.1"])
    assert len(caught.value.violations) == 2
    assert {violation.path for violation in caught.value.violations} == {"--allow-private-addresses"}
