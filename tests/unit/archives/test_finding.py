"""Which archives a step restores: caches by key, scope and age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.archives.finding import cache_id, cache_scopes, find_cache
from sluiceway_server.datamanager.model import Page, Query

START = datetime(2026, 1, 1, tzinfo=UTC)


class Caches:
    """A view with caches, in the order of their creation."""

    def __init__(self, *keys: tuple[str, str]) -> None:
        self.records = {}
        for number, (scope, key) in enumerate(keys):
            record = pb.CacheRecord(scope=scope, key=key, digest=f"{number}")
            record.create_time.FromDatetime(START + timedelta(hours=number))
            self.records[cache_id(scope, key)] = record

    def get(self, _type: Any, id_: str) -> pb.CacheRecord | None:
        return self.records.get(id_)

    def select(self, _type: Any, query: Query) -> Page[pb.CacheRecord]:
        assert query.order == ("-created",)
        found = [(id_, r) for id_, r in self.records.items() if r.scope == query.where["scope"]]
        return Page(tuple(reversed(found)), "")


VIEW: Any = Caches(
    ("/p fork /p/9", "lint-a"),
    ("/p", "lint-b"),
    ("/p", "go-1"),
    ("/p", "go-2"),
    ("/p", "go-2-old"),
    ("/q", "go-3"),
    ("/p fork /p/9", "go-1-fork"),
)


@pytest.mark.parametrize(
    ("scopes", "keys", "found", "nearest"),
    [
        (["/p"], ["go-2"], "go-2", ""),
        (["/p"], ["go-"], "go-2-old", ""),
        (["/p"], ["go-9", "go-1"], "go-1", ""),
        (["/p"], ["rust-", "go-2-"], "go-2-old", ""),
        (["/p"], ["go-3"], None, "go-2-old"),
        (["/p"], ["rust"], None, ""),
        (["/other"], ["go-1"], None, ""),
        (["/p fork /p/9", "/p"], ["go-1"], "go-1", ""),
        (["/p fork /p/9", "/p"], ["go-1-"], "go-1-fork", ""),
        (["/p fork /p/9", "/p"], ["lint-"], "lint-b", ""),
        (["/p"], ["go-1-"], None, "go-1"),
    ],
)
def test_cache_is_found_by_key(scopes: list[str], keys: list[str], found: str | None, nearest: str) -> None:
    cache, near = find_cache(VIEW, scopes, keys)
    assert (cache.record.key if cache is not None else None) == found
    assert near == nearest or (found is None and near.startswith(nearest) and bool(near) == bool(nearest))


@pytest.mark.parametrize(
    ("named", "from_fork", "scopes"),
    [
        ("/project/1", False, ("/project/1",)),
        ("/project/1/nightly", False, ("/project/1/nightly",)),
        ("", False, ("/project/1",)),
        ("/project/2", False, ("/project/1",)),
        ("/project/10", False, ("/project/1",)),
        ("/project/1", True, ("/project/1 fork /project/1/pull_request/9", "/project/1")),
    ],
)
def test_scope_is_below_that_of_the_run(named: str, from_fork: bool, scopes: tuple[str, ...]) -> None:
    run = pb.RunRecord(scope="/project/1", from_fork=from_fork)
    run.run.group = "/project/1/pull_request/9"
    assert tuple(cache_scopes(run, pb.RunConfig(cache_group=named))) == scopes
