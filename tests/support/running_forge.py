"""The fake git provider beside a synchronous test, and what a person does with it: clone, commit, push."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes.forge import FakeForge, Kind, fake_forge
from tests.fakes.forge.model import Repo, User

__all__ = ["Checkout", "RunningForge", "running_forge"]

T = TypeVar("T")

_SECONDS = 60.0


class RunningForge:
    """A fake provider whose event loop runs in a thread.

    Attributes:
        fake: the provider; read it from the test, change it with `do`.
        user: who owns the repositories.
    """

    def __init__(self, fake: FakeForge, loop: asyncio.AbstractEventLoop) -> None:
        self.fake = fake
        self._loop = loop
        self.user: User = fake.add_user("ann")

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the loop of the fake; return its value."""

        async def done() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_SECONDS)

    def repository(self, path: str, files: Mapping[str, bytes], *, is_private: bool = False) -> Repo:
        """Create a repository with a commit."""

        async def create() -> Repo:
            repo = await self.fake.add_repository(self.user, path, is_private=is_private)
            await self.fake.commit(repo, self.user, dict(files), message="Begin")
            return repo

        return self.do(create)

    def head(self, repo: Repo, branch: str = "main") -> str:
        """Return the commit of a branch."""
        return _git(repo.folder, "rev-parse", f"refs/heads/{branch}").strip()

    def checkout(self, repo: Repo, folder: Path) -> Checkout:
        """Clone a repository into a folder, over HTTP, as its owner."""
        url = f"http://{self.user.name}:{self.user.token}@{self.fake.url.partition('://')[2]}/{repo.path}.git"
        _git(folder.parent, "clone", "--quiet", url, str(folder))
        return Checkout(folder)


class Checkout:
    """A working tree of a person."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, files: Mapping[str, bytes], message: str = "Change") -> str:
        """Commit files; return the commit."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def push(self, files: Mapping[str, bytes], message: str = "Change", *, ref: str = "HEAD") -> str:
        """Commit files and push; return the commit."""
        commit = self.commit(files, message)
        self.git("push", "--quiet", "origin", ref)
        return commit

    def git(self, *arguments: str) -> str:
        """Run git in the working tree; return its output."""
        return _git(self.folder, *arguments)


@contextmanager
def running_forge(kind: Kind, folder: Path, **more: Any) -> Iterator[RunningForge]:
    """Serve a fake provider for the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-forge")
    thread.start()
    manager = fake_forge(kind, folder, **more)
    try:
        fake = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(_SECONDS)
        try:
            yield RunningForge(fake, loop)
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "ann@example.org",
        "GIT_COMMITTER_NAME": "Ann",
        "GIT_COMMITTER_EMAIL": "ann@example.org",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout
