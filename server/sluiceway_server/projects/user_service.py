"""The servicer of `UserService`: users, their passwords and their tokens.

The interceptor has checked that the caller is the named user or an operator (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.project.v1 import user_service_pb2 as pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as pb_grpc
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Violation,
)
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import (
    ALL_SCOPES,
    Caller,
    CallerKind,
    as_caller,
    current_caller,
    current_origin,
    set_response_position,
)
from sluiceway_server.datamanager.model import Put, Query, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.fields import changed_fields, check_fields
from sluiceway_server.projects.login_tokens import login_expiry, login_name
from sluiceway_server.projects.pages import page_of_visible, requested
from sluiceway_server.projects.passwords import Passwords
from sluiceway_server.projects.records import TOKEN, USER
from sluiceway_server.projects.rights import has_right, require_right, user_named
from sluiceway_server.projects.tokens import (
    TokenSpec,
    is_good,
    may_make_tokens,
    new_text,
    operator_tokens,
    record_of,
    revoked,
    token_id,
)
from sluiceway_server.projects.tree import Node, NodeType, find, require, resolve

__all__ = ["UserServicer"]

_USERS = frozenset({NodeType.USER})
_FIELDS = frozenset({"name", "operator"})
_RESERVED = frozenset({"me"})
"""`/user/me` is the group of the caller's own runs."""


