"""Tokens: what callers show, and how it is known whose they are.

A token is 256 random bits. Only its SHA-256 is kept, as the id of its record, so a lookup compares no secret with
another one: its timing says nothing of the tokens that exist, and a stolen database opens nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

import structlog

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    SluicewayError,
    Violation,
)
from sluiceway_common.foundation.rpc.caller import ALL_SCOPES, Caller, CallerKind
from sluiceway_server.datamanager.model import Decision, Position, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.projects.records import TOKEN, USER

__all__ = [
    "TokenAuthenticator",
    "TokenSpec",
    "creation",
    "find_token",
    "is_good",
    "is_text",
    "kind_name",
    "make_token",
    "may_make_tokens",
    "new_text",
    "operator_tokens",
    "record_of",
    "revoke_token",
    "revoked",
    "token_id",
]

log = structlog.get_logger(__name__)

# The prefix lets scanners find a token that was committed or logged by mistake.
_PREFIX = "sluice_"
_FORMAT = re.compile(re.escape(_PREFIX) + r"[A-Za-z0-9_-]{43}")

_CACHE_SIZE = 10_000
_FOLLOW_AGAIN_SECONDS = 1.0

_KINDS = {
    CallerKind.USER: pb.TOKEN_KIND_USER,
    CallerKind.OPERATOR: pb.TOKEN_KIND_OPERATOR,
    CallerKind.EXECUTOR: pb.TOKEN_KIND_EXECUTOR,
}
_CALLERS = {number: kind for kind, number in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """What a token is for.

    Attributes:
        kind: user, operator or executor.
        name: what people call it.
        user_id: who acts with it; empty for executors.
        group: of executors: their group.
        scopes: what it may do.
        organization: the only one that it reaches; None: all that its user reaches.
        expire: from when on it is refused; None: never.
        is_session: a login made it.
        parent_id: of a session that was begun with a token: the id of that one; empty: none.
        parent_expire: when that one expires; None: never.
    """

    kind: CallerKind
    name: str
    user_id: str = ""
    group: str = ""
    scopes: frozenset[str] = frozenset()
    organization: str | None = None
    expire: datetime | None = None
    is_session: bool = False
    parent_id: str = ""
    parent_expire: datetime | None = None


def token_id(text: str) -> str:
    """Return the id of a token's record."""
    return hashlib.sha256(text.encode()).hexdigest()


async def make_token(database: Database, spec: TokenSpec, *, clock: Clock | None = None) -> str:
    """Make a token and return its text, which is kept nowhere: show it once.

    Raises:
        AlreadyExists: a valid token of this kind has the name.
        Unavailable: nothing was made.
    """
    text, clock = new_text(), clock or SystemClock()

    def make(view: View) -> Decision[None]:
        return Decision(None, [creation(view, spec, text, clock.now())])

    await database.transact(make)
    return text


def creation(view: View, spec: TokenSpec, text: str, now: datetime) -> Put:
    """Return the write that stores a new token. Pure.

    Raises:
        AlreadyExists: a valid token of this kind and user has the name.
    """
    same = view.select(TOKEN, Query(where={"kind": kind_name(spec.kind), "name": spec.name}, size=1000))
    if any(token.user_id == spec.user_id and is_good(token, now) for _, token in same.records):
        raise AlreadyExists(
            f"there is a token {spec.name!r} of kind {spec.kind}; revoke it first, or choose another name",
            resource_type="token",
            resource_name=spec.name,
        )
    return Put(TOKEN, token_id(text), record_of(spec, now))


async def find_token(database: Database, id_: str) -> str:
    """Return the id of the record of a token, of which `id_` is the beginning.

    Raises:
        NotFound: no token has this id.
        InvalidInput: several begin so.
    """
    found = await database.read(lambda view: [key for key, _ in islice(view.scan(TOKEN, id_), 2)] if id_ else [])
    if not found:
        await database.linearize()
        found = await database.read(lambda view: [key for key, _ in islice(view.scan(TOKEN, id_), 2)] if id_ else [])
    if len(found) > 1:
        raise InvalidInput([Violation("token_id", f"several tokens have an id that begins with {id_!r}")])
    if not found:
        raise NotFound(f"there is no token {id_!r}", resource_type="token", resource_name=id_)
    return found[0]


