"""What is the same in deliveries of all providers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from sluiceway_server.forges.errors import WebhookMalformed
from sluiceway_server.forges.events import Ignored

__all__ = ["MAX_EVENT_BYTES", "check_form", "event_header", "header_map", "ignored_ref", "parse"]

MAX_EVENT_BYTES = 25 << 20
"""The largest body of a delivery: GitHub and GitLab send no larger ones."""

_MAX_ID = 200

T = TypeVar("T")


def header_map(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def check_form(headers: Mapping[str, str], body: bytes) -> None:
    """Raise `WebhookMalformed` if the body is too large, or not said to be JSON.

    Forms are refused: their signature is over the form at GitHub, and over the JSON in it at Gitea.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise WebhookMalformed(f"the body has more than {MAX_EVENT_BYTES} bytes")
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WebhookMalformed("the body is not application/json; choose JSON as the content type of the webhook")


def event_header(headers: Mapping[str, str], *names: str, most: int = _MAX_ID) -> str:
    """Return the first of some headers that is there and can be shown, or an empty text."""
    for name in names:
        value = headers.get(name, "")
        if value and len(value) <= most and value.isascii() and value.isprintable():
            return value
    return ""


def parse(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return the body as a value of a type, or raise `WebhookMalformed`."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:50] for part in first["loc"][:10])
        raise WebhookMalformed(
            f"the body is not an event of this provider: {where or 'body'}: {first['msg'][:200]}"
        ) from error


def ignored_ref(delivery_id: str, ref: str) -> Ignored | None:
    """Return why a push of a ref starts no run, or None for a branch or a tag."""
    if ref.startswith(("refs/heads/", "refs/tags/")):
        return None
    return Ignored(delivery_id=delivery_id, reason=f"{ref} is neither a branch nor a tag")
