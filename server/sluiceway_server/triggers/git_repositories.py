"""Repositories that are read with git alone: what a project says about one, and what its link keeps of that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sluiceway.api.project.v1 import project_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import Violation
from sluiceway_common.foundation.locations import is_over_ssh
from sluiceway_common.foundation.texts import line_fault
from sluiceway_server.forges.git_command import GitAccess
from sluiceway_server.forges.git_urls import address_of, git_url_fault
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.triggers.host_keys import host_key_fault, host_key_of

DEFAULT_POLL = timedelta(minutes=1)
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(days=1)
_MAX_PASSWORD = 4096


def sealed_password_name(project_id: str) -> str:
    """Return the name under which the password of a repository is encrypted."""
    return f"link/{project_id}/git_password"


def sealed_key_name(project_id: str) -> str:
    """Return the name under which a private deploy key is encrypted."""
    return f"link/{project_id}/deploy_key"


def keeps_password(stored: pb.LinkRecord, git: api.GitRepository) -> bool:
    """Return whether a repository that replaces the stored one is read with the stored password. Pure."""
    if git.password or not stored.encrypted_git_password or git.username != stored.git.username:
        return False
    before, after = address_of(stored.git.url), address_of(git.url)
    is_same = before is not None and after is not None and (before.host, before.port) == (after.host, after.port)
    return is_same and git.url.startswith("https://")


def faults(git: api.GitRepository, *, has_password: bool = False) -> Iterator[Violation]:
    """Yield what is wrong with a repository. No message contains the password. Pure.

    Args:
        git: the repository.
        has_password: whether its password is stored, and is kept.
    """

    def fault(name: str, text: str | None) -> Iterator[Violation]:
        if text is not None:
            yield Violation(f"project.git.{name}", text)

    yield from fault("url", git_url_fault(git.url))
    yield from fault("username", line_fault(git.username, most=1000))
    yield from fault("password", line_fault(git.password, most=_MAX_PASSWORD))
    if bool(git.username) != (has_password or bool(git.password)):
        yield from fault(
            "username" if git.password else "password", "must be given too, as for each other host or user"
        )
    elif git.username and not git.url.startswith("https://"):
        yield from fault("password", "is sent over https only")
    if is_over_ssh(git.url) and not git.ssh_host_key:
        yield from fault("ssh_host_key", "must be given for a URL of SSH: as `ssh-keyscan HOST` prints it")
    yield from fault("ssh_host_key", host_key_fault(git.ssh_host_key))
    if git.HasField("poll_interval") and not _SHORTEST <= git.poll_interval.ToTimedelta() <= _LONGEST:
        yield from fault("poll_interval", "must be from 10 s to a day")


def poll_interval(git: api.GitRepository) -> timedelta:
    """Return the time between two lists of the refs of a repository."""
    return git.poll_interval.ToTimedelta() if git.HasField("poll_interval") else DEFAULT_POLL


async def access_of(envelope: Envelope, link: pb.LinkRecord) -> GitAccess:
    """Return what a repository is read with.

    Raises:
        FailedPrecondition: `MASTER_KEY_MISSING` or `MASTER_KEY_UNKNOWN`.
        DataLoss: `SEALED_VALUE_DAMAGED`.
    """
    if is_over_ssh(link.git.url):
        key = await envelope.opened(sealed_key_name(link.project_id), link.encrypted_deploy_key)
        return GitAccess(private_key=key, host_key=host_key_of(link.git.ssh_host_key))
    if not link.encrypted_git_password:
        return GitAccess()
    password = await envelope.opened(sealed_password_name(link.project_id), link.encrypted_git_password)
    return GitAccess(username=link.git.username, password=password.decode())