async def revoke_token(
    database: Database, id_: str, *, clock: Clock | None = None, keep_an_operator: bool = False
) -> Position:
    """Make a token worthless, at once. May be repeated. Returns the position from which on it is.

    Args:
        database: where tokens are kept.
        id_: of its record.
        clock: for the time of the revocation.
        keep_an_operator: refuse to revoke the last token that an operator can use.

    Raises:
        NotFound: there is no such token.
        FailedPrecondition: `LAST_OPERATOR_TOKEN`.
    """
    clock = clock or SystemClock()

    def revoke(view: View) -> Decision[None]:
        stored = view.get(TOKEN, id_)
        if stored is not None and stored.HasField("revoke_time"):
            return Decision(None)
        return Decision(None, [Put(TOKEN, id_, revoked(view, id_, clock.now(), keep_an_operator=keep_an_operator))])

    return (await database.transact(revoke)).position


def revoked(view: View, id_: str, now: datetime, *, keep_an_operator: bool) -> pb.Token:
    """Return the record of a token after its revocation. Pure.

    Raises:
        NotFound: there is no such token.
        FailedPrecondition: `LAST_OPERATOR_TOKEN`.
    """
    stored = view.get(TOKEN, id_)
    if stored is None:
        raise NotFound("there is no such token", resource_type="token", resource_name=id_)
    if keep_an_operator and _is_last_operator(view, id_, stored, now):
        raise FailedPrecondition(
            "this is the last valid token of an operator; create another one first, or nobody can",
            reason="LAST_OPERATOR_TOKEN",
            subject=id_,
        )
    changed = pb.Token()
    changed.CopyFrom(stored)
    changed.revoke_time.FromDatetime(now)
    return changed


def _is_last_operator(view: View, id_: str, token: pb.Token, now: datetime) -> bool:
    if token.kind != pb.TOKEN_KIND_OPERATOR or not may_make_tokens(token, now):
        return False
    return not any(key != id_ and may_make_tokens(other, now) for key, other in operator_tokens(view))


def may_make_tokens(token: pb.Token, now: datetime) -> bool:
    """Return whether an operator with this token can create others, also when no other token is valid."""
    return is_good(token, now) and not token.parent_id and not {ALL_SCOPES, "tokens:write"}.isdisjoint(token.scopes)


def operator_tokens(view: View) -> Iterator[tuple[str, pb.Token]]:
    """Walk all tokens of operators, also those that are not valid any more."""
    return walk_records(view, TOKEN, {"kind": kind_name(CallerKind.OPERATOR)}, order=("name",))


class TokenAuthenticator:
    """Knows whose token it is (`foundation.rpc.caller.Authenticator`).

    A token of an operator counts as one of a user while its user is not an operator (any more).

    What was read is kept until a token changes in the database, while `follow` runs, and until the database has moved
    on otherwise; so a revocation that this server has applied counts for the next call. Before a token is refused, the
    database is read linearizably: one that another server made a moment ago is good here too.
    """

    def __init__(
        self, database: Database, *, clock: Clock | None = None, on_use: Callable[[str, pb.Token], None] | None = None
    ) -> None:
        """Read tokens from a database; `on_use` is called with each that is used."""
        self._database = database
        self._clock = clock or SystemClock()
        self._on_use = on_use
        self._cache: OrderedDict[str, tuple[Position, pb.Token]] = OrderedDict()
        self._changes = 0
        self._follows = False
        self._rounds = _Rounds(database)

    async def follow(self) -> None:
        """Hear of each change of a token, until cancelled."""
        while True:
            try:
                changes = self._database.subscribe(
                    after=self._database.position,
                    topics=[f"type:{TOKEN.name}", f"type:{USER.name}"],
                    on_live=self._begin,
                )
                async with aclosing(changes):
                    async for _ in changes:
                        self._forget()
            except SluicewayError as error:
                log.info("tokens_not_followed", error=str(error))
            finally:
                self._follows = False
            await asyncio.sleep(_FOLLOW_AGAIN_SECONDS)

    async def _begin(self) -> None:
        self._forget()
        self._follows = True

    def _forget(self) -> None:
        self._changes += 1
        self._cache.clear()

    async def authenticate(self, token: str) -> Caller | None:
        if not is_text(token):
            return None
        id_ = token_id(token)
        stored = await self._read(id_)
        if stored is None:
            await self._rounds.linearize()
            stored = await self._read(id_)
        if stored is None or not is_good(stored, self._clock.now()):
            return None
        kind = _CALLERS.get(stored.kind)
        if kind is None:
            return None
        if self._on_use is not None:
            self._on_use(id_, stored)
        return Caller(
            kind=kind,
            id=stored.user_id or id_[:16],
            scopes=frozenset(stored.scopes),
            group=stored.group,
            organization=stored.organization_id or None,
            token_id=id_,
            tokens_until=_tokens_until(stored),
        )

    async def _read(self, id_: str) -> pb.Token | None:
        cached = self._cache.get(id_)
        if cached is not None and (self._follows or cached[0] == self._database.position):
            self._cache.move_to_end(id_)
            return cached[1]
        changes = self._changes
        position, stored = await self._database.read(lambda view: (view.position, _effective(view, id_)))
        if stored is None:
            self._cache.pop(id_, None)
        elif changes == self._changes:
            self._cache[id_] = (position, stored)
            self._cache.move_to_end(id_)
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        return stored


