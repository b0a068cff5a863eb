"""The servicer of `LoginService`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import login_service_pb2 as api
from sluiceway.api.project.v1 import login_service_pb2_grpc as api_grpc
from sluiceway.api.project.v1 import user_service_pb2 as user_api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import (
    ALL_SCOPES,
    Caller,
    CallerKind,
    as_caller,
    current_caller,
    current_origin,
    set_response_position,
)
from sluiceway_common.foundation.texts import shown
from sluiceway_server.datamanager.model import Action, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import TokenRefused
from sluiceway_server.forges.oauth2 import OAuth2Refused, TokenGrant, authorization_url, endpoints_of
from sluiceway_server.forges.port import ForgeUser
from sluiceway_server.logins.devices import DeviceLogins
from sluiceway_server.logins.flows import Flow, StateInvalid, new_flow, open_flow, seal
from sluiceway_server.logins.identities import account_of, free_name, is_authorized_by_another, new_user
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, etag_of
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.login_tokens import login_expiry, login_token
from sluiceway_server.projects.records import USED_AUTHORIZATION, USER
from sluiceway_server.projects.tokens import new_text
from sluiceway_server.triggers.grants import Grants, put_grant
from sluiceway_server.triggers.linked_accounts import linked_once_more, shown_account
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import LINKED_ACCOUNT, REMOTE_SOURCE, account_id
from sluiceway_server.triggers.remote_sources import find_source

CALLBACK_PATH = "/oauth2/callback"
_DENIED = frozenset({"access_denied"})


@dataclass(frozen=True, slots=True)
class _Authorized:
    """What a provider said of an authorization.

    Attributes:
        flow: the authorization.
        source: the remote source.
        account: whose it is.
        grant: the tokens.
        for_repositories: whether the access token has the scopes to work on repositories.
    """

    flow: Flow
    source: pb.RemoteSourceRecord
    account: ForgeUser
    grant: TokenGrant
    for_repositories: bool


@dataclass(frozen=True, slots=True)
class _Completed:
    user_id: str
    user: project_pb.User
    account: pb.LinkedAccountRecord
    registered: bool = False


class LoginServicer(api_grpc.LoginServiceServicer):
    """Implements `LoginService`."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        grants: Grants,
        envelope: Envelope,
        clock: Clock,
        *,
        ids: IdSource,
        public_url: str,
    ) -> None:
        """Offer logins.

        Args:
            database: where users and accounts are stored.
            providers: the git providers.
            grants: this installation as their client.
            envelope: encrypts authorizations that were begun.
            clock: for their expiry.
            ids: for users and accounts.
            public_url: of the gateway; empty: it is not known, and nobody can log in this way.
        """
        self._database = database
        self._providers = providers
        self._grants = grants
        self._envelope = envelope
        self._clock = clock
        self._ids = ids
        self._public_url = public_url
        self._changes = Changes(database, clock=clock, ids=ids)
        self._devices = DeviceLogins(database, clock, ids=ids)

    async def ListLoginSources(
        self, request: api.ListLoginSourcesRequest, context: Any
    ) -> api.ListLoginSourcesResponse:
        def read(view: View) -> api.ListLoginSourcesResponse:
            sources = [
                api.LoginSource(id=id_, name=record.source.name, type=record.source.type)
                for id_, record in view.scan(REMOTE_SOURCE)
                if record.source.login_allowed and self._public_url
            ]
            sources.sort(key=lambda each: each.name)
            has_passwords = view.count(USER, {"has_password": 1}, limit=1) > 0
            return api.ListLoginSourcesResponse(login_sources=sources, has_passwords=has_passwords)

        return await self._database.read(read)

    async def BeginLogin(self, request: api.BeginLoginRequest, context: Any) -> api.BeginLoginResponse:
        source_id, source = await self._source(request.remote_source_id)
        _check_login(source)
        return api.BeginLoginResponse(authorization=self._begin(source_id, source, user_id=""))

    async def BeginLink(self, request: api.BeginLinkRequest, context: Any) -> api.BeginLinkResponse:
        source_id, source = await self._source(request.remote_source_id)
        authorization = self._begin(source_id, source, user_id=current_caller().id)
        return api.BeginLinkResponse(authorization=authorization)

    async def CompleteAuthorization(
        self, request: api.CompleteAuthorizationRequest, context: Any
    ) -> api.CompleteAuthorizationResponse:
        now = self._clock.now()
        expire = login_expiry(request.expire_time if request.HasField("expire_time") else None, now)
        flow = open_flow(request.flow, request.state, self._envelope, now)
        if request.error or not request.code:
            raise _refusal(request)
        authorized = await self._authorized(flow, request.code)
        if flow.user_id:
            return await self._link(authorized)
        return await self._log_in(authorized, expire)

    # -- programs

    async def BeginDeviceLogin(
        self, request: api.BeginDeviceLoginRequest, context: Any
    ) -> api.BeginDeviceLoginResponse:
        if not self._public_url:
            raise _no_public_url("nobody can confirm a login in a browser")
        return await self._devices.begin(request.client_name, self._public_url)

    async def GetDeviceLogin(self, request: api.GetDeviceLoginRequest, context: Any) -> api.GetDeviceLoginResponse:
        return api.GetDeviceLoginResponse(device_login=await self._devices.get(request.user_code))

    async def AnswerDeviceLogin(
        self, request: api.AnswerDeviceLoginRequest, context: Any
    ) -> api.AnswerDeviceLoginResponse:
        await self._devices.answer(request.user_code, confirmed=request.confirmed)
        return api.AnswerDeviceLoginResponse()

    async def RedeemDeviceLogin(
        self, request: api.RedeemDeviceLoginRequest, context: Any
    ) -> api.RedeemDeviceLoginResponse:
        expire = login_expiry(request.expire_time if request.HasField("expire_time") else None, self._clock.now())
        redeemed = await self._devices.redeem(request.device_code, expire)
        if redeemed is None:
            return api.RedeemDeviceLoginResponse()
        text, user_id = redeemed
        user = await self._database.read(lambda view: view.get(USER, user_id))
        shown_user = _user(user_id, project_pb.User(name=user_id) if user is None else user)
        return api.RedeemDeviceLoginResponse(token=text, user=shown_user)

    async def LogOut(self, request: api.LogOutRequest, context: Any) -> api.LogOutResponse:
        await self._devices.log_out(request.token)
        return api.LogOutResponse()

    # -- what begins

    async def _source(self, reference: str) -> tuple[str, pb.RemoteSourceRecord]:
        try:
            return await self._database.read(lambda view: find_source(view, reference))
        except NotFound:
            await self._database.linearize()
            return await self._database.read(lambda view: find_source(view, reference))

    def _begin(self, source_id: str, source: pb.RemoteSourceRecord, *, user_id: str) -> api.Authorization:
        self._grants.client(source_id, source)  # refuses what cannot be completed
        endpoints = endpoints_of(source.source.type, source.source.api_url)
        flow = new_flow(source_id, user_id, self._clock.now())
        url = authorization_url(
            endpoints,
            client_id=source.source.oauth2_client_id,
            redirect_uri=self._redirect_uri,
            scopes=endpoints.link_scopes if user_id else endpoints.login_scopes,
            state=flow.state,
            verifier=flow.verifier,
        )
        return api.Authorization(
            url=url, flow=seal(flow, self._envelope), state=flow.state, redirect_uri=self._redirect_uri
        )

    @property
    def _redirect_uri(self) -> str:
        if not self._public_url:
            raise _no_public_url("git providers cannot send browsers back to this installation")
        return self._public_url + CALLBACK_PATH

    # -- what completes

    async def _authorized(self, flow: Flow, code: str) -> _Authorized:
        await self._database.linearize()
        source_id, source = await self._database.read(lambda view: find_source(view, flow.source_id))
        if await self._database.read(lambda view: view.get(USED_AUTHORIZATION, flow.id)) is not None:
            raise StateInvalid
        if not flow.user_id:
            _check_login(source)
        client = self._grants.client(source_id, source)
        grant = await client.exchange(code, verifier=flow.verifier, redirect_uri=self._redirect_uri)
        try:
            account = await self._providers.forge(source).user(grant.access_token)
        except TokenRefused as refused:
            raise OAuth2Refused(
                f"{source.source.name} does not accept the access token that it granted; check the URL of its API"
            ) from refused
        endpoints = endpoints_of(source.source.type, source.source.api_url)
        for_repositories = bool(flow.user_id) or endpoints.login_scopes == endpoints.link_scopes
        return _Authorized(flow, source, account, grant, for_repositories)

    async def _link(self, done: _Authorized) -> api.CompleteAuthorizationResponse:
        user_id, source_id = done.flow.user_id, done.flow.source_id

        def link(view: View, now: datetime) -> Change[_Completed]:
            _check_unused(view, done.flow)
            find_source(view, source_id)
            user = view.get(USER, user_id)
            if user is None:
                raise NotFound("the user was deleted", resource_type="user", resource_name=user_id)
            if is_authorized_by_another(view, source_id, done.account.id, user_id):
                raise AlreadyExists(
                    f"another user has linked the account {done.account.name} at {done.source.source.name}",
                    reason="LINKED_ACCOUNT_TAKEN",
                    resource_type="linked account",
                    resource_name=done.account.name,
                )
            stored = view.get(LINKED_ACCOUNT, account_id(user_id, source_id))
            record = linked_once_more(stored, self._account(done, user_id, now), done.source.source.name)
            subject = _subject(record, user.name, done.source.source.name)
            return Change(_Completed(user_id, user, record), subject, [*_used(done.flow, now), _put(record)])

        with as_caller(Caller(CallerKind.USER, user_id), origin=current_origin()):
            committed = await self._changes.commit("CompleteAuthorization", link)
        set_response_position(str(committed.position))
        return await self._response(committed.value, done)

    async def _log_in(self, done: _Authorized, expire: datetime) -> api.CompleteAuthorizationResponse:
        source_id, text = done.flow.source_id, new_text()
        known = await self._database.read(lambda view: account_of(view, source_id, done.account.id))
        if known is None and not done.source.source.registration_allowed:
            raise _unknown(done)
        user_id = self._ids.new_id() if known is None else known.user_id

        def log_in(view: View, now: datetime) -> Change[_Completed]:
            _check_unused(view, done.flow)
            _, source = find_source(view, source_id)
            _check_login(source)
            stored = account_of(view, source_id, done.account.id)
            if (stored is None) != (known is None) or (stored is not None and stored.user_id != user_id):
                raise Conflict("the account was linked or removed in the meantime; log in once more")
            actions: list[Action] = list(_used(done.flow, now))
            if stored is None:
                if not source.source.registration_allowed:
                    raise _unknown(done)
                user = new_user(free_name(view, done.account.name, done.account.id), now)
                actions.append(Put(USER, user_id, user))
            else:
                found = view.get(USER, user_id)
                if found is None:
                    raise _unknown(done)
                if found.disabled:
                    raise Unauthenticated(f"user {found.name!r} is disabled; ask an operator", reason="USER_DISABLED")
                user = found
            record = self._after_login(done, stored, user_id, now)
            actions.append(_put(record))
            actions.append(login_token(text, user_id, operator=user.operator, now=now, expire=expire))
            subject = _subject(record, user.name, source.source.name)
            return Change(_Completed(user_id, user, record, stored is None), subject, actions)

        caller = Caller(CallerKind.USER, user_id, frozenset({ALL_SCOPES}))
        with as_caller(caller, origin=current_origin()):
            committed = await self._changes.commit("LogIn", log_in)
        set_response_position(str(committed.position))
        response = await self._response(committed.value, done)
        response.token = text
        return response

    def _after_login(
        self, done: _Authorized, stored: pb.LinkedAccountRecord | None, user_id: str, now: datetime
    ) -> pb.LinkedAccountRecord:
        """Return the account after a login: with what was granted, unless a better token is stored."""
        made = self._account(done, user_id, now)
        if stored is None:
            return made
        by_hand = bool(stored.encrypted_access_token) and not stored.authorized and not stored.refusal
        if done.for_repositories and not by_hand:
            return linked_once_more(stored, made, done.source.source.name)
        kept = pb.LinkedAccountRecord()
        kept.CopyFrom(stored)
        kept.remote_name = made.remote_name
        return kept

    def _account(self, done: _Authorized, user_id: str, now: datetime) -> pb.LinkedAccountRecord:
        record = pb.LinkedAccountRecord(
            id=self._ids.new_id(),
            user_id=user_id,
            remote_source_id=done.flow.source_id,
            remote_user_id=done.account.id,
            remote_name=shown(done.account.name, most=100),
            authorized=True,
        )
        record.create_time.FromDatetime(now)
        if done.for_repositories:
            put_grant(record, done.grant, self._envelope, now)
        return record

    async def _response(self, completed: _Completed, done: _Authorized) -> api.CompleteAuthorizationResponse:
        user = completed.user
        etag = await self._database.read(lambda view: etag_of(view, USER, completed.user_id))
        return api.CompleteAuthorizationResponse(
            user=_user(completed.user_id, user, etag),
            linked_account=shown_account(completed.account, done.source.source.name),
            registered=completed.registered,
        )


