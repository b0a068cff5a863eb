"""Whose account at a git provider it is. Pure.

An account is known by its numeric id at the provider, never by its name or e-mail: those change, and people choose
them. A user who comes for the first time gets a name like that of the account, or like it with a number.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain

from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import Query, View
from sluiceway_server.projects.names import MAX_NAME_LENGTH, name_fault
from sluiceway_server.projects.records import TOKEN
from sluiceway_server.projects.tree import NodeType, find, resolve
from sluiceway_server.triggers.records import LINKED_ACCOUNT

_USERS = frozenset({NodeType.USER})
_RESERVED = frozenset({"me"})
_MOST_LINKS = 100
_NUMBERED = 100


def account_of(view: View, source_id: str, remote_user_id: str) -> pb.LinkedAccountRecord | None:
    """Return the linked account that has a numeric id at a remote source; None: no user has linked it.

    Of several users who have linked it, it is that of the one who has authorized it at the provider: an access token
    may also be somebody else's.

    Raises:
        FailedPrecondition: `LOGIN_AMBIGUOUS`: several users have linked it with access tokens.
    """
    found = _links(view, source_id, remote_user_id)
    authorized = [record for record in found if record.authorized]
    if len(authorized or found) > 1:
        raise FailedPrecondition(
            "several users have linked this account with access tokens; one of them logs in another way and authorizes"
            " it on the account page",
            reason="LOGIN_AMBIGUOUS",
        )
    return next(iter(authorized or found), None)


def is_authorized_by_another(view: View, source_id: str, remote_user_id: str, user_id: str) -> bool:
    """Return whether another user has authorized an account at its provider."""
    return any(each.authorized and each.user_id != user_id for each in _links(view, source_id, remote_user_id))


def _links(view: View, source_id: str, remote_user_id: str) -> list[pb.LinkedAccountRecord]:
    query = Query(where={"remote_source_id": source_id, "remote_user_id": remote_user_id}, size=_MOST_LINKS)
    return [record for _, record in view.select(LINKED_ACCOUNT, query).records]


def free_name(view: View, remote_name: str, remote_user_id: str) -> str:
    """Return a name for a new user, like that of the account, which no user has or had tokens under."""
    wanted = re.sub(r"[^A-Za-z0-9]+", "-", remote_name).strip("-")
    if not wanted[:1].isalpha():
        wanted = f"user-{wanted}".rstrip("-")
    numbered = (f"-{number}" for number in range(2, _NUMBERED))
    for ending in chain(("",), numbered, (f"-{remote_user_id}",)):
        name = wanted[: MAX_NAME_LENGTH - len(ending)].rstrip("-") + ending
        if name_fault(name) is None and _is_free(view, name):
            return name
    raise FailedPrecondition(
        f"no name like {wanted} is free; ask an operator to create a user for you", reason="USER_NAME_TAKEN"
    )


def _is_free(view: View, name: str) -> bool:
    """Return whether a new user may have a name. Not if operators made tokens for it: these would be the user's."""
    return (
        name.lower() not in _RESERVED
        and resolve(view, f"user/{name}", _USERS) is None
        and find(view, name, _USERS) is None
        and not view.rows(TOKEN, Query(where={"user_id": name}, order=("name",), size=1)).records
    )


def new_user(name: str, now: datetime) -> project_pb.User:
    """Return the record of a user who registers."""
    user = project_pb.User(name=name)
    user.create_time.FromDatetime(now)
    return user
