"""Builds the commands of `run` and `clone` steps. Pure.

The text of a `run` step is a file that its shell runs. A `clone` step is a fixed script; all input of users is checked,
in variables, and never where git could take it for an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.shells import split_shell
from sluiceway_executor.drivers.port import Command

__all__ = ["CloneOf", "Source", "clone_command", "run_command"]

_HEX = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_URL = re.compile(r"(?:https?|ssh)://[^\s/?#-][^\s]*\Z")
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
class CloneOf:
    """A clone.

    Attributes:
        source: of the run.
        mounted: the path in the pod at which the driver mounted a repository of this machine; empty: the clone is made
            over the network.
        depth: how much history is fetched; 0: all.
        submodules: whether submodules are cloned, too.
    """

    source: Source
    mounted: str = ""
    depth: int = 0
    submodules: bool = False


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
    return Command(argv=("/bin/sh", "-e"), script=_CLONE, environment=variables, inherit=False, cwd=cwd, user=user)


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


_CLONE = r"""
set -eu
config=$(mktemp)
trap 'rm -f "$config"' EXIT
# The mounted repository belongs to another user: that is meant.
printf '[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n' > "$config"
export GIT_CONFIG_GLOBAL="$config" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true
export GIT_ALLOW_PROTOCOL="$SLUICE_CLONE_PROTOCOLS"
export GIT_SSH_COMMAND='ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new'
if [ "$SLUICE_CLONE_PROTOCOLS" = file ]; then
  # The configuration of a submodule or worktree names a working tree that is not there.
  upload_pack='GIT_WORK_TREE=. git-upload-pack'
  url=$SLUICE_CLONE_URL
  if ! [ -r "$url/HEAD" ] && ! [ -r "$url/.git/HEAD" ] && ! [ -f "$url/.git" ]; then
    echo "$SLUICE_CLONE_NAME cannot be read by the user that tasks run as; make it readable by others: chmod -R go+rX"
    exit 1
  fi
fi
# From a shallow repository comes, too, where its history is cut.
fetch() { git fetch -q --update-shallow ${upload_pack:+--upload-pack="$upload_pack"} "$@"; }
have() { git cat-file -e "$SLUICE_CLONE_SHA^{commit}" 2>/dev/null; }
echo "cloning $SLUICE_CLONE_NAME at $SLUICE_CLONE_SHA"
git init -q ${SLUICE_CLONE_FORMAT:+--object-format="$SLUICE_CLONE_FORMAT"}
git remote remove origin 2>/dev/null || true
git remote add -- origin "$SLUICE_CLONE_URL"
if [ "$SLUICE_CLONE_DEPTH" -gt 0 ]; then
  fetch --no-tags --depth "$SLUICE_CLONE_DEPTH" -- origin "$SLUICE_CLONE_SHA" 2>/dev/null ||
    fetch --no-tags --depth "$SLUICE_CLONE_DEPTH" -- origin "${SLUICE_CLONE_REF:-HEAD}" || true
  have || fetch --unshallow --tags -- origin '+refs/heads/*:refs/remotes/origin/*' 2>/dev/null || true
fi
if [ "$SLUICE_CLONE_DEPTH" -eq 0 ] || ! have; then
  fetch --tags --force -- origin '+refs/heads/*:refs/remotes/origin/*'
  have || [ -z "$SLUICE_CLONE_REF" ] || fetch -- origin "$SLUICE_CLONE_REF" || true
  have || fetch -- origin "$SLUICE_CLONE_SHA"
fi
git checkout -q -f --detach "$SLUICE_CLONE_SHA" --
if [ -n "$SLUICE_CLONE_BRANCH" ]; then
  # Not by `checkout -B`, which refuses names that begin with a dash.
  git update-ref "refs/heads/$SLUICE_CLONE_BRANCH" "$SLUICE_CLONE_SHA"
  git symbolic-ref HEAD "refs/heads/$SLUICE_CLONE_BRANCH"
fi
if [ -n "$SLUICE_CLONE_SUBMODULES" ]; then
  # A submodule never comes from the disk, whatever .gitmodules says.
  GIT_ALLOW_PROTOCOL=https:http:ssh git submodule -q update --init --recursive
fi
[ "$(git rev-parse HEAD)" = "$SLUICE_CLONE_SHA" ]
git log -1 --format='%h %s' --
"""
