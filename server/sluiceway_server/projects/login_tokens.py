"""The tokens that logins return. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import ALL_SCOPES, CallerKind
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import TOKEN
from sluiceway_server.projects.tokens import TokenSpec, record_of, token_id

_DEFAULT_LIFETIME = timedelta(days=1)
_LONGEST_LIFETIME = timedelta(days=30)


def login_expiry(wanted: Timestamp | None, now: datetime) -> datetime:
    """Return when the token of a login expires.

    Raises:
        InvalidInput: what is wanted is in the past, or too far in the future.
    """
    if wanted is None:
        return now + _DEFAULT_LIFETIME
    try:
        expire = wanted.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        expire = now
    if not now < expire <= now + _LONGEST_LIFETIME:
        raise InvalidInput([Violation("expire_time", f"must be within {_LONGEST_LIFETIME.days} days from now")])
    return expire


def login_name(text: str, now: datetime) -> str:
    """Return the name of the token of a login: logins have one each."""
    return f"login {now:%Y-%m-%d %H:%M:%S} {token_id(text)[:6]}"


def login_token(
    text: str,
    user_id: str,
    *,
    operator: bool,
    now: datetime,
    expire: datetime,
    scopes: frozenset[str] = frozenset({ALL_SCOPES}),
    organization: str | None = None,
    is_session: bool = True,
) -> Put:
    """Return the write that stores the token of a login, which may do all that its user may unless it says less."""
    kind = CallerKind.OPERATOR if operator else CallerKind.USER
    spec = TokenSpec(
        kind,
        login_name(text, now),
        user_id=user_id,
        scopes=scopes,
        organization=organization,
        expire=expire,
        is_session=is_session,
    )
    return Put(TOKEN, token_id(text), record_of(spec, now))
