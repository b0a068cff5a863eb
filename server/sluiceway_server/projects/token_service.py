"""The servicer of `TokenService`: operators create, list and revoke tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sluiceway.api.project.v1 import token_service_pb2 as pb
from sluiceway.api.project.v1 import token_service_pb2_grpc as pb_grpc
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import InvalidInput, PermissionDenied, Violation
from sluiceway_common.foundation.rpc.caller import (
    ALL_SCOPES,
    Caller,
    CallerKind,
    current_caller,
    requested_position,
    set_response_position,
)
from sluiceway_server.datamanager.model import Position, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.names import is_uuid
from sluiceway_server.projects.records import TOKEN
from sluiceway_server.projects.sessions import bounded_expiry, check_scopes
from sluiceway_server.projects.tokens import TokenSpec, creation, find_token, kind_name, new_text, revoked, token_id
from sluiceway_server.projects.tree import NodeType, resolve

__all__ = ["ID_LENGTH", "TokenServicer"]

ID_LENGTH = 16
"""Of the SHA-256 of a token, in hex: enough to name it."""

_DEFAULT_PAGE = 100
_KINDS = {
    pb.TOKEN_KIND_USER: CallerKind.USER,
    pb.TOKEN_KIND_OPERATOR: CallerKind.OPERATOR,
    pb.TOKEN_KIND_EXECUTOR: CallerKind.EXECUTOR,
}
_SHOWN_KINDS = {
    records.TOKEN_KIND_USER: pb.TOKEN_KIND_USER,
    records.TOKEN_KIND_OPERATOR: pb.TOKEN_KIND_OPERATOR,
    records.TOKEN_KIND_EXECUTOR: pb.TOKEN_KIND_EXECUTOR,
}
_USER_ID = re.compile("[A-Za-z](-?[A-Za-z0-9])*")


class TokenServicer(pb_grpc.TokenServiceServicer):
    """Implements `TokenService`."""

    def __init__(
        self, database: Database, *, clock: Clock, ids: IdSource, scopes: Callable[[], frozenset[str]]
    ) -> None:
        """Offer tokens to operators.

        Args:
            database: where tokens are kept.
            clock: for times of creation, expiry and revocation.
            ids: for audit records.
            scopes: gives all scopes that a method of this server needs.
        """
        self._database = database
        self._clock = clock
        self._changes = Changes(database, clock=clock, ids=ids)
        self._scopes = scopes

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        _check_not_confined(current_caller())
        spec, text = self._spec(request.token, current_caller()), new_text()
        id_ = token_id(text)

        def create(view: View, now: datetime) -> Change[None]:
            user = resolve(view, spec.user_id, {NodeType.USER})
            wanted = spec if user is None else replace(spec, user_id=user.id)
            details = [f"kind: {spec.kind}", *sorted(spec.scopes)]
            subject = Subject("token", id_[:ID_LENGTH], spec.name, details, parent_id=wanted.user_id)
            return Change(None, subject, [creation(view, wanted, text, now)])

        committed = await self._changes.commit("CreateToken", create)
        stored = await self._database.get(TOKEN, id_, after=committed.position)
        return pb.CreateTokenResponse(token=_shown(id_, stored), text=text)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        _check_not_confined(current_caller())
        size = request.page_size or _DEFAULT_PAGE
        kind = _KINDS.get(request.kind)
        query = (
            Query(order=("kind", "name"), size=size, token=request.page_token)
            if kind is None
            else Query(where={"kind": kind_name(kind)}, order=("name",), size=size, token=request.page_token)
        )

        def read(view: View) -> pb.ListTokensResponse:
            page = view.select(TOKEN, query)
            tokens = [_shown(id_, token) for id_, token in page.records]
            return pb.ListTokensResponse(tokens=tokens, next_page_token=page.next_token)

        after = requested_position()
        answer = await self._database.read(read, after=Position.parse(after) if after else None)
        set_response_position(str(self._database.position))
        return answer

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        _check_not_confined(current_caller())
        id_ = await find_token(self._database, request.token_id)

        def revoke(view: View, now: datetime) -> Change[None]:
            stored = view.get(TOKEN, id_)
            if stored is not None and stored.HasField("revoke_time"):
                return Change(None)
            changed = revoked(view, id_, now, keep_an_operator=True)
            return Change(
                None,
                Subject("token", id_[:ID_LENGTH], changed.name, parent_id=changed.user_id),
                [Put(TOKEN, id_, changed)],
            )

        await self._changes.commit("RevokeToken", revoke)
        return pb.RevokeTokenResponse()

    def _spec(self, token: pb.Token, caller: Caller) -> TokenSpec:
        """Check what a token is to be. Raises with every fault."""
        found: list[Violation] = []
        kind = _KINDS.get(token.kind)
        if kind is None:
            found.append(Violation("token.kind", "must be that of a user, an operator or executors"))
        if token.name != token.name.strip() or not token.name.isprintable():
            found.append(Violation("token.name", "must be printable, and not begin or end with a blank"))
        is_executor = kind is CallerKind.EXECUTOR
        if is_executor != bool(token.group):
            found.append(Violation("token.group", "is for executors, and they need it"))
        if not token.group.isprintable():
            found.append(Violation("token.group", "must be printable"))
        if is_executor and (token.user_id or token.scopes):
            found.append(Violation("token", "executors have neither a user nor scopes"))
        if token.user_id and not (_USER_ID.fullmatch(token.user_id) or is_uuid(token.user_id)):
            found.append(Violation("token.user_id", "must be letters, digits and single inner hyphens, a letter first"))
        known = self._scopes() | {ALL_SCOPES}
        for at, scope in enumerate(token.scopes):
            if scope not in known:
                found.append(Violation(f"token.scopes[{at}]", f"{scope!r} is none of: {', '.join(sorted(known))}"))
        expire = token.expire_time.ToDatetime(tzinfo=UTC) if token.HasField("expire_time") else None
        if expire is not None and expire <= self._clock.now():
            found.append(Violation("token.expire_time", "is in the past"))
        if found or kind is None:
            raise InvalidInput(found)
        scopes = frozenset() if is_executor else frozenset(token.scopes or {ALL_SCOPES})
        check_scopes(scopes, caller)
        return TokenSpec(
            kind,
            token.name,
            user_id="" if is_executor else token.user_id or caller.id,
            group=token.group,
            scopes=scopes,
            expire=bounded_expiry(expire, caller),
        )


def _check_not_confined(caller: Caller) -> None:
    if caller.organization is not None:
        raise PermissionDenied("your token reaches one organization only", reason="TOKEN_CONFINED")


def _shown(id_: str, token: records.Token) -> pb.Token:
    shown = pb.Token(
        id=id_[:ID_LENGTH],
        kind=_SHOWN_KINDS.get(token.kind, pb.TOKEN_KIND_UNSPECIFIED),
        name=token.name,
        user_id=token.user_id,
        group=token.group,
        scopes=token.scopes,
        session=token.is_session,
    )
    for name in ("create_time", "expire_time", "revoke_time", "last_use_time"):
        if token.HasField(name):
            getattr(shown, name).CopyFrom(getattr(token, name))
    return shown
