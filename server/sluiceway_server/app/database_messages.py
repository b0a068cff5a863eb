"""The messages of a verify, for a server and for `sluice db` on the two stores directly."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway_server.datamanager.admin.verify_context import Finding, Progress
from sluiceway_server.logs.check import LogCheck


def verify_message(found: Finding | Progress, progress: Progress) -> pb.VerifyDatabaseResponse:
    """Make one message of `VerifyDatabase`; `progress` is the newest that is known."""
    message = pb.VerifyDatabaseResponse(
        objects=progress.objects, bytes=progress.bytes, all_objects=progress.all_objects
    )
    if isinstance(found, Finding):
        message.object = found.object
        if found.is_fault:
            message.fault = found.message
        else:
            message.note = found.message
    return message


async def verify_logs(
    check: LogCheck, progress: Progress
) -> AsyncGenerator[tuple[pb.VerifyDatabaseResponse, Progress], None]:
    """Yield a message for each log with the progress so far; counts start from `progress`."""
    objects, size = progress.objects, progress.bytes
    async for found in check.run():
        objects, size = objects + found.objects, size + found.bytes
        progress = Progress(objects, size, max(objects, progress.all_objects))
        what = Finding(found.object, found.message, found.is_fault) if found.message else progress
        yield verify_message(what, progress), progress
