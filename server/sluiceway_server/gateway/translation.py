"""Translation between HTTP and protobuf, without delaying other calls.

Protobuf's JSON mapping is written in Python and takes 0.5 to 4 s for a MiB. Small messages are translated at once;
large ones by worker processes, because a thread would hold the interpreter's lock. A worker is killed when its call is
cancelled or takes too long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, Unavailable
from sluiceway_common.foundation.rpc.channel import with_request_id
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.gateway.encoders import Encoder
from sluiceway_server.gateway.errors import HttpError, dumps
from sluiceway_server.gateway.routes import Rule
from sluiceway_server.gateway.transcoding import location_of, request_of, response_json, resume_from
from sluiceway_server.gateway.workers import WorkerLost, WorkerPool

__all__ = ["JsonResponse", "Received", "Translator"]

# A request of 8 KiB takes at most 30 ms: `{"tasks":[{},{},...]}` is the slowest. Responses have no such case.
_INLINE_REQUEST_BYTES = 8 * 1024
_INLINE_RESPONSE_BYTES = 64 * 1024
_WORKER_BYTES = 1024 * 1024 * 1024
_PAYLOAD_TOO_LARGE = 413

R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True, slots=True)
class Received:
    """What a client sent for one call.

    Attributes:
        path: the values of the path's variables, unescaped.
        query: the query string, without `?`.
        body: as it came.
        last_event_id: where a stream resumes; empty: at its beginning.
        request_id: for a write that names none itself.
    """

    path: Mapping[str, str]
    query: str
    body: bytes
    last_event_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """The JSON of a unary response, and its Location header, if it has one."""

    body: bytes
    location: str | None


class Translator:
    """Translates messages for one gateway."""

    def __init__(self, *, workers: int) -> None:
        """Create the translator.

        Args:
            workers: how many large messages are translated at a time; the others wait.
        """
        self._workers = WorkerPool(workers, memory_bytes=_WORKER_BYTES)

    async def request(self, rule: Rule, received: Received, *, timeout: float) -> bytes:
        """Make the serialized request of a call.

        Raises:
            InvalidInput: with all faults of query and body.
            HttpError: 413: it takes too much memory.
            DeadlineExceeded: it takes longer than `timeout`, in seconds.
        """
        if len(received.body) <= _INLINE_REQUEST_BYTES:
            return _request(rule, received)
        return await self._in_worker(timeout, _request, rule, received)

    async def response(self, rule: Rule, data: bytes, *, timeout: float) -> JsonResponse:
        """Make the JSON of a serialized response. Raises as `request`."""
        if len(data) <= _INLINE_RESPONSE_BYTES:
            return _response(rule, data)
        return await self._in_worker(timeout, _response, rule, data)

    async def event(self, rule: Rule, encoder: Encoder, data: bytes, *, timeout: float) -> bytes:
        """Encode one serialized message of a stream. Raises as `request`."""
        # A message that is one field of bytes is cheap to encode, whatever its size.
        if rule.response_raw or len(data) <= _INLINE_RESPONSE_BYTES:
            return encoder.message(_message(rule, data))
        return await self._in_worker(timeout, _event, rule, encoder, data)

    async def close(self) -> None:
        """End the workers. May be called twice."""
        await self._workers.close()

    async def _in_worker(self, timeout: float, function: Callable[[*Arguments], R], *arguments: *Arguments) -> R:
        try:
            async with time_limit(timeout):
                return await self._workers.run(function, *arguments)
        except TimeoutError as error:
            raise DeadlineExceeded(
                "the message is too complex to be translated in time; send less at a time",
                reason="TRANSLATION_TOO_SLOW",
            ) from error
        except MemoryError as error:
            what = "the memory that a message takes"
            raise HttpError(
                Exhausted(f"{what} is limited to {_WORKER_BYTES} bytes", reason="REQUEST_TOO_LARGE", subject=what),
                _PAYLOAD_TOO_LARGE,
            ) from error
        except WorkerLost as error:
            raise Unavailable("the process that translates messages ended; try again", reason="WORKER_LOST") from error


def _request(rule: Rule, received: Received) -> bytes:
    message = request_of(rule, received.path, received.query, received.body)
    if received.last_event_id:
        resume_from(rule, message, received.last_event_id)
    return with_request_id(message, lambda: received.request_id).SerializeToString()


def _response(rule: Rule, data: bytes) -> JsonResponse:
    response = _message(rule, data)
    return JsonResponse(dumps(response_json(response, rule.response_body)), location_of(rule, response))


def _event(rule: Rule, encoder: Encoder, data: bytes) -> bytes:
    return encoder.message(_message(rule, data))


def _message(rule: Rule, data: bytes) -> Message:
    return rule.response.FromString(data)
