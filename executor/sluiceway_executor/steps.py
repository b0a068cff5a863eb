"""Builds the commands of `run` and `clone` steps. Pure.

The text of a `run` step is a file that its shell runs. A `clone` step is a fixed script; all input of users is checked,
in variables, and never where git could take it for an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.shells import split_shell
from sluiceway_executor.clone_script import CLONE
from sluiceway_executor.drivers.port import Command

__all__ = ["CloneOf", "Source", "SshAccess", "clone_command", "run_command"]

_HEX = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_URL = re.compile(r"(?:https?|ssh)://[^\s/?#-][^\s]*\Z")
_ORIGIN = re.compile(r"https://[A-Za-z0-9.:\[\]-]+(?=/)")
_SCP = re.compile(r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!:)[^\s-][^\s]*\Z")
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|\.\Z|/\Z")
_CONNECTION_VARIABLES = frozenset(
    {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}
)
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a run, as a clone needs it.

    Attributes:
        repository: a URL, or a path on the executor's machine.
        ref: the full ref; the id of the commit, or empty, for a commit that was chosen without one.
        commit_sha: the commit.
        branch: of the ref, if it is one.
    """

    repository: str
    ref: str
    commit_sha: str
    branch: str = ""


@dataclass(frozen=True, slots=True)
class SshAccess:
    """What a clone over SSH needs: the private key in the format of OpenSSH, and the host keys that are accepted."""

    private_key: bytes = field(repr=False)
    host_keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """What a clone over https needs: a user name, and its password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloneOf:
    """A clone.

    Attributes:
        source: of the run.
        mounted: the path in the pod at which the driver mounted a repository of this machine; empty: the clone is made
            over the network.
        depth: how much history is fetched; 0: all.
        submodules: whether submodules are cloned, too.
        ssh: what the source is read with over SSH; None: what the pod has itself.
        http: what it is read with over https; None: nothing.
    """

    source: Source
    mounted: str = ""
    depth: int = 0
    submodules: bool = False
    ssh: SshAccess | None = None
    http: HttpAccess | None = None


def run_command(
    text: str,
    *,
    shell: str,
    environment: Mapping[str, str] | None = None,
    cwd: str = "",
    user: str = "",
    tty: bool = False,
) -> Command:
    """Return the command of a `run` step.

    Raises:
        FailedPrecondition: the shell is not a command line, or a variable cannot be one (`STEP_INVALID`).
    """
    try:
        argv = split_shell(shell)
    except ValueError as error:
        raise FailedPrecondition(f"the shell {shell!r} {error}", reason="STEP_INVALID") from error
    _check_environment(environment or {})
    if any("\0" in each for each in (text, cwd, shell)):
        raise FailedPrecondition("the step's text, folder or shell holds a NUL", reason="STEP_INVALID")
    return Command(argv=argv, script=text, environment=dict(environment or {}), cwd=cwd, user=user, tty=tty)


def clone_command(
    clone: CloneOf, *, environment: Mapping[str, str] | None = None, cwd: str = "", user: str = ""
) -> Command:
    """Return the command of a `clone` step, after which the folder `cwd` is at the source's commit.

    It does not inherit the environment of the task, so that no variable changes what git, the shell or the loader do.
    Of `environment`, the task's, it takes only those of proxies and certificates.

    Raises:
        FailedPrecondition: the source cannot be cloned (`CLONE_REFUSED`).
    """
    source = clone.source
    if not source.repository or not source.commit_sha:
        missing = "commit" if source.repository else "repository"
        raise FailedPrecondition(f"the run has no {missing}, so there is nothing to clone", reason="CLONE_REFUSED")
    if not clone.mounted:
        _check_url(source.repository)
    if not _HEX.match(source.commit_sha):
        raise FailedPrecondition(
            f"{source.commit_sha[:80]!r} is not a commit id of 40 or 64 hex digits", reason="CLONE_REFUSED"
        )
    ref = "" if source.ref == source.commit_sha else source.ref
    if ref:
        _check_ref(ref)
    if source.branch:
        _check_ref(f"refs/heads/{source.branch}")
    variables = {name: value for name, value in (environment or {}).items() if name.lower() in _CONNECTION_VARIABLES}
    _check_environment(variables)
    variables |= {
        "SLUICE_CLONE_NAME": source.repository,
        "SLUICE_CLONE_URL": clone.mounted or source.repository,
        "SLUICE_CLONE_REF": ref,
        "SLUICE_CLONE_SHA": source.commit_sha,
        "SLUICE_CLONE_FORMAT": "sha256" if len(source.commit_sha) == _SHA256_DIGITS else "",
        "SLUICE_CLONE_BRANCH": source.branch,
        "SLUICE_CLONE_DEPTH": str(max(0, clone.depth)),
        "SLUICE_CLONE_SUBMODULES": "1" if clone.submodules else "",
        "SLUICE_CLONE_PROTOCOLS": "file" if clone.mounted else "https:http:ssh",
    }
    if clone.ssh is not None:
        if not clone.ssh.host_keys:
            raise FailedPrecondition("there is no SSH host key to check the git host by", reason="CLONE_REFUSED")
        variables["SLUICE_CLONE_KEY"] = clone.ssh.private_key.decode().strip()
        # For any name: the key is that of one host.
        variables["SLUICE_CLONE_KNOWN_HOSTS"] = "\n".join(f"* {key}" for key in clone.ssh.host_keys)
    if clone.http is not None:
        origin = _ORIGIN.match(source.repository)
        if origin is None:
            raise FailedPrecondition("a password is sent over https only", reason="CLONE_REFUSED")
        variables["SLUICE_CLONE_ORIGIN"] = origin[0]
        variables["SLUICE_CLONE_USERNAME"] = clone.http.username
        variables["SLUICE_CLONE_PASSWORD"] = clone.http.password
        _check_environment(variables)
    return Command(argv=("/bin/sh", "-e"), script=CLONE, environment=variables, inherit=False, cwd=cwd, user=user)


def _check_environment(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise FailedPrecondition(f"the variable {name[:80]!r} cannot be given to a process", reason="STEP_INVALID")


def _check_url(url: str) -> None:
    fine = bool(_URL.match(url)) if "://" in url else bool(_SCP.match(url))
    if not fine or any(ord(character) < 0x20 or ord(character) == 0x7F for character in url):
        raise FailedPrecondition(
            f"{url[:200]!r} is not cloned: repositories come over https, http or ssh", reason="CLONE_REFUSED"
        )


def _check_ref(ref: str) -> None:
    # git-check-ref-format(1). It begins with `refs/`, so it is never taken for an option.
    if not ref.startswith("refs/") or _BAD_REF.search(ref):
        raise FailedPrecondition(f"{ref[:200]!r} is not a full ref", reason="CLONE_REFUSED")
