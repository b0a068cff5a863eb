"""`KeyValueStore` over etcd.

The one idea: say exactly what is known. Before a call is sent, the connection is brought up; if that fails, nothing was
sent and the error is `Unavailable`. Once a write was sent, only etcd's own response (applied, or refused for a reason
that comes before applying) is certain; everything else is `OutcomeUnknown`. Nothing is sent twice.

Only the messages and stubs of `etcd3aio` are used, not its client (docs/decisions/0010-etcd-stubs-not-client.md): it
retries writes by itself, its watch hangs after a compaction, its keep-alive never gives up, and its channel takes no
names, no responses above 4 MiB, and up to two minutes to notice that etcd is back.

Channels belong to the event loop that first uses the store.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import structlog

from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv._etcd_auth import Authentication
from sluiceway_server.kv._etcd_endpoint import parse_endpoint, unix_endpoint
from sluiceway_server.kv._etcd_errors import broken, lease_gone, translate, watch_ended
from sluiceway_server.kv._etcd_member import Member, Pings, Rpc, is_being_cancelled
from sluiceway_server.kv._etcd_messages import (
    ReadPlan,
    alarm_name,
    compare_message,
    key_bytes,
    key_values,
    operation_message,
    prefix_range,
    range_message,
    watch_batch,
)
from sluiceway_server.kv.access import EtcdAccess, EtcdTls
from sluiceway_server.kv.port import (
    Compacted,
    Compare,
    KeyValue,
    LeaseId,
    Range,
    Read,
    StoreStatus,
    TxnResult,
    WatchBatch,
    Write,
)

__all__ = ["EtcdAccess", "EtcdStore", "EtcdTls", "Pings", "parse_endpoint", "unix_endpoint"]

log = structlog.get_logger(__name__)

# A member without a leader responds at once instead of holding the call, and ends its watches.
_REQUIRE_LEADER = (("hasleader", "true"),)

_LONGEST_CONNECT_SECONDS = 2.0
_WATCH_CREATE_SECONDS = 5.0


class EtcdStore:
    """etcd behind the port: see `KeyValueStore` for what each method promises.

    With several endpoints one is used until it fails; a call goes to the next one only when it was certainly not sent.
    """

    def __init__(
        self, endpoints: Sequence[str], *, access: EtcdAccess | None = None, pings: Pings | None = None
    ) -> None:
        """Take the endpoints (see `parse_endpoint`); connect at the first call.

        Args:
            endpoints: members of one cluster.
            access: user, password and TLS; None: none of them.
            pings: None is `Pings()`; one would change it where a proxy cuts silent connections early.

        Raises:
            InvalidInput: no endpoint, or one that cannot be read.
        """
        if not endpoints:
            raise InvalidInput("no etcd endpoint is given")
        access = access or EtcdAccess()
        self._members = tuple(
            Member(parse_endpoint(endpoint), tls=access.tls, pings=pings or Pings()) for endpoint in endpoints
        )
        self._authentication = Authentication(access)
        self._current = 0
        self._closed = False

    async def txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
        timeout: timedelta,
    ) -> TxnResult:
        """Commit a transaction. One that only reads is sent as ranges (`_read_only`)."""
        if not any(isinstance(item, Write) for item in (*then, *otherwise)):
            return await self._read_only(compare, then, otherwise, timeout)
        request = api.TxnRequest(
            compare=[compare_message(item) for item in compare],
            success=[operation_message(item) for item in then],
            failure=[operation_message(item) for item in otherwise],
        )
        response = await self._call("transaction", "txn", request, timeout, may_write=True)
        return TxnResult(
            succeeded=response.succeeded,
            revision=response.header.revision,
            reads=tuple(
                key_values(item.response_range.kvs)
                for item in response.responses
                if item.WhichOneof("response") == "response_range"
            ),
            cluster_id=response.header.cluster_id,
        )

    async def _read_only(
        self,
        compare: Sequence[Compare],
        then: Sequence[Write | Read],
        otherwise: Sequence[Write | Read],
        timeout: timedelta,
    ) -> TxnResult:
        """Read as a transaction would, by ranges at one revision.

        etcd 3.5.0 to 3.5.6 ends with a panic when the call of a transaction that only reads is cancelled, runs out of
        time or loses its connection while it is served: https://github.com/etcd-io/etcd/issues/14110, and 14891. Ranges
        have no such fault. They are sent at the same time; mostly nobody writes meanwhile, and one round is enough.
        """
        plan = ReadPlan(compare, then, otherwise)
        deadline = _now() + timeout.total_seconds()
        revision = 0
        while True:
            left = timedelta(seconds=deadline - _now())
            try:
                responses = await self._ranges(plan.messages(revision), left)
            except (Compacted, InvalidInput):
                # The revision of the first round is not there any more: compacted, or of an etcd that was restored.
                if not revision:
                    raise
                revision = 0
                continue
            clusters = {response.header.cluster_id for response in responses}
            if len(clusters) > 1:
                raise Unavailable("two etcd clusters responded: the endpoints are not of one cluster")
            revisions = {response.header.revision for response in responses}
            if revision or len(revisions) <= 1:
                return plan.result(responses, revision or max(revisions), clusters.pop())
            revision = max(revisions)

    async def _ranges(self, messages: Sequence[Any], timeout: timedelta) -> list[Any]:
        calls = [
            asyncio.create_task(self._call("read", "range", message, timeout, may_write=False)) for message in messages
        ]
        try:
            return await asyncio.gather(*calls)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    async def get(self, key: str, *, timeout: timedelta) -> tuple[KeyValue | None, int]:
        response = await self._call(
            f"read of {key}", "range", api.RangeRequest(key=key_bytes(key)), timeout, may_write=False
        )
        found = key_values(response.kvs)
        return (found[0] if found else None), response.header.revision

    async def range(self, read: Range, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        response = await self._call(f"read of {read.start}", "range", range_message(read), timeout, may_write=False)
        return key_values(response.kvs), response.header.revision

    async def list_prefix(self, prefix: str, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        start, end = prefix_range(prefix)
        request = api.RangeRequest(key=start, range_end=end)
        response = await self._call(f"list of {prefix}", "range", request, timeout, may_write=False)
        return key_values(response.kvs), response.header.revision

    async def put(self, key: str, value: bytes, *, lease: LeaseId = 0, timeout: timedelta) -> int:
        request = api.PutRequest(key=key_bytes(key), value=value, lease=lease)
        response = await self._call(f"write of {key}", "put", request, timeout, may_write=True)
        revision: int = response.header.revision
        return revision

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        start, end = prefix_range(prefix)
        what = f"watch of {prefix}"
        create = api.WatchCreateRequest(key=start, range_end=end, start_revision=start_revision, progress_notify=True)
        renewed = False
        while True:
            deadline = _now() + _WATCH_CREATE_SECONDS
            member = await self._reach(what, deadline)
            token = await self._authentication.metadata(member, self._left(what, member, deadline))
            call = member.calls["watch"](metadata=(*_REQUIRE_LEADER, *token))
            try:
                async with time_limit(_WATCH_CREATE_SECONDS):
                    await call.write(api.WatchRequest(create_request=create))
                    response = await call.read()
                ended = response is not grpc.aio.EOF and response.canceled and not response.compact_revision
                if ended and token and not renewed:
                    # etcd does not distinguish a token that has expired from a permission that is missing.
                    self._authentication.forget(token)
                    renewed = True
                    continue
                while response is not grpc.aio.EOF:
                    # After this response etcd sends nothing more and keeps the stream open: it is the end.
                    if response.canceled:
                        raise watch_ended(response, what, member.address)
                    # The header of the first response is ahead of what was delivered, so it is no progress.
                    if not response.created:
                        yield watch_batch(response)
                    response = await call.read()
                raise Unavailable(
                    f"etcd at {member.address} ended the {what}; begin again after the last revision seen"
                )
            except TimeoutError as cause:
                self._leave(member)
                raise Unavailable(f"etcd at {member.address} did not begin the {what} in time") from cause
            except grpc.aio.AioRpcError as cause:
                self._leave(member)
                raise translate(cause, what, member.address, may_write=False) from cause
            except (asyncio.CancelledError, asyncio.InvalidStateError, grpc.aio.UsageError) as cause:
                # Closing the channel cancels the stream, and grpc.aio says so as CancelledError: not ours to pass on.
                if self._closed and not is_being_cancelled():
                    return
                if isinstance(cause, asyncio.CancelledError):
                    raise
                raise Unavailable(f"the connection to etcd at {member.address} broke during the {what}") from cause
            finally:
                call.cancel()

    async def grant_lease(self, ttl: timedelta, *, timeout: timedelta) -> LeaseId:
        """Grant a lease. If the outcome is unknown, a lease that was granted expires by itself."""
        seconds = math.ceil(ttl.total_seconds())
        if seconds <= 0:
            raise InvalidInput(f"a lease needs a span above zero, not {ttl}")
        request = api.LeaseGrantRequest(TTL=seconds)
        response = await self._call("grant of a lease", "grant", request, timeout, may_write=True)
        lease: LeaseId = response.ID
        return lease

    async def renew_lease(self, lease: LeaseId, *, timeout: timedelta) -> timedelta:
        """Renew a lease: one request and one response, on a stream of its own."""
        request = api.LeaseKeepAliveRequest(ID=lease)
        response = await self._call(f"renewal of lease {lease:x}", "renew", request, timeout, may_write=False)
        if response is grpc.aio.EOF:
            raise Unavailable(f"etcd ended the renewal of lease {lease:x} without a response")
        if response.TTL <= 0:
            raise lease_gone(lease)
        return timedelta(seconds=response.TTL)

    async def revoke_lease(self, lease: LeaseId, *, timeout: timedelta) -> None:
        request = api.LeaseRevokeRequest(ID=lease)
        try:
            await self._call(f"revocation of lease {lease:x}", "revoke", request, timeout, may_write=True)
        except NotFound:
            return

    async def compact(self, revision: int, *, timeout: timedelta) -> None:
        request = api.CompactionRequest(revision=revision)
        try:
            await self._call(f"compaction to {revision}", "compact", request, timeout, may_write=True)
        except Compacted:
            return

    async def keeps(self, revision: int, *, timeout: timedelta) -> bool:
        """Return whether a revision is not compacted, by a read of no key at that revision."""
        request = api.RangeRequest(key=b"\0", count_only=True, revision=revision)
        try:
            await self._call(f"read at revision {revision}", "range", request, timeout, may_write=False)
        except Compacted:
            return False
        return True

    async def status(self, *, timeout: timedelta) -> StoreStatus:
        """Return the status. Alarms are the cluster's; the rest is of the member that responded.

        The quota is in the response from etcd 3.6 on; older ones show it among their metrics only, at the same address.
        """
        deadline = _now() + timeout.total_seconds()
        response = await self._call("status", "status", api.StatusRequest(), timeout, may_write=False)
        left = timedelta(seconds=deadline - _now())
        alarms = await self._call("alarms", "alarm", api.AlarmRequest(), left, may_write=False)
        names = {alarm_name(item.alarm) for item in alarms.alarms}
        quota = response.dbSizeQuota or await self._members[self._current].quota_bytes(deadline - _now())
        return StoreStatus(
            version=response.version,
            size_bytes=response.dbSize,
            alarms=tuple(sorted(names)),
            cluster_id=response.header.cluster_id,
            revision=response.header.revision,
            in_use_bytes=response.dbSizeInUse,
            quota_bytes=quota,
        )

    async def close(self) -> None:
        """Close. Calls in progress end as if the connection broke; later ones raise `Unavailable`."""
        self._closed = True
        for member in self._members:
            await member.close()

    async def _call(
        self,
        what: str,
        rpc: Rpc,
        request: object,
        timeout: timedelta,
        *,
        may_write: bool,
    ) -> Any:
        deadline = _now() + timeout.total_seconds()
        renewed = False
        while True:
            member = await self._reach(what, deadline)
            token = await self._authentication.metadata(member, self._left(what, member, deadline))
            seconds = self._left(what, member, deadline)
            try:
                return await member.calls[rpc](request, timeout=seconds, metadata=(*_REQUIRE_LEADER, *token))
            except grpc.aio.AioRpcError as cause:
                if not renewed and self._authentication.renews(token, cause.details() or ""):
                    renewed = True
                    continue
                if cause.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    self._leave(member)
                raise translate(cause, what, member.address, may_write=may_write) from cause
            except asyncio.CancelledError as cause:
                if not self._closed or is_being_cancelled():
                    raise
                raise broken(f"the store was closed during the {what}", may_write=may_write) from cause

    def _left(self, what: str, member: Member, deadline: float) -> float:
        """Return how many seconds there are to send a call; raises `Unavailable` when there are none."""
        seconds = deadline - _now()
        if seconds <= 0:
            raise Unavailable(f"there was no time left to send the {what} to etcd at {member.address}")
        return seconds

    async def _reach(self, what: str, deadline: float) -> Member:
        """Find a member with a standing connection. Nothing is sent here, so failing is `Unavailable` for certain."""
        self._check_open(what)
        count = len(self._members)
        for step in range(count):
            member = self._members[(self._current + step) % count]
            # Each member gets its share of what is left: one that swallows packets must not use up the whole time.
            share = min((deadline - _now()) / (count - step), _LONGEST_CONNECT_SECONDS)
            if await member.is_ready(share):
                if step:
                    self._current = (self._current + step) % count
                    log.info("etcd_endpoint_changed", endpoint=member.address)
                return member
            self._check_open(what)
        addresses = ", ".join(member.address for member in self._members)
        # gRPC does not distinguish a connection that was refused from a certificate that is not trusted.
        tls = (
            ", or its certificate is of no authority known here"
            if any(member.is_secure for member in self._members)
            else ""
        )
        raise Unavailable(f"etcd at {addresses} does not respond{tls}; the {what} was not sent")

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise Unavailable(f"the connection to etcd is closed; the {what} was not sent")

    def _leave(self, member: Member) -> None:
        """Begin at the next member after this one failed us."""
        if self._members[self._current] is member:
            self._current = (self._current + 1) % len(self._members)


def _now() -> float:
    return asyncio.get_running_loop().time()
