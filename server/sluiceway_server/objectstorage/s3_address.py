"""Where an S3 storage is: `s3://BUCKET[/PREFIX][?endpoint=URL][&region=REGION]`. Pure.

Credentials are never part of it: addresses are shown in process lists, logs and errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.objectstorage.s3_names import LONGEST_NAME_BYTES

_LONGEST_PREFIX_BYTES = 1024 - LONGEST_NAME_BYTES - 18
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]")
_PREFIX = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]*(/[a-zA-Z0-9_-][a-zA-Z0-9._-]*)*")
_REGION = re.compile(r"[a-zA-Z0-9-]{1,64}")
_EXAMPLE = "write s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION; all but the bucket may be left out"
_CREDENTIALS = (
    "credentials do not belong into the address of an object storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    " in the environment, or use a profile of ~/.aws"
)


@dataclass(frozen=True, slots=True)
class S3Address:
    """An address that was read.

    Attributes:
        bucket: its name.
        prefix: of all objects, without slashes at its ends; may be empty.
        endpoint: URL of the service; None: that of AWS, or what the AWS configuration names.
        region: None: what the AWS configuration says.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @property
    def base(self) -> str:
        """What the names of all our objects begin with: empty, or ending in a slash."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def place(self) -> str:
        """For people: which bucket, and where."""
        return f"s3://{self.bucket}" + (f" at {self.endpoint}" if self.endpoint else "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def parse_address(url: str) -> S3Address:
    """Read an address.

    Raises:
        InvalidInput: it is not a valid address, or holds credentials (reason `CREDENTIALS_IN_ADDRESS`; the message
            repeats nothing).
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as cause:
        raise InvalidInput(f"the address of the object storage cannot be read; {_EXAMPLE}") from cause
    if "@" in parts.netloc or any("key" in name.lower() or "secret" in name.lower() for name in options):
        raise InvalidInput(_CREDENTIALS, reason="CREDENTIALS_IN_ADDRESS")
    unknown = sorted(options.keys() - {"endpoint", "region"})
    if parts.fragment or unknown:
        what = f"the option {unknown[0]!r}" if unknown else "a #"
        raise InvalidInput(f"the address of an S3 storage cannot have {what}; {_EXAMPLE}")
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidInput(f"{bucket!r} is no name of an S3 bucket; {_EXAMPLE}")
    if prefix and (not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_PREFIX_BYTES):
        raise InvalidInput(
            f"{prefix!r} cannot be the prefix of an S3 storage: at most {_LONGEST_PREFIX_BYTES} letters, digits and"
            " ._- in parts that do not begin with a dot, with / between them"
        )
    region = options.get("region")
    if region is not None and not _REGION.fullmatch(region):
        raise InvalidInput(f"{region!r} is no name of a region; {_EXAMPLE}")
    endpoint = options.get("endpoint")
    return S3Address(bucket, prefix, None if endpoint is None else _endpoint(endpoint), region)


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_url = urlsplit(""), False
    if "@" in parts.netloc:
        raise InvalidInput(_CREDENTIALS, reason="CREDENTIALS_IN_ADDRESS")
    if not is_url or parts.query or parts.fragment:
        raise InvalidInput(f"{text!r} is no endpoint of an S3 storage; {_EXAMPLE}")
    return text.rstrip("/")
