"""OAuth 2 of the fake: the page where a person authorizes an application, and the endpoint that returns tokens.

What the providers do differently:

- Gitea and Forgejo have one grant for a user and an application; a request with another scope fails. Forgejo makes the
  refresh tokens of a grant invalid with each new one (`INVALIDATE_REFRESH_TOKENS`); Gitea does by setting.
- GitHub responds with a form unless JSON is asked for, to errors with status 200; its tokens do not expire.
- GitLab's refresh tokens are for one use, and so are the access tokens before them.

A person is logged in at the provider by the cookie `fake_user` with the name; `POST` of the page with `answer=allow` or
`answer=deny` is a click on one of its buttons.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web

from tests.fakes.forge.model import Kind, User

if TYPE_CHECKING:
    from tests.fakes.forge.server import FakeForge

UNVERIFIED_GITEA_ACCESS_SECONDS = 3600
UNVERIFIED_GITLAB_ACCESS_SECONDS = 7200
UNVERIFIED_GITLAB_ERROR_STATUS = 400
CODE_SECONDS = 600
SCOPES = {
    Kind.GITEA: {"read:user", "write:repository"},
    Kind.FORGEJO: {"read:user", "write:repository"},
    Kind.GITHUB: {"repo", "admin:repo_hook", "read:user", "user:email"},
    Kind.GITLAB: {"api", "read_api", "read_user", "openid"},
}
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass
class Application:
    """An application that a person registered."""

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]


@dataclass
class Code:
    text: str
    application: Application
    user: User
    redirect_uri: str
    scope: str
    challenge: str
    expires: float
    is_used: bool = False


@dataclass
class Granted:
    """Tokens of a user for an application."""

    application: Application
    user: User
    scope: str
    access_token: str
    refresh_token: str
    expires: float | None
    access_is_good: bool = True
    refresh_is_good: bool = True


@dataclass
class Refusal(Exception):
    """An error of the token endpoint."""

    error: str
    description: str
    status: int = 400


@dataclass
class OAuth2:
    """See the module.

    Attributes:
        applications: by client id.
        codes: that were given out.
        granted: all tokens, the newest last.
        invalidates_refresh_tokens: whether a refresh token is for one use: GitLab, Forgejo, and Gitea by setting.
        access_seconds: how long an access token lives; None: it does not expire.
        grants: the scope that each user granted to each application.
        asked: the forms that the token endpoint got.
        faults: of the next calls of the token endpoint: a status with a page of HTML; `hang`: 503 once the fake is
            released; `wait`: the response, then.
    """

    forge: FakeForge
    applications: dict[str, Application] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    granted: list[Granted] = field(default_factory=list)
    grants: dict[tuple[str, int], str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    faults: list[int | str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kind = self.forge.kind
        self.invalidates_refresh_tokens = kind in {Kind.GITLAB, Kind.FORGEJO}
        self.access_seconds: int | None = {
            Kind.GITHUB: None,
            Kind.GITLAB: UNVERIFIED_GITLAB_ACCESS_SECONDS,
        }.get(kind, UNVERIFIED_GITEA_ACCESS_SECONDS)

    def register(self, *redirect_uris: str) -> Application:
        """Register an application, as a person does on the provider's pages."""
        number = next(self.forge.store.ids)
        application = Application(f"client-{number}", f"client-secret-{secrets.token_hex(8)}", redirect_uris)
        self.applications[application.client_id] = application
        return application

    def routes(self) -> list[web.RouteDef]:
        gitlab = self.forge.kind is Kind.GITLAB
        authorize = "/oauth/authorize" if gitlab else "/login/oauth/authorize"
        token = "/oauth/token" if gitlab else "/login/oauth/access_token"
        return [
            web.get("/fake_login/{name}", self.log_in),
            web.get("/favicon.ico", self.no_icon),
            web.get(authorize, self.show),
            web.post(authorize, self.answer),
            web.post(token, self.token),
        ]

    def user_of(self, token: str) -> User | None:
        """Return the user of an access token that is valid."""
        for each in self.granted:
            if each.access_token == token and each.access_is_good and not each.user.is_revoked:
                return each.user if each.expires is None or time.time() < each.expires else None
        return None

    def may_call(self, token: str, path: str) -> bool:
        """Return whether the scope of an access token is enough for a path of the API."""
        scopes = next((set(each.scope.split()) for each in self.granted if each.access_token == token), set())
        return path.endswith("/user") or not scopes.isdisjoint({"repo", "api", "write:repository"})

    def expire(self) -> None:
        """Let all access tokens expire now."""
        for each in self.granted:
            each.expires = 0.0

    def revoke(self, user: User) -> None:
        """Revoke all that a user granted, as the user does on the provider's pages."""
        for each in self.granted:
            if each.user is user:
                each.access_is_good = each.refresh_is_good = False
        self.grants = {key: scope for key, scope in self.grants.items() if key[1] != user.id}

    # The page.

    @staticmethod
    async def no_icon(_: web.Request) -> web.Response:
        """Respond without an icon; browsers report one that is not there as an error."""
        return web.Response(status=204)

    async def log_in(self, request: web.Request) -> web.Response:
        """Log a browser in as a user."""
        response = web.Response(text="logged in")
        response.set_cookie("fake_user", request.match_info["name"])
        return response

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the page with the buttons; where the person granted it before, redirect at once."""
        application, user = self._checked(request.query), self._person(request)
        if self.forge.kind in {Kind.GITEA, Kind.FORGEJO} and (application.client_id, user.id) in self.grants:
            return self._allow(request.query, application, user)
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in request.query.items()
        )
        page = (
            f"<!DOCTYPE html><html lang=en><title>Authorize</title><h1>Authorize {html.escape(user.name)}</h1>"
            f"<p>{html.escape(request.query.get('scope', ''))}</p><form method=post>{fields}"
            '<button name="answer" value="allow">Authorize</button> <button name="answer" value="deny">Cancel</button>'
            "</form></html>"
        )
        return web.Response(text=page, content_type="text/html")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Redirect back with a code, or with an error."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        application, user = self._checked(form), self._person(request)
        if form.get("answer") != "allow":
            return self._back(form, error="access_denied", error_description="the request is denied")
        return self._allow(form, application, user)

    def _checked(self, query: Any) -> Application:
        """Return the application; an error is shown to the person, who is not redirected (RFC 6749, 4.1.2.1)."""
        application = self.applications.get(query.get("client_id", ""))
        if application is None:
            raise web.HTTPBadRequest(text="Client ID not registered")
        if query.get("redirect_uri") not in application.redirect_uris:
            raise web.HTTPBadRequest(text="Unregistered Redirect URI")
        return application

    def _person(self, request: web.Request) -> User:
        name = request.cookies.get("fake_user", "")
        user = next((each for each in self.forge.store.users if each.name == name), None)
        if user is None:
            raise web.HTTPUnauthorized(text="sign in first")
        return user

    def _allow(self, form: Any, application: Application, user: User) -> web.StreamResponse:
        scope = form.get("scope", "")
        if form.get("response_type") != "code":
            return self._back(form, error="unsupported_response_type")
        if form.get("code_challenge_method") != "S256" or not form.get("code_challenge"):
            return self._back(form, error="invalid_request", error_description="code_challenge of S256 is missing")
        if not set(scope.split()) <= SCOPES[self.forge.kind]:
            return self._back(form, error="invalid_scope")
        key = (application.client_id, user.id)
        if self.forge.kind in {Kind.GITEA, Kind.FORGEJO} and self.grants.get(key, scope) != scope:
            return self._back(form, error="server_error", error_description="a grant exists with different scope")
        self.grants[key] = scope
        code = Code(
            secrets.token_urlsafe(24),
            application,
            user,
            form["redirect_uri"],
            scope,
            form["code_challenge"],
            time.time() + CODE_SECONDS,
        )
        self.codes[code.text] = code
        return self._back(form, code=code.text)

    @staticmethod
    def _back(form: Any, **answers: str) -> web.StreamResponse:
        query = urlencode({**answers, "state": form.get("state", "")})
        return web.Response(status=303, headers={"Location": f"{form['redirect_uri']}?{query}"})

    # The token endpoint.

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Return tokens for a code or a refresh token."""
        form = await self._form(request)
        self.asked.append(form)
        if self.faults:
            fault = self.faults.pop(0)
            if fault in {"hang", "wait"}:
                await self.forge.released()
            if fault == "hang":
                return web.Response(status=503)
            if fault != "wait":
                return web.Response(status=int(fault), text="<html>later</html>", content_type="text/html")
        try:
            body = self._answer(form)
        except Refusal as refusal:
            error = {"error": refusal.error, "error_description": refusal.description}
            return self._respond(request, error, refusal.status)
        return self._respond(request, body, 200)

    @staticmethod
    async def _form(request: web.Request) -> dict[str, str]:
        if request.content_type == "application/json":
            return {name: str(value) for name, value in json.loads(await request.read()).items()}
        return {name: str(value) for name, value in (await request.post()).items()}

    def _respond(self, request: web.Request, body: dict[str, Any], status: int) -> web.StreamResponse:
        if self.forge.kind is Kind.GITHUB:
            if "json" not in request.headers.get("Accept", ""):
                return web.Response(text=urlencode(body), content_type="application/x-www-form-urlencoded")
            return web.json_response(body)
        return web.json_response(body, status=status)

    def _answer(self, form: dict[str, str]) -> dict[str, Any]:
        github = self.forge.kind is Kind.GITHUB
        application = self.applications.get(form.get("client_id", ""))
        if application is None or form.get("client_secret") != application.client_secret:
            status = 401 if self.forge.kind is Kind.GITLAB else 400
            raise Refusal("incorrect_client_credentials" if github else "invalid_client", "Client unknown", status)
        match form.get("grant_type"):
            case "authorization_code":
                user, scope = self._redeemed(form, application)
            case "refresh_token" if not github:
                user, scope = self._refreshed(form, application)
            case _:
                raise Refusal("unsupported_grant_type", "Only refresh_token or authorization_code is supported")
        return self._grant(application, user, scope)

    def _redeemed(self, form: dict[str, str], application: Application) -> tuple[User, str]:
        gone = "bad_verification_code" if self.forge.kind is Kind.GITHUB else "invalid_grant"
        code = self.codes.get(form.get("code", ""))
        if code is None or code.application is not application or time.time() > code.expires:
            raise Refusal(gone, "The code is unknown or has expired")
        if code.is_used:
            # The tokens of a code that is used twice are revoked (RFC 6749, 4.1.2).
            for each in self.granted:
                if each.user is code.user and each.application is application:
                    each.access_is_good = each.refresh_is_good = False
            raise Refusal(gone, "The code was used")
        if form.get("redirect_uri") != code.redirect_uri:
            raise Refusal(gone, "The redirect_uri differs")
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        if not _VERIFIER.fullmatch(verifier) or digest != code.challenge:
            raise Refusal(gone, "The code_verifier is wrong")
        code.is_used = True
        return code.user, code.scope

    def _refreshed(self, form: dict[str, str], application: Application) -> tuple[User, str]:
        for each in self.granted:
            is_it = each.refresh_token and each.refresh_token == form.get("refresh_token")
            if is_it and each.refresh_is_good and each.application is application:
                return each.user, each.scope
        raise Refusal("invalid_grant", "The refresh token is invalid, expired or revoked")

    def _grant(self, application: Application, user: User, scope: str) -> dict[str, Any]:
        github, gitlab = self.forge.kind is Kind.GITHUB, self.forge.kind is Kind.GITLAB
        for each in self.granted if self.invalidates_refresh_tokens else ():
            if each.user is user and each.application is application and each.scope == scope:
                each.refresh_is_good = False
                each.access_is_good = each.access_is_good and not gitlab
        expires = None if self.access_seconds is None else time.time() + self.access_seconds
        refresh_token = "" if github else f"refresh-{secrets.token_hex(8)}"
        made = Granted(application, user, scope, f"access-{secrets.token_hex(8)}", refresh_token, expires)
        self.granted.append(made)
        body: dict[str, Any] = {"access_token": made.access_token, "token_type": "bearer", "scope": scope}
        if github:
            return {**body, "scope": ",".join(scope.split())}
        body |= {"refresh_token": refresh_token, "expires_in": self.access_seconds}
        return {**body, "token_type": "Bearer", "created_at": int(time.time())} if gitlab else body
