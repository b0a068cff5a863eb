"""The templates in keys of caches."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.archives.keys import KeyFacts, KeyInvalid, expand

CONTENT = b"module example\n"


async def read(path: str) -> bytes:
    if path != "go.sum":
        raise FailedPrecondition(f"{path} cannot be read", reason="FILE_UNREADABLE")
    return CONTENT


FACTS = KeyFacts(
    branch="feature/x",
    tag="",
    commit="c" * 40,
    task="build",
    arch="amd64",
    environment={"GO": "1.23"},
    now=datetime(2026, 3, 7, 1, 2, 3, tzinfo=UTC),
    read=read,
)


@pytest.mark.parametrize(
    ("key", "expanded"),
    [
        ("deps", "deps"),
        ("deps-{{ .Branch }}-{{arch}}-{{ os }}", "deps-feature/x-amd64-linux"),
        ('go-{{ checksum "go.sum" }}', f"go-{hashlib.sha256(CONTENT).hexdigest()}"),
        ("go-{{ sha256sum 'go.sum' }}", f"go-{hashlib.sha256(CONTENT).hexdigest()}"),
        ('go-{{ md5sum "go.sum" }}', f"go-{hashlib.md5(CONTENT).hexdigest()}"),
        ('{{ env "GO" }}/{{ env "NONE" }}', "1.23/"),
        ("{{ year }}{{ month }}{{ day }}-{{ unixtime }}", "20260307-1772845323"),
        ("{{ .Task }} {{ .Commit }}{{ .Tag }}", f"build {'c' * 40}"),
    ],
)
async def test_templates_are_expanded(key: str, expanded: str) -> None:
    assert await expand(key, FACTS) == expanded


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("{{ .Nothing }}", '".Nothing" is not known'),
        ("{{ checksum }}", "needs an argument"),
        ("{{ checksum", "cannot be read"),
        ("x }}", "cannot be read"),
        ("{{ .Tag }}", "must not be empty"),
        ("x" * 513, "at most 512 characters"),
        ("a\nb", "control or invisible character"),
    ],
)
async def test_key_that_cannot_be_made_says_why(key: str, words: str) -> None:
    with pytest.raises(KeyInvalid, match=words):
        await expand(key, FACTS)


async def test_file_that_cannot_be_read_fails_the_step() -> None:
    with pytest.raises(FailedPrecondition, match=r"other\.sum"):
        await expand('{{ checksum "other.sum" }}', FACTS)
