"""Routes of a network namespace that make networks unreachable from it (rtnetlink(7)).

It runs inside pods, with the standard library only. In a container it is a program, `pod_routes.py NETWORK...`, which
prints `DONE`, or what failed.
"""

from __future__ import annotations

import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
else:
    import _socket as socket

DONE = "done"
_NETLINK_ROUTE = 0
_RTM_NEWROUTE = 24
_NLMSG_ERROR = 2
_NLM_F_REQUEST_ACK_CREATE = 1 | 4 | 0x400
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNREACHABLE, _RTA_DST = 254, 4, 7, 1
_EXISTS = 17


def add_unreachable(networks: list[str]) -> None:
    """Make IPv4 networks (`10.0.0.0/8`) unreachable. May be repeated. Raises `OSError`."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    try:
        for network in networks:
            netlink.send(_request(network))
            response = netlink.recv(4096)
            kind, error = struct.unpack_from("=H", response, 4)[0], struct.unpack_from("=i", response, 16)[0]
            if kind != _NLMSG_ERROR or error not in {0, -_EXISTS}:
                raise OSError(-error, f"add a route for {network}: {os.strerror(-error)}")
    finally:
        netlink.close()


def _request(network: str) -> bytes:
    address, _, length = network.partition("/")
    header = (socket.AF_INET, int(length), 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNREACHABLE, 0)
    route = struct.pack("=BBBBBBBBI", *header) + struct.pack("=HH4s", 8, _RTA_DST, socket.inet_aton(address))
    return struct.pack("=IHHII", 16 + len(route), _RTM_NEWROUTE, _NLM_F_REQUEST_ACK_CREATE, 1, 0) + route


def main(networks: list[str]) -> None:
    """Add the routes, and print the outcome."""
    try:
        add_unreachable(networks)
    except OSError as error:
        print(error)
    else:
        print(DONE)


if __name__ == "__main__":
    main(sys.argv[1:])
