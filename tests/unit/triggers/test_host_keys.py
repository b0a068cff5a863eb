"""SSH host keys, in the forms in which people find them."""

from __future__ import annotations

import pytest

from sluiceway_server.triggers.host_keys import host_key_fault, host_key_of

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWaukDkteUi588+wP3NHj182Js2bB+DdPFxKLsBOSK"


@pytest.mark.parametrize(
    "line",
    [KEY, f"git.example.org {KEY}", f"[git.example.org]:2222,10.0.0.1 {KEY} a comment", f"|1|salt=|hash= {KEY}"],
    ids=["public key", "keyscan", "port and comment", "hashed"],
)
def test_key_is_found_in_a_line(line: str) -> None:
    assert host_key_of(line) == KEY
    assert host_key_fault(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "git.example.org",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        f"ssh-rsa {KEY.split()[1]}",
        f"ssh-dss {KEY.split()[1]}",
        "ssh-ed25519 -oProxyCommand=x",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_line_without_a_key_is_refused(line: str) -> None:
    assert host_key_of(line) == ""
    assert "ssh-keyscan HOST" in (host_key_fault(line) or "")


def test_no_line_is_no_fault() -> None:
    assert (host_key_of(""), host_key_fault("")) == ("", None)
