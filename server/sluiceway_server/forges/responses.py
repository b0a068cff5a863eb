"""What the status, headers and body of a provider's response mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.texts import shown
from sluiceway_server.forges.errors import (
    BadForgeResponse,
    ForgeRateLimited,
    ForgeRefused,
    ForgeUnavailable,
    Moved,
    NotAtForge,
    RightMissing,
    TokenRefused,
)

__all__ = ["LONGEST_RETRY", "REDIRECTS", "Response", "error_of", "parsed"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})

LONGEST_RETRY = timedelta(hours=1)
"""The longest `retry_after` that is reported, whatever a provider asks for."""

_RETRY_UNAVAILABLE = timedelta(seconds=10)
_RETRY_RATE_LIMITED = timedelta(minutes=1)
_MAX_MESSAGE = 300
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Response:
    """A response that was read completely. `headers` have lower-case names. `url`: after redirects, without query."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def parsed(response: Response, adapter: TypeAdapter[T]) -> T:
    """Return the body of a response as a value of a type.

    Raises:
        BadForgeResponse: it is not JSON, or not of this shape.
    """
    try:
        return adapter.validate_json(response.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        kind = response.headers.get("content-type", "no content type")
        raise BadForgeResponse(
            f"{response.url} returned {shown(kind, most=100)} instead of the documented JSON"
            f" ({f'{where}: ' if where else ''}{first['msg']}); check the type and the API URL of the remote source"
        ) from error


def error_of(response: Response, *, now: datetime, hide: Sequence[str] = ()) -> SluicewayError | None:
    """Return the error that a response means, or None for a 2xx status.

    Args:
        response: of the provider.
        now: the wall time, for headers that give a time.
        hide: secrets that the provider might repeat in its message.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    answer = _message(response, hide)
    text = f"{response.url} returned {status}{f': {answer}' if answer else ''}"
    if status == 401:
        return TokenRefused(f"{text}; link the account again")
    if status == 429 or (status == 403 and _is_rate_limit(response, answer)):
        return ForgeRateLimited(text, retry_after=_retry_after(response, now, _RETRY_RATE_LIMITED, reset=True))
    if status == 403:
        return RightMissing(text)
    if status in (404, 410):
        return NotAtForge(f"{text}; it does not exist, or the linked account may not see it")
    if status == 408 or status >= 500:
        return ForgeUnavailable(text, retry_after=_retry_after(response, now, _RETRY_UNAVAILABLE, reset=False))
    if 400 <= status < 500:
        return ForgeRefused(text)
    if status in REDIRECTS:
        return Moved(text)
    return BadForgeResponse(text)


def _is_rate_limit(response: Response, answer: str) -> bool:
    """Return whether a 403 means a limit of calls, as GitHub sends it, and not a missing right.

    The message is that of GitHub's secondary limits, which may come without headers.
    """
    return (
        "retry-after" in response.headers
        or any(response.headers.get(name) == "0" for name in _REMAINING)
        or "rate limit" in answer.lower()
    )


def _retry_after(response: Response, now: datetime, otherwise: timedelta, *, reset: bool) -> timedelta:
    """Return when to try again: by `Retry-After` (RFC 9110, 10.2.3), or by the time at which a limit is reset."""
    found = _delay(response.headers.get("retry-after", ""), now)
    if found is None and reset:
        for name in _RESET:
            value = response.headers.get(name, "").strip()
            if value.isascii() and value.isdigit() and len(value) < 12:
                found = timedelta(seconds=int(value) - now.timestamp())
                break
    if found is None:
        return otherwise
    return min(max(found, timedelta(seconds=1)), LONGEST_RETRY)


def _delay(value: str, now: datetime) -> timedelta | None:
    value = value.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=int(value)) if len(value) < 9 else LONGEST_RETRY
    try:
        time = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)) - now


def _message(response: Response, hide: Sequence[str]) -> str:
    """Return what the provider says to the status, if it says it as JSON. A page of HTML is not shown."""
    try:
        document = from_json(response.body)
    except ValueError:
        return ""
    found = _texts(document)
    for secret in hide:
        if secret:
            found = found.replace(secret, "***")
    return shown(" ".join(found.split()), most=_MAX_MESSAGE)


def _texts(document: object) -> str:
    """Return the texts of `message`, `error` and their details, which are lists or objects at GitLab and GitHub."""
    if not isinstance(document, dict):
        return ""
    found: list[str] = []
    for key in ("message", "error", "error_description", "errors"):
        value = document.get(key)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found += [f"{name}: {detail}" for name, detail in list(value.items())[:5]]
        elif isinstance(value, list):
            found += [str(detail) for detail in value[:5]]
    return "; ".join(text[:_MAX_MESSAGE] for text in found)
