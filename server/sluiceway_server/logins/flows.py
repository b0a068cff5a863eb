"""Authorizations between their beginning and their completion.

Nothing is stored of one that was begun: anybody may begin one. What its completion needs is encrypted, in a text that
only the browser that began has (`seal`), beside the `state` that goes through the provider. Together they show that the
browser that comes back is the one that began. An authorization that was completed is stored, so that it cannot be
completed twice.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError
from sluiceway_server.projects.envelope import Envelope

FLOW_LIFETIME: Final = timedelta(minutes=10)
_SEALED_NAME: Final = "authorization"


class StateInvalid(FailedPrecondition):
    """The state is not that of an authorization that this browser began, or it expired, or was used."""

    reason = "OAUTH2_STATE_INVALID"

    def __init__(self) -> None:
        super().__init__("this authorization was begun in another browser, has expired, or was used; begin once more")


@dataclass(frozen=True, slots=True)
class Flow:
    """One authorization.

    Attributes:
        id: random; it names the authorization once it was completed.
        source_id: the remote source.
        user_id: whose account is linked; empty: it is a login.
        state: what the provider has to send back.
        verifier: the code verifier of PKCE.
        expires: Unix seconds.
    """

    id: str
    source_id: str
    user_id: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    expires: int


def new_flow(source_id: str, user_id: str, now: datetime) -> Flow:
    """Begin an authorization; `user_id` is empty for a login."""
    return Flow(
        id=secrets.token_hex(16),
        source_id=source_id,
        user_id=user_id,
        state=secrets.token_urlsafe(32),
        # 43 characters: as many as RFC 7636 wants at least.
        verifier=secrets.token_urlsafe(32),
        expires=int((now + FLOW_LIFETIME).timestamp()),
    )


def seal(flow: Flow, envelope: Envelope) -> str:
    """Return the text for the browser.

    Raises:
        FailedPrecondition: `MASTER_KEY_MISSING`.
    """
    sealed = envelope.seal(_SEALED_NAME, json.dumps(asdict(flow)).encode())
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_flow(text: str, state: str, envelope: Envelope, now: datetime) -> Flow:
    """Return the authorization that a browser completes with a state.

    Raises:
        StateInvalid: it is none, or has another state, or has expired.
    """
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        flow = Flow(**json.loads(envelope.open_(_SEALED_NAME, sealed)))
    except (ValueError, TypeError, binascii.Error, SluicewayError) as error:
        raise StateInvalid from error
    is_same = hmac.compare_digest(flow.state.encode(), state.encode())
    if not is_same or datetime.fromtimestamp(flow.expires, UTC) <= now:
        raise StateInvalid
    return flow
