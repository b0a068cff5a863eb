"""The caller of the present RPC, and the positions that it sent and is sent: from the interceptor to the servicer.

These are context variables and not parameters, because generated method signatures cannot carry them. Only the
interceptor sets them; a service reads them at its edge and passes plain values inward.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

ALL_SCOPES = "*"
POSITION_KEY = "sluice-position"
# The address of the client for which the gateway calls.
FORWARDED_KEY = "sluice-forwarded-for"
# Initial metadata of a server stream whose request was accepted before there was a message (`announce_stream`).
STREAM_KEY = "sluice-stream"
STREAM_OPEN = "open"


class CallerKind(StrEnum):
    """The kind of a caller (`sluiceway.api.options.v1.Caller`)."""

    PUBLIC = "public"
    USER = "user"
    EXECUTOR = "executor"
    OPERATOR = "operator"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, or the public.

    Attributes:
        kind: what it is.
        id: of the user, or of the token of an executor; empty for the public.
        scopes: what its token may do; `*` is everything.
        group: of an executor: the group of its token.
        organization: the one that the token is confined to; None: not confined.
        token_id: the id of its token's record; empty: it has none.
        tokens_until: until when tokens that it makes may be valid at most; None: without limit.
    """

    kind: CallerKind
    id: str = ""
    scopes: frozenset[str] = frozenset()
    group: str = ""
    organization: str | None = None
    token_id: str = field(default="", compare=False)
    tokens_until: datetime | None = field(default=None, compare=False)

    def has_scope(self, scope: str) -> bool:
        """Return whether the token has `scope`; the empty scope is allowed to all."""
        return not scope or scope in self.scopes or ALL_SCOPES in self.scopes


PUBLIC = Caller(CallerKind.PUBLIC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from and what it calls, for audit records.

    Attributes:
        peer: the network address of the other end of the connection, as gRPC writes it.
        forwarded_for: the address for which it says it calls. Any client can say so.
        method: the name of the method, such as `DeleteProject`.
    """

    peer: str = ""
    forwarded_for: str = ""
    method: str = ""


class Authenticator(Protocol):
    """Authenticates tokens."""

    async def authenticate(self, token: str) -> Caller | None:
        """Return the caller of a token; None if it is unknown, expired or revoked.

        Raises:
            Unavailable: the tokens cannot be read at present.
        """
        ...


@dataclass(slots=True)
class _Positions:
    """Mutable, so that tasks that a handler starts, which see a copy of the context, report to the same place."""

    requested: str | None = None
    response: str | None = None


Announce: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Call:
    caller: Caller = PUBLIC
    positions: _Positions = field(default_factory=_Positions)
    announce: Announce | None = None
    origin: Origin = field(default_factory=Origin)


_call: ContextVar[_Call | None] = ContextVar("sluiceway_call", default=None)


def current_caller() -> Caller:
    """Return the caller of the RPC that is being served; outside of an RPC, the public caller."""
    call = _call.get()
    return PUBLIC if call is None else call.caller


def current_origin() -> Origin:
    """Return where the RPC that is being served comes from."""
    call = _call.get()
    return Origin() if call is None else call.origin


def requested_position() -> str | None:
    """Return the position that the caller has seen (`sluice-position`). A response must not be older.

    It is as the caller sent it: parse it, and refuse one that does not parse.
    """
    call = _call.get()
    return None if call is None else call.positions.requested


def set_response_position(position: str) -> None:
    """Send the position of the response to the caller; of several calls, the highest. No effect outside of an RPC."""
    call = _call.get()
    if call is not None and position > (call.positions.response or ""):
        call.positions.response = position


async def announce_stream() -> None:
    """Send the initial metadata of a server stream: the request is accepted, although there is no message yet.

    May be repeated. No effect after the first message, and outside of an RPC.
    """
    call = _call.get()
    if call is not None and call.announce is not None:
        announce, call.announce = call.announce, None
        await announce()


@contextmanager
def as_caller(
    caller: Caller, *, position: str | None = None, announce: Announce | None = None, origin: Origin | None = None
) -> Iterator[_Positions]:
    """Serve the calls inside the block for `caller`: for the interceptor, and for tests that call a servicer directly.

    Args:
        caller: who calls.
        position: that it has seen.
        announce: what `announce_stream` does.
        origin: where the call comes from.

    Yields:
        Where `set_response_position` stores it, as `.response`.
    """
    call = _Call(caller, _Positions(requested=position), announce, origin or Origin())
    token = _call.set(call)
    try:
        yield call.positions
    finally:
        _call.reset(token)
