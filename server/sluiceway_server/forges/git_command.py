"""git as a child process: for one URL, at an address that may be reached, with limits of time and of output.

Its environment has nothing of this process. A name is resolved here, and git connects to the address that was checked,
so that no other one is reached by a second resolution, a redirect or a proxy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sluiceway_common.foundation.texts import shown
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.forges.addresses import ALLOW_OPTION, AddressPolicy
from sluiceway_server.forges.errors import (
    AddressRefused,
    BadForgeResponse,
    ForgeResponseTooLarge,
    ForgeUnavailable,
    NotAtForge,
    TokenRefused,
)
from sluiceway_server.forges.git_urls import GitAddress, address_of

_RESOLVE_SECONDS = 10.0
_MAX_ERROR_BYTES = 64 * 1024
_BLOCK = 64 * 1024
# Of 512 bytes: no file that git writes, such as a pack, may have more than 512 MiB.
_FILE_BLOCKS = 1 << 20
_SCRIPT = """
set -eu
ulimit -f "$FILE_BLOCKS"
if [ -n "${ACCESS_KEY:-}" ]; then
  trap 'kill "$SSH_AGENT_PID"' EXIT
  printf '%s\\n' "$ACCESS_KEY" | ssh-add -q -
  unset ACCESS_KEY
  ssh-add -L > "$HOME/key.pub"
  printf '* %s\\n' "$ACCESS_HOST_KEY" > "$HOME/known_hosts"
fi
"$@"
"""
_ASKPASS = """#!/bin/sh
case $1 in Username*) printf '%s\\n' "$ACCESS_USERNAME" ;; *) printf '%s\\n' "$ACCESS_PASSWORD" ;; esac
"""


@dataclass(frozen=True, slots=True)
class GitAccess:
    """What a repository is read with.

    Attributes:
        username: for https; empty: none.
        password: of that user.
        private_key: for SSH, in the format of OpenSSH.
        host_key: its type and base64; the only one that is accepted.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    private_key: bytes = field(default=b"", repr=False)
    host_key: str = ""


async def run_git(
    arguments: Sequence[str],
    folder: Path,
    *,
    url: str = "",
    access: GitAccess | None = None,
    policy: AddressPolicy | None = None,
    seconds: float,
    limit_bytes: int,
) -> bytes:
    """Run git, and return its output.

    Args:
        arguments: of git. A URL among them is `url`.
        folder: where it runs, and what is its home. Exists.
        url: of the repository that it speaks to; empty: to none.
        access: what that is read with.
        policy: which addresses may be reached.
        seconds: how long it may take.
        limit_bytes: of its output.

    Raises:
        AddressRefused, ForgeUnavailable, TokenRefused, NotAtForge, BadForgeResponse, ForgeResponseTooLarge: as
            `forges.port`.
    """
    access = access or GitAccess()
    options: list[str] = ["-c", "core.hooksPath=/dev/null", "-c", "protocol.version=2", "-c", "gc.auto=0"]
    environment = _environment(folder)
    if url:
        address = address_of(url)
        if address is None:
            raise AddressRefused("the URL of the repository is none that is read")
        where = await _allowed_address(address, policy or AddressPolicy())
        environment |= _for_remote(address, where, access, folder)
        options += _for_http(address, where)
    argv = ["/bin/sh", "-c", _SCRIPT, "sh", "git", *options, *arguments]
    if access.private_key and url:
        argv = ["ssh-agent", *argv]
    return await _run(argv, folder, environment, seconds=seconds, limit_bytes=limit_bytes, hide=access.password)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "",
        "FILE_BLOCKS": str(_FILE_BLOCKS),
    }


