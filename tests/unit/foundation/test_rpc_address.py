"""Parsing of server addresses."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.rpc.address import Address, parse_address, secure_target


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        pytest.param("127.0.0.1:7070", Address("127.0.0.1:7070", False, True), id="a loopback address"),
        pytest.param(" localhost:7070\n", Address("localhost:7070", False, True), id="localhost, with spaces"),
        pytest.param("ci.localhost:7070", Address("ci.localhost:7070", False, True), id="a name below localhost"),
        pytest.param("[::1]:7070", Address("[::1]:7070", False, True), id="IPv6"),
        pytest.param("0.0.0.0:7070", Address("0.0.0.0:7070", False, True), id="any address of this machine"),
        pytest.param("10.0.0.7:7070", Address("10.0.0.7:7070", False, False), id="another machine"),
        pytest.param("[2001:db8::1]:7070", Address("[2001:db8::1]:7070", False, False), id="another one in IPv6"),
        pytest.param("ci.example.org:443", Address("ci.example.org:443", False, False), id="443 alone is not TLS"),
        pytest.param("localhost.example.org:1", Address("localhost.example.org:1", False, False), id="not localhost"),
        pytest.param("https://ci.example.org", Address("ci.example.org:443", True, False), id="https"),
        pytest.param(
            "https://ci.example.org:7070/", Address("ci.example.org:7070", True, False), id="https and a port"
        ),
        pytest.param("https://[::1]:7070", Address("[::1]:7070", True, True), id="https and IPv6"),
        pytest.param("unix:/run/s.sock", Address("unix:/run/s.sock", False, True), id="a socket"),
        pytest.param("dns:///ci.example.org:7070", Address("dns:///ci.example.org:7070", False, False), id="a target"),
        pytest.param("dns:///localhost:7070", Address("dns:///localhost:7070", False, True), id="a local target"),
        pytest.param("dns:localhost:7070", Address("dns:localhost:7070", False, True), id="a target without slashes"),
        pytest.param("ipv4:127.0.0.1:1,127.0.0.2:1", Address("ipv4:127.0.0.1:1,127.0.0.2:1", False, True), id="two"),
        pytest.param(
            "ipv4:127.0.0.1:1,10.0.0.1:1", Address("ipv4:127.0.0.1:1,10.0.0.1:1", False, False), id="one of two"
        ),
        pytest.param("xds:///localhost", Address("xds:///localhost", False, False), id="a target that says nothing"),
        pytest.param("dns:7070", Address("dns:7070", False, False), id="a host with the name of a scheme"),
    ],
)
def test_server_address_is_parsed(server: str, expected: Address) -> None:
    assert parse_address(server) == expected


def test_tls_address_has_a_default_port() -> None:
    assert parse_address("ci.example.org", tls=True) == Address("ci.example.org:443", True, False)
    assert parse_address("dns:///ci.example.org", tls=True) == Address("dns:///ci.example.org", True, False)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        pytest.param("", "HOST:PORT", id="nothing"),
        pytest.param("localhost", "has no port", id="no port"),
        pytest.param(":7070", "is not an address", id="no host"),
        pytest.param("localhost:70700", "ports are from 1 to 65535", id="a port that is too large"),
        pytest.param("localhost:0", "ports are from 1 to 65535", id="port 0"),
        pytest.param("localhost:http", "is not an address", id="a port that is a name"),
        pytest.param("::1:7070", "is not an address", id="IPv6 without brackets"),
        pytest.param("http://localhost:8080", "the URL of a gateway", id="the gateway"),
        pytest.param("https://ci.example.org/api", "is not an address", id="a path"),
        pytest.param("https://me:secret@ci.example.org", "is not an address", id="a password"),
        pytest.param("ci.example.org:1, other:2", "is not an address", id="a list"),
    ],
)
def test_malformed_server_address_is_refused(server: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        parse_address(server)
    assert [violation.path for violation in caught.value.violations] == ["server"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"insecure": True}, id="it was asked for"),
        pytest.param({"tls": True}, id="there is TLS"),
        pytest.param({"sends_token": False}, id="there is no token"),
    ],
)
def test_another_machine_is_a_target(more: dict[str, Any]) -> None:
    target, credentials = secure_target("192.0.2.1:7070", **more)
    assert target == "192.0.2.1:7070"
    assert (credentials is not None) == ("tls" in more)


def test_token_in_clear_is_refused() -> None:
    with pytest.raises(InvalidInput, match="use https://HOST:PORT, or --insecure if you trust the network") as caught:
        secure_target("ci.example.org:7070")
    assert caught.value.reason == "TOKEN_IN_CLEAR"
