"""Rules of tokens that other tokens make, and of sessions. Pure.

A session is a token that a login made: with a password, it has no other limit than its own expiry; with a token, it is
valid while that one is, so what it makes may not be valid for longer.
"""

from __future__ import annotations

from datetime import datetime

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, PermissionDenied
from sluiceway_common.foundation.rpc.caller import Caller
from sluiceway_server.datamanager.model import Action, Put, View
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.projects.records import TOKEN
from sluiceway_server.projects.tokens import is_good, may_make_tokens, operator_tokens


def bounded_expiry(wanted: datetime | None, caller: Caller) -> datetime | None:
    """Return when a token expires that a caller makes: not after the caller's own.

    Raises:
        PermissionDenied: `EXPIRY_TOO_LATE`.
    """
    limit = caller.tokens_until
    if limit is not None and wanted is not None and wanted > limit:
        raise PermissionDenied(
            f"your token expires at {limit:%Y-%m-%d %H:%M:%S} UTC, and cannot create one that is valid for longer; log"
            " in with a password, or use another token",
            reason="EXPIRY_TOO_LATE",
        )
    return limit if wanted is None else wanted


def check_scopes(scopes: frozenset[str], caller: Caller) -> None:
    """Check that a caller has all scopes of a token that it makes.

    Raises:
        PermissionDenied: `SCOPE_MISSING`.
    """
    if missing := sorted(scope for scope in scopes if not caller.has_scope(scope)):
        raise PermissionDenied(
            f"your token lacks what the new one would have: {', '.join(missing)}",
            reason="SCOPE_MISSING",
            metadata={"scope": missing[0]},
        )


def revoke_all(
    view: View, user_id: str, now: datetime, *, except_id: str = "", sessions_only: bool = False
) -> list[Action]:
    """Return the writes that revoke the valid tokens of a user, perhaps those of sessions only.

    Args:
        view: the database.
        user_id: whose tokens.
        now: the time of the revocation.
        except_id: the token that stays valid.
        sessions_only: leave tokens alone that no login made.

    Raises:
        FailedPrecondition: `LAST_OPERATOR_TOKEN`: nobody could operate the installation then.
    """
    actions: list[Action] = []
    for id_, token in walk_records(view, TOKEN, {"user_id": user_id}, order=("name",)):
        if id_ != except_id and is_good(token, now) and (token.is_session or not sessions_only):
            revoked = pb.Token()
            revoked.CopyFrom(token)
            revoked.revoke_time.FromDatetime(now)
            actions.append(Put(TOKEN, id_, revoked))
    _check_an_operator_is_left(view, {each.id for each in actions if isinstance(each, Put)}, user_id, now)
    return actions


def _check_an_operator_is_left(view: View, revoked: set[str], user_id: str, now: datetime) -> None:
    usable = {id_ for id_, token in operator_tokens(view) if may_make_tokens(token, now)}
    if usable and usable <= revoked:
        raise FailedPrecondition(
            "no operator would have a valid token; create one for somebody else first, or keep the tokens",
            reason="LAST_OPERATOR_TOKEN",
            subject=user_id,
        )