def _effective(view: View, id_: str) -> pb.Token | None:
    """Return a token with the kind that counts; None: it is not valid, whatever its own record says."""
    stored = view.get(TOKEN, id_)
    if stored is None or not stored.user_id:
        return stored
    if stored.parent_id:
        parent = view.get(TOKEN, stored.parent_id)
        if parent is None or parent.HasField("revoke_time"):
            return None
    user = view.get(USER, stored.user_id)
    if user is not None and user.disabled:
        return None
    if user is None or user.operator or stored.kind != pb.TOKEN_KIND_OPERATOR:
        return stored
    changed = pb.Token()
    changed.CopyFrom(stored)
    changed.kind = pb.TOKEN_KIND_USER
    return changed


def _tokens_until(token: pb.Token) -> datetime | None:
    if token.is_session and not token.parent_id:
        return None  # somebody knew the password
    name: Literal["parent_expire_time", "expire_time"] = "parent_expire_time" if token.is_session else "expire_time"
    return getattr(token, name).ToDatetime(tzinfo=UTC) if token.HasField(name) else None


class _Rounds:
    """Linearizes for many at once, so that a flood of wrong tokens costs etcd one question at a time.

    Each caller gets a round that began after it asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._begun = 0
        self._succeeded = 0

    async def linearize(self) -> None:
        wanted = self._begun + 1
        async with self._lock:
            if self._succeeded >= wanted:
                return
            self._begun += 1
            number = self._begun
            await self._database.linearize()
            self._succeeded = number


def kind_name(kind: CallerKind) -> str:
    """Return the value of the column `kind` of a kind of tokens."""
    return pb.TokenKind.Name(_KINDS[kind])


def new_text() -> str:
    """Make the text of a token."""
    return _PREFIX + secrets.token_urlsafe(32)


def is_text(text: str) -> bool:
    """Return whether a text looks like a token."""
    return _FORMAT.fullmatch(text) is not None


def record_of(spec: TokenSpec, now: datetime) -> pb.Token:
    """Make the record of a token."""
    message = pb.Token(
        kind=_KINDS[spec.kind],
        name=spec.name,
        user_id=spec.user_id,
        group=spec.group,
        organization_id=spec.organization or "",
        scopes=sorted(spec.scopes),
        is_session=spec.is_session,
        parent_id=spec.parent_id,
    )
    message.create_time.FromDatetime(now)
    if spec.parent_expire is not None:
        message.parent_expire_time.FromDatetime(spec.parent_expire)
    if spec.expire is not None:
        message.expire_time.FromDatetime(spec.expire)
    return message


def is_good(token: pb.Token, now: datetime) -> bool:
    """Return whether a token is valid: not revoked and not expired."""
    if token.HasField("revoke_time"):
        return False
    return not token.HasField("expire_time") or now < token.expire_time.ToDatetime(tzinfo=UTC)