def _for_remote(address: GitAddress, where: str, access: GitAccess, folder: Path) -> Mapping[str, str]:
    if address.scheme != "ssh":
        more = {"GIT_ALLOW_PROTOCOL": address.scheme}
        if access.username:
            helper = folder / "askpass"
            helper.write_text(_ASKPASS)
            helper.chmod(0o700)
            more |= {
                "GIT_ASKPASS": str(helper),
                "ACCESS_USERNAME": access.username,
                "ACCESS_PASSWORD": access.password,
            }
        return more
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": f'"{folder}/key.pub"',
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{folder}/known_hosts"',
        "GlobalKnownHostsFile": "/dev/null",
        "CheckHostIP": "no",
        "HostName": where,
        "HostKeyAlias": address.host,
    }
    words = " ".join(f"-o'{name}={value}'" for name, value in options.items())
    return {
        "GIT_ALLOW_PROTOCOL": "ssh",
        "GIT_SSH_COMMAND": f"ssh -F none {words}",
        "ACCESS_KEY": access.private_key.decode().strip(),
        "ACCESS_HOST_KEY": access.host_key,
    }


def _for_http(address: GitAddress, where: str) -> list[str]:
    if address.scheme == "ssh":
        return []
    pinned = f"[{where}]" if ":" in where else where
    options = ["-c", "http.followRedirects=false", "-c", "http.proxy=", "-c", "credential.helper="]
    return [*options, "-c", f"http.curloptResolve={address.host}:{address.port}:{pinned}"]


async def _allowed_address(address: GitAddress, policy: AddressPolicy) -> str:
    """Return an address of a host that may be reached."""
    loop = asyncio.get_running_loop()
    try:
        async with time_limit(_RESOLVE_SECONDS):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise ForgeUnavailable(f"the name {address.host} is not resolved in time") from error
    except OSError as error:
        raise ForgeUnavailable(f"the name {address.host} cannot be resolved") from error
    for *_, place in found:
        if policy.fault(str(place[0])) is None:
            return str(place[0])
    raise AddressRefused(
        f"{address.host} must not be called: it has no public address; an operator can allow it with {ALLOW_OPTION}"
    )


async def _run(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], *, seconds: float, limit_bytes: int, hide: str
) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ForgeUnavailable(f"this server has no {argv[0]}; install git and openssh-client") from error
    try:
        async with time_limit(seconds):
            out, err = await asyncio.gather(
                _read(process.stdout, limit_bytes, is_strict=True),
                _read(process.stderr, _MAX_ERROR_BYTES, is_strict=False),
            )
            code = await process.wait()
    except TimeoutError as error:
        raise ForgeUnavailable(f"git did not end within {seconds:g} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise _failure(err.decode(errors="replace"), hide)
    return out


async def _read(stream: asyncio.StreamReader | None, limit: int, *, is_strict: bool) -> bytes:
    """Read a stream to its end. More than the limit is an error, or is dropped."""
    data = bytearray()
    while stream is not None and (block := await stream.read(_BLOCK)):
        data += block
        if len(data) > limit:
            if is_strict:
                raise ForgeResponseTooLarge(f"git returned more than {limit} bytes")
            del data[:-limit]
    return bytes(data)


def _failure(said: str, hide: str) -> Exception:
    text = said.replace(hide, "***") if hide else said
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "git failed")
    sentence = shown(last.strip(), most=300)
    if "Permission denied" in said:
        return TokenRefused(
            "the git host does not accept the deploy key of the project; add it to the repository there, with read"
            " access: sluice project get PROJECT shows it"
        )
    if "Host key verification failed" in said or "no matching host key" in said:
        return BadForgeResponse("the git host has another SSH host key than is set for it, so nothing was sent to it")
    if "Authentication failed" in said or "could not read Username" in said or "could not read Password" in said:
        return TokenRefused("the git host does not accept the user name and the password of the project")
    if any(words in said for words in ("not our ref", "couldn't find remote ref", "Not a valid object", "bad object")):
        return NotAtForge(sentence)
    if "not found" in said or "does not exist" in said or "unable to update url base from redirection" in said:
        return NotAtForge(f"the git host does not have the repository, or does not show it: {sentence}")
    return ForgeUnavailable(f"the repository cannot be read: {sentence}")
