"""URLs of repositories that are read with git alone: what git is given, and what it never is."""

from __future__ import annotations

import pytest

from sluiceway_server.forges.errors import BadForgeResponse
from sluiceway_server.forges.git_urls import GitAddress, address_of, git_url_fault
from sluiceway_server.forges.plain_git import read_list

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://git.example.org/acme/app.git", GitAddress("https", "git.example.org", 443, "acme/app")),
        ("http://git.example.org:8080/app", GitAddress("http", "git.example.org", 8080, "app")),
        ("ssh://git@git.example.org:2222/app.git", GitAddress("ssh", "git.example.org", 2222, "app")),
        ("git@git.example.org:acme/app.git", GitAddress("ssh", "git.example.org", 22, "acme/app")),
        ("https://[2001:db8::1]:8443/app", GitAddress("https", "2001:db8::1", 8443, "app")),
        ("https://10.0.0.1/app", GitAddress("https", "10.0.0.1", 443, "app")),
    ],
)
def test_url_is_read(url: str, address: GitAddress) -> None:
    assert address_of(url) == address
    assert git_url_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ext::sh -c touch% /tmp/x",
        "file:///etc",
        "/srv/git/app.git",
        "../app",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x/app",
        "ssh://git@-oProxyCommand=x/app",
        "git@-host:app",
        "git@host:-app",
        "host::app",
        "git://git.example.org/app",
        "ftp://git.example.org/app",
        "https://git.example.org",
        "https://git.example.org/",
        "https://git.example.org/-app",
        "https://git.example.org/app?a=b",
        "https://git.example.org/app#main",
        "https://git.example.org:99999/app",
        "https://git.example.org/a b",
        "https://git.example.org/a\nb",
        "https://git.example.org\\@other/app",
        "https://git%2eexample.org/app",
        "https://gît.example.org/app",
        "https:///app",
        "ssh://git:secret@git.example.org/app",
        "https://token@git.example.org/app",
        f"https://git.example.org/{'a' * 1000}",
    ],
)
def test_url_is_refused(url: str) -> None:
    assert git_url_fault(url) is not None


def test_password_in_a_url_is_named() -> None:
    assert "give them apart" in (git_url_fault("https://user:secret@git.example.org/app") or "")


def test_list_of_refs_is_read() -> None:
    said = (
        f"ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/main\n{B}\trefs/tags/v1\n{C}\trefs/tags/v1^{{}}\n"
        f"{A}\trefs/tags/v2\n{A}\trefs/pull/1/head\n"
    )
    head, found = read_list(said.encode())
    assert (head, found) == ("main", {"refs/heads/main": A, "refs/tags/v1": C, "refs/tags/v2": A})


def test_list_of_an_empty_repository_is_empty() -> None:
    assert read_list(b"") == ("", {})


def test_list_that_is_none_is_refused() -> None:
    with pytest.raises(BadForgeResponse):
        read_list(b"<html>")
