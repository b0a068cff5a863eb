"""Whether an endpoint does what the database rests on: tried out with one small object whenever a storage is opened.

Conditional puts decide races (for a segment, an epoch, a manifest). Older or simpler services silently ignore the
condition, and two servers would both believe that they had won.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from botocore.exceptions import ClientError

from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError, Unavailable
from sluiceway_server.objectstorage.s3_calls import S3Calls, Try
from sluiceway_server.objectstorage.s3_errors import Fault, FaultKind, read_fault
from sluiceway_server.objectstorage.s3_names import key_of
from sluiceway_server.objectstorage.s3_writes import RIGHT_TO_PUT, WRITER, content_md5

log = structlog.get_logger(__name__)

# No name of an object of ours begins so: `s3_names` has a dot before a `d` only.
_PROBE = "probe.of-conditional-puts."
_BODY = b"sluiceway"


async def check_endpoint(calls: S3Calls) -> None:
    """Try out what is needed, and leave nothing. A storage that is full is taken as it is, with a warning.

    Raises:
        FailedPrecondition: it ignores conditional puts (`CONDITIONAL_PUTS_IGNORED`); it does not keep metadata or
            give ranges (`REFUSED_BY_STORAGE`).
        PermissionDenied, Unavailable: see `S3Calls.run`.
    """
    name = f"{calls.address.base}{_PROBE}{secrets.token_hex(16)}"
    try:
        await _check_puts(calls, name)
        await _check_reads(calls, name)
    except Unavailable as error:
        if error.reason != "STORAGE_FULL":
            raise
        # A server has to start on a full storage, to read and to make room. Nothing can be won there meanwhile.
        log.warning("s3_is_full", storage=calls.address.place, error=str(error))
    except BaseException:
        # What went wrong first is what counts.
        with suppress(SluicewayError):
            await _delete(calls, name)
        raise
    await _delete(calls, name)


async def remove_leftovers(calls: S3Calls, *, older_than: timedelta = timedelta(days=1)) -> None:
    """Remove uploads and probes that crashed writers left. What cannot be removed stays.

    Args:
        calls: the storage.
        older_than: no upload of a writer that lives takes as long.
    """
    horizon = datetime.now(UTC) - older_than
    try:
        await _abort_uploads(calls, horizon)
        await _delete_probes(calls, horizon)
    except SluicewayError as error:
        # They take room and are not seen; some endpoints cannot list them, some rights do not allow it.
        log.info("s3_leftovers_stay", storage=calls.address.place, error=str(error))


async def find_bucket(calls: S3Calls) -> None:
    """Make sure that the bucket is there.

    Raises:
        FailedPrecondition: it is not (`BUCKET_NOT_FOUND`).
        PermissionDenied, Unavailable: see `S3Calls.run`.
    """

    async def attempt(_: Try) -> bool:
        try:
            await calls.client.head_bucket(Bucket=calls.address.bucket)
        except ClientError as cause:
            if read_fault(cause).kind in (FaultKind.ABSENT, FaultKind.NO_BUCKET):
                return False
            raise
        return True

    if not await calls.run(attempt, key="", right="s3:ListBucket"):
        raise FailedPrecondition(
            f"{calls.address.place}: there is no such bucket; make it, or correct the address",
            reason="BUCKET_NOT_FOUND",
        )


async def _check_puts(calls: S3Calls, name: str) -> None:
    md5 = await content_md5(_BODY)

    async def attempt(_: Try) -> bool:
        try:
            await calls.client.put_object(
                Bucket=calls.address.bucket,
                Key=name,
                Body=_BODY,
                ContentMD5=md5,
                Metadata={WRITER: "probe"},
                IfNoneMatch="*",
            )
        except ClientError as cause:
            if read_fault(cause).kind is FaultKind.TAKEN:
                return False
            raise
        return True

    # That the first one finds its own earlier try is as good.
    await calls.run(attempt, key=name, right=RIGHT_TO_PUT)
    if await calls.run(attempt, key=name, right=RIGHT_TO_PUT):
        raise FailedPrecondition(
            f"{calls.address.place}: this endpoint ignores conditional puts (If-None-Match: *), so two servers could"
            " overwrite each other's objects; use a newer version of it or another S3 storage, or posix:DIR",
            reason="CONDITIONAL_PUTS_IGNORED",
        )


async def _check_reads(calls: S3Calls, name: str) -> None:
    async def attempt(_: Try) -> tuple[str | None, bytes]:
        response = await calls.client.get_object(Bucket=calls.address.bucket, Key=name, Range="bytes=2-4")
        async with response["Body"]:
            return response["Metadata"].get(WRITER), await response["Body"].read()

    writer, piece = await calls.run(attempt, key=name, right="s3:GetObject")
    if writer != "probe" or piece != _BODY[2:5]:
        what = (
            "gives other bytes than the range asked for" if writer == "probe" else "does not keep an object's metadata"
        )
        raise calls.error(Fault(FaultKind.REFUSED, f"it {what}"), key="", right="")


async def _delete(calls: S3Calls, name: str) -> None:
    async def attempt(_: Try) -> None:
        await calls.client.delete_object(Bucket=calls.address.bucket, Key=name)

    await calls.run(attempt, key=name, right="s3:DeleteObject")


async def _abort_uploads(calls: S3Calls, horizon: datetime) -> None:
    async def attempt(_: Try) -> list[tuple[str, str]]:
        base = calls.address.base
        response = await calls.client.list_multipart_uploads(Bucket=calls.address.bucket, Prefix=base)
        return [
            (each["Key"], each["UploadId"])
            for each in response.get("Uploads", ())
            # In a bucket without a prefix, and below ours, others may have uploads that take as long as they like.
            if each["Initiated"] < horizon and key_of(each["Key"].removeprefix(base)) is not None
        ]

    for name, upload_id in await calls.run(attempt, key="", right="s3:ListBucketMultipartUploads"):

        async def abort(_: Try, name: str = name, upload_id: str = upload_id) -> None:
            await calls.client.abort_multipart_upload(Bucket=calls.address.bucket, Key=name, UploadId=upload_id)

        await calls.run(abort, key=name, right="s3:AbortMultipartUpload")


async def _delete_probes(calls: S3Calls, horizon: datetime) -> None:
    async def attempt(_: Try) -> list[str]:
        response = await calls.client.list_objects_v2(Bucket=calls.address.bucket, Prefix=calls.address.base + _PROBE)
        return [each["Key"] for each in response.get("Contents", ()) if each["LastModified"] < horizon]

    for name in await calls.run(attempt, key="", right="s3:ListBucket"):
        await _delete(calls, name)
