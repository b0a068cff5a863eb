"""What is the same in the clients of all providers: calls with a token, pages, and repositories that have moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.locations import commit_fault, inner_path_fault
from sluiceway_server.forges.errors import ForgeResponseTooLarge, Moved, NotAtForge
from sluiceway_server.forges.http import Request
from sluiceway_server.forges.repository import Repository
from sluiceway_server.forges.responses import Response, parsed
from sluiceway_server.forges.shapes import path_fault

__all__ = [
    "Api",
    "Caller",
    "Page",
    "check_commit",
    "check_file_path",
    "check_id",
    "escaped",
    "escaped_path",
    "on_repository",
]

T = TypeVar("T")

_MAX_PAGES = 100


class Caller(Protocol):
    """What sends requests: `http.ForgeHttp`."""

    async def call(self, request: Request) -> Response:
        """Send a request; return a response with a 2xx status, or raise what `port` lists."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. `has_next`: there are more."""

    response: Response
    has_next: bool


@dataclass(frozen=True, slots=True)
class Api:
    """The API at one URL.

    Attributes:
        url: without a slash at its end.
        http: sends the requests.
        headers: of each request.
        authorization: what is before the token in `Authorization`.
        page_size: entries of a page, and `page_size_name` the parameter for them.
    """

    url: str
    http: Caller
    headers: Mapping[str, str]
    authorization: str
    page_size: int
    page_size_name: str

    async def get(self, token: str, path: str, query: Mapping[str, str] | None = None) -> Response:
        """Read. `path` is escaped, and begins with a slash."""
        return await self.http.call(self._request(token, path, query))

    async def read(self, token: str, path: str, adapter: TypeAdapter[T], query: Mapping[str, str] | None = None) -> T:
        """Read a value of a type."""
        return parsed(await self.get(token, path, query), adapter)

    async def page(
        self, token: str, path: str, number: int, query: Mapping[str, str] | None = None, *, conditional: bool = False
    ) -> Page:
        """Read a page of a list; `number` from 1."""
        size = {self.page_size_name: str(self.page_size), "page": str(number)}
        request = self._request(token, path, {**(query or {}), **size})
        response = await self.http.call(replace(request, conditional=conditional))
        return Page(response, _has_next(response))

    async def pages(
        self,
        token: str,
        path: str,
        adapter: TypeAdapter[list[T]],
        query: Mapping[str, str] | None = None,
        *,
        conditional: bool = False,
    ) -> AsyncIterator[T]:
        """Yield the entries of all pages; `conditional`: those that were not modified are not sent again.

        Raises:
            ForgeResponseTooLarge: there are too many.
        """
        for number in range(1, _MAX_PAGES + 1):
            page = await self.page(token, path, number, query, conditional=conditional)
            for entry in parsed(page.response, adapter):
                yield entry
            if not page.has_next:
                return
        raise ForgeResponseTooLarge(f"{self.url}{path} has more than {_MAX_PAGES * self.page_size} entries")

    async def post(
        self, token: str, path: str, body: object, *, secrets: Sequence[str] = (), may_repeat: bool = False
    ) -> Response:
        """Create."""
        request = self._request(token, path)
        return await self.http.call(
            replace(request, method="POST", body=body, secrets=tuple(secrets), may_repeat=may_repeat)
        )

    async def delete(self, token: str, path: str) -> None:
        """Delete. Succeeds if it is gone."""
        try:
            await self.http.call(replace(self._request(token, path), method="DELETE"))
        except NotAtForge:
            return

    def _request(self, token: str, path: str, query: Mapping[str, str] | None = None) -> Request:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput([Violation("token", "must be a token of the provider")])
        return Request(
            url=f"{self.url}{path}{f'?{urlencode(query)}' if query else ''}",
            headers=self.headers,
            credentials={"Authorization": f"{self.authorization} {token}"},
        )


def _has_next(response: Response) -> bool:
    """Return whether a page has a next one (RFC 8288). GitLab also says it in a header of its own."""
    return 'rel="next"' in response.headers.get("link", "") or bool(response.headers.get("x-next-page", "").strip())


async def on_repository(
    repository: Repository, fresh: Callable[[], Awaitable[Repository]], call: Callable[[Repository], Awaitable[T]]
) -> T:
    """Make a call that is not redirected; if the repository has moved, make it where it is now."""
    try:
        return await call(repository)
    except Moved:
        return await call(await fresh())


def escaped(text: str) -> str:
    """Escape a text as one segment of a path."""
    return quote(text, safe="")


def escaped_path(path: str) -> str:
    """Escape the path of a repository.

    Raises:
        InvalidInput: it is none.
    """
    fault = path_fault(path)
    if fault is not None:
        raise InvalidInput([Violation("path", fault)])
    return quote(path, safe="/")


def check_file_path(path: str) -> str:
    """Return the escaped path of a file or folder in a repository, or raise `InvalidInput`. Empty: the top."""
    names = path.split("/") if path else []
    fault = inner_path_fault(path) if path else None
    if fault is not None or any(name in ("", ".", "..") for name in names):
        raise InvalidInput([Violation("path", fault or "must be a path inside the repository")])
    return quote(path, safe="/")


def check_id(name: str, number: str) -> str:
    """Return the numeric id of an object at the provider, or raise `InvalidInput` for the field `name`.

    Any other text could make the URL that of another object: `..`, of the one that contains it.
    """
    if not (number.isascii() and number.isdigit()):
        raise InvalidInput([Violation(name, "must be a numeric id of the provider")])
    return number


def check_commit(commit: str) -> str:
    """Return a commit id, or raise `InvalidInput`."""
    fault = commit_fault(commit)
    if fault is not None:
        raise InvalidInput([Violation("commit", fault)])
    return commit