class UserServicer(pb_grpc.UserServiceServicer):
    """Implements `UserService`."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        ids: IdSource,
        passwords: Passwords,
        scopes: Callable[[], frozenset[str]],
    ) -> None:
        """Offer users.

        Args:
            database: where users are stored.
            clock: for times of creation and expiry.
            ids: for new users.
            passwords: hashes and verifies them.
            scopes: gives all scopes that a method of this server needs.
        """
        self._database = database
        self._clock = clock
        self._changes = Changes(database, clock=clock, ids=ids)
        self._passwords = passwords
        self._scopes = scopes

    async def CreateUser(self, request: pb.CreateUserRequest, context: Any) -> pb.CreateUserResponse:
        wanted = request.user
        check_fields("user", name=wanted.name, others=_reserved(wanted.name))

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            _check_name_is_free(view, wanted.name)
            if _has_tokens(view, wanted.name):
                id_ = wanted.name
                if not wanted.operator and _is_operated_by(view, id_, now):
                    raise InvalidInput(
                        [Violation("user.operator", "operators' tokens exist for this name: set it, or revoke them")]
                    )
            record = records.User(name=wanted.name, operator=wanted.operator)
            record.create_time.FromDatetime(now)
            return Change(id_, Subject("user", id_, wanted.name), [Put(USER, id_, record)])

        return pb.CreateUserResponse(
            user=await self._shown(await self._changes.create(request, request.request_id, create))
        )

    async def GetUser(self, request: pb.GetUserRequest, context: Any) -> pb.GetUserResponse:
        caller = current_caller()

        def read(view: View) -> pb.User:
            return _user(view, require_right(view, caller, user_named(caller, request.user_id), _USERS))

        user = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return pb.GetUserResponse(user=user)

    async def ListUsers(self, request: pb.ListUsersRequest, context: Any) -> pb.ListUsersResponse:
        caller = current_caller()

        def visible(view: View, id_: str) -> pb.User | None:
            node = find(view, id_, _USERS)
            return _user(view, node) if node and has_right(view, caller, node, Right.READ) else None

        users, token = await page_of_visible(
            self._database,
            USER,
            {},
            caller=caller,
            size=request.page_size,
            token=request.page_token,
            visible=visible,
        )
        set_response_position(str(self._database.position))
        return pb.ListUsersResponse(users=users, next_page_token=token)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Any) -> pb.UpdateUserResponse:
        wanted, caller = request.user, current_caller()
        fields = changed_fields(wanted, request.update_mask, _FIELDS)
        if "name" in fields:
            check_fields("user", name=wanted.name, others=_reserved(wanted.name))

        def update(view: View, now: datetime) -> Change[str]:
            node = require(view, wanted.id, _USERS)
            check_etag(view, USER, node.id, wanted.etag)
            before = cast(records.User, node.record)
            after = records.User()
            after.CopyFrom(before)
            for name in fields:
                setattr(after, name, getattr(wanted, name))
            if after.operator != before.operator:
                if caller.kind is not CallerKind.OPERATOR:
                    raise PermissionDenied("only operators say who is one", reason="WRONG_CALLER")
                if not after.operator:
                    _check_others_operate(view, node.id, now)
            if after.name != before.name:
                _check_name_is_free(view, after.name, except_id=node.id)
            details = [
                f"{name}: {getattr(after, name)}"
                for name in sorted(_FIELDS)
                if getattr(after, name) != getattr(before, name)
            ]
            if not details:
                return Change(node.id)
            return Change(node.id, Subject("user", node.id, before.name, details), [Put(USER, node.id, after)])

        return pb.UpdateUserResponse(user=await self._shown(await self._changes.commit("UpdateUser", update)))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Any) -> pb.DeleteUserResponse:
        def delete(view: View, now: datetime) -> Change[None]:
            node = require(view, request.user_id, _USERS)
            check_etag(view, USER, node.id, request.etag)
            _check_others_operate(view, node.id, now)
            return Change(None, Subject("user", node.id, node.name), delete_subtree(USER, node.id, now=now))

        await self._changes.commit("DeleteUser", delete)
        return pb.DeleteUserResponse()

    # -- tokens

    async def CreateUserToken(self, request: pb.CreateUserTokenRequest, context: Any) -> pb.CreateUserTokenResponse:
        caller, now = current_caller(), self._clock.now()
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
        if missing := sorted(scope for scope in scopes if not caller.has_scope(scope)):
            raise PermissionDenied(
                f"your token lacks what the new one would have: {', '.join(missing)}",
                reason="SCOPE_MISSING",
                metadata={"scope": missing[0]},
            )
        user_id = user_named(caller, request.user_id)
        text = await self._make_token(
            "CreateUserToken", user_id, request.token_name, caller, scopes=scopes, expire=expire
        )
        return pb.CreateUserTokenResponse(token=text)

    async def RevokeUserToken(self, request: pb.RevokeUserTokenRequest, context: Any) -> pb.RevokeUserTokenResponse:
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
            return Change(
                None, Subject("token", ids[0][:16], f"{node.name}: {request.token_name}", parent_id=node.id), actions
            )

        await self._changes.commit("RevokeUserToken", revoke)
        return pb.RevokeUserTokenResponse()

    # -- passwords

    async def SetUserPassword(self, request: pb.SetUserPasswordRequest, context: Any) -> pb.SetUserPasswordResponse:
        caller = current_caller()
        node = await self._database.read(lambda view: require(view, request.user_id, _USERS), after=requested())
        stored = cast(records.User, node.record).password_hash
        if (
            caller.kind is not CallerKind.OPERATOR
            and stored
            and not await self._passwords.verify(node.id, stored, request.current_password)
        ):
            raise PermissionDenied("the current password is wrong", reason="PASSWORD_WRONG")
        hashed = await self._passwords.hash("password", request.password)

        def update(view: View, now: datetime) -> Change[None]:
            current = require(view, node.id, _USERS)
            after = records.User()
            after.CopyFrom(cast(records.User, current.record))
            after.password_hash = hashed
            subject = Subject("user", node.id, current.name, ["password"])
            return Change(None, subject, [Put(USER, node.id, after)])

        await self._changes.commit("SetUserPassword", update)
        return pb.SetUserPasswordResponse()

    async def LogIn(self, request: pb.LogInRequest, context: Any) -> pb.LogInResponse:
        expire = login_expiry(request.expire_time if request.HasField("expire_time") else None, self._clock.now())
        node = await self._database.read(
            lambda view: resolve(view, f"user/{request.user_name}", _USERS), after=requested()
        )
        record = cast(records.User, node.record) if node is not None else records.User()
        key = node.id if node is not None else request.user_name.lower()
        if not await self._passwords.verify(key, record.password_hash, request.password) or node is None:
            raise Unauthenticated("the name or the password is wrong", reason="PASSWORD_WRONG")
        kind = CallerKind.OPERATOR if record.operator else CallerKind.USER
        user = Caller(kind, node.id, frozenset({ALL_SCOPES}))
        name = login_name(new_text(), self._clock.now())
        with as_caller(user, origin=current_origin()):
            text = await self._make_token("LogIn", node.id, name, user, scopes=user.scopes, expire=expire)
        shown = await self._database.read(lambda view: _user(view, require(view, node.id, _USERS)))
        return pb.LogInResponse(token=text, user=shown)

    # --

    async def _make_token(
        self, method: str, user_id: str, name: str, caller: Caller, *, scopes: frozenset[str], expire: datetime | None
    ) -> str:
        text = new_text()

        def make(view: View, now: datetime) -> Change[None]:
            node = require(view, user_id, _USERS)
            if _good_tokens(view, node.id, name, now):
                raise AlreadyExists(
                    f"user {node.name!r} has a token {name!r}; revoke it first, or choose another name",
                    resource_type="token",
                    resource_name=name,
                )
            is_operator = cast(records.User, node.record).operator and caller.kind is CallerKind.OPERATOR
            spec = TokenSpec(
                CallerKind.OPERATOR if is_operator else CallerKind.USER,
                name,
                user_id=node.id,
                scopes=scopes,
                organization=caller.organization,
                expire=expire,
            )
            subject = Subject("token", token_id(text)[:16], f"{node.name}: {name}", sorted(scopes), parent_id=node.id)
            return Change(None, subject, [Put(TOKEN, token_id(text), record_of(spec, now))])

        await self._changes.commit(method, make)
        return text

    async def _shown(self, written: Committed[str]) -> pb.User:
        return await self._database.read(
            lambda view: _user(view, require(view, written.value, _USERS)), after=written.position
        )


def _reserved(name: str) -> Sequence[Violation]:
    return [Violation("user.name", f"{name!r} is reserved")] if name.lower() in _RESERVED else ()


def _check_name_is_free(view: View, name: str, *, except_id: str = "") -> None:
    """Check that no other user has a name, or has it as its id."""
    for same in (resolve(view, f"user/{name}", _USERS), find(view, name, _USERS)):
        if same is not None and same.id != except_id:
            raise AlreadyExists(
                f"the name {name!r} is taken; choose another one", resource_type="user", resource_name=name
            )


def _has_tokens(view: View, user_id: str) -> bool:
    return bool(view.rows(TOKEN, Query(where={"user_id": user_id}, order=("name",), size=1)).records)


def _is_operated_by(view: View, user_id: str, now: datetime) -> bool:
    return any(token.user_id == user_id and is_good(token, now) for _, token in operator_tokens(view))


def _check_others_operate(view: View, user_id: str, now: datetime) -> None:
    """Check that the tokens of a user are not the last ones with which an installation can be operated."""
    usable = [token for _, token in operator_tokens(view) if may_make_tokens(token, now)]
    if usable and all(token.user_id == user_id for token in usable):
        raise FailedPrecondition(
            "nobody else has a valid token of an operator; create one first, or nobody can",
            reason="LAST_OPERATOR_TOKEN",
            subject=user_id,
        )


def _good_tokens(view: View, user_id: str, name: str, now: datetime) -> list[tuple[str, records.Token]]:
    page = view.select(TOKEN, Query(where={"user_id": user_id, "name": name}, size=1000))
    return [(id_, token) for id_, token in page.records if is_good(token, now)]


def _user(view: View, node: Node) -> pb.User:
    record = cast(records.User, node.record)
    created = record.create_time if record.HasField("create_time") else Timestamp()
    return pb.User(
        id=node.id,
        name=record.name,
        etag=etag_of(view, USER, node.id),
        create_time=created,
        operator=record.operator,
    )
