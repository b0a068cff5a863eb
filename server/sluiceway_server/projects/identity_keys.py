"""The keys that sign the id tokens of tasks, and their rotation.

A key signs for `SIGNS_FOR`. Its successor is made and published `PUBLISHED_AHEAD` before it signs, so that who caches
the published keys has it by then. A key stays published until the last token that it has signed has expired. Whoever
needs a key makes the next one when it is due: an installation that issues no tokens makes none.

RS256 (RSA, PKCS #1 v1.5, SHA-256) is the one algorithm that every cloud accepts (decision 0520). Private keys are
encrypted as secrets are (`envelope`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import Action, Decision, Delete, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.records import IDENTITY_KEY

__all__ = [
    "ALGORITHM",
    "PUBLISHED_AHEAD",
    "SIGNS_FOR",
    "TOKEN_LIFETIME",
    "IdentityKeys",
    "PublicKey",
    "is_due",
    "replace_key",
]

ALGORITHM = "RS256"
TOKEN_LIFETIME = timedelta(minutes=10)
SIGNS_FOR = timedelta(days=30)
PUBLISHED_AHEAD = timedelta(days=1)
# A verifier may allow for a clock that is wrong.
_CLOCK_SKEW = timedelta(minutes=5)
_BITS = 2048
_EXPONENT = 65537


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it is published.

    Attributes:
        kid: its thumbprint (RFC 7638).
        modulus: in base64url.
        exponent: in base64url.
        sign_time: from when on it signs.
        retire_time: from when on its successor signs; None: there is no successor.
    """

    kid: str
    modulus: str
    exponent: str
    sign_time: datetime
    retire_time: datetime | None

    def is_published(self, now: datetime) -> bool:
        """Return whether a token that it has signed may still be valid, or will be signed."""
        return self.retire_time is None or now < self.retire_time + TOKEN_LIFETIME + _CLOCK_SKEW


def is_due(keys: Sequence[PublicKey], now: datetime) -> bool:
    """Return whether a new key is to be made; `keys`: the newest first."""
    return not keys or now >= keys[0].sign_time + SIGNS_FOR - PUBLISHED_AHEAD


def _next_sign_time(keys: Sequence[PublicKey], now: datetime) -> datetime:
    return max(keys[0].sign_time + SIGNS_FOR, now + PUBLISHED_AHEAD) if keys else now


def _keys_of(view: View) -> tuple[PublicKey, ...]:
    """Return the stored keys, the newest first."""
    found = sorted(
        ((record.sign_time.ToNanoseconds(), kid, record) for kid, record in view.scan(IDENTITY_KEY)), reverse=True
    )
    keys: list[PublicKey] = []
    for _, kid, record in found:
        keys.append(
            PublicKey(
                kid,
                record.modulus,
                record.exponent,
                _time(record.sign_time),
                keys[-1].sign_time if keys else None,
            )
        )
    return tuple(keys)


class IdentityKeys:
    """Signs, and returns the published keys. Nothing of a private key is kept."""

    def __init__(self, database: Database, envelope: Envelope, clock: Clock) -> None:
        self._database = database
        self._envelope = envelope
        self._clock = clock
        self._making = asyncio.Lock()

    async def published(self) -> tuple[PublicKey, ...]:
        """Return the keys that verify tokens, the newest first. Makes the next one if it is due.

        Raises:
            FailedPrecondition: `MASTER_KEY_MISSING`.
            Unavailable: the database is away.
        """
        keys = await self._database.read(_keys_of)
        if is_due(keys, self._clock.now()):
            async with self._making:
                keys = await self._database.read(_keys_of)
                if is_due(keys, self._clock.now()):
                    keys = await self._add()
        now = self._clock.now()
        return tuple(key for key in keys if key.is_published(now))

    async def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JSON Web Token (RFC 7519) with these claims.

        Raises:
            FailedPrecondition: `MASTER_KEY_MISSING` or `MASTER_KEY_UNKNOWN`.
            DataLoss: the key was changed in the database.
            Unavailable: the database is away.
        """
        keys, now = await self.published(), self._clock.now()
        kid = next((key.kid for key in keys if key.sign_time <= now), keys[-1].kid)
        record = await self._database.get(IDENTITY_KEY, kid)
        plain = await self._envelope.opened(_sealed_for(kid), record.encrypted_private_key)
        # The check of the primes takes 30 ms, and the seal is a better one.
        private = serialization.load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise DataLoss(f"the key {kid} is no RSA key", reason="SEALED_VALUE_DAMAGED")
        return jwt.encode(dict(claims), private, algorithm=ALGORITHM, headers={"kid": kid})

    async def make(self) -> tuple[str, pb.IdentityKey]:
        """Make a key, which is not stored yet; return its id and its record without a `sign_time`.

        Raises:
            FailedPrecondition: `MASTER_KEY_MISSING`.
        """
        private = await asyncio.to_thread(rsa.generate_private_key, _EXPONENT, _BITS)
        numbers = private.public_key().public_numbers()
        modulus, exponent = _base64url(numbers.n), _base64url(numbers.e)
        kid = _thumbprint(modulus, exponent)
        plain = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        record = pb.IdentityKey(
            encrypted_private_key=self._envelope.seal(_sealed_for(kid), plain), modulus=modulus, exponent=exponent
        )
        record.create_time.FromDatetime(self._clock.now())
        return kid, record

    async def _add(self) -> tuple[PublicKey, ...]:
        kid, record = await self.make()

        def add(view: View) -> Decision[None]:
            keys, now = _keys_of(view), self._clock.now()
            if not is_due(keys, now):
                return Decision(None)  # another server has made one
            record.sign_time.FromDatetime(_next_sign_time(keys, now))
            return Decision(None, [Put(IDENTITY_KEY, kid, record), *_deletions(keys, now)])

        committed = await self._database.transact(add)
        return await self._database.read(_keys_of, after=committed.position)


def replace_key(view: View, kid: str, record: pb.IdentityKey, now: datetime, *, revoke: bool) -> list[Action]:
    """Return the writes with which a new key signs from now on.

    Args:
        view: of the database.
        kid: the id of the new key.
        record: of the new key; its `sign_time` is set.
        now: the time of the transaction.
        revoke: remove all other keys; else only those that are not needed any more, or have not signed yet.
    """
    record.sign_time.FromDatetime(now)
    keys = _keys_of(view)
    unused = [key for key in keys if revoke or key.sign_time > now]
    rest = [key for key in keys if key not in unused]
    return [
        Put(IDENTITY_KEY, kid, record),
        *(Delete(IDENTITY_KEY, key.kid) for key in unused),
        *_deletions(rest, now),
    ]


def _deletions(keys: Sequence[PublicKey], now: datetime) -> list[Action]:
    return [Delete(IDENTITY_KEY, key.kid) for key in keys if not key.is_published(now)]


def _sealed_for(kid: str) -> str:
    return f"identity_key/{kid}"


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _base64url(number: int) -> str:
    text = number.to_bytes(-(-number.bit_length() // 8), "big")
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _thumbprint(modulus: str, exponent: str) -> str:
    members = {"e": exponent, "kty": "RSA", "n": modulus}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
