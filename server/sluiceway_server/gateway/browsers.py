"""Requests of browsers: log in, log out, and calls with the cookie of a session.

A request with an `authorization` header has nothing to do with sessions. Any other one is made with the token of its
session, if these hold; together they refuse what another site makes a browser send:

- The cookie is `SameSite=Strict`, and HttpOnly.
- The request is of this origin, by the browser's own `sec-fetch-site`. Another port is another origin.
- A request that may change something repeats the CSRF token of its session in `x-csrf-token`. Only a script of this
  origin can read it.

The cookie has the prefix `__Host-`, with which browsers take it over HTTPS only, and no other host can set it. On plain
HTTP there is no session, but on loopback, where browsers differ in whether they take `__Host-`: there the name is
`sluice-session-PORT`, since ports share their cookies.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from datetime import UTC
from urllib.parse import urlsplit

from sluiceway_common.foundation.errors import InvalidInput, PermissionDenied, Unauthenticated
from sluiceway_server.gateway.calls import position_cookie
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.logins import Logins
from sluiceway_server.gateway.sessions import SESSION_LIFETIME, Session, Sessions

__all__ = ["SESSION_PATH", "Browsers"]

SESSION_PATH = "/session"

_SECURE_NAME = "__Host-sluice-session"
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
            _check_origin(exchange)
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
        _check_origin(exchange)
        if exchange.method in _READS:
            await exchange.respond_json(200, _shown(session))
            return
        _check_csrf_token(exchange, session)
        self._sessions.end(session)
        name = next(name for name in _cookie_names(exchange) if exchange.cookie(name))
        exchange.set_cookies.append(_cookie(name, "", 0))
        await exchange.respond(204)

    async def _log_in(self, exchange: Exchange) -> None:
        _check_origin(exchange)
        name = _new_cookie_name(exchange)
        given = _credentials(exchange, await exchange.body())
        if "token" in given:
            login = await self._logins.with_token(_checked_token(given["token"]), exchange.request_id)
        else:
            login = await self._logins.with_password(
                given["userName"], given["password"], self._sessions.next_end(), exchange.request_id
            )
        session = self._sessions.begin(login.token)
        exchange.set_cookies.append(_cookie(name, self._sessions.seal(session), int(SESSION_LIFETIME.total_seconds())))
        if login.position:
            exchange.set_cookies.append(position_cookie(login.position))
        await exchange.respond_json(200, _shown(session))

    def _session(self, exchange: Exchange) -> Session | None:
        for name in _cookie_names(exchange):
            value = exchange.cookie(name)
            if value:
                return self._sessions.open(value)
        return None


def _shown(session: Session) -> dict[str, str]:
    expires = session.expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"csrfToken": session.csrf_token, "expireTime": expires}


def _credentials(exchange: Exchange, body: bytes) -> dict[str, str]:
    # A form of another site cannot send this type.
    if exchange.header("content-type").partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput("the body must be application/json", reason="UNSUPPORTED_MEDIA_TYPE")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_credentials() from error
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


def _check_origin(exchange: Exchange) -> None:
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


def _new_cookie_name(exchange: Exchange) -> str:
    origin = urlsplit(exchange.header("origin"))
    if origin.scheme == "https":
        return _SECURE_NAME
    names = _cookie_names(exchange)
    if origin.scheme != "http" or len(names) == 1 or not _is_loopback(origin.hostname or ""):
        raise PermissionDenied(
            "a browser logs in over https, or on the gateway's own machine; put a proxy with TLS in front of it",
            reason="SESSION_NEEDS_HTTPS",
        )
    return names[0]


def _cookie_names(exchange: Exchange) -> tuple[str, ...]:
    """Return the names that the cookie can have at the host of a request, that of a new one on loopback first."""
    try:
        host = urlsplit(f"//{exchange.header('host')}")
        port = host.port or 80
    except ValueError:
        return (_SECURE_NAME,)
    return (f"sluice-session-{port}", _SECURE_NAME) if _is_loopback(host.hostname or "") else (_SECURE_NAME,)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cookie(name: str, value: str, max_age: int) -> str:
    secure = "; Secure" if name == _SECURE_NAME else ""
    return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}"
