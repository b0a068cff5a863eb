"""The servicer of `UserService`: users, their passwords and their tokens.

The interceptor has checked that the caller is the named user or an operator (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
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
from sluiceway_server.datamanager.model import Action, Put, Query, View
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
from sluiceway_server.projects.sessions import revoke_all
from sluiceway_server.projects.tokens import is_good, may_make_tokens, new_text, operator_tokens
from sluiceway_server.projects.tree import Node, NodeType, find, require, resolve
from sluiceway_server.projects.user_tokens import UserTokens

__all__ = ["UserServicer"]

_USERS = frozenset({NodeType.USER})
_FIELDS = frozenset({"name", "operator", "disabled"})
_FOR_OPERATORS = ("operator", "disabled")
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
        self._tokens = UserTokens(database, self._changes, clock=clock, scopes=scopes)

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

        users, token = await page_of_visible(self._database, USER, {}, request, visible)
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
            changed = [name for name in _FOR_OPERATORS if getattr(after, name) != getattr(before, name)]
            if changed and caller.kind is not CallerKind.OPERATOR:
                raise PermissionDenied("only operators say who is one, and who is disabled", reason="WRONG_CALLER")
            if changed and (after.disabled or not after.operator):
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
            ended = revoke_all(view, node.id, now) if after.disabled else []
            subject = Subject("user", node.id, before.name, details)
            return Change(node.id, subject, [Put(USER, node.id, after), *ended])

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
        return pb.CreateUserTokenResponse(token=await self._tokens.create(request, current_caller()))

    async def ListUserTokens(self, request: pb.ListUserTokensRequest, context: Any) -> pb.ListUserTokensResponse:
        return await self._tokens.list(request)

    async def RevokeUserToken(self, request: pb.RevokeUserTokenRequest, context: Any) -> pb.RevokeUserTokenResponse:
        await self._tokens.revoke(request)
        return pb.RevokeUserTokenResponse()

    # -- passwords

    async def SetUserPassword(self, request: pb.SetUserPasswordRequest, context: Any) -> pb.SetUserPasswordResponse:
        caller = current_caller()
        user_id = user_named(caller, request.user_id)
        node = await self._database.read(lambda view: require(view, user_id, _USERS), after=requested())
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
            had_one = bool(after.password_hash)
            after.password_hash = hashed
            subject = Subject("user", node.id, current.name, ["password"])
            ended: list[Action] = []
            if had_one:
                ended = revoke_all(view, node.id, now, except_id=caller.token_id, sessions_only=request.keep_tokens)
            return Change(None, subject, [Put(USER, node.id, after), *ended])

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
        if record.disabled:
            raise Unauthenticated(f"user {node.name!r} is disabled; ask an operator", reason="USER_DISABLED")
        kind = CallerKind.OPERATOR if record.operator else CallerKind.USER
        user = Caller(kind, node.id, frozenset({ALL_SCOPES}))
        name = login_name(new_text(), self._clock.now())
        with as_caller(user, origin=current_origin()):
            text = await self._tokens.make(
                "LogIn", node.id, name, user, scopes=user.scopes, expire=expire, is_session=True
            )
        shown = await self._database.read(lambda view: _user(view, require(view, node.id, _USERS)))
        return pb.LogInResponse(token=text, user=shown)

    async def BeginSession(self, request: pb.BeginSessionRequest, context: Any) -> pb.BeginSessionResponse:
        return await self._tokens.begin_session(request, current_caller())

    # --

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


def _user(view: View, node: Node) -> pb.User:
    record = cast(records.User, node.record)
    created = record.create_time if record.HasField("create_time") else Timestamp()
    return pb.User(
        id=node.id,
        name=record.name,
        etag=etag_of(view, USER, node.id),
        create_time=created,
        operator=record.operator,
        disabled=record.disabled,
    )
