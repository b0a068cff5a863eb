"""Git over SSH: accepts the deploy keys of the repositories, and no others."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from tests.fakes.forge.model import Key, Repo, Store

_BLOCK = 64 * 1024
_READ, _WRITE = "git-upload-pack", "git-receive-pack"


class SshServer:
    """An SSH server in front of the repositories.

    Attributes:
        port: on 127.0.0.1.
        host_key: its type and base64.
        attempts: the number of keys that clients offered.
        gate: while it is not set, commands of clients wait.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self.host_key = _line(self._key)
        self.attempts = 0
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._key],
            server_factory=lambda: _Connection(self._offered),
            process_factory=self._run,
            encoding=None,
            config=None,
        )
        self.port = server.get_port()
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    def _offered(self, line: str) -> bool:
        self.attempts += 1
        return any(_same(key, line) for repo in self._store.repositories for key in repo.keys)

    async def _run(self, process: Any) -> None:
        found = self._command(process.command or "", process.get_extra_info("key"))
        if isinstance(found, str):
            process.stderr.write(f"ERROR: {found}\n".encode())
            process.exit(1)
            return
        program, repo = found
        await self.gate.wait()
        environment = {"PATH": os.environ["PATH"], "HOME": str(repo.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        environment["GIT_PROTOCOL"] = process.env.get("GIT_PROTOCOL", "")
        pipe = asyncio.subprocess.PIPE
        git = await asyncio.create_subprocess_exec(
            program, str(repo.folder), env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        sending = asyncio.create_task(_copy(process.stdin, git.stdin))
        try:
            await asyncio.gather(_copy(git.stdout, process.stdout), _copy(git.stderr, process.stderr))
            process.exit(await git.wait())
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if git.returncode is None:
                git.kill()
                await git.wait()

    def _command(self, text: str, offered: str) -> tuple[str, Repo] | str:
        """Return the program and the repository that a client may use, or why it may not."""
        words = shlex.split(text)
        if len(words) != 2 or words[0] not in (_READ, _WRITE):
            return "Only git is served here."
        repo = self._store.repository(words[1].removeprefix("/").removesuffix(".git"))
        key: Key | None = next((key for key in repo.keys if _same(key, offered)), None) if repo else None
        if repo is None or key is None:
            return "Repository not found."
        if words[0] == _WRITE and key.read_only:
            return "The key you are authenticating with has been marked as read only."
        return words[0], repo


class _Connection(asyncssh.SSHServer):
    def __init__(self, offered: Callable[[str], bool]) -> None:
        self._is_known = offered
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: Any) -> bool:
        line = _line(key)
        if username != "git" or not self._is_known(line):
            return False
        self._connection.set_extra_info(key=line)
        return True


async def _copy(source: Any, target: Any) -> None:
    while data := await source.read(_BLOCK):
        target.write(data)
        await target.drain()
    if isinstance(target, asyncio.StreamWriter):
        target.close()


def _line(key: Any) -> str:
    """Return the type and the base64 of a key."""
    return " ".join(key.export_public_key().decode().split()[:2])


def _same(key: Key, line: str) -> bool:
    return key.key.split()[:2] == line.split()
