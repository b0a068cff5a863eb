"""How commands find the server and the token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluiceway.cli.connecting import Server, Token, find_server, with_client, write_login
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, Unauthenticated


def login(folder: Path, content: object) -> dict[str, str]:
    path = folder / "sluice" / "login.json"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"XDG_CONFIG_HOME": str(folder)}


LOGIN = {"server": "login:1", "token": "of-login"}
FOUND = {
    "all from the login file": (None, None, ("login:1", "of-login")),
    "a token of one's own for the server of the login": (None, "own", ("login:1", "own")),
    "the server of the login by name": ("login:1", None, ("login:1", "of-login")),
    "nothing from the login file": ("other:2", "own", ("other:2", "own")),
    "empty counts as none": ("", "", ("login:1", "of-login")),
}


@pytest.mark.parametrize(("server", "token", "expected"), FOUND.values(), ids=FOUND.keys())
def test_options_take_precedence_over_the_login_file(
    tmp_path: Path, server: str | None, token: str | None, expected: tuple[str, str]
) -> None:
    found = find_server(server, token, environment=login(tmp_path, LOGIN))
    assert (found.address, str(found.token)) == expected


def test_login_token_is_never_sent_to_another_server(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match="other:2"):
        find_server("other:2", None, environment=login(tmp_path, LOGIN))


def test_missing_server_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--server"):
        find_server(None, "own", environment={"XDG_CONFIG_HOME": str(tmp_path)})


def test_server_given_as_a_url_is_refused() -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        find_server("http://localhost:7070", "own")


@pytest.mark.parametrize("token", ["a\nb", "größer", "a\x1bb"])
def test_malformed_token_is_refused_and_not_printed(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        find_server("server:1", token)
    assert token not in caught.value.message


def test_line_break_after_a_token_is_ignored() -> None:
    assert find_server("server:1", "own\n").token == "own"


@pytest.mark.parametrize("content", ["{", "[]", {"server": 5}], ids=["no JSON", "no object", "no text"])
def test_broken_login_file_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(InvalidInput, match=r"login\.json"):
        find_server(None, None, environment=login(tmp_path, content))


def test_broken_login_file_is_ignored_when_all_is_given(tmp_path: Path) -> None:
    assert find_server("server:1", "own", environment=login(tmp_path, "{")).address == "server:1"


def test_token_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Server("server:1", Token("secret")))


def test_saved_login_replaces_the_old_one_and_is_private(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "new")}
    for token in ("first", "second"):
        path = write_login(Server("server:1", Token(token)), environment=environment)
        assert find_server(None, None, environment=environment).token == token
        assert path.stat().st_mode & 0o777 == 0o600
        assert [entry.name for entry in path.parent.iterdir()] == ["login.json"]


def test_login_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition, match=r"login\.json"):
        write_login(Server("server:1", Token("own")), environment={"XDG_CONFIG_HOME": str(tmp_path / "file")})


async def nothing(client: object) -> None:
    """The body of a command that makes no call."""


def test_token_is_not_sent_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_INSECURE", raising=False)
    with pytest.raises(InvalidInput, match="SLUICE_INSECURE=1"):
        with_client("192.0.2.1:7070", "own", nothing)
    with_client("https://192.0.2.1:7070", "own", nothing)
    monkeypatch.setenv("SLUICE_INSECURE", "1")
    with_client("192.0.2.1:7070", "own", nothing)


def test_missing_authorities_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CA_FILE", "/no/such/file")
    with pytest.raises(InvalidInput, match="/no/such/file"):
        with_client("192.0.2.1:7070", "own", nothing)
