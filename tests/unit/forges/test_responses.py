"""What a provider's status, headers and body mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, TypeAdapter

from sluiceway_server.forges import errors
from sluiceway_server.forges.responses import LONGEST_RETRY, Response, error_of, parsed

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
URL = "https://git.example.org/api/v1/user"


def response(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Response:
    return Response(status, dict(headers or {}), body, URL)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        pytest.param(response(401), errors.TokenRefused, id="401 is a token that is refused"),
        pytest.param(response(403), errors.RightMissing, id="403 is a missing right"),
        pytest.param(
            response(403, {"x-ratelimit-remaining": "4999"}), errors.RightMissing, id="403 below the limit is a right"
        ),
        pytest.param(
            response(403, {"x-ratelimit-remaining": "0"}), errors.ForgeRateLimited, id="403 with nothing remaining"
        ),
        pytest.param(response(403, {"retry-after": "60"}), errors.ForgeRateLimited, id="403 with Retry-After"),
        pytest.param(
            response(403, body=b'{"message": "You have exceeded a secondary rate limit"}'),
            errors.ForgeRateLimited,
            id="403 that says rate limit without headers",
        ),
        pytest.param(response(429), errors.ForgeRateLimited, id="429 without headers"),
        pytest.param(response(429, body=b"<html>"), errors.ForgeRateLimited, id="429 as HTML"),
        pytest.param(response(404), errors.NotAtForge, id="404"),
        pytest.param(response(410), errors.NotAtForge, id="410"),
        pytest.param(response(422), errors.ForgeRefused, id="422"),
        pytest.param(response(408), errors.ForgeUnavailable, id="408"),
        pytest.param(response(500, body=b"<html>"), errors.ForgeUnavailable, id="500 as HTML"),
        pytest.param(response(502), errors.ForgeUnavailable, id="502"),
        pytest.param(response(304), errors.BadForgeResponse, id="a status that was not asked for"),
        pytest.param(response(301), errors.Moved, id="a redirect of a call that is not followed"),
    ],
)
def test_status_means_an_error_of_our_family(given: Response, kind: type[Exception]) -> None:
    assert type(error_of(given, now=NOW)) is kind


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_is_no_error(status: int) -> None:
    assert error_of(response(status), now=NOW) is None


RESET = int((NOW + timedelta(minutes=20)).timestamp())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, 60, id="a minute if no header tells"),
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": "Mon, 30 Nov 2026 12:05:00 GMT"}, 300, id="a date"),
        pytest.param({"retry-after": "Mon, 30 Nov 2026 11:00:00 GMT"}, 1, id="a date that has passed"),
        pytest.param({"retry-after": "soon"}, 60, id="a text"),
        pytest.param({"retry-after": "-5"}, 60, id="a negative number"),
        pytest.param({"retry-after": "9" * 30}, 3600, id="a number beyond any time"),
        pytest.param({"x-ratelimit-reset": str(RESET)}, 1200, id="the time of GitHub's reset"),
        pytest.param({"ratelimit-reset": str(RESET)}, 1200, id="the time of GitLab's reset"),
        pytest.param({"x-ratelimit-reset": "9" * 30}, 60, id="a reset beyond any time"),
        pytest.param({"x-ratelimit-reset": "٣"}, 60, id="a reset in other digits"),
    ],
)
def test_rate_limit_says_when_to_retry(headers: Mapping[str, str], seconds: int) -> None:
    error = error_of(response(429, headers), now=NOW)
    assert isinstance(error, errors.ForgeRateLimited)
    assert error.retry_after == timedelta(seconds=seconds) <= LONGEST_RETRY


def test_overload_says_when_to_retry() -> None:
    error = error_of(response(503, {"retry-after": "30"}), now=NOW)
    assert isinstance(error, errors.ForgeUnavailable)
    assert error.retry_after == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b'{"message": "Validation Failed", "errors": [{"code": "custom"}]}', "custom", id="GitHub"),
        pytest.param(b'{"message": {"key": ["is invalid"]}}', "is invalid", id="GitLab, by field"),
        pytest.param(b'{"error": "invalid_token", "error_description": "Expired"}', "Expired", id="GitLab, OAuth"),
    ],
)
def test_message_of_the_provider_is_shown(body: bytes, text: str) -> None:
    error = error_of(response(422, body=body), now=NOW)
    assert text in str(error)


@pytest.mark.parametrize(
    "body", [b"<html>x</html>", b'"x"', b"[" * 10_000, b'{"message": 7}', b"\xff", b'{"message": "\\u001b[2Jx"}']
)
def test_message_is_left_out_or_made_safe_if_it_is_odd(body: bytes) -> None:
    text = str(error_of(response(422, body=body), now=NOW))
    assert "<html>" not in text
    assert text.isprintable()


def test_message_does_not_repeat_a_secret() -> None:
    error = error_of(response(401, body=b'{"message": "bad token s3cr3t"}'), now=NOW, hide=("s3cr3t", ""))
    assert "s3cr3t" not in str(error)
    assert "***" in str(error)


class User(BaseModel):
    """What the test parses."""

    id: int


@pytest.mark.parametrize(
    "body", [b"<html></html>", b"", b"{}", b'{"id": "seven"}', b'{"id": 1e999}', b"[" * 100_000, b"\xff\xfe", b"null"]
)
def test_body_of_another_shape_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(errors.BadForgeResponse, match="text/html"):
        parsed(response(200, {"content-type": "text/html"}, body), TypeAdapter(User))
