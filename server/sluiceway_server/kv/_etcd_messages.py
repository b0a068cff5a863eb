"""Between the port's values and etcd's messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv.port import (
    Compare,
    DeleteKey,
    DeletePrefix,
    DeleteRange,
    Get,
    KeyValue,
    PutKey,
    Range,
    Read,
    TxnResult,
    WatchBatch,
    WatchEvent,
    Write,
)

# etcd's default (--max-txn-ops).
_MOST_OPERATIONS = 128


def key_bytes(key: str) -> bytes:
    if not key:
        raise InvalidInput("a key of the store cannot be empty")
    return _encode(key)


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    if not prefix:
        return b"\0", b"\0"
    start = _encode(prefix)
    stem = start.rstrip(b"\xff")
    # Only a foreign key can end in 0xff bytes; no key sorts after all of them, which etcd writes as \0.
    return start, (stem[:-1] + bytes([stem[-1] + 1])) if stem else b"\0"


def range_message(read: Get | Range) -> Any:
    if isinstance(read, Get):
        return api.RangeRequest(key=key_bytes(read.key))
    return api.RangeRequest(key=key_bytes(read.start), range_end=key_bytes(read.end), limit=read.limit)


class ReadPlan:
    """A transaction that only reads, as ranges that together say the same."""

    def __init__(
        self, compare: Sequence[Compare], then: Sequence[Write | Read], otherwise: Sequence[Write | Read]
    ) -> None:
        """Take what `KeyValueStore.txn` takes, without writes.

        Raises:
            InvalidInput: a key is empty or is not UTF-8, or there are more operations than etcd takes.
        """
        if max(len(compare), len(then), len(otherwise)) > _MOST_OPERATIONS:
            raise InvalidInput(f"a transaction has at most {_MOST_OPERATIONS} operations")
        self._compare = compare
        self._then = then
        self._otherwise = otherwise
        self._reads = [*(Get(item.key) for item in compare), *then, *(otherwise if compare else ())]
        self._messages = [range_message(read) for read in self._reads if isinstance(read, Get | Range)]
        # A transaction without operations still returns the revision.
        self._messages = self._messages or [api.RangeRequest(key=b"\0", count_only=True)]

    def messages(self, revision: int) -> list[Any]:
        """Make the requests, for the state at a revision; 0: the newest of each."""
        for message in self._messages:
            message.revision = revision
        return self._messages

    def result(self, responses: Sequence[Any], revision: int, cluster_id: int) -> TxnResult:
        """Combine the responses, all of which are of the state at `revision`."""
        found = [key_values(response.kvs) for response in responses] if self._reads else []
        count = len(self._compare)
        holds = all(_holds(item, values) for item, values in zip(self._compare, found, strict=False))
        reads = found[count : count + len(self._then)] if holds else found[count + len(self._then) :]
        return TxnResult(succeeded=holds, revision=revision, reads=tuple(reads), cluster_id=cluster_id)


def _holds(compare: Compare, found: tuple[KeyValue, ...]) -> bool:
    return (found[0].value if found else None) == compare.value


def compare_message(compare: Compare) -> Any:
    if compare.value is None:
        return api.Compare(
            key=key_bytes(compare.key), target=api.Compare.CREATE, result=api.Compare.EQUAL, create_revision=0
        )
    return api.Compare(
        key=key_bytes(compare.key), target=api.Compare.VALUE, result=api.Compare.EQUAL, value=compare.value
    )


def operation_message(operation: Write | Read) -> Any:
    match operation:
        case Get() | Range():
            return api.RequestOp(request_range=range_message(operation))
        case PutKey(key, value, lease):
            return api.RequestOp(request_put=api.PutRequest(key=key_bytes(key), value=value, lease=lease))
        case DeleteKey(key):
            return api.RequestOp(request_delete_range=api.DeleteRangeRequest(key=key_bytes(key)))
        case DeleteRange(first, last):
            return api.RequestOp(
                request_delete_range=api.DeleteRangeRequest(key=key_bytes(first), range_end=key_bytes(last))
            )
        case DeletePrefix(prefix):
            start, end = prefix_range(prefix)
            return api.RequestOp(request_delete_range=api.DeleteRangeRequest(key=start, range_end=end))


def key_values(found: Any) -> tuple[KeyValue, ...]:
    return tuple(
        KeyValue(
            item.key.decode("utf-8", "surrogateescape"),
            item.value,
            item.create_revision,
            item.mod_revision,
            item.lease,
        )
        for item in found
    )


def watch_batch(response: Any) -> WatchBatch:
    events = tuple(
        WatchEvent(
            event.kv.key.decode("utf-8", "surrogateescape"),
            # 0 is PUT, 1 is DELETE (mvccpb.Event.EventType).
            event.kv.value if event.type == 0 else None,
            event.kv.mod_revision,
        )
        for event in response.events
    )
    # With events, the header may be ahead of what has been delivered to a watch that is catching up.
    return WatchBatch(events[-1].mod_revision if events else response.header.revision, events)


def alarm_name(alarm: int) -> str:
    return {1: "NOSPACE", 2: "CORRUPT"}.get(alarm, str(alarm))


def _encode(text: str) -> bytes:
    try:
        # Foreign keys need not be UTF-8; they go through unchanged.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as cause:
        raise InvalidInput(f"{text!r} cannot be a key of the store: it is not UTF-8") from cause
