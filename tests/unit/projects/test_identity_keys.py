"""The keys of id tokens: when the next one is due, how long each is published, and what is signed with them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet, RSAKey

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import Decision, View
from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.identity_keys import (
    PUBLISHED_AHEAD,
    SIGNS_FOR,
    TOKEN_LIFETIME,
    IdentityKeys,
    PublicKey,
    is_due,
    replace_key,
)
from sluiceway_server.projects.master_key_rotation import encrypted_fields
from sluiceway_server.projects.records import IDENTITY_KEY, RECORD_TYPES
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(seconds=1)


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.db = FakeDatabase(RECORD_TYPES, clock=self.clock)
        self.envelope = Envelope(MasterKeys([bytes(KEY_BYTES)]))
        self.keys = IdentityKeys(self.db, self.envelope, self.clock)

    async def header(self) -> dict[str, str]:
        first = (await self.keys.sign({"sub": "x"})).partition(".")[0]
        found: dict[str, str] = json.loads(_decoded(first))
        return found

    async def key_set(self) -> KeySet:
        return KeySet(
            [
                RSAKey.import_key({"kty": "RSA", "kid": key.kid, "n": key.modulus, "e": key.exponent})
                for key in await self.keys.published()
            ]
        )

    async def rotate(self, *, revoke: bool = False) -> str:
        kid, record = await self.keys.make()

        def decide(view: View) -> Decision[None]:
            return Decision(None, replace_key(view, kid, record, self.clock.now(), revoke=revoke))

        await self.db.transact(decide)
        return kid


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


@pytest.fixture
def world() -> World:
    return World()


def key(*, retire_time: datetime | None = None) -> PublicKey:
    return PublicKey("k", "n", "e", START, retire_time)


@pytest.mark.parametrize(
    ("after", "due"),
    [(SIGNS_FOR - PUBLISHED_AHEAD - TICK, False), (SIGNS_FOR - PUBLISHED_AHEAD, True)],
    ids=["not before", "a day before it signs"],
)
def test_next_key_is_due_a_day_before_it_signs(after: timedelta, due: bool) -> None:
    assert is_due([key()], START + after) is due
    assert is_due([], START)


def test_key_is_published_until_its_last_token_expired() -> None:
    retired = key(retire_time=START + SIGNS_FOR)
    end = START + SIGNS_FOR + TOKEN_LIFETIME
    assert retired.is_published(end)
    assert not retired.is_published(end + timedelta(minutes=5))
    assert key().is_published(START + timedelta(days=1000))


async def test_token_is_verified_by_another_library(world: World) -> None:
    token = await world.keys.sign({"sub": "project:1:branch:main", "aud": "a"})
    decoded = jwt.decode(token, await world.key_set(), algorithms=["RS256"])
    assert decoded.claims == {"sub": "project:1:branch:main", "aud": "a"}
    (published,) = await world.keys.published()
    assert decoded.header == {"alg": "RS256", "typ": "JWT", "kid": published.kid}
    imported = RSAKey.import_key({"kty": "RSA", "n": published.modulus, "e": published.exponent})
    assert imported.thumbprint() == published.kid


async def test_first_key_is_made_once(world: World) -> None:
    assert [each.kid for each in await world.keys.published()] == [(await world.header())["kid"]]
    other = IdentityKeys(world.db, world.envelope, world.clock)
    assert await other.published() == await world.keys.published()


async def test_next_key_is_published_before_it_signs(world: World) -> None:
    old = (await world.header())["kid"]
    world.clock.advance(SIGNS_FOR - PUBLISHED_AHEAD)
    assert (await world.header())["kid"] == old
    new, before = await world.keys.published()
    assert before.kid == old
    world.clock.advance(PUBLISHED_AHEAD - TICK)
    token = await world.keys.sign({"sub": "last"})
    world.clock.advance(TICK)
    assert (await world.header())["kid"] == new.kid
    world.clock.advance(TOKEN_LIFETIME)
    assert jwt.decode(token, await world.key_set(), algorithms=["RS256"]).claims == {"sub": "last"}
    world.clock.advance(timedelta(minutes=5))
    assert [each.kid for each in await world.keys.published()] == [new.kid]


async def test_key_that_nobody_used_for_long_signs_until_the_next(world: World) -> None:
    old = (await world.header())["kid"]
    world.clock.advance(10 * SIGNS_FOR)
    assert (await world.header())["kid"] == old
    world.clock.advance(PUBLISHED_AHEAD)
    assert (await world.header())["kid"] != old


async def test_rotation_by_hand_keeps_old_tokens_valid(world: World) -> None:
    token = await world.keys.sign({"sub": "old"})
    world.clock.advance(timedelta(seconds=1))
    new = await world.rotate()
    assert (await world.header())["kid"] == new
    assert jwt.decode(token, await world.key_set(), algorithms=["RS256"]).claims == {"sub": "old"}


async def test_rotation_by_hand_replaces_a_key_that_waits(world: World) -> None:
    await world.keys.published()
    world.clock.advance(SIGNS_FOR - PUBLISHED_AHEAD)
    waiting = (await world.keys.published())[0].kid
    new = await world.rotate()
    assert waiting not in [each.kid for each in await world.keys.published()]
    world.clock.advance(2 * PUBLISHED_AHEAD)
    assert (await world.header())["kid"] == new


async def test_revoked_keys_verify_nothing(world: World) -> None:
    token = await world.keys.sign({"sub": "old"})
    new = await world.rotate(revoke=True)
    assert [each.kid for each in await world.keys.published()] == [new]
    with pytest.raises(InvalidKeyIdError):
        jwt.decode(token, await world.key_set(), algorithms=["RS256"])


async def test_private_key_is_stored_encrypted(world: World) -> None:
    (published,) = await world.keys.published()
    record = await world.db.get(IDENTITY_KEY, published.kid)
    plain = world.envelope.open_(f"identity_key/{published.kid}", record.encrypted_private_key)
    private = serialization.load_der_private_key(plain, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert (private.key_size, plain[-200:] in record.SerializeToString()) == (2048, False)
    assert encrypted_fields(IDENTITY_KEY) == ("encrypted_private_key",)


async def test_server_without_a_master_key_has_no_keys(world: World) -> None:
    keys = IdentityKeys(world.db, Envelope(None), world.clock)
    with pytest.raises(FailedPrecondition) as caught:
        await keys.published()
    assert caught.value.reason == "MASTER_KEY_MISSING"
