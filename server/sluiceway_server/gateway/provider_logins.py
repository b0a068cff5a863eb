"""Logins with a git provider, and links of accounts there, for browsers (`LoginService`).

`POST /oauth2/begin` of a page returns the URL at the provider, and sets a cookie with the authorization. The provider
sends the browser back to `GET /oauth2/callback`, which completes it, and redirects to a page: with a new session, or
with the reason of the failure (`?error=REASON`), never with a text that a link could have brought.

The cookie binds the authorization to the browser. It is `SameSite=Lax`: the way back begins at another site, so that
the browser would not send a strict one. Its name has the beginning of the `state`, so that several tabs do not disturb
each other. Only pages of ours can have it set.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import grpc.aio
import structlog

from sluiceway.api.project.v1 import login_service_pb2 as pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_common.foundation.rpc.admission import AUTHORIZATION_KEY
from sluiceway_common.foundation.rpc.caller import FORWARDED_KEY, POSITION_KEY
from sluiceway_server.gateway.browsers import SESSION_COOKIE, Browsers, check_origin, json_body
from sluiceway_server.gateway.calls import position_cookie
from sluiceway_server.gateway.cookies import cookie, cookie_names, new_cookie_name
from sluiceway_server.gateway.errors import reason_of, status_from_rpc
from sluiceway_server.gateway.exchange import Exchange

log = structlog.get_logger(__name__)

BEGIN_PATH: Final = "/oauth2/begin"
CALLBACK_PATH: Final = "/oauth2/callback"
_COOKIE: Final = "sluice-oauth2"
# As long as the server keeps an authorization.
_SECONDS: Final = 600
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{20,100}")
_STATE_IN_NAME: Final = 16
_MOST_NEXT: Final = 1000
_ANSWERS: Final = frozenset({"state", "code", "error", "error_description"})
_LOGIN_PAGE: Final = "/login"
_LINK_PAGE: Final = "/account"


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the cookie keeps: whether an account is linked, the path to go to afterwards, and the flow of the server."""

    links: bool
    next: str
    flow: str

    def text(self) -> str:
        content = json.dumps([self.links, self.next, self.flow]).encode()
        return base64.urlsafe_b64encode(content).decode().rstrip("=")


class ProviderLogins:
    """Begins and completes authorizations of browsers."""

    def __init__(self, channel: grpc.aio.Channel, browsers: Browsers, *, server: str, timeout: float) -> None:
        """Use a channel to the server at an address, with a deadline for each call in seconds."""
        self._stub: Any = pb_grpc.LoginServiceStub(channel)
        self._browsers = browsers
        self._server = server
        self._timeout = timeout

    async def begin(self, exchange: Exchange) -> None:
        """Serve `POST /oauth2/begin` with `{"remoteSource", "next", "link"}`: respond with `{"url"}`.

        Raises:
            SluicewayError, AioRpcError: it cannot be begun.
        """
        check_origin(exchange)
        name = new_cookie_name(exchange, _COOKIE)
        source, next_, links = _wanted(json_body(exchange, await exchange.body()))
        if links:
            self._browsers.admit(exchange)
            link = pb.BeginLinkRequest(remote_source_id=source)
            answer = await self._stub.BeginLink(link, metadata=_metadata(exchange), timeout=self._timeout)
        else:
            login = pb.BeginLoginRequest(remote_source_id=source)
            answer = await self._stub.BeginLogin(login, metadata=_metadata(exchange), timeout=self._timeout)
        authorization = answer.authorization
        _check_address(exchange, authorization.redirect_uri)
        begun = _Begun(links, next_, authorization.flow)
        exchange.set_cookies.append(
            cookie(_of_state(name, authorization.state), begun.text(), _SECONDS, same_site="Lax")
        )
        await exchange.respond_json(200, {"url": authorization.url})

    async def complete(self, exchange: Exchange) -> None:
        """Serve `GET /oauth2/callback`: redirect to a page, whatever came."""
        answers = _answers(exchange.query)
        name, begun = _begun(exchange, answers.get("state", ""))
        if begun is None:
            await _redirect(exchange, _failed(_LOGIN_PAGE, "OAUTH2_STATE_INVALID"))
            return
        exchange.set_cookies.append(cookie(name, "", 0, same_site="Lax"))
        page = _LINK_PAGE if begun.links else _LOGIN_PAGE
        request = pb.CompleteAuthorizationRequest(flow=begun.flow)
        for field, value in answers.items():
            setattr(request, field, value)
        request.expire_time.FromDatetime(self._browsers.next_end())
        try:
            call = self._stub.CompleteAuthorization(request, metadata=_metadata(exchange), timeout=self._timeout)
            answer = await call
        except grpc.aio.AioRpcError as error:
            status = status_from_rpc(error, self._server)
            reason = reason_of(status) or error.code().name
            log.info("authorization_failed", reason=reason, message=status.message)
            await _redirect(exchange, _failed(page, reason, begun.next))
            return
        if answer.token:
            session_name = name.removesuffix(_ending(answers["state"])).replace(_COOKIE, SESSION_COOKIE)
            self._browsers.begin(exchange, session_name, answer.token)
            trailers = await call.trailing_metadata()
            position = next((str(value) for key, value in trailers or () if key == POSITION_KEY), "")
            if position:
                exchange.set_cookies.append(position_cookie(position))
        await _redirect(exchange, begun.next)


