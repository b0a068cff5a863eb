"""The tokens and sessions of users: what `UserService` does with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import cast

from sluiceway.api.project.v1 import user_service_pb2 as pb
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound, Violation
from sluiceway_common.foundation.rpc.caller import ALL_SCOPES, Caller, CallerKind, current_caller, set_response_position
from sluiceway_server.datamanager.model import Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.login_tokens import login_expiry, login_name
from sluiceway_server.projects.pages import DEFAULT_PAGE, requested
from sluiceway_server.projects.quotas import MAX_QUOTA, check_number, own_limit
from sluiceway_server.projects.records import TOKEN, USER
from sluiceway_server.projects.rights import user_named
from sluiceway_server.projects.sessions import bounded_expiry, check_scopes
from sluiceway_server.projects.tokens import TokenSpec, is_good, new_text, record_of, revoked, token_id
from sluiceway_server.projects.tree import NodeType, require

ID_LENGTH = 16
_USERS = frozenset({NodeType.USER})


class UserTokens:
    """Makes, lists and revokes tokens of users."""

    def __init__(
        self, database: Database, changes: Changes, *, clock: Clock, scopes: Callable[[], frozenset[str]]
    ) -> None:
        """Use a database; `scopes` returns all scopes that a method of this server needs."""
        self._database = database
        self._changes = changes
        self._clock = clock
        self._scopes = scopes

    async def create(self, request: pb.CreateUserTokenRequest, caller: Caller) -> str:
        """Create a token that the request describes, and return its text."""
        now = self._clock.now()
        found: list[Violation] = []
        if request.token_name != request.token_name.strip() or not request.token_name.isprintable():
            found.append(Violation("token_name", "must be printable, and not begin or end with a blank"))
        known = self._scopes() | {ALL_SCOPES}
        found += [
            Violation(f"scopes[{at}]", f"{scope!r} is none of: {', '.join(sorted(known))}")
            for at, scope in enumerate(request.scopes)
            if scope not in known
        ]
        expire = request.expire_time.ToDatetime(tzinfo=UTC) if request.HasField("expire_time") else None
        if expire is not None and expire <= now:
            found.append(Violation("expire_time", "is in the past"))
        if found:
            raise InvalidInput(found)
        # Without a list of scopes, the new token may do what this one may.
        scopes = frozenset(request.scopes) or caller.scopes
        check_scopes(scopes, caller)
        expire = bounded_expiry(expire, caller)
        name, user_id = request.token_name, user_named(caller, request.user_id)
        return await self.make("CreateUserToken", user_id, name, caller, scopes=scopes, expire=expire)

    async def make(
        self,
        method: str,
        user_id: str,
        name: str,
        caller: Caller,
        *,
        scopes: frozenset[str],
        expire: datetime | None,
        is_session: bool = False,
    ) -> str:
        """Make a token of a user for a caller whose rights were checked, and return its text."""
        text = new_text()

        def make(view: View, now: datetime) -> Change[None]:
            node = require(view, user_id, _USERS)
            user = cast(records.User, node.record)
            if user.disabled:
                raise FailedPrecondition(f"user {node.name!r} is disabled", reason="USER_DISABLED", subject=node.id)
            if _good_tokens(view, node.id, name, now):
                raise AlreadyExists(
                    f"user {node.name!r} has a token {name!r}; revoke it first, or choose another name",
                    resource_type="token",
                    resource_name=name,
                )
            if not is_session:
                limit = own_limit(view, node, "tokens")
                check_number(node, "tokens", limit, node, lasting_tokens(view, node.id, now) if limit else 0)
            spec = TokenSpec(
                CallerKind.OPERATOR if user.operator and caller.kind is CallerKind.OPERATOR else CallerKind.USER,
                name,
                user_id=node.id,
                scopes=scopes,
                organization=caller.organization,
                expire=expire,
                is_session=is_session,
            )
            subject = Subject("token", short_id(text), f"{node.name}: {name}", sorted(scopes), parent_id=node.id)
            return Change(None, subject, [Put(TOKEN, token_id(text), record_of(spec, now))])

        await self._changes.commit(method, make)
        return text

    async def begin_session(self, request: pb.BeginSessionRequest, caller: Caller) -> pb.BeginSessionResponse:
        """Make a token that is valid while that of the caller is."""
        text, now = new_text(), self._clock.now()
        expire = login_expiry(request.expire_time if request.HasField("expire_time") else None, now)

        def make(view: View, now: datetime) -> Change[datetime]:
            parent = view.get(TOKEN, caller.token_id)
            if parent is None or not is_good(parent, now):
                raise NotFound("the token is not valid any more", resource_type="token", resource_name="")
            ends = [expire]
            if parent.HasField("expire_time"):
                ends.append(parent.expire_time.ToDatetime(tzinfo=UTC))
            spec = TokenSpec(
                caller.kind,
                login_name(text, now),
                user_id=parent.user_id,
                scopes=frozenset(parent.scopes),
                organization=parent.organization_id or None,
                expire=min(ends),
                is_session=True,
                # Of a session that was begun in a session: the token that began the first one.
                parent_id=parent.parent_id or caller.token_id,
                parent_expire=caller.tokens_until,
            )
            user = view.get(USER, parent.user_id)
            path = f"{parent.user_id if user is None else user.name}: {spec.name}"
            subject = Subject("token", short_id(text), path, sorted(spec.scopes), parent_id=parent.user_id)
            return Change(min(ends), subject, [Put(TOKEN, token_id(text), record_of(spec, now))])

        made = await self._changes.commit("BeginSession", make)
        response = pb.BeginSessionResponse(token=text)
        response.expire_time.FromDatetime(made.value)
        return response

    async def list(self, request: pb.ListUserTokensRequest) -> pb.ListUserTokensResponse:
        """Return a page of the valid tokens of a user."""
        user_id = user_named(current_caller(), request.user_id)

        def read(view: View) -> pb.ListUserTokensResponse:
            node, now = require(view, user_id, _USERS), self._clock.now()
            query = Query(
                where={"user_id": node.id},
                order=("name",),
                size=request.page_size or DEFAULT_PAGE,
                token=request.page_token,
            )
            page = view.select(TOKEN, query)
            shown = [_shown(id_, token) for id_, token in page.records if is_good(token, now)]
            return pb.ListUserTokensResponse(tokens=shown, next_page_token=page.next_token)

        response = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return response

    async def revoke(self, request: pb.RevokeUserTokenRequest) -> None:
        """Revoke the tokens of a name."""
        user_id = user_named(current_caller(), request.user_id)

        def revoke(view: View, now: datetime) -> Change[None]:
            node = require(view, user_id, _USERS)
            ids = [id_ for id_, _ in _good_tokens(view, node.id, request.token_name, now)]
            if not ids:
                raise NotFound(
                    f"user {node.name!r} has no token {request.token_name!r}",
                    resource_type="token",
                    resource_name=request.token_name,
                )
            actions = [Put(TOKEN, id_, revoked(view, id_, now, keep_an_operator=True)) for id_ in ids]
            path = f"{node.name}: {request.token_name}"
            return Change(None, Subject("token", ids[0][:ID_LENGTH], path, parent_id=node.id), actions)

        await self._changes.commit("RevokeUserToken", revoke)


def lasting_tokens(view: View, user_id: str, now: datetime) -> int:
    """Count the valid tokens of a user that no login made, up to 1,000."""
    tokens = (token for _, token in walk_records(view, TOKEN, {"user_id": user_id}, order=("name",)))
    lasting = (token for token in tokens if is_good(token, now) and not token.is_session)
    return sum(1 for _ in islice(lasting, MAX_QUOTA))


def short_id(text: str) -> str:
    """Return the id of a token that people see."""
    return token_id(text)[:ID_LENGTH]


def _good_tokens(view: View, user_id: str, name: str, now: datetime) -> list[tuple[str, records.Token]]:
    page = view.select(TOKEN, Query(where={"user_id": user_id, "name": name}, size=1000))
    return [(id_, token) for id_, token in page.records if is_good(token, now)]


def _shown(id_: str, token: records.Token) -> pb.UserToken:
    shown = pb.UserToken(
        id=id_[:ID_LENGTH],
        name=token.name,
        scopes=token.scopes,
        create_time=token.create_time,
        session=token.is_session,
        operator=token.kind == records.TOKEN_KIND_OPERATOR,
    )
    if token.HasField("expire_time"):
        shown.expire_time.CopyFrom(token.expire_time)
    if token.HasField("last_use_time"):
        shown.last_use_time.CopyFrom(token.last_use_time)
    return shown
