"""The servicer of `PeerService`: the live ends of the logs that are pushed to this server, for other servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sluiceway.api.peer.v1 import peer_service_pb2 as pb
from sluiceway.api.peer.v1 import peer_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import NotFound, OutOfRange
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.chunks import LogChunk, timed
from sluiceway_server.logs.layout import CHUNK_BYTES, LogKey
from sluiceway_server.runrecords import codec

_POLL_SECONDS = 30.0
"""A reader looks so often whether the attempt is over without an end of its log."""


class PeerServicer(pb_grpc.PeerServiceServicer):
    """Implements `PeerService`."""

    def __init__(self, buffers: LogBuffers) -> None:
        self._buffers = buffers

    async def TailLog(self, request: pb.TailLogRequest, context: object) -> AsyncIterator[pb.TailLogResponse]:
        key = LogKey(request.run_id, request.task_id, Epoch(request.database_epoch, request.attempt), request.step)
        position = request.offset
        buffer = self._buffers.get(key)
        if buffer is None:
            raise NotFound(f"the log {key.path} is not pushed to this server", resource_type="log")
        # Without data: the reader knows that this is the server to follow.
        yield pb.TailLogResponse(next_offset=position)
        while self._buffers.get(key) is buffer:
            changed = buffer.watch()
            if position < buffer.memory_start:
                raise OutOfRange(f"the byte {position} of {key.path} is in the object storage only")
            part = buffer.read(position, CHUNK_BYTES)
            if part is not None:
                chunk = LogChunk(position + len(part.data), part.data, part.time)
                for piece in timed(chunk, buffer.times.entries) if request.timestamps else (chunk,):
                    position = piece.next_offset
                    response = pb.TailLogResponse(next_offset=position, data=piece.data)
                    if piece.time is not None:
                        codec.put_time(response.time, piece.time)
                    yield response
                continue
            if buffer.ended and position > buffer.received:
                raise OutOfRange(f"{key.path} ended at {buffer.received}")
            if buffer.ended:
                yield pb.TailLogResponse(next_offset=position, ended=True)
                return
            if not request.follow:
                return
            try:
                async with time_limit(_POLL_SECONDS):
                    await changed.wait()
            except TimeoutError:
                # The attempt may be over without an end of this log: the reader looks.
                return
