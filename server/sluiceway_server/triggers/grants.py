"""The access tokens of linked accounts: which one is used, refreshed when it expires, and given up when it is refused.

A refresh token is for one use: of two servers that use the same one, the second one loses the grant. So an attempt to
refresh is claimed in the record of the account first, for longer than it can take; others wait for its end. The new
tokens are stored before they are used, also when whoever needed them has gone: the attempt is a task of its own, which
`close` awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    SluicewayError,
    Unavailable,
)
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.api import Caller
from sluiceway_server.forges.errors import ForgeUnavailable, TokenRefused
from sluiceway_server.forges.http import Request
from sluiceway_server.forges.oauth2 import GrantRefused, OAuth2Client, TokenGrant, endpoints_of
from sluiceway_server.forges.responses import Response
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.triggers.records import LINKED_ACCOUNT, REMOTE_SOURCE, account_id
from sluiceway_server.triggers.remote_sources import sealed_name

log = structlog.get_logger(__name__)

_MARGIN: Final = timedelta(minutes=1)
"""An access token that expires sooner is refreshed before it is used."""
_CLAIM: Final = timedelta(minutes=3)
"""Of an attempt to refresh: longer than a call to the provider and the storing of its result, on clocks that differ."""
_STORE_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 100.0
_LOOK_AGAIN_SECONDS: Final = 0.2


class GrantRevoked(TokenRefused):
    """The provider does not accept the authorization of a linked account any more, and the account says so."""


def sealed_token_name(user_id: str, source_id: str) -> str:
    """Return the name under which the access token of a linked account is encrypted."""
    return f"linked_account/{account_id(user_id, source_id)}"


def sealed_refresh_name(user_id: str, source_id: str) -> str:
    """Return the name under which the refresh token of a linked account is encrypted."""
    return f"linked_account/{account_id(user_id, source_id)}/refresh_token"


def put_grant(record: pb.LinkedAccountRecord, grant: TokenGrant, envelope: Envelope, now: datetime) -> None:
    """Put what was granted into the record of an account, and forget what was refused before."""
    user_id, source_id = record.user_id, record.remote_source_id
    record.encrypted_access_token = envelope.seal(sealed_token_name(user_id, source_id), grant.access_token.encode())
    record.encrypted_refresh_token = (
        envelope.seal(sealed_refresh_name(user_id, source_id), grant.refresh_token.encode())
        if grant.refresh_token
        else b""
    )
    record.ClearField("access_token_expire_time")
    if grant.lifetime_seconds is not None:
        record.access_token_expire_time.FromDatetime(now + timedelta(seconds=grant.lifetime_seconds))
    for name in ("refusal", "refresh_id", "refresh_until"):
        record.ClearField(name)


@dataclass(frozen=True, slots=True)
class _State:
    """An account as it is stored, with its access token."""

    record: pb.LinkedAccountRecord
    token: str


class Grants:
    """The tokens of all linked accounts."""

    def __init__(self, database: Database, envelope: Envelope, http: Caller, clock: Clock, *, ids: IdSource) -> None:
        self._database = database
        self._envelope = envelope
        self._http = http
        self._clock = clock
        self._ids = ids
        self._refreshing: dict[str, asyncio.Task[str]] = {}

    def client(self, source_id: str, source: pb.RemoteSourceRecord) -> OAuth2Client:
        """Return this installation as a client of a remote source.

        Raises:
            FailedPrecondition: `OAUTH2_CLIENT_MISSING`: the remote source has no client id; `OAUTH2_URL_UNKNOWN`; or
                the master key is missing.
        """
        if not source.source.oauth2_client_id:
            raise FailedPrecondition(
                f"remote source {source.source.name} has no OAuth 2 client; an operator registers this installation at"
                f" the provider and sets it with: sluice remote-source update {source.source.name}"
                " --oauth2-client-id ID --oauth2-client-secret-file FILE",
                reason="OAUTH2_CLIENT_MISSING",
            )
        sealed = source.encrypted_oauth2_client_secret
        secret = self._envelope.open_(sealed_name(source_id), sealed).decode() if sealed else ""
        endpoints = endpoints_of(source.source.type, source.source.api_url)
        return OAuth2Client(self._http, endpoints, client_id=source.source.oauth2_client_id, client_secret=secret)

    async def token(self, user_id: str, source_id: str, record: pb.LinkedAccountRecord) -> str:
        """Return an access token of a linked account that has not expired; `record`: the account, as just read.

        Raises:
            GrantRevoked: the provider does not accept the authorization any more.
            FailedPrecondition: the master key is missing.
            SluicewayError: the token has expired, and cannot be refreshed now.
        """
        token = self._token_of(record)
        if record.refusal and record.authorized:
            raise GrantRevoked(await self._sentence(record))
        if record.encrypted_refresh_token and _expires_by(record, self._clock.now() + _MARGIN):
            return await self.renewed(user_id, source_id, stale=token)
        return token

    def through(self, record: pb.LinkedAccountRecord, caller: Caller) -> Caller:
        """Return what sends requests with the token of an account, refreshed where the provider refuses it."""
        return _Renewing(self, caller, record)

    async def renewed(self, user_id: str, source_id: str, *, stale: str) -> str:
        """Return another access token than `stale`, which has expired or is refused; refresh it unless that was done.

        Raises:
            GrantRevoked: there is none, and will be none.
            SluicewayError: the provider cannot be asked now.
        """
        key = account_id(user_id, source_id)
        task = self._refreshing.get(key)
        if task is None:
            task = asyncio.create_task(self._renew(user_id, source_id, stale), name="refresh-linked-account")
            self._refreshing[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    async def accepted(self, user_id: str, source_id: str) -> None:
        """Note that the provider accepts the token of an account again, which it had refused."""
        await self._change(user_id, source_id, lambda record: record.ClearField("refusal"))

    async def refused(self, user_id: str, source_id: str, *, token: str, why: str) -> GrantRevoked:
        """Note that the provider refuses the token of an account, unless it has another one; return the error."""

        def note(record: pb.LinkedAccountRecord) -> None:
            if self._token_of(record) == token:
                record.refusal = why

        return GrantRevoked(await self._sentence(await self._change(user_id, source_id, note)))

    async def close(self) -> None:
        """Wait until the attempts to refresh have stored what they got. May be called twice."""
        tasks = list(self._refreshing.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_STORE_SECONDS)

    def _done(self, key: str, task: asyncio.Task[str]) -> None:
        self._refreshing.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; perhaps nobody did

    async def _renew(self, user_id: str, source_id: str, stale: str) -> str:
        try:
            async with time_limit(_WAIT_SECONDS + _CLAIM.total_seconds()):
                while True:
                    await self._database.linearize()
                    state = await self._state(user_id, source_id)
                    if state.token != stale:
                        return state.token
                    if state.record.refusal and state.record.authorized:
                        raise GrantRevoked(await self._sentence(state.record))
                    if not state.record.encrypted_refresh_token:
                        raise await self.refused(user_id, source_id, token=stale, why="the access token was refused")
                    claim = self._ids.new_id()
                    if await self._claim(state.record, claim):
                        return await self._refresh(state.record, claim)
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError as error:
            raise ForgeUnavailable("another server refreshes the access token, and does not end") from error

    async def _claim(self, seen: pb.LinkedAccountRecord, claim: str) -> bool:
        """Claim the next use of the refresh token that was seen; return whether it succeeded."""
        key, now = account_id(seen.user_id, seen.remote_source_id), self._clock.now()

        def take(view: View) -> Decision[bool]:
            stored = view.get(LINKED_ACCOUNT, key)
            if stored is None or stored.encrypted_refresh_token != seen.encrypted_refresh_token:
                return Decision(False)
            if stored.refresh_id and now < stored.refresh_until.ToDatetime(tzinfo=UTC):
                return Decision(stored.refresh_id == claim)
            changed = _copy(stored)
            changed.refresh_id = claim
            changed.refresh_until.FromDatetime(now + _CLAIM)
            return Decision(True, [Put(LINKED_ACCOUNT, key, changed)])

        return (await self._database.transact(take)).value

    async def _refresh(self, record: pb.LinkedAccountRecord, claim: str) -> str:
        user_id, source_id = record.user_id, record.remote_source_id
        try:
            client = self.client(source_id, await self._source(source_id))
            sealed = await self._envelope.opened(
                sealed_refresh_name(user_id, source_id), record.encrypted_refresh_token
            )
            grant = await client.refresh(sealed.decode())
        except GrantRefused as refused:

            def revoke(stored: pb.LinkedAccountRecord) -> None:
                if stored.refresh_id == claim:
                    stored.refusal = "it was revoked there, or has expired"
                    _end_claim(stored)

            changed = await self._kept(lambda: self._change(user_id, source_id, revoke))
            log.warning("linked_account_refused", user=user_id, remote_source=source_id)
            raise GrantRevoked(await self._sentence(changed)) from refused
        except SluicewayError:
            await self._kept(lambda: self._change(user_id, source_id, lambda stored: _end_claim(stored, claim)))
            raise
        now = self._clock.now()

        def store(stored: pb.LinkedAccountRecord) -> None:
            # Unless the account was linked again meanwhile.
            if stored.refresh_id == claim:
                put_grant(stored, grant, self._envelope, now)

        stored = await self._kept(lambda: self._change(user_id, source_id, store))
        log.info("linked_account_refreshed", user=user_id, remote_source=source_id)
        return self._token_of(stored)

    async def _kept(self, write: Callable[[], Awaitable[pb.LinkedAccountRecord]]) -> pb.LinkedAccountRecord:
        """Store what the provider returned only once, however often it takes. The write has no effect twice."""
        attempt = 1
        async with time_limit(_STORE_SECONDS):
            while True:
                try:
                    return await write()
                except (Unavailable, Conflict, DeadlineExceeded) as error:
                    log.warning("linked_account_not_stored", error=str(error), attempt=attempt)
                    await asyncio.sleep(backoff_seconds(attempt, first=0.1, limit=2.0))
                    attempt += 1

    async def _change(
        self, user_id: str, source_id: str, change: Callable[[pb.LinkedAccountRecord], None]
    ) -> pb.LinkedAccountRecord:
        key = account_id(user_id, source_id)

        def function(view: View) -> Decision[pb.LinkedAccountRecord]:
            stored = view.get(LINKED_ACCOUNT, key)
            if stored is None:
                return Decision(pb.LinkedAccountRecord(user_id=user_id, remote_source_id=source_id))
            changed = _copy(stored)
            change(changed)
            return Decision(changed, [Put(LINKED_ACCOUNT, key, changed)] if changed != stored else [])

        return (await self._database.transact(function)).value

    async def _state(self, user_id: str, source_id: str) -> _State:
        record = await self._database.read(lambda view: view.get(LINKED_ACCOUNT, account_id(user_id, source_id)))
        if record is None or not record.encrypted_access_token:
            raise FailedPrecondition(
                f"the linked account of user {user_id} is for logins only, or is gone; link it for repositories",
                reason="LINKED_ACCOUNT_MISSING",
                subject=user_id,
            )
        return _State(record, self._token_of(record))

    def _token_of(self, record: pb.LinkedAccountRecord) -> str:
        if not record.encrypted_access_token:
            return ""
        name = sealed_token_name(record.user_id, record.remote_source_id)
        return self._envelope.open_(name, record.encrypted_access_token).decode()

    async def _source(self, source_id: str) -> pb.RemoteSourceRecord:
        source = await self._database.read(lambda view: view.get(REMOTE_SOURCE, source_id))
        return pb.RemoteSourceRecord() if source is None else source

    async def _sentence(self, record: pb.LinkedAccountRecord) -> str:
        return problem_of(record, (await self._source(record.remote_source_id)).source.name)


class _Renewing:
    """Sends requests with the token of an account, and once more with another one if the provider refuses it.

    A refused request had no effect, so each may be sent again.
    """

    def __init__(self, grants: Grants, inner: Caller, record: pb.LinkedAccountRecord) -> None:
        self._grants = grants
        self._inner = inner
        self._user_id = record.user_id
        self._source_id = record.remote_source_id
        # A token that was made by hand is tried again: the provider may have refused it by mistake.
        self._was_refused = bool(record.refusal)
        # By the token that a request was made with.
        self._renewed: dict[str, str] = {}

    async def call(self, request: Request) -> Response:
        scheme, _, given = request.credentials.get("Authorization", "").partition(" ")
        token = self._renewed.get(given, given)
        try:
            response = await self._inner.call(_with_token(request, scheme, token))
        except TokenRefused:
            renewed = await self._grants.renewed(self._user_id, self._source_id, stale=token)
        else:
            if self._was_refused:
                self._was_refused = False
                await self._grants.accepted(self._user_id, self._source_id)
            return response
        self._renewed[given] = renewed
        try:
            return await self._inner.call(_with_token(request, scheme, renewed))
        except TokenRefused as refused:
            why = "the new access token was refused too"
            raise await self._grants.refused(self._user_id, self._source_id, token=renewed, why=why) from refused


def problem_of(record: pb.LinkedAccountRecord, source_name: str) -> str:
    """Return why the server cannot act with an account, and what to do, in a sentence; empty: it can."""
    if not record.refusal and record.encrypted_access_token:
        return ""
    account = f"account {record.remote_name or 'that was removed'} at {source_name}"
    if not record.encrypted_access_token:
        return f"the {account} is linked for logins only; link it once more to use its repositories"
    if record.authorized:
        return f"{source_name} does not accept the authorization of the {account}: {record.refusal}; link it again"
    return (
        f"{source_name} does not accept the access token of the {account}: {record.refusal}; make another one there,"
        " and link it again"
    )


def _with_token(request: Request, scheme: str, token: str) -> Request:
    return replace(request, credentials={**request.credentials, "Authorization": f"{scheme} {token}"})


def _end_claim(record: pb.LinkedAccountRecord, claim: str = "") -> None:
    if not claim or record.refresh_id == claim:
        record.ClearField("refresh_id")
        record.ClearField("refresh_until")


def _expires_by(record: pb.LinkedAccountRecord, time: datetime) -> bool:
    if not record.HasField("access_token_expire_time"):
        return False
    return record.access_token_expire_time.ToDatetime(tzinfo=UTC) <= time


def _copy(record: pb.LinkedAccountRecord) -> pb.LinkedAccountRecord:
    copied = pb.LinkedAccountRecord()
    copied.CopyFrom(record)
    return copied
