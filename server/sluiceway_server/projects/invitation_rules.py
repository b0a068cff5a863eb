"""Rules of invitations: their codes, and when they count. Pure."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.project.v1 import organization_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.records import INVITATION, ORGANIZATION, ORGANIZATION_MEMBER, USER, member_id

DEFAULT_LIFETIME = timedelta(days=7)
LONGEST_LIFETIME = timedelta(days=90)

# The smaller the number, the greater the role.
_ROLES = (api.ORGANIZATION_ROLE_OWNER, api.ORGANIZATION_ROLE_MEMBER, api.ORGANIZATION_ROLE_READER)


def new_code(invitation_id: str) -> tuple[str, str]:
    """Return a new code of an invitation, and the digest to store. The code has the id, and 256 random bits."""
    secret = secrets.token_urlsafe(32)
    return f"{invitation_id}.{secret}", _digest(secret)


def of_code(view: View, code: str) -> str:
    """Return the id of the invitation that a code belongs to; empty: there is none.

    The digests are compared in constant time.
    """
    id_, _, secret = code.partition(".")
    stored = view.get(INVITATION, id_) if id_ and secret else None
    expected = stored.code_digest if stored is not None else ""
    is_equal = hmac.compare_digest(_digest(secret), expected or _digest("no code"))
    return id_ if is_equal and expected else ""


def is_valid(view: View, invitation: pb.Invitation, now: datetime) -> bool:
    """Return whether an invitation counts: it has not expired, and who made it may still invite."""
    if invitation.expire_time.ToDatetime(tzinfo=UTC) <= now:
        return False
    if view.get(ORGANIZATION, invitation.organization_id) is None:
        return False
    user = view.get(USER, invitation.created_by)
    if user is not None and user.disabled:
        return False
    if user is not None and user.operator:
        return True
    member = view.get(ORGANIZATION_MEMBER, member_id(invitation.organization_id, invitation.created_by))
    return member is not None and member.role == api.ORGANIZATION_ROLE_OWNER


def expiry(wanted: Timestamp | None, now: datetime) -> datetime:
    """Return when an invitation expires that is made now.

    Raises:
        InvalidInput: `wanted` is in the past, or too late.
    """
    if wanted is None:
        return now + DEFAULT_LIFETIME
    try:
        time = wanted.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        time = now
    if not now < time <= now + LONGEST_LIFETIME:
        fault = f"must be within {LONGEST_LIFETIME.days} days from now"
        raise InvalidInput([Violation("invitation.expire_time", fault)])
    return time


def greater_role(one: api.OrganizationRole, other: api.OrganizationRole) -> api.OrganizationRole:
    """Return the greater of two roles."""
    return min(one, other, key=_ROLES.index)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
