"""`ObjectStorage` in a bucket of any S3 endpoint that implements conditional puts.

What is where: names of objects in `s3_names`, how calls are repeated and for how long in `s3_calls`, how it is settled
whose put won in `s3_writes`, what an endpoint's refusals mean in `s3_errors`. What an endpoint has to do is tried out
when a storage is opened (`s3_probe`).

Importing this module takes a second and a half, because of botocore: only who uses it does (`locate`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, IncompleteReadError

from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_server.objectstorage import s3_writes
from sluiceway_server.objectstorage.keys import LONGEST_KEY_BYTES, encode_key, encode_prefix
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectUpload
from sluiceway_server.objectstorage.s3_address import S3Address
from sluiceway_server.objectstorage.s3_calls import S3Calls, S3Settings, Try
from sluiceway_server.objectstorage.s3_errors import Fault, FaultKind, read_fault
from sluiceway_server.objectstorage.s3_names import AFTER_ALL, key_of, name_of, prefix_name
from sluiceway_server.objectstorage.s3_probe import check_endpoint, find_bucket, remove_leftovers
from sluiceway_server.objectstorage.s3_upload import S3Upload

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, ListObjectsV2OutputTypeDef

__all__ = ["S3Settings", "S3Storage"]

# A page is read on the event loop, in some 15 ms.
_PAGE_KEYS = 300
_RIGHT_TO_LIST = "s3:ListBucket"
_RIGHT_TO_READ = "s3:GetObject"


class S3Storage:
    """`ObjectStorage` in an S3 bucket. Belongs to the event loop that opened it.

    A put whose try timed out is sent again, and the first one may still be applied after the second: who replaces an
    object cannot rely on the order of puts that follow each other at once. Objects that are written once are not
    concerned.
    """

    def __init__(self, calls: S3Calls) -> None:
        """Use `open`."""
        self._calls = calls
        self._bucket = calls.address.bucket
        self._base = calls.address.base
        self._place = calls.address.place

    @classmethod
    async def open(
        cls, address: S3Address, settings: S3Settings | None = None, *, only_reads: bool = False
    ) -> S3Storage:
        """Connect, try out what the endpoint does, and remove what crashed writers left more than a day ago.

        Args:
            address: where it is.
            settings: how patient it is.
            only_reads: only find the bucket; the rights to read and to list suffice.

        Raises:
            FailedPrecondition: there is no such bucket (`BUCKET_NOT_FOUND`), it is in another region
                (`WRONG_REGION`), or the endpoint does not do what is needed (`CONDITIONAL_PUTS_IGNORED`,
                `REFUSED_BY_STORAGE`).
            PermissionDenied: there are no credentials (`NO_CREDENTIALS`), or they lack a right.
            Unavailable: the storage is away or full.
        """
        calls = await S3Calls.open(address, settings or S3Settings())
        try:
            await find_bucket(calls)
            if not only_reads:
                await check_endpoint(calls)
                await remove_leftovers(calls)
        except BaseException:
            await calls.close()
            raise
        return cls(calls)

    def __repr__(self) -> str:
        return f"S3Storage({self._calls.address})"

    async def put(self, key: str, body: bytes) -> None:
        await s3_writes.put(self._calls, key, self._name(key), body)

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        """Store an object unless it exists.

        When it raises `Unavailable` the object may have been stored all the same, or be stored a moment later.
        """
        return await s3_writes.put_if_absent(self._calls, key, self._name(key), body)

    async def get(self, key: str) -> bytes:
        name = self._name(key)

        async def attempt(this: Try) -> bytes:
            response = await self._calls.client.get_object(Bucket=self._bucket, Key=name)
            return await _read(response, response["ContentLength"], this)

        return await self._calls.run(attempt, key=key, right=_RIGHT_TO_READ)

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object. No more is read, also from an endpoint that sends more."""
        if start < 0 or length < 0:
            raise InvalidInput(f"{self._place}: a range of {key} cannot begin at {start} and be {length} bytes long")
        name = self._name(key)

        async def attempt(this: Try) -> bytes:
            # HTTP has no empty range.
            wanted = f"bytes={start}-{start + max(length, 1) - 1}"
            try:
                response = await self._calls.client.get_object(Bucket=self._bucket, Key=name, Range=wanted)
            except ClientError as cause:
                if read_fault(cause).kind is FaultKind.BEYOND:
                    return b""
                raise
            body = await _read(response, _length_of_range(response, start, max(length, 1)), this)
            return body[:length]

        return await self._calls.run(attempt, key=key, right=_RIGHT_TO_READ)

    async def head(self, key: str) -> ObjectInfo | None:
        name = self._name(key)

        async def attempt(_: Try) -> ObjectInfo | None:
            try:
                found = await self._calls.client.head_object(Bucket=self._bucket, Key=name)
            except ClientError as cause:
                if read_fault(cause).kind is not FaultKind.ABSENT:
                    raise
            else:
                return ObjectInfo(key, found["ContentLength"], found["LastModified"])
            await self._find_bucket()
            return None

        return await self._calls.run(attempt, key=key, right=f"{_RIGHT_TO_READ} and {_RIGHT_TO_LIST}")

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects, a page of 300 at a time.

        Folding is done here: endpoints differ in what a delimiter means together with a start, and know `/` only. Of
        what lies below a common prefix one page at most is read; the rest is jumped over.
        """
        wanted, after, fold = (encode_prefix(text, self._place) for text in (prefix, start_after, delimiter))
        if len(wanted) > LONGEST_KEY_BYTES:
            return
        begin = self._base + prefix_name(wanted)
        # A start that is longer than any key is cut; what this lets through is dropped below.
        start = self._base + name_of(after[:LONGEST_KEY_BYTES]) if after else ""
        token = ""
        folded: bytes | None = None
        while True:
            page = await self._page(prefix, begin, start, token)
            jump = False
            for entry in page.get("Contents", ()):
                key = self._key(entry["Key"])
                jump = key is not None and folded is not None and key.startswith(folded)
                if key is None or jump or not key.startswith(wanted) or key <= after:
                    continue
                place = key.find(fold, len(wanted)) if fold else -1
                if place >= 0:
                    folded, jump = key[: place + len(fold)], True
                    yield ObjectInfo(folded.decode(), 0, None, is_prefix=True)
                else:
                    yield ObjectInfo(key.decode(), entry["Size"], entry["LastModified"])
            token = page.get("NextContinuationToken", "")
            if not page["IsTruncated"]:
                return
            if not token:
                # The rest is there all the same: a list that just ended would say that it is gone.
                start = _last_name(page, self._place)
            if jump and folded is not None:
                start, token = self._base + prefix_name(folded) + AFTER_ALL, ""

    async def delete(self, key: str) -> None:
        name = self._name(key)

        async def attempt(_: Try) -> None:
            try:
                await self._calls.client.delete_object(Bucket=self._bucket, Key=name)
            except ClientError as cause:
                if read_fault(cause).kind is not FaultKind.ABSENT:
                    raise

        await self._calls.run(attempt, key=key, right="s3:DeleteObject")

    async def upload(self, key: str) -> ObjectUpload:
        """Begin an upload. At most two parts (`S3Settings.part_bytes`) are in memory."""
        name = self._name(key)
        self._calls.check_open()
        return S3Upload(self._calls, key, name)

    async def close(self) -> None:
        """Close, after waiting a few seconds for calls in progress."""
        await self._calls.close()

    def _name(self, key: str) -> str:
        return self._base + name_of(encode_key(key, self._place))

    def _key(self, name: str) -> bytes | None:
        key = key_of(name.removeprefix(self._base))
        if key is not None:
            try:
                key.decode()
            except UnicodeDecodeError:
                return None
        return key

    async def _page(self, prefix: str, begin: str, start: str, token: str) -> ListObjectsV2OutputTypeDef:
        async def attempt(_: Try) -> ListObjectsV2OutputTypeDef:
            where: dict[str, Any] = {"ContinuationToken": token} if token else {"StartAfter": start} if start else {}
            return await self._calls.client.list_objects_v2(
                Bucket=self._bucket, Prefix=begin, MaxKeys=_PAGE_KEYS, **where
            )

        return await self._calls.run(attempt, key=prefix, right=_RIGHT_TO_LIST)

    async def _find_bucket(self) -> None:
        # The response to HEAD has no body: if the bucket is missing, the object may still exist.
        try:
            await self._calls.client.head_bucket(Bucket=self._bucket)
        except ClientError as cause:
            if read_fault(cause).kind is FaultKind.ABSENT:
                raise self._calls.error(Fault(FaultKind.NO_BUCKET, ""), key="", right="") from cause
            raise


def _last_name(page: ListObjectsV2OutputTypeDef, place: str) -> str:
    """Return where a page ended that neither says that it is the last nor where the next one begins.

    Raises:
        Unavailable: it has nothing in it.
    """
    if not page.get("Contents"):
        raise Unavailable(f"{place}: a list of objects ends before its end")
    return page["Contents"][-1]["Key"]


async def _read(response: GetObjectOutputTypeDef, length: int, this: Try) -> bytes:
    """Read a body whose length is known, all of it. A body of another length is an error."""
    this.expect(length)
    # What `as` would give is not botocore's stream, which compares checksums, but aiohttp's below it.
    async with response["Body"]:
        body = await response["Body"].read()
    if len(body) != length:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=length)
    return body


def _length_of_range(response: GetObjectOutputTypeDef, start: int, length: int) -> int:
    """Return the expected length of the response to a range request, before it is read.

    Raises:
        IncompleteReadError: it is not the range that we asked for.
    """
    # "bytes 100-199/1234", RFC 9110, section 14.4.
    given, _, total = response.get("ContentRange", "").removeprefix("bytes ").partition("/")
    expected = min(length, int(total) - start) if total.isdigit() else length
    if not given.startswith(f"{start}-") or response["ContentLength"] != expected:
        response["Body"].close()
        raise IncompleteReadError(actual_bytes=response["ContentLength"], expected_bytes=expected)
    return expected
