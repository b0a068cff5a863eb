"""What each error of etcd says about the outcome of a call, as a table; and how endpoints are parsed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from sluiceway_common.foundation.errors import (
    DataLoss,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv._etcd_endpoint import Endpoint, parse_endpoint, unix_endpoint
from sluiceway_server.kv._etcd_errors import translate
from sluiceway_server.kv.access import EtcdAccess, EtcdTls, read_access
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import Compacted, Get, OutcomeUnknown
from sluiceway_server.kv.versions import fault_of_version

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
def test_refusal_of_etcd_maps_to_known_or_unknown_outcome(code, details, write, read):
    error = AioRpcError(code, Metadata(), Metadata(), details)

    assert type(translate(error, "write of a", "h:1", may_write=True)) is write
    assert type(translate(error, "read of a", "h:1", may_write=False)) is read


def test_error_names_the_member_the_call_and_etcds_message():
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
def test_endpoints_are_parsed_in_every_common_form(text, address, secure):
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
def test_unix_socket_is_an_endpoint(text, path):
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
def test_malformed_endpoint_is_named(text):
    with pytest.raises(InvalidInput, match="is not an etcd endpoint"):
        parse_endpoint(text)


@pytest.mark.parametrize("text", ["http://root:s3cr3t@etcd:2379", "root:s3cr3t@etcd:2379", "https://s3cr3t@etcd"])
def test_password_in_an_endpoint_is_refused_and_not_printed(text):
    with pytest.raises(InvalidInput, match="no password") as caught:
        parse_endpoint(text)
    assert "s3cr3t" not in str(caught.value)


def test_etcd_access_prints_no_password_and_no_keys():
    tls = EtcdTls(ca=b"secret", certificate=b"secret", key=b"secret")

    assert "secret" not in repr(EtcdAccess("user", "secret", tls))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "u"}, '--etcd-user "u" needs a password: give --etcd-password-file'),
        ({"password_file": "password"}, "--etcd-password-file needs a user"),
        ({"user": "u", "password_file": "none"}, "--etcd-password-file .*none cannot be read: No such file"),
        ({"user": "u", "password_file": "empty"}, "--etcd-password-file .*empty is empty"),
    ],
)
def test_user_and_a_password_go_together(tmp_path, options, words):
    (tmp_path / "password").write_text("p\n")
    (tmp_path / "empty").write_text("\n")
    paths = {name: tmp_path / value if name == "password_file" else value for name, value in options.items()}

    with pytest.raises(InvalidInput, match=words):
        read_access(**paths)


def test_password_file_takes_precedence_over_the_environment(tmp_path):
    (tmp_path / "password").write_text(" p 1 \r\n")

    assert read_access(user="u", password="e", password_file=tmp_path / "password").password == " p 1 "
    assert read_access(user="u", password="e").password == "e"
    assert read_access(password="e") == EtcdAccess()


async def test_failed_tls_connection_mentions_the_certificate():
    for scheme, said in (("http", False), ("https", True)):
        store = EtcdStore([f"{scheme}://127.0.0.1:1"])
        with pytest.raises(Unavailable, match="does not respond") as caught:
            await store.get("a", timeout=timedelta(seconds=2))
        assert ("certificate" in str(caught.value)) is said
        await store.close()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("3.5.0", "lose consistency"),
        ("3.5.2", "lose consistency"),
        ("3.5.1", "panic"),
        ("3.5.4", "panic"),
        ("3.5.4-rc.0", "panic"),
        ("3.5.5", None),
        ("3.5.21", None),
        ("3.4.23", None),
        ("3.6.0", None),
        ("4.0.0", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_etcd_releases_with_faults_are_known(version, words):
    fault = fault_of_version(version)

    assert fault is None if words is None else fault is not None and words in fault


class Scripted(EtcdStore):
    """A store whose ranges return scripted revisions or errors."""

    def __init__(self, *script: int | Exception) -> None:
        super().__init__(["h:1"])
        self.script = list(script)
        self.asked: list[int] = []

    async def _call(self, what, rpc, request, timeout, *, may_write):
        assert (rpc, may_write) == ("range", False)
        self.asked.append(request.revision)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        header = {"revision": answer, "cluster_id": 7}
        return api.RangeResponse(header=header, kvs=[{"key": request.key, "value": b"%d" % answer}])


@pytest.mark.parametrize(
    ("script", "asked", "revision"),
    [
        pytest.param([5, 5], [0, 0], 5, id="nobody wrote meanwhile"),
        pytest.param([5, 6, 8, 8], [0, 0, 6, 6], 6, id="somebody wrote: both at the newer revision"),
        pytest.param([5, 6, 8, Compacted(7), 9, 9], [0, 0, 6, 6, 0, 0], 9, id="that revision is compacted by then"),
        pytest.param([5, 6, InvalidInput("a future one"), 3, 3, 3], [0, 0, 6, 6, 0, 0], 3, id="etcd was restored"),
    ],
)
async def test_reads_of_a_transaction_are_of_one_revision(script, asked, revision):
    store = Scripted(*script)

    result = await store.txn(then=[Get("a"), Get("b")], timeout=timedelta(seconds=5))

    assert store.asked == asked
    assert (result.succeeded, result.revision, result.cluster_id) == (True, revision, 7)
    assert [[item.key for item in read] for read in result.reads] == [["a"], ["b"]]


async def test_transaction_of_one_read_is_one_range():
    store = Scripted(5)

    assert (await store.txn(then=[Get("a")], timeout=timedelta(seconds=5))).revision == 5
    assert store.asked == [0]
