"""Remembers what the requests with a `request_id` made, so that a repeated one has no further effect.

A record of the database has the digest of the request and the id of the run, and counts for a time (`kept`).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.datamanager.model import Put, View
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import REQUEST


def request_key(created_by: str, request_id: str) -> str:
    """Return the key of a caller's request. Each caller has its own: equal request ids of two users do not collide."""
    return hashlib.sha256(f"{created_by}\0{request_id}".encode()).hexdigest()


def known_request(view: View, key: str, now: datetime, *, kept: timedelta) -> pb.RequestRecord | None:
    """Return the record of an earlier request with this key; None if there was none within `kept`."""
    known = view.get(REQUEST, key)
    if known is None or now - codec.read_time(known.time) >= kept:
        return None
    return known


def earlier_run(view: View, key: str, digest: str, now: datetime, *, kept: timedelta) -> str | None:
    """Return the run of an earlier request with this key; None if there was none within `kept`.

    Raises:
        InvalidInput: reason `REQUEST_ID_REUSED`: it had another body.
    """
    known = known_request(view, key, now, kept=kept)
    if known is None:
        return None
    if known.digest != digest:
        raise InvalidInput(
            [Violation("request_id", f"it was used for run {known.run_id}, with another body; use a new one")],
            reason="REQUEST_ID_REUSED",
        )
    return known.run_id


def remembered(key: str, digest: str, run_id: str, now: datetime) -> Put:
    """Return the action that stores a request."""
    request = pb.RequestRecord(digest=digest, run_id=run_id)
    codec.put_time(request.time, now)
    return Put(REQUEST, key, request)
