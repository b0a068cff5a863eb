"""What is known after each refusal of etcd, as a table; and how endpoints are read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from sluiceway.foundation.errors import (
    DataLoss,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from sluiceway.kv._etcd_endpoint import Endpoint, parse_endpoint, unix_endpoint
from sluiceway.kv._etcd_errors import translate
from sluiceway.kv._etcd_member import EtcdTls
from sluiceway.kv.etcd import EtcdStore
from sluiceway.kv.port import Compacted, OutcomeUnknown

C = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "details", "write", "read"),
    [
        (C.DEADLINE_EXCEEDED, "Deadline Exceeded", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "etcdserver: request timed out", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "etcdserver: leader changed", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "Socket closed", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "etcdserver: server stopped", OutcomeUnknown, Unavailable),
        (C.INTERNAL, "RST_STREAM", OutcomeUnknown, Unavailable),
        (C.UNKNOWN, "raft proposal dropped", OutcomeUnknown, Unavailable),
        (C.CANCELLED, "context canceled", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "failed to connect to all addresses; last error: refused", Unavailable, Unavailable),
        (C.INTERNAL, "failed to connect to all addresses", OutcomeUnknown, Unavailable),
        (C.UNAVAILABLE, "etcdserver: no leader", Unavailable, Unavailable),
        (C.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unavailable, Unavailable),
        (C.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Unavailable, Unavailable),
        (C.RESOURCE_EXHAUSTED, "grpc: received message larger than max", InvalidInput, InvalidInput),
        (C.RESOURCE_EXHAUSTED, "something else", OutcomeUnknown, Unavailable),
        (C.INVALID_ARGUMENT, "etcdserver: request is too large", InvalidInput, InvalidInput),
        (C.INVALID_ARGUMENT, "etcdserver: user name is empty", Unauthenticated, Unauthenticated),
        (C.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted, Compacted),
        (C.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", InvalidInput, InvalidInput),
        (C.NOT_FOUND, "etcdserver: requested lease not found", NotFound, NotFound),
        (C.PERMISSION_DENIED, "etcdserver: permission denied", PermissionDenied, PermissionDenied),
        (C.UNAUTHENTICATED, "etcdserver: invalid auth token", Unauthenticated, Unauthenticated),
        (C.DATA_LOSS, "etcdserver: corrupt cluster", DataLoss, DataLoss),
    ],
)
def test_only_what_is_certain_is_said_as_certain(code, details, write, read):
    error = AioRpcError(code, Metadata(), Metadata(), details)

    assert type(translate(error, "write of a", "h:1", may_write=True)) is write
    assert type(translate(error, "read of a", "h:1", may_write=False)) is read


def test_messages_name_the_member_the_call_and_etcds_words():
    error = translate(
        AioRpcError(C.UNAVAILABLE, Metadata(), Metadata(), "Socket closed"), "write of a", "h:1", may_write=True
    )

    assert str(error) == "etcd at h:1: write of a: Socket closed; it may or may not have been applied"


@pytest.mark.parametrize(
    ("text", "address", "secure"),
    [
        ("127.0.0.1:2379", "127.0.0.1:2379", False),
        ("http://etcd-0.etcd:2379", "etcd-0.etcd:2379", False),
        ("http://etcd:2379/", "etcd:2379", False),
        ("https://etcd:2379", "etcd:2379", True),
        ("http://[::1]:2379", "[::1]:2379", False),
    ],
)
def test_endpoints_are_read_as_people_write_them(text, address, secure):
    assert parse_endpoint(text) == Endpoint(address, is_secure=secure)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:///run/etcd/etcd.sock", "/run/etcd/etcd.sock"),
        ("unix:/run/etcd/etcd.sock", "/run/etcd/etcd.sock"),
        ("unix:///a%2Cb/e%20tcd.sock:0", "/a,b/e tcd.sock:0"),
        ("unix:///home/me@work/etcd.sock", "/home/me@work/etcd.sock"),
    ],
)
def test_a_unix_socket_is_an_endpoint(text, path):
    endpoint = parse_endpoint(text)

    assert endpoint.socket == Path(path)
    assert not endpoint.is_secure
    assert endpoint.address == unix_endpoint(Path(path))
    assert parse_endpoint(endpoint.address) == endpoint
    assert "," not in endpoint.address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etcd",
        "http://etcd",
        "ftp://etcd:1",
        "http://etcd:99999",
        "http://:2379",
        "http://a:1/path",
        "unix:etcd.sock",
        "unix://folder/etcd.sock",
        "unix:///",
        "unix:///a%00b",
        "unix:///a?b",
    ],
)
def test_an_endpoint_that_cannot_be_read_is_named(text):
    with pytest.raises(InvalidInput, match="is not an etcd endpoint"):
        parse_endpoint(text)


@pytest.mark.parametrize("text", ["http://root:s3cr3t@etcd:2379", "root:s3cr3t@etcd:2379", "https://s3cr3t@etcd"])
def test_a_password_in_an_endpoint_is_refused_and_not_said_again(text):
    with pytest.raises(InvalidInput, match="no password") as caught:
        parse_endpoint(text)
    assert "s3cr3t" not in str(caught.value)


def test_tls_material_is_not_printed():
    assert "secret" not in repr(EtcdTls(ca=b"secret", certificate=b"secret", key=b"secret"))


async def test_who_cannot_be_reached_by_tls_may_have_an_unknown_certificate():
    for scheme, said in (("http", False), ("https", True)):
        store = EtcdStore([f"{scheme}://127.0.0.1:1"])
        with pytest.raises(Unavailable, match="does not answer") as caught:
            await store.get("a", timeout=timedelta(seconds=2))
        assert ("certificate" in str(caught.value)) is said
        await store.close()
