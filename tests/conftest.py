"""What tests of every layer may ask for. Nothing here starts before a test asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def etcd_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real etcd that all tests of the session share: keep to `etcd_prefix`.

    Its history may be compacted by any test: watch from a revision of your own test.
    """
    from tests.support.etcd import etcd_process

    with etcd_process(tmp_path_factory.mktemp("etcd") / "data") as process:
        yield process.endpoint


@pytest.fixture
def etcd_prefix() -> str:
    """Keys of this test only, ending in a slash; no prefix of a test begins with another's."""
    return f"test-{next(_numbers)}/"