def local_path(text: str, otherwise: str) -> str:
    """Return a path of this site, or `otherwise` for anything else: a login must not lead to another site."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) <= _MOST_NEXT
    return text if is_local and text.isascii() and not re.search(r"[\x00-\x20\\\x7f]", text) else otherwise


def _wanted(body: object) -> tuple[str, str, bool]:
    if (
        not isinstance(body, dict)
        or not body.keys() <= {"remoteSource", "next", "link"}
        or not isinstance(source := body.get("remoteSource"), str)
        or not isinstance(next_ := body.get("next", ""), str)
        or not isinstance(links := body.get("link", False), bool)
    ):
        raise InvalidInput(
            'the body must be {"remoteSource": "...", "next": "/...", "link": false}', reason="LOGIN_MALFORMED"
        )
    return source, local_path(next_, _LINK_PAGE if links else "/runs"), links


def _check_address(exchange: Exchange, redirect_uri: str) -> None:
    """Check that the provider will send the browser back to where its cookie is."""
    there, here = urlsplit(redirect_uri), urlsplit(exchange.header("origin"))
    if (there.scheme, there.netloc.lower()) != (here.scheme, here.netloc.lower()):
        address = f"{there.scheme}://{there.netloc}"
        raise FailedPrecondition(
            f"git providers send browsers back to {address}, and this page is at another address; open {address}/login",
            reason="OAUTH2_OTHER_ADDRESS",
        )


def _answers(query: str) -> dict[str, str]:
    """Return what the provider sent; nothing if it sent a parameter twice, or one that is not UTF-8."""
    try:
        pairs = [(name, value) for name, value in parse_qsl(query, errors="strict") if name in _ANSWERS]
    except ValueError:
        return {}
    answers = dict(pairs)
    return answers if len(answers) == len(pairs) else {}


def _begun(exchange: Exchange, state: str) -> tuple[str, _Begun | None]:
    """Return the cookie of a state, and what it keeps; None: this browser has none."""
    if not _STATE.fullmatch(state):
        return "", None
    for base in cookie_names(exchange, _COOKIE):
        name = _of_state(base, state)
        value = exchange.cookie(name)
        try:
            links, next_, flow = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        except (ValueError, TypeError, binascii.Error):
            continue
        if isinstance(links, bool) and isinstance(next_, str) and isinstance(flow, str):
            return name, _Begun(links, local_path(next_, "/runs"), flow)
    return "", None


def _of_state(base: str, state: str) -> str:
    return base + _ending(state)


def _ending(state: str) -> str:
    return f"-{state[:_STATE_IN_NAME]}"


def _failed(page: str, reason: str, next_: str = "") -> str:
    query = {"error": reason, **({"next": next_} if next_ and page == _LOGIN_PAGE else {})}
    return f"{page}?{urlencode(query)}"


async def _redirect(exchange: Exchange, path: str) -> None:
    await exchange.respond(303, headers={"location": path})


def _metadata(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    metadata = [("x-request-id", exchange.request_id)]
    if exchange.client_address:
        metadata.append((FORWARDED_KEY, exchange.client_address))
    if exchange.session_token:
        metadata.append((AUTHORIZATION_KEY, f"Bearer {exchange.session_token}"))
    return tuple(metadata)
