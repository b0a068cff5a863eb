"""Tokens: what callers show, and how it is known whose they are.

A token is 256 random bits. Only its SHA-256 is kept, as the id of its record, so a lookup compares no secret with
another one: how long it takes says nothing of the tokens that exist, and a stolen database opens nothing.

The first start makes two tokens and leaves them as files in the data folder: an operator's for the person who
installed it, and one for executors of the first group.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sluiceway.datamanager.model import Decision, Position, Put, RecordAbsent, View
from sluiceway.datamanager.port import Database
from sluiceway.foundation.clock import Clock, SystemClock
from sluiceway.foundation.errors import Conflict, NotFound
from sluiceway.foundation.rpc.caller import ALL_SCOPES, Caller, CallerKind
from sluiceway.projects.records import TOKEN
from sluiceway.records.project.v1 import records_pb2 as pb

__all__ = [
    "ADMIN_TOKEN_FILE",
    "EXECUTOR_TOKEN_FILE",
    "FirstTokens",
    "TokenAuthenticator",
    "TokenSpec",
    "ensure_first_tokens",
    "ensure_token",
    "ensure_token_file",
    "make_token",
    "revoke_token",
    "token_id",
]

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a name of a file
EXECUTOR_TOKEN_FILE = "executor.token"  # noqa: S105 - as above

# The prefix lets scanners find a token that was committed or logged by mistake.
_PREFIX = "sluice_"
_FORMAT = re.compile(re.escape(_PREFIX) + r"[A-Za-z0-9_-]{43}")

_CACHE_SIZE = 10_000

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
    """

    kind: CallerKind
    name: str
    user_id: str = ""
    group: str = ""
    scopes: frozenset[str] = frozenset()
    organization: str | None = None
    expire: datetime | None = None


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """The tokens of the first start, as text, and whether the operator's was made just now (print it once then)."""

    admin: str
    executor: str
    admin_is_new: bool


def token_id(text: str) -> str:
    """Tell the id of a token's record."""
    return hashlib.sha256(text.encode()).hexdigest()


async def make_token(database: Database, spec: TokenSpec, *, clock: Clock | None = None) -> str:
    """Make a token and answer its text, which is kept nowhere: show it once.

    Raises:
        Unavailable: nothing was made.
    """
    text = _new_text()
    await ensure_token(database, text, spec, clock=clock)
    return text


async def ensure_token(database: Database, text: str, spec: TokenSpec, *, clock: Clock | None = None) -> bool:
    """Make a token of a given text, unless there is one; one that was revoked stays so.

    May be repeated. Answers whether it is good now.
    """
    now = (clock or SystemClock()).now()
    message = _message(spec, now)
    try:
        await database.commit([Put(TOKEN, token_id(text), message)], [RecordAbsent(TOKEN, token_id(text))])
    except Conflict:
        await database.linearize()
        stored = await database.get(TOKEN, token_id(text))
        return _is_good(stored, now)
    return True


async def revoke_token(database: Database, id_: str, *, clock: Clock | None = None) -> None:
    """Make a token worthless, at once. May be repeated.

    Raises:
        NotFound: there is no such token.
    """
    now = (clock or SystemClock()).now()

    def revoke(view: View) -> Decision[None]:
        stored = view.get(TOKEN, id_)
        if stored is None:
            raise NotFound("there is no such token", resource_type="token", resource_name=id_)
        if stored.HasField("revoke_time"):
            return Decision(None)
        changed = pb.Token()
        changed.CopyFrom(stored)
        changed.revoke_time.FromDatetime(now)
        return Decision(None, [Put(TOKEN, id_, changed)])

    await database.transact(revoke)


async def ensure_token_file(
    database: Database, path: Path, spec: TokenSpec, *, clock: Clock | None = None
) -> tuple[str, bool]:
    """Make sure that a file (mode 600) holds a good token; answers its text and whether it was made just now.

    May be repeated, and interrupted anywhere: the file is written first, and a token of a file that the database does
    not know is made known. One that was revoked or has expired is replaced.
    """
    text = await asyncio.to_thread(_read, path)
    if text is not None and await ensure_token(database, text, spec, clock=clock):
        return text, False
    text = _new_text()
    await asyncio.to_thread(_write, path, text)
    await ensure_token(database, text, spec, clock=clock)
    return text, True


async def ensure_first_tokens(
    database: Database, data_dir: Path, *, group: str = "default", clock: Clock | None = None
) -> FirstTokens:
    """Make the tokens of the first start, in `admin.token` and `executor.token` of the data folder. May be repeated.

    Args:
        database: where tokens are kept.
        data_dir: the folder; it exists.
        group: of the executors.
        clock: for the time of their making.
    """
    admin = TokenSpec(CallerKind.OPERATOR, "first operator", user_id="admin", scopes=frozenset({ALL_SCOPES}))
    executor = TokenSpec(CallerKind.EXECUTOR, f"executors of group {group}", group=group)
    admin_text, is_new = await ensure_token_file(database, data_dir / ADMIN_TOKEN_FILE, admin, clock=clock)
    executor_text, _ = await ensure_token_file(database, data_dir / EXECUTOR_TOKEN_FILE, executor, clock=clock)
    return FirstTokens(admin_text, executor_text, is_new)


class TokenAuthenticator:
    """Knows whose token it is (`foundation.rpc.caller.Authenticator`).

    What was read is kept until the database has moved on, so a revocation that this server has applied counts for the
    next call. Before a token is refused, the database is read linearizably: one that another server made a moment ago
    is good here too.
    """

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._cache: OrderedDict[str, tuple[Position, pb.Token]] = OrderedDict()
        self._rounds = _Rounds(database)

    async def authenticate(self, token: str) -> Caller | None:
        """See `Authenticator.authenticate`."""
        if not _FORMAT.fullmatch(token):
            return None
        id_ = token_id(token)
        stored = await self._read(id_)
        if stored is None:
            await self._rounds.linearize()
            stored = await self._read(id_)
        if stored is None or not _is_good(stored, self._clock.now()):
            return None
        kind = _CALLERS.get(stored.kind)
        if kind is None:
            return None
        return Caller(
            kind=kind,
            id=stored.user_id or id_[:16],
            scopes=frozenset(stored.scopes),
            group=stored.group,
            organization=stored.organization_id or None,
        )

    async def _read(self, id_: str) -> pb.Token | None:
        cached = self._cache.get(id_)
        if cached is not None and cached[0] == self._database.position:
            self._cache.move_to_end(id_)
            return cached[1]
        position, stored = await self._database.read(lambda view: (view.position, view.get(TOKEN, id_)))
        if stored is None:
            self._cache.pop(id_, None)
        else:
            self._cache[id_] = (position, stored)
            self._cache.move_to_end(id_)
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        return stored


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


def _new_text() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def _message(spec: TokenSpec, now: datetime) -> pb.Token:
    message = pb.Token(
        kind=_KINDS[spec.kind],
        name=spec.name,
        user_id=spec.user_id,
        group=spec.group,
        organization_id=spec.organization or "",
        scopes=sorted(spec.scopes),
    )
    message.create_time.FromDatetime(now)
    if spec.expire is not None:
        message.expire_time.FromDatetime(spec.expire)
    return message


def _is_good(token: pb.Token, now: datetime) -> bool:
    if token.HasField("revoke_time"):
        return False
    return not token.HasField("expire_time") or now < token.expire_time.ToDatetime(tzinfo=UTC)


def _read(path: Path) -> str | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return text if _FORMAT.fullmatch(text) else None


def _write(path: Path, text: str) -> None:
    # mkstemp makes the file with mode 600 from the first moment on.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
