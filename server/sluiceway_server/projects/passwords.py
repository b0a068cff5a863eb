"""Passwords of users: hashed with Argon2id (RFC 9106), and bounded in the number of attempts.

A hash takes 64 MiB and tens of milliseconds by intention, so it is computed in a thread, and a few at a time. For a
user that does not exist, or has no password, a hash is verified too: the time of a refusal tells nothing.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections import OrderedDict
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, Violation
from sluiceway_common.foundation.places import Places

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "Passwords"]

MIN_LENGTH = 8
MAX_LENGTH = 1_024

_AT_ONCE = 2
_WAITING = 50
_ATTEMPTS = 5
"""Wrong ones in a row, before the next one has to wait."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_USERS = 10_000


class Passwords:
    """Hashes and verifies passwords on this server. Safe to use from any task of the event loop.

    After five wrong passwords for one user in a row, the next attempt has to wait: a second, then twice as long each
    time, up to a minute. Each server counts by itself.
    """

    def __init__(self, clock: Clock, *, hasher: PasswordHasher | None = None) -> None:
        """Make one.

        Args:
            clock: for the pauses.
            hasher: with the costs; None: those of RFC 9106, 4, for machines with less memory.
        """
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._places = Places(_AT_ONCE, waiting=_WAITING, what="passwords")
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._of_nobody: str | None = None

    async def hash(self, path: str, password: str) -> str:
        """Return the hash of a new password, in PHC format.

        Raises:
            InvalidInput: it is too short or too long; `path` names the field.
            Unavailable: too many wait already.
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise InvalidInput([Violation(path, f"must have {MIN_LENGTH} to {MAX_LENGTH} characters")])
        async with self._places.take():
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    async def verify(self, user: str, stored: str, password: str) -> bool:
        """Return whether a password is that of a hash.

        Args:
            user: whose attempts are counted.
            stored: the hash; empty: there is none, so every password is wrong.
            password: to verify.

        Raises:
            Exhausted: `TOO_MANY_ATTEMPTS`.
            Unavailable: too many wait already.
        """
        self._check_pause(user)
        async with self._places.take():
            # Others may have failed while this one waited.
            self._check_pause(user)
            if self._of_nobody is None:
                self._of_nobody = await asyncio.to_thread(self._hasher.hash, "nobody has this one")
            is_right = await asyncio.to_thread(self._matches, stored or self._of_nobody, password)
            count, _ = self._failures.pop(user, (0, 0.0))
            if is_right and stored:
                return True
            self._failures[user] = (count + 1, self._clock.monotonic())
            while len(self._failures) > _USERS:
                self._failures.popitem(last=False)
        return False

    def _check_pause(self, user: str) -> None:
        count, at = self._failures.get(user, (0, 0.0))
        if count < _ATTEMPTS:
            return
        pause: float = min(_FIRST_PAUSE * 2 ** min(count - _ATTEMPTS, 10), _LONGEST_PAUSE)
        left = at + pause - self._clock.monotonic()
        if left > 0:
            raise Exhausted(
                f"the password was wrong {count} times; wait {left:.0f} s before the next attempt",
                reason="TOO_MANY_ATTEMPTS",
                retry_after=timedelta(seconds=left),
            )

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False


def _normal(password: str) -> str:
    # One spelling of what keyboards encode differently (RFC 8265, 4.2.1).
    return unicodedata.normalize("NFC", password)
