"""The examples of the README: they pass mypy and print what the README says."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_pb2
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer

README = Path(__file__).parents[3] / "README.md"


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.USER, "admin", frozenset({"*"})) if token == "good" else None


class Runs(pb_grpc.RunServiceServicer):
    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:  # noqa: N802 - named by the proto
        return pb.ListRunsResponse(runs=[run_pb2.Run(number=7, name="build", phase=run_pb2.RUN_PHASE_FINISHED)])


def examples() -> list[str]:
    """Return the programs of the section "From a program", without their indent."""
    section = README.read_text().partition("## From a program\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", section, re.MULTILINE)
    return [textwrap.dedent(block).strip() + "\n" for block in blocks if block.strip()]


def test_readme_has_two_examples() -> None:
    asynchronous, waiting = examples()
    assert "async with connect(" in asynchronous
    assert "blocking" in waiting


@pytest.mark.timeout(300)
def test_readme_examples_pass_mypy(tmp_path: Path) -> None:
    for number, text in enumerate(examples()):
        (tmp_path / f"example_{number}.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "."]
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout


async def test_readme_examples_print_the_phase_name(tmp_path: Path) -> None:
    server = RpcServer(Tokens())
    server.add(pb_grpc.add_RunServiceServicer_to_server, Runs())  # type: ignore[abstract]  # the rest is not offered
    port = await server.start("127.0.0.1:0")
    (tmp_path / "admin.token").write_text("good\n")
    for text in examples():
        place = re.sub(r'"[^"]*admin\.token"', repr(str(tmp_path / "admin.token")), text)
        program = place.replace("127.0.0.1:7070", f"127.0.0.1:{port}")
        assert program != text
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == ("7 build FINISHED\n", "")
    await server.drain(timedelta(0))
