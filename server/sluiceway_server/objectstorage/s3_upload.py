"""A stream of unknown size on its way into a bucket: part by part, so that memory is bounded.

What is no longer than a part becomes one put when it is complete. Parts go one after another: a storage that is slower
than its caller makes it wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import ClientError

from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition, SluicewayError
from sluiceway_server.objectstorage.s3_calls import S3Calls, Try
from sluiceway_server.objectstorage.s3_errors import FaultKind, read_fault
from sluiceway_server.objectstorage.s3_writes import RIGHT_TO_PUT, WRITER, body_of, content_md5, is_by, new_writer, put

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

log = structlog.get_logger(__name__)

_MOST_PARTS = 10_000


class S3Upload:
    """A multipart upload. Its steps run one after another."""

    def __init__(self, calls: S3Calls, key: str, name: str) -> None:
        self._calls = calls
        self._key = key
        self._name = name
        self._part_bytes = calls.settings.part_bytes
        self._buffer = bytearray()
        self._writer = new_writer()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._over = False
        self._broken = False
        self._turn = asyncio.Lock()

    async def write(self, chunk: bytes) -> None:
        async with self._turn:
            self._check()
            # Until all of the chunk is in: the caller cannot know how much of it is.
            self._broken = True
            rest = memoryview(chunk)
            while rest:
                if len(self._buffer) == self._part_bytes:
                    await self._send_part()
                room = self._part_bytes - len(self._buffer)
                self._buffer += rest[:room]
                rest = rest[room:]
            self._broken = False

    async def complete(self) -> None:
        """Complete the upload. If that fails, the upload is over and nothing of it remains."""
        async with self._turn:
            self._check()
            self._broken = True
            try:
                if self._upload_id is None:
                    await put(self._calls, self._key, self._name, bytes(self._buffer))
                else:
                    await self._send_part()
                    await self._join(self._upload_id)
            except SluicewayError:
                await self._drop()
                raise
            self._over = True
            self._buffer.clear()

    async def abort(self) -> None:
        """Abort the upload.

        Never raises: what cannot be dropped now is not visible, and goes when a storage is opened a day later.
        """
        async with self._turn:
            if not self._over:
                await self._drop()

    def _check(self) -> None:
        if self._over or self._broken:
            what = "is over" if self._over else "cannot continue after a step that failed: abort it and begin again"
            raise FailedPrecondition(f"the upload of {self._key} {what}")

    async def _send_part(self) -> None:
        number = len(self._parts) + 1
        if number > _MOST_PARTS:
            most = _MOST_PARTS * self._part_bytes // 2**30
            raise Exhausted(f"{self._calls.address.place}: {self._key}: an object can have {most} GiB at most")
        upload_id = self._upload_id or await self._begin()
        body = bytes(self._buffer)
        md5 = await content_md5(body)

        async def attempt(_: Try) -> str:
            response = await self._calls.client.upload_part(
                Bucket=self._calls.address.bucket,
                Key=self._name,
                UploadId=upload_id,
                PartNumber=number,
                Body=body_of(body),
                ContentMD5=md5,
            )
            return response["ETag"]

        tag = await self._calls.run(attempt, key=self._key, right=RIGHT_TO_PUT, size_bytes=len(body))
        self._parts.append({"ETag": tag, "PartNumber": number})
        self._buffer.clear()

    async def _begin(self) -> str:
        async def attempt(_: Try) -> str:
            response = await self._calls.client.create_multipart_upload(
                Bucket=self._calls.address.bucket, Key=self._name, Metadata={WRITER: self._writer}
            )
            return response["UploadId"]

        self._upload_id = await self._calls.run(attempt, key=self._key, right=RIGHT_TO_PUT)
        return self._upload_id

    async def _join(self, upload_id: str) -> None:
        async def attempt(_: Try) -> None:
            try:
                await self._calls.client.complete_multipart_upload(
                    Bucket=self._calls.address.bucket,
                    Key=self._name,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
            except ClientError as cause:
                gone = read_fault(cause).kind in (FaultKind.NO_UPLOAD, FaultKind.ABSENT)
                # An earlier try may have succeeded and its response been lost.
                if not (gone and await is_by(self._calls, self._name, self._writer)):
                    raise

        await self._calls.run(attempt, key=self._key, right=RIGHT_TO_PUT)

    async def _drop(self) -> None:
        self._over = True
        self._buffer.clear()
        if self._upload_id is None:
            return

        async def attempt(_: Try) -> None:
            try:
                await self._calls.client.abort_multipart_upload(
                    Bucket=self._calls.address.bucket, Key=self._name, UploadId=self._upload_id or ""
                )
            except ClientError as cause:
                if read_fault(cause).kind not in (FaultKind.NO_UPLOAD, FaultKind.ABSENT):
                    raise

        try:
            await self._calls.run(attempt, key=self._key, right="s3:AbortMultipartUpload")
        except SluicewayError as error:
            log.warning("s3_upload_left_behind", key=self._key, upload=self._upload_id, error=str(error))
