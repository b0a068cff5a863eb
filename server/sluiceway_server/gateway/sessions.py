"""Sessions of browsers, sealed into their cookies.

A session holds a token that the server made for it, for a limited time. It is encrypted (AES-256-GCM) with a key that
only gateways have, so a gateway keeps no list of sessions: a session is good at every gateway with its key, and after a
restart. The server authenticates the token of each call, so revoking it, which is how a session is ended, ends it at
all gateways at once, also for who has a copy of the cookie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import InvalidInput

__all__ = ["SESSION_LIFETIME", "Session", "Sessions", "read_session_key"]

SESSION_LIFETIME = timedelta(days=7)

_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a browser.

    Attributes:
        id: random; it names the session and says nothing else.
        token: with which its calls are made.
        expires: when it ends.
        csrf_token: what a request that changes something has to repeat in a header, which other sites cannot do.
    """

    id: str
    token: str
    expires: datetime
    csrf_token: str


class Sessions:
    """Begins, seals, opens and ends sessions."""

    def __init__(self, key: bytes | None = None, *, clock: Clock | None = None) -> None:
        """Use a key of 32 bytes.

        Args:
            key: None: a new one, so that sessions end with this process.
            clock: for their expiry.
        """
        key = key or secrets.token_bytes(_KEY_BYTES)
        self._cipher = AESGCM(_derived(key, b"sealing"))
        self._csrf_key = _derived(key, b"csrf")
        self._clock = clock or SystemClock()

    def next_end(self) -> datetime:
        """Return when a session ends that begins now."""
        return self._clock.now() + SESSION_LIFETIME

    def begin(self, token: str, expires: datetime | None = None) -> Session:
        """Begin a session with a token of the server, until it expires; None: for the lifetime of sessions."""
        id_ = secrets.token_urlsafe(16)
        return Session(id_, token, min(expires or self.next_end(), self.next_end()), self._csrf_token(id_))

    def lasts(self, session: Session) -> timedelta:
        """Return how long a session lasts from now on."""
        return session.expires - self._clock.now()

    def seal(self, session: Session) -> str:
        """Return the value of its cookie."""
        content = json.dumps([session.id, int(session.expires.timestamp()), session.token]).encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, content, None)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None if there is none: of another key, changed, or expired."""
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            content = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except (ValueError, InvalidTag):
            return None
        id_, expires, token = json.loads(content)
        session = Session(id_, token, datetime.fromtimestamp(expires, UTC), self._csrf_token(id_))
        return None if session.expires <= self._clock.now() else session

    def _csrf_token(self, id_: str) -> str:
        return hmac.new(self._csrf_key, id_.encode(), hashlib.sha256).hexdigest()


def read_session_key(path: Path) -> bytes:
    """Return the key in a file; make the file, with mode 600, if there is none.

    Raises:
        InvalidInput: the file cannot be read or made, or holds no key.
    """
    try:
        if not path.exists():
            _make_key(path)
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in hex"
        raise InvalidInput(f"--session-key-file {path} cannot be used: {why}") from error
    if len(key) != _KEY_BYTES:
        raise InvalidInput(f"--session-key-file {path} must hold {_KEY_BYTES} bytes in hex; it holds {len(key)}")
    return key


def _make_key(path: Path) -> None:
    """Write a new key, unless another gateway is faster."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"sluiceway session " + purpose, hashlib.sha256).digest()
