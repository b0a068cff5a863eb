"""Sessions of browsers: sealing, expiry, ends, and the file of the key."""

from __future__ import annotations

import base64
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.gateway.sessions import SESSION_LIFETIME, Sessions, read_session_key
from tests.fakes.clock import FakeClock

KEY = bytes(range(32))


def test_sealed_session_opens_at_another_gateway_with_the_key() -> None:
    sessions = Sessions(KEY)
    session = sessions.begin("sl_secret")
    opened = Sessions(KEY).open(sessions.seal(session))
    assert opened is not None
    assert (opened.id, opened.token, opened.csrf_token) == (session.id, "sl_secret", session.csrf_token)


def test_cookie_does_not_contain_the_token() -> None:
    sessions = Sessions(KEY)
    cookie = sessions.seal(sessions.begin("sl_secret"))
    assert b"sl_secret" not in base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))


def test_changed_cookie_opens_no_session() -> None:
    sessions = Sessions(KEY)
    sealed = bytearray(base64.urlsafe_b64decode(sessions.seal(sessions.begin("sl_secret")) + "=="))
    for index in range(len(sealed)):
        changed = bytes(byte ^ (index == at) for at, byte in enumerate(sealed))
        assert sessions.open(base64.urlsafe_b64encode(changed).decode()) is None


@pytest.mark.parametrize("cookie", ["", "a", "é", "AAAA", "x" * 5000, "%%%", '"'])
def test_text_that_is_no_session_opens_none(cookie: str) -> None:
    assert Sessions(KEY).open(cookie) is None


def test_cookie_of_another_key_opens_no_session() -> None:
    other = Sessions()
    assert Sessions(KEY).open(other.seal(other.begin("sl_secret"))) is None


def test_session_opens_until_its_lifetime_is_over() -> None:
    clock = FakeClock()
    sessions = Sessions(KEY, clock=clock)
    cookie = sessions.seal(sessions.begin("sl_secret"))
    clock.advance(SESSION_LIFETIME - timedelta(seconds=2))
    assert sessions.open(cookie) is not None
    clock.advance(timedelta(seconds=2))
    assert sessions.open(cookie) is None


def test_session_ends_with_its_token() -> None:
    clock = FakeClock()
    sessions = Sessions(KEY, clock=clock)
    session = sessions.begin("sl_secret", clock.now() + timedelta(minutes=1))
    assert sessions.lasts(session) == timedelta(minutes=1)
    assert sessions.begin("sl_secret", clock.now() + 2 * SESSION_LIFETIME).expires == clock.now() + SESSION_LIFETIME
    cookie = sessions.seal(session)
    assert sessions.open(cookie) is not None
    clock.advance(timedelta(minutes=1))
    assert sessions.open(cookie) is None


def test_sessions_of_one_token_have_different_csrf_tokens() -> None:
    sessions = Sessions(KEY)
    assert sessions.begin("sl_secret").csrf_token != sessions.begin("sl_secret").csrf_token


def test_missing_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    key = read_session_key(path)
    assert (len(key), read_session_key(path)) == (32, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["session.key"]


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "é" * 32])
def test_file_without_a_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "session.key"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"session\.key"):
        read_session_key(path)


def test_key_file_in_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"session\.key"):
        read_session_key(tmp_path / "missing" / "session.key")
