"""The fake of a git provider as a process: `make demo-forge`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.fakes.forge import Kind, git
from tests.fakes.forge.deliveries import hex_digest

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def fake_process(*arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run the fake; yield its output; end it as Ctrl-C does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.forge", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(output: asyncio.StreamReader, text: str) -> str:
    """Return the next line that has a text in it."""
    async with asyncio.timeout(60):
        while True:
            line = (await output.readline()).decode()
            assert line, f"the process ended before it printed {text}"
            if text in line:
                return line.strip()


@pytest.mark.parametrize("kind", [Kind.GITEA, Kind.GITLAB])
async def test_person_can_clone_and_push_to_the_fake(kind: Kind, tmp_path: Path) -> None:
    got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        got.put_nowait((dict(request.headers), await request.read()))
        return web.Response(text="stored")

    application = web.Application()
    application.router.add_post("/hook", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        async with fake_process("--kind", kind, "--webhook", hook, "--secret", "s") as output:
            url = (await line_with(output, "git clone ")).rpartition(" ")[2]
            clone = tmp_path / "clone"
            await line_with(output, hook)
            await git.git(tmp_path, "clone", "--quiet", url, str(clone))
            assert (clone / ".sluice" / "config.yml").exists()
            (clone / "new").write_text("1")
            await git.git(clone, "add", "new")
            await git.git(clone, "commit", "--quiet", "--message", "Add a file")
            await git.git(clone, "push", "--quiet", "origin", "HEAD")
            headers, body = await asyncio.wait_for(got.get(), 60)
            await line_with(output, "200 stored")
        if kind is Kind.GITEA:
            assert headers["X-Gitea-Signature"] == hex_digest("s", body)
        else:
            assert headers["X-Gitlab-Token"] == "s"
    finally:
        await runner.cleanup()
