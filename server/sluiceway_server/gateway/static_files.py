"""The gateway's own files: the pages about the API, and the web UI that `web/` is built into.

All files are read once, at the start. A page of the web UI is one document for each of its paths: the script in it
reads the path. Without a build, its paths show a page that says how to build it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from sluiceway_common.foundation.version import VERSION
from sluiceway_server.gateway.conditional import tag_is_listed
from sluiceway_server.gateway.exchange import Exchange

__all__ = ["StaticFiles"]

# Below these first segments of a path, and at `/`, are pages of the web UI.
WEB_PAGES = frozenset(
    {
        "account", "audit", "device", "executors", "invitations", "login", "organizations", "projects", "runs",
        "tokens", "users",
    }
)  # fmt: skip

_API_PAGES = {"/docs": "docs.html", "/docs.js": "docs.js", "/page.css": "page.css"}
_NOT_BUILT = "not_built.html"
# Vite puts a digest of the content into the names of the files in this folder.
_HASHED = "/assets/"
_DENY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_POLICY = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; {_DENY}"
# Svelte makes its templates with `innerHTML`, through this one policy.
_WEB_POLICY = f"{_POLICY}; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
_COMPRESS_FROM_BYTES = 2048
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_TEXT = frozenset(_TYPES.values())


class StaticFiles:
    """Files by path, with entity tags; large ones are compressed when they are first asked for."""

    def __init__(self, *, web: Traversable | None = None) -> None:
        """Read them.

        Args:
            web: the folder that the web UI was built into; it need not exist. Default: that of this package.
        """
        package = resources.files("sluiceway_server.gateway")
        pages = package.joinpath("pages")
        self._files = {path: _page(pages.joinpath(name)) for path, name in _API_PAGES.items()}
        self._web: _File | None = None
        for path, content in _walk(package.joinpath("web") if web is None else web):
            if path == "/index.html":
                self._web = _File(path, content, _WEB_POLICY)
            else:
                self._files[path] = _File(path, content, _WEB_POLICY)
        self._not_built = _page(pages.joinpath(_NOT_BUILT))

    def route_of(self, path: str) -> str | None:
        """Return the name of a path for metrics, or None if there is no file at it."""
        if path in self._files:
            return _HASHED if path.startswith(_HASHED) else path
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        if path == "/" or first in WEB_PAGES:
            return f"/{first}"
        return None

    async def respond(self, exchange: Exchange) -> None:
        """Respond with the file of a path that `route_of` knows."""
        found = self._files.get(exchange.path) or self._web
        if found is not None:
            await found.respond(exchange, code=200)
        else:
            await self._not_built.respond(exchange, code=200 if exchange.path == "/" else 404)


class _File:
    def __init__(self, path: str, body: bytes, policy: str) -> None:
        self._body = body
        self._gzipped: bytes | None = None
        kind = _TYPES.get(path[path.rfind(".") :]) or mimetypes.guess_type(path)[0] or "application/octet-stream"
        self._is_text = kind in _TEXT
        self._type = f"{kind}; charset=utf-8" if self._is_text else kind
        self._headers = {
            "cache-control": "public, max-age=31536000, immutable" if path.startswith(_HASHED) else "no-cache",
            "content-security-policy": policy,
            "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        }

    async def respond(self, exchange: Exchange, *, code: int) -> None:
        if code == 200 and tag_is_listed(self._headers["etag"], exchange.header("if-none-match"), weak=True):
            await exchange.respond(304, headers=self._headers)
            return
        if self._gzipped is None and self._is_text and len(self._body) >= _COMPRESS_FROM_BYTES:
            self._gzipped = await asyncio.to_thread(gzip.compress, self._body, 9, mtime=0)
        await exchange.respond(code, self._body, content_type=self._type, headers=self._headers, gzipped=self._gzipped)


def _page(file: Traversable) -> _File:
    return _File(file.name, file.read_text().replace("{version}", VERSION).encode(), _POLICY)


def _walk(folder: Traversable, above: str = "/") -> Iterator[tuple[str, bytes]]:
    """Yield the files below a folder, each with its path in it; none if there is no such folder."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _walk(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry.read_bytes()
