"""`ConfigService` over a real port: check, render and draw configurations."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway.api.config.v1 import version_service_pb2
from sluiceway_common.foundation.errors import Exhausted, InvalidInput
from sluiceway_common.foundation.version import VERSION
from sluiceway_common.runconfig.compile import MAX_PROBLEMS
from sluiceway_server.app.config_service import ConfigServicer, VersionServicer
from tests.support.conditions import eventually
from tests.support.event_loop import count_turns

JSONNET = b"""
local task(name, after) = {
  name: name, runtime: { containers: [{ image: 'host' }] }, steps: [{ run: 'true' }], depends: after,
};
function(ctx) { runs: [{ name: ctx.branch, tasks: [task('build', []), task('test', ['build'])] }] }
"""
GOOD = pb.ConfigFiles(files={".sluice/config.jsonnet": JSONNET})
BAD = pb.ConfigFiles(files={".sluice/config.yml": b"runs:\n  - name: x\n    taskss: []\n"})
CONTEXT = pb.ConfigContext(ref_type="branch", branch="main")


async def test_check_returns_every_fault_with_its_place() -> None:
    answer = await ConfigServicer().CheckRunConfig(pb.CheckRunConfigRequest(config=BAD), None)
    by_path = {problem.path: problem for problem in answer.errors}
    assert "did you mean `tasks`" in by_path["runs[0].taskss"].message
    assert (by_path["runs[0].taskss"].line, by_path["runs[0].taskss"].column) == (3, 5)
    good = await ConfigServicer().CheckRunConfig(pb.CheckRunConfigRequest(config=GOOD, context=CONTEXT), None)
    assert not good.errors


async def test_check_reports_what_the_named_driver_does_not_support() -> None:
    runtime = {"containers": [{"image": "host"}], "network": "isolated"}
    run = {"name": "ci", "tasks": [{"name": "build", "runtime": runtime, "steps": [{"run": "id"}]}]}
    config = pb.ConfigFiles(files={".sluice/config.json": json.dumps({"runs": [run]}).encode()})
    for driver, faulty in (("", False), ("sandbox", False), ("host", True)):
        checked = await ConfigServicer().CheckRunConfig(pb.CheckRunConfigRequest(config=config, driver=driver), None)
        paths = [problem.path for problem in checked.errors]
        assert paths == ["runs[0].tasks[0].runtime.network"] * faulty, driver


async def test_render_returns_the_json_of_the_context() -> None:
    answer = await ConfigServicer().RenderRunConfig(pb.RenderRunConfigRequest(config=GOOD, context=CONTEXT), None)
    assert json.loads(answer.json)["runs"][0]["name"] == "main"
    assert not answer.errors


@pytest.mark.parametrize(("form", "sign"), [("", "test  <- build"), ("mermaid", "-->"), ("dot", "->")])
async def test_graph_is_drawn_in_each_format(form: str, sign: str) -> None:
    request = pb.GraphRunConfigRequest(config=GOOD, context=CONTEXT, format=form)
    assert sign in (await ConfigServicer().GraphRunConfig(request, None)).graph


async def test_graph_of_an_invalid_configuration_returns_faults() -> None:
    answer = await ConfigServicer().GraphRunConfig(pb.GraphRunConfigRequest(config=BAD), None)
    assert answer.errors
    assert not answer.graph


async def test_invalid_request_says_why() -> None:
    service = ConfigServicer()
    with pytest.raises(InvalidInput, match=r"config\.files"):
        await service.CheckRunConfig(pb.CheckRunConfigRequest(), None)
    with pytest.raises(InvalidInput, match='"png" is not one of: text, mermaid, dot'):
        await service.GraphRunConfig(pb.GraphRunConfigRequest(config=GOOD, format="png"), None)
    with pytest.raises(InvalidInput, match='driver: "lxc" is not one of: sandbox, host'):
        await service.CheckRunConfig(pb.CheckRunConfigRequest(config=GOOD, driver="lxc"), None)
    large = pb.ConfigFiles(files={"x": b" " * 1024 * 1024})
    with pytest.raises(Exhausted, match="at most 1048576 are taken"):
        await service.CheckRunConfig(pb.CheckRunConfigRequest(config=large), None)


async def test_large_configuration_does_not_block_the_event_loop() -> None:
    run = b'{"name": "r", "tasks": [' + b", ".join([b'{"a": 1}'] * 80) + b"]}"
    faults = b'{"runs": [' + b", ".join([run] * 200) + b"]}"
    request = pb.CheckRunConfigRequest(config=pb.ConfigFiles(files={".sluice/config.json": faults}))

    answer, turns = await count_turns(ConfigServicer().CheckRunConfig(request, None))

    assert len(answer.errors) == MAX_PROBLEMS + 1
    assert turns > 50


async def test_call_that_is_cancelled_ends_its_worker() -> None:
    endless = b"local f(n) = if n == 0 then 0 else f(n - 1) + f(n - 1); function(ctx) f(40)"
    request = pb.CheckRunConfigRequest(config=pb.ConfigFiles(files={".sluice/config.jsonnet": endless}))
    before = children()
    call = asyncio.create_task(ConfigServicer().CheckRunConfig(request, None))

    async def works() -> bool:
        return any(children(of) for of in children() - before)

    await eventually(works)
    workers = children() - before
    call.cancel()
    await asyncio.wait({call})

    async def is_over() -> bool:
        return not workers & children()

    await eventually(is_over)


def children(of: int | None = None) -> set[int]:
    """Return the running child processes of a process."""
    try:
        text = Path(f"/proc/{of or os.getpid()}/task/{of or os.getpid()}/children").read_text()
    except FileNotFoundError:
        return set()
    return {int(pid) for pid in text.split()}


async def test_version_is_that_of_the_build() -> None:
    answer = await VersionServicer().GetVersion(version_service_pb2.GetVersionRequest(), None)
    assert answer.version == VERSION