def _no_public_url(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"{what}: start the servers with --public-url URL", reason="PUBLIC_URL_MISSING")


def _user(user_id: str, user: project_pb.User, etag: str = "") -> user_api.User:
    return user_api.User(id=user_id, name=user.name, etag=etag, create_time=user.create_time, operator=user.operator)


def _check_login(source: pb.RemoteSourceRecord) -> None:
    if not source.source.login_allowed:
        raise FailedPrecondition(
            f"logins with {source.source.name} are not allowed; an operator allows them with:"
            f" sluice remote-source update {source.source.name} --login",
            reason="LOGIN_NOT_ALLOWED",
        )


def _check_unused(view: View, flow: Flow) -> None:
    if view.get(USED_AUTHORIZATION, flow.id) is not None:
        raise StateInvalid


def _used(flow: Flow, now: datetime) -> tuple[Action, ...]:
    used = project_pb.UsedAuthorization()
    used.time.FromDatetime(now)
    return (Put(USED_AUTHORIZATION, flow.id, used),)


def _put(record: pb.LinkedAccountRecord) -> Action:
    return Put(LINKED_ACCOUNT, account_id(record.user_id, record.remote_source_id), record)


def _subject(record: pb.LinkedAccountRecord, user_name: str, source_name: str) -> Subject:
    details = [f"account: {record.remote_name} ({record.remote_user_id}) at {source_name}"]
    return Subject("user", record.user_id, user_name, details)


def _refusal(request: api.CompleteAuthorizationRequest) -> Exception:
    """Return the error of what the provider sent in place of a code (RFC 6749, 4.1.2.1)."""
    if request.error in _DENIED:
        return PermissionDenied("Sluiceway was not authorized at the provider", reason="OAUTH2_DENIED")
    said = ": ".join(filter(None, (request.error, request.error_description))) or "it sent neither a code nor an error"
    return OAuth2Refused(f"the provider refused the authorization: {shown(said, most=300)}")


def _unknown(done: _Authorized) -> PermissionDenied:
    name, source = shown(done.account.name, most=100), done.source.source.name
    return PermissionDenied(
        f"no user has linked the account {name} at {source}; log in another way and link it on the account page, or ask"
        " an operator for a user",
        reason="LOGIN_ACCOUNT_UNKNOWN",
    )
