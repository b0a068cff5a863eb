"""Passwords: hashes, and pauses after wrong ones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from sluiceway_common.foundation.errors import Exhausted, InvalidInput
from sluiceway_server.projects.passwords import MAX_LENGTH, MIN_LENGTH, Passwords
from tests.fakes.clock import FakeClock

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
RIGHT = "the right one"


async def test_hash_is_argon2id_and_of_one_password_in_any_encoding() -> None:
    passwords = Passwords(FakeClock(), hasher=QUICK)
    stored = await passwords.hash("password", "caf\u00e9 au lait")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify("a", stored, "cafe\u0301 au lait")
    assert not await passwords.verify("a", stored, "cafe au lait")
    assert await passwords.hash("password", "caf\u00e9 au lait") != stored


@pytest.mark.parametrize("stored", ["", "not a hash", "$argon2id$v=19$m=64,t=1,p=1$", "$2b$12$abc"])
async def test_no_password_matches_what_is_no_hash(stored: str) -> None:
    passwords = Passwords(FakeClock(), hasher=QUICK)
    for password in ("", stored, "nobody has this one", RIGHT):
        assert not await passwords.verify("a", stored, password)


@pytest.mark.parametrize(
    ("length", "is_good"), [(MIN_LENGTH - 1, False), (MIN_LENGTH, True), (MAX_LENGTH, True), (MAX_LENGTH + 1, False)]
)
async def test_length_of_a_password_is_bounded(length: int, is_good: bool) -> None:
    passwords = Passwords(FakeClock(), hasher=QUICK)
    if is_good:
        await passwords.hash("password", "x" * length)
    else:
        with pytest.raises(InvalidInput) as refused:
            await passwords.hash("the.field", "x" * length)
        assert refused.value.violations[0].path == "the.field"


async def test_pause_grows_with_wrong_passwords_of_one_user() -> None:
    clock = FakeClock()
    passwords = Passwords(clock, hasher=QUICK)
    stored = await passwords.hash("password", RIGHT)
    for _ in range(5):
        assert not await passwords.verify("a", stored, "wrong")
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        clock.advance(timedelta(seconds=pause - 0.5))
        with pytest.raises(Exhausted) as refused:
            await passwords.verify("a", stored, RIGHT)
        assert refused.value.reason == "TOO_MANY_ATTEMPTS"
        clock.advance(timedelta(seconds=0.5))
        assert not await passwords.verify("a", stored, "wrong")
    # Another user is not affected, and the right password ends the count.
    assert await passwords.verify("b", stored, RIGHT)
    clock.advance(timedelta(seconds=60))
    assert await passwords.verify("a", stored, RIGHT)
    assert not await passwords.verify("a", stored, "wrong")
    assert await passwords.verify("a", stored, RIGHT)
