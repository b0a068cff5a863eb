"""Which addresses calls to git providers may reach. Pure.

A remote source is a URL that a user of the API chooses, and a provider may redirect to any other. Without this rule,
the server could be made to call what only it can reach: itself, machines beside it, the metadata service of its cloud
(server-side request forgery). An operator may allow networks in which a provider of the installation is.

The networks are those of the IANA special-purpose registries (RFC 6890) as a list here, and not
`ipaddress.is_global`, whose answer depends on the release of Python (CVE-2024-4032).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sluiceway_common.foundation.errors import InvalidInput, Violation

__all__ = ["ALLOW_OPTION", "AddressPolicy", "Network", "parse_networks"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALLOW_OPTION = "--allow-private-addresses"

_REFUSED_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by customers of a carrier (CGNAT)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service: public by its form only
        "169.254.0.0/16",  # link-local, and metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and the metadata service of Oracle's cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_REFUSED_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in another form
        "3fff::/20",  # documentation
    )
)
_IPV4_IN_IPV6 = (
    ipaddress.IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The rule. `allowed`: networks that are reached although they are not public."""

    allowed: tuple[Network, ...] = ()

    def fault(self, address: str) -> str | None:
        """Return why an IP address must not be reached, as the end of a sentence about it, or None.

        An IPv6 address that contains an IPv4 address is judged as the latter.
        """
        try:
            parsed = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return "is not an IP address"
        if any(parsed.version == network.version and parsed in network for network in self.allowed):
            return None
        return None if _is_public(parsed) else "is not a public address"


def _plain(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _IPV4_IN_IPV6):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_IPV4)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _REFUSED_IPV6)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of `--allow-private-addresses`.

    Args:
        texts: the values of the option: networks (`10.1.0.0/16`) or single addresses, several with commas.

    Raises:
        InvalidInput: a text is not a network. All faults are listed.
    """
    networks: list[Network] = []
    faults: list[Violation] = []
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        if not text:
            continue
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            faults.append(Violation(ALLOW_OPTION, f"{error}; write a network such as 10.1.0.0/16"))
    if faults:
        raise InvalidInput(faults)
    return tuple(networks)
