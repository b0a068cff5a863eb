"""OAuth 2 of git providers: the authorization code flow with PKCE, and refresh (RFC 6749, RFC 7636).

A provider is asked for one set of scopes to log in and for another one to link an account. They are the same at Gitea
and Forgejo, which have one grant for a user and an application and refuse another scope ("a grant exists with different
scope"). There each grant may also make the refresh token of the one before invalid, so the last one has to be kept.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlencode

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.texts import shown
from sluiceway_server.forges.api import Caller
from sluiceway_server.forges.errors import BadForgeResponse
from sluiceway_server.forges.http import Request
from sluiceway_server.forges.responses import Response

_MAX_BYTES: Final = 64 * 1024
_MAX_MESSAGE: Final = 200
_MAX_TOKEN: Final = 8192
_LONGEST_SECONDS: Final = 10 * 365 * 86_400
# RFC 6749, 5.2; GitHub names a code that was used, and a refresh token that is not valid, in its own way, with status
# 200.
_GRANT_GONE: Final = frozenset({"invalid_grant", "bad_verification_code", "bad_refresh_token"})
# GitLab responds with 401 to wrong credentials of the client, Gitea with 400.
_ANSWERS: Final = frozenset({400, 401, 403})


class OAuth2Refused(FailedPrecondition):
    """The provider refuses the client, the redirect URI, the scopes, or the request as such."""

    reason = "OAUTH2_REFUSED"


class GrantRefused(OAuth2Refused):
    """The provider does not accept the code or the refresh token: it was used, has expired, or was revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a provider has its OAuth 2, and what to ask it for.

    Attributes:
        authorize: the URL that a person is sent to.
        token: the URL that returns tokens.
        link_scopes: with which repositories, webhooks, deploy keys and commit statuses are worked on.
        login_scopes: with which the user is identified.
    """

    authorize: str
    token: str
    link_scopes: str
    login_scopes: str


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a provider granted.

    Attributes:
        access_token: for calls.
        refresh_token: for the next access token, once; empty: there is none.
        lifetime_seconds: of the access token; None: it is not said, or does not end.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    lifetime_seconds: int | None = None


def endpoints_of(kind: str, api_url: str) -> Endpoints:
    """Return the endpoints of a provider, which follow from the URL of its API.

    Raises:
        FailedPrecondition: `OAUTH2_URL_UNKNOWN`: the URL is not one that providers document.
    """
    url = api_url.rstrip("/")
    match kind:
        case "github":
            base = "https://github.com" if url == "https://api.github.com" else _without(url, "/api/v3")
            return Endpoints(
                authorize=f"{base}/login/oauth/authorize",
                token=f"{base}/login/oauth/access_token",
                link_scopes="repo admin:repo_hook read:user",
                login_scopes="read:user",
            )
        case "gitlab":
            base = _without(url, "/api/v4")
            return Endpoints(
                authorize=f"{base}/oauth/authorize",
                token=f"{base}/oauth/token",
                link_scopes="api",
                login_scopes="read_user",
            )
        case _:
            base = _without(url, "/api/v1")
            scopes = "read:user write:repository"
            return Endpoints(
                authorize=f"{base}/login/oauth/authorize",
                token=f"{base}/login/oauth/access_token",
                link_scopes=scopes,
                login_scopes=scopes,
            )


def _without(url: str, ending: str) -> str:
    if not url.endswith(ending):
        raise FailedPrecondition(
            f"the pages of the provider cannot be found from the URL of its API, {url}: it should end with {ending}",
            reason="OAUTH2_URL_UNKNOWN",
        )
    return url.removesuffix(ending)


def code_challenge(verifier: str) -> str:
    """Return the challenge of a code verifier, by the method S256 (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def authorization_url(
    endpoints: Endpoints, *, client_id: str, redirect_uri: str, scopes: str, state: str, verifier: str
) -> str:
    """Return the URL that a person is sent to (RFC 6749, 4.1.1)."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scopes,
        "state": state,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{endpoints.authorize}?{urlencode(query)}"


class OAuth2Client:
    """This installation as a client of one provider."""

    def __init__(self, http: Caller, endpoints: Endpoints, *, client_id: str, client_secret: str) -> None:
        self._http = http
        self._endpoints = endpoints
        self._client = {"client_id": client_id}
        if client_secret:
            self._client["client_secret"] = client_secret

    async def exchange(self, code: str, *, verifier: str, redirect_uri: str) -> TokenGrant:
        """Exchange a code for tokens (RFC 6749, 4.1.3). Must not be repeated: a code is for one use.

        Raises:
            GrantRefused: the code was used, has expired, or is not of this verifier and redirect URI.
            OAuth2Refused: the client is not known, or its secret is wrong.
            SluicewayError: as `port`.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return await self._ask(form, secrets=(code, verifier))

    async def refresh(self, refresh_token: str) -> TokenGrant:
        """Exchange a refresh token for new tokens (RFC 6749, 6). The old one may be worthless from now on.

        A response without a refresh token leaves the old one in use.

        Raises:
            GrantRefused: the refresh token was used, has expired, or was revoked.
            OAuth2Refused: the client is not known, or its secret is wrong.
            SluicewayError: as `port`.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        granted = await self._ask(form, secrets=(refresh_token,))
        return TokenGrant(granted.access_token, granted.refresh_token or refresh_token, granted.lifetime_seconds)

    async def _ask(self, form: Mapping[str, str], *, secrets: tuple[str, ...]) -> TokenGrant:
        request = Request(
            url=self._endpoints.token,
            method="POST",
            # Without it GitHub responds with a form.
            headers={"Accept": "application/json"},
            form={**form, **self._client},
            secrets=(*secrets, self._client.get("client_secret", "")),
            may_repeat=False,
            limit_bytes=_MAX_BYTES,
            returned=_ANSWERS,
        )
        return _grant_of(await self._http.call(request))


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    access_token: str = ""
    token_type: str = "bearer"  # noqa: S105 - a kind of token
    refresh_token: str | None = None
    expires_in: int | float | None = None
    error: str = ""
    error_description: str | None = None


_ANSWER: Final = TypeAdapter(_Answer)


def _grant_of(response: Response) -> TokenGrant:
    """Read the response of a token endpoint. Pure. Its texts may repeat secrets, so only the error's code is shown.

    Raises:
        GrantRefused, OAuth2Refused: it is an error.
        BadForgeResponse: it is not what is documented.
    """
    answer = _answer_of(response)
    if answer.error:
        code = shown(answer.error, most=_MAX_MESSAGE)
        if answer.error in _GRANT_GONE:
            raise GrantRefused(f"{response.url} refused the authorization ({code})")
        raise OAuth2Refused(
            f"{response.url} refused this installation ({code}); check its client id, client secret and redirect URI"
        )
    token = answer.access_token
    if response.status != 200 or not _is_token(token) or answer.token_type.lower() != "bearer":
        raise BadForgeResponse(f"{response.url} returned no access token; check the URL of the remote source")
    refresh_token = answer.refresh_token or ""
    if refresh_token and not _is_token(refresh_token):
        raise BadForgeResponse(f"{response.url} returned a refresh token that cannot be one")
    lifetime = answer.expires_in
    is_known = lifetime is not None and 0 < lifetime <= _LONGEST_SECONDS
    return TokenGrant(token, refresh_token, int(lifetime) if lifetime is not None and is_known else None)


def _answer_of(response: Response) -> _Answer:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        # Of an older GitHub Enterprise, whatever is asked for.
        fields = {name: values[0] for name, values in parse_qs(response.body.decode("ascii", "replace")).items()}
        return _Answer(access_token=fields.get("access_token", ""), error=fields.get("error", ""))
    try:
        return _ANSWER.validate_json(response.body)
    except ValidationError as error:
        raise BadForgeResponse(
            f"{response.url} returned {shown(kind or 'no content type', most=100)} with status {response.status}"
            " instead of the documented JSON; check the URL of the remote source"
        ) from error


def _is_token(text: str) -> bool:
    return 0 < len(text) <= _MAX_TOKEN and text.isascii() and text.isprintable() and " " not in text
