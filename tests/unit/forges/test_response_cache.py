"""Responses that are kept for conditional requests."""

from __future__ import annotations

from sluiceway_server.forges.response_cache import ResponseCache
from sluiceway_server.forges.responses import Response

URL = "https://git.example.org/branches"


def response(body: bytes, etag: str = "", status: int = 200) -> Response:
    return Response(status, {"etag": etag} if etag else {}, body, URL)


def test_response_that_was_not_modified_is_the_kept_one() -> None:
    cache = ResponseCache()
    first = response(b"one", '"1"')
    assert cache.headers(URL, ["token"]) == {}
    assert cache.settled(URL, ["token"], first) is first
    assert cache.headers(URL, ["token"]) == {"If-None-Match": '"1"'}
    assert cache.settled(URL, ["token"], response(b"", status=304)) is first


def test_response_is_of_its_credentials_only() -> None:
    cache = ResponseCache()
    cache.settled(URL, ["token"], response(b"one", '"1"'))
    assert cache.headers(URL, ["other"]) == {}
    assert cache.settled(URL, ["other"], response(b"", status=304)).status == 304


def test_newer_response_replaces_the_kept_one() -> None:
    cache = ResponseCache()
    cache.settled(URL, [], response(b"one", '"1"'))
    cache.settled(URL, [], response(b"two"))
    assert cache.headers(URL, []) == {}


def test_oldest_responses_give_way() -> None:
    cache = ResponseCache(max_bytes=10)
    for number in range(4):
        cache.settled(f"{URL}/{number}", [], response(b"12345", '"1"'))
    assert [bool(cache.headers(f"{URL}/{number}", [])) for number in range(4)] == [False, False, True, True]
