"""What a project may say about a repository that is read with git alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import project_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.triggers.git_repositories import faults, keeps_password, poll_interval

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWaukDkteUi588+wP3NHj182Js2bB+DdPFxKLsBOSK"
HTTPS, SSH = "https://git.example.org/app.git", "git@git.example.org:app.git"


def repository(**fields: Any) -> api.GitRepository:
    seconds = fields.pop("seconds", None)
    made = api.GitRepository(**fields)
    if seconds is not None:
        made.poll_interval.FromTimedelta(timedelta(seconds=seconds))
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {"url": HTTPS},
        {"url": "http://git.example.org/app"},
        {"url": HTTPS, "username": "ann", "password": "secret"},
        {"url": SSH, "ssh_host_key": KEY},
        {"url": HTTPS, "seconds": 10},
        {"url": HTTPS, "seconds": 86_400},
    ],
)
def test_repository_is_taken(fields: dict[str, Any]) -> None:
    assert list(faults(repository(**fields))) == []


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"url": ""}, "url"),
        ({"url": "ext::sh -c x"}, "url"),
        ({"url": "file:///etc"}, "url"),
        ({"url": "https://ann:secret@git.example.org/app"}, "url"),
        ({"url": HTTPS, "username": "ann"}, "password"),
        ({"url": HTTPS, "password": "secret"}, "username"),
        ({"url": "http://git.example.org/app", "username": "ann", "password": "secret"}, "password"),
        ({"url": SSH, "ssh_host_key": KEY, "username": "ann", "password": "secret"}, "password"),
        ({"url": HTTPS, "username": "ann\nx", "password": "secret"}, "username"),
        ({"url": SSH}, "ssh_host_key"),
        ({"url": SSH, "ssh_host_key": "git.example.org"}, "ssh_host_key"),
        ({"url": HTTPS, "seconds": 9}, "poll_interval"),
        ({"url": HTTPS, "seconds": -1}, "poll_interval"),
        ({"url": HTTPS, "seconds": 86_401}, "poll_interval"),
    ],
)
def test_repository_is_refused(fields: dict[str, Any], name: str) -> None:
    (found,) = faults(repository(**fields))
    assert found.path == f"project.git.{name}"
    assert "secret" not in found.message


def test_refs_are_listed_every_minute_by_default() -> None:
    assert poll_interval(repository(url=HTTPS)) == timedelta(minutes=1)
    assert poll_interval(repository(url=HTTPS, seconds=30)) == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("url", "username", "password", "is_kept"),
    [
        ("https://git.example.org/other.git", "ann", "", True),
        ("https://GIT.example.org/app.git", "ann", "", True),
        ("https://git.example.org:443/app.git", "ann", "", True),
        (HTTPS, "ann", "another", False),
        (HTTPS, "bob", "", False),
        (HTTPS, "", "", False),
        ("https://evil.example.org/app.git", "ann", "", False),
        ("https://git.example.org:8443/app.git", "ann", "", False),
        ("https://git.example.org.evil.org/app.git", "ann", "", False),
        ("http://git.example.org/app.git", "ann", "", False),
        ("ssh://git.example.org:443/app.git", "ann", "", False),
        ("", "ann", "", False),
    ],
)
def test_password_is_kept_for_its_host_and_user(url: str, username: str, password: str, is_kept: bool) -> None:
    stored = pb.LinkRecord(git=repository(url=HTTPS, username="ann"), encrypted_git_password=b"sealed")
    assert keeps_password(stored, repository(url=url, username=username, password=password)) is is_kept
    stored.encrypted_git_password = b""
    assert not keeps_password(stored, repository(url=url, username=username, password=password))


def test_kept_password_counts_as_given() -> None:
    assert list(faults(repository(url=HTTPS, username="ann"), has_password=True)) == []
