"""Requests of browsers: log in, log out, and calls with the cookie of a session.

A request with an `authorization` header has nothing to do with sessions. Any other one is made with the token of its
session, if these hold; together they refuse what another site makes a browser send:

- The cookie is `SameSite=Strict`, and HttpOnly.
- The request is of this origin, by the browser's own `sec-fetch-site`. Another port is another origin.
- A request that may change something repeats the CSRF token of its session in `x-csrf-token`. Only a script of this
  origin can read it.

The cookie is `__Host-sluice-session`, or `sluice-session-PORT` on plain HTTP of loopback: see `cookies`.
"""

from __future__ import annotations

import hmac
import json
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from sluiceway_common.foundation.errors import InvalidInput, PermissionDenied, Unauthenticated
from sluiceway_server.gateway.calls import position_cookie
from sluiceway_server.gateway.cookies import cookie, cookie_names, new_cookie_name
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.logins import Logins
from sluiceway_server.gateway.sessions import Session, Sessions

__all__ = ["SESSION_COOKIE", "SESSION_PATH", "Browsers", "check_origin", "json_body"]

SESSION_PATH = "/session"
SESSION_COOKIE = "sluice-session"

_MAX_TOKEN_CHARACTERS = 1000
_TOKEN = re.compile(r"[!-~]+")
_CREDENTIALS = ({"token"}, {"userName", "password"})
_READS = frozenset({"GET", "HEAD"})
# What the browser says of a request of a page of ours, and of an address that its user typed.
_OURS = "same-origin"
_TYPED = "none"


class Browsers:
    """Sessions over HTTP."""

    def __init__(self, sessions: Sessions, logins: Logins) -> None:
        """Use the sessions of all gateways with the same key, and what checks logins."""
        self._sessions = sessions
        self._logins = logins

    def admit(self, exchange: Exchange) -> None:
        """Add the token of the session to a request of a browser; leave other requests unchanged.

        Raises:
            PermissionDenied: it has a session, and comes from another site or lacks the CSRF token.
        """
        if exchange.header("authorization"):
            return
        session = self._session(exchange)
        if session is not None:
            check_origin(exchange)
            _check_csrf_token(exchange, session)
            exchange.session_token = session.token

    async def serve(self, exchange: Exchange) -> None:
        """Serve `/session`: POST logs in, GET shows the session (204: none), DELETE logs out.

        Raises:
            SluicewayError, AioRpcError: it cannot be done.
        """
        if exchange.method == "POST":
            await self._log_in(exchange)
            return
        session = self._session(exchange)
        if session is None:
            await exchange.respond(204)
            return
        check_origin(exchange)
        if exchange.method in _READS:
            await exchange.respond_json(200, _shown(session))
            return
        _check_csrf_token(exchange, session)
        await self._logins.end(session.token, exchange.request_id)
        name = next(name for name in cookie_names(exchange, SESSION_COOKIE) if exchange.cookie(name))
        exchange.set_cookies.append(cookie(name, "", 0))
        await exchange.respond(204)

    def begin(self, exchange: Exchange, name: str, token: str, expires: datetime | None = None) -> Session:
        """Begin a session with a token that the server made for it, in a cookie with a name.

        `expires`: when the token does; None: not before the longest session ends.
        """
        session = self._sessions.begin(token, expires)
        seconds = round(self._sessions.lasts(session).total_seconds())
        exchange.set_cookies.append(cookie(name, self._sessions.seal(session), seconds))
        return session

    def next_end(self) -> datetime:
        """Return when a session ends that begins now."""
        return self._sessions.next_end()

    async def _log_in(self, exchange: Exchange) -> None:
        check_origin(exchange)
        name = new_cookie_name(exchange, SESSION_COOKIE)
        given = _credentials(exchange, await exchange.body())
        until, request_id = self._sessions.next_end(), exchange.request_id
        if "token" in given:
            login = await self._logins.with_token(_checked_token(given["token"]), until, request_id)
        else:
            login = await self._logins.with_password(given["userName"], given["password"], until, request_id)
        session = self.begin(exchange, name, login.token, login.expires)
        if login.position:
            exchange.set_cookies.append(position_cookie(login.position))
        await exchange.respond_json(200, _shown(session))

    def _session(self, exchange: Exchange) -> Session | None:
        for name in cookie_names(exchange, SESSION_COOKIE):
            value = exchange.cookie(name)
            if value:
                return self._sessions.open(value)
        return None


def _shown(session: Session) -> dict[str, str]:
    expires = session.expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"csrfToken": session.csrf_token, "expireTime": expires}


def json_body(exchange: Exchange, body: bytes) -> object:
    """Return the JSON of a body; None if it is none.

    Raises:
        InvalidInput: it is of another type. A form of another site cannot send this one.
    """
    if exchange.header("content-type").partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput("the body must be application/json", reason="UNSUPPORTED_MEDIA_TYPE")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _credentials(exchange: Exchange, body: bytes) -> dict[str, str]:
    given = json_body(exchange, body)
    if (
        not isinstance(given, dict)
        or given.keys() not in _CREDENTIALS
        or not all(isinstance(value, str) for value in given.values())
    ):
        raise _not_credentials()
    return given


def _not_credentials() -> InvalidInput:
    return InvalidInput(
        'the body must be {"token": "..."} or {"userName": "...", "password": "..."}', reason="LOGIN_MALFORMED"
    )


def _checked_token(text: str) -> str:
    token = text.strip()
    if not _TOKEN.fullmatch(token) or len(token) > _MAX_TOKEN_CHARACTERS:
        raise Unauthenticated("this is not a token; `sluice token create` makes one", reason="CREDENTIALS_INVALID")
    return token


def check_origin(exchange: Exchange) -> None:
    """Check that a request comes from a page of ours.

    Raises:
        PermissionDenied: `CROSS_SITE_REQUEST`.
    """
    said = exchange.header("sec-fetch-site")
    if said:
        is_ours = said == _OURS or (said == _TYPED and exchange.method in _READS)
    else:
        # Browsers send it to HTTPS and to loopback; older ones send `origin` with what may change something.
        origin = exchange.header("origin")
        is_ours = urlsplit(origin).netloc == exchange.header("host") if origin else exchange.method in _READS
    if not is_ours:
        raise PermissionDenied(
            "this request comes from another site, or not from a browser; programs send `authorization: Bearer TOKEN`",
            reason="CROSS_SITE_REQUEST",
        )


def _check_csrf_token(exchange: Exchange, session: Session) -> None:
    given = exchange.header("x-csrf-token").encode()
    if exchange.method not in _READS and not hmac.compare_digest(given, session.csrf_token.encode()):
        raise PermissionDenied(
            "the header x-csrf-token is not that of the session; load the page again", reason="CSRF_TOKEN_INVALID"
        )
