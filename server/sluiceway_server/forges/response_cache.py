"""Responses that a provider gave an ETag, to ask whether they still hold: at GitHub, that costs no quota."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from sluiceway_server.forges.responses import Response

_NOT_MODIFIED = 304
_MAX_BYTES = 16 << 20


class ResponseCache:
    """The newest responses by URL and credentials, at most so many bytes. One for each client."""

    def __init__(self, *, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, Response] = OrderedDict()
        self._bytes = 0

    def headers(self, url: str, secrets: Sequence[str]) -> Mapping[str, str]:
        """Return the header that makes a request conditional; empty: nothing is known."""
        known = self._kept.get(_key(url, secrets))
        return {} if known is None else {"If-None-Match": known.headers["etag"]}

    def settled(self, url: str, secrets: Sequence[str], response: Response) -> Response:
        """Return the response that holds: this one, which is kept, or the known one if it was not modified."""
        key = _key(url, secrets)
        known = self._kept.get(key)
        if response.status == _NOT_MODIFIED and known is not None:
            self._kept.move_to_end(key)
            return known
        if known is not None:
            self._bytes -= len(self._kept.pop(key).body)
        if response.status == 200 and response.headers.get("etag"):
            self._kept[key] = response
            self._bytes += len(response.body)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1].body)
        return response


def _key(url: str, secrets: Sequence[str]) -> bytes:
    """Return what names a response: whose it is, without the secrets themselves."""
    return hashlib.sha256("\0".join([url, *secrets]).encode()).digest()
