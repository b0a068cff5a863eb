"""Storage addresses: parsing, opening, and what they may not contain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.objectstorage.s3_address import S3Address, parse_address


@pytest.mark.parametrize("form", ["posix:{}", "posix://{}"])
async def test_posix_address_opens_its_folder(tmp_path, form):
    storage = await open_storage(form.format(tmp_path / "new" / "root"))

    assert isinstance(storage, PosixStorage)
    assert (tmp_path / "new" / "root").is_dir()
    await storage.close()


@pytest.mark.parametrize("url", ["", "posix", "posix:", "posix:/", "posix:///", "/var/lib", "s3:bucket", "gs://bucket"])
async def test_malformed_storage_address_is_refused(url):
    with pytest.raises(InvalidInput, match="names no object storage"):
        await open_storage(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://bucket", S3Address("bucket")),
        ("s3://bucket/", S3Address("bucket")),
        ("s3://bucket/a/b.c/", S3Address("bucket", "a/b.c")),
        (
            "s3://bucket/p?endpoint=http://127.0.0.1:8333&region=eu-1",
            S3Address("bucket", "p", "http://127.0.0.1:8333", "eu-1"),
        ),
        ("s3://b-1.x?endpoint=https://s3.example.com/", S3Address("b-1.x", "", "https://s3.example.com", None)),
        ("s3://bucket?endpoint=https%3A%2F%2Fs3.example.com", S3Address("bucket", "", "https://s3.example.com", None)),
    ],
    ids=["bucket", "slash", "prefix", "all", "https", "escaped"],
)
def test_s3_address_is_parsed(url, address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("s3:///prefix", "no name of an S3 bucket"),
        ("s3://x", "no name of an S3 bucket"),
        ("s3://bucket:9000", "no name of an S3 bucket"),
        ("s3://bu cket", "no name of an S3 bucket"),
        ("s3://bucket/a//b", "prefix of an S3 storage"),
        ("s3://bucket/../b", "prefix of an S3 storage"),
        ("s3://bucket/a/.b", "prefix of an S3 storage"),
        ("s3://bucket/" + "x" * 101, "prefix of an S3 storage"),
        ("s3://bucket?endpoint=", "no endpoint"),
        ("s3://bucket?endpoint=127.0.0.1:8333", "no endpoint"),
        ("s3://bucket?endpoint=ftp://host", "no endpoint"),
        ("s3://bucket?endpoint=http://host:99999999", "no endpoint"),
        ("s3://bucket?region=a b", "no name of a region"),
        ("s3://bucket?retries=3", "the option 'retries'"),
        ("s3://bucket?endpoint", "cannot be read"),
        ("s3://[bucket", "cannot be read"),
        ("s3://bucket#part", "cannot have a #"),
    ],
)
async def test_malformed_s3_address_says_what_to_write(url, fault):
    with pytest.raises(InvalidInput, match=fault) as caught:
        await open_storage(url)

    assert "s3://BUCKET" in caught.value.message or "at most 100" in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAEXAMPLE:hunter2@bucket",
        "s3://hunter2@bucket/p",
        "s3://bucket?endpoint=http://user:hunter2@host",
        "s3://bucket?access_key=hunter2",
        "s3://bucket?AWS_SECRET_ACCESS_KEY=hunter2",
        "s3://bucket?secret=hunter2",
    ],
)
async def test_credentials_in_an_address_are_refused_and_not_printed(url):
    with pytest.raises(InvalidInput) as caught:
        await open_storage(url)

    assert caught.value.reason == "CREDENTIALS_IN_ADDRESS"
    assert "AWS_ACCESS_KEY_ID" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_posix_storage_does_not_import_botocore(tmp_path):
    code = (
        "import asyncio, sys\n"
        "from sluiceway_server.objectstorage.locate import open_storage\n"
        "asyncio.run(open_storage(sys.argv[1]))\n"
        "print([name for name in sys.modules if 'boto' in name or 'aiohttp' in name])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, f"posix:{tmp_path}"], capture_output=True, text=True, timeout=60, check=True
    )

    assert answer.stdout == "[]\n"
