"""Which calls a channel retries, and whether gRPC knows each option that is set."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pool

from sluiceway.api.executor.v1 import executor_service_pb2  # noqa: F401 - its descriptor
from sluiceway.api.run.v1 import run_service_pb2  # noqa: F401 - its descriptor
from sluiceway_common.foundation.rpc.channel import is_repeatable, service_config


@pytest.mark.parametrize(
    ("method", "repeatable"),
    [
        pytest.param("sluiceway.api.run.v1.RunService.GetRun", True, id="a read"),
        pytest.param("sluiceway.api.run.v1.RunService.WatchRun", True, id="a watch"),
        pytest.param("sluiceway.api.run.v1.RunService.CreateRun", True, id="a write with a request id"),
        pytest.param("sluiceway.api.run.v1.RunService.DeleteLogs", False, id="a write without one"),
        pytest.param("sluiceway.api.executor.v1.ExecutorService.Connect", False, id="a stream of requests"),
    ],
)
def test_only_idempotent_methods_may_be_retried(method: str, repeatable: bool) -> None:
    service, _, name = method.rpartition(".")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    assert is_repeatable(descriptor) is repeatable


def test_service_config_retries_on_unavailable_only() -> None:
    config = json.loads(service_config())
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    (methods,) = config["methodConfig"]
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {"service": "sluiceway.api.run.v1.RunService", "method": "GetRun"} in methods["name"]
    assert {"service": "sluiceway.api.run.v1.RunService", "method": "DeleteLogs"} not in methods["name"]


ROOT = Path(__file__).parents[3]


def options_in(source: str) -> Iterator[str]:
    """Find the names in pairs such as `("grpc.keepalive_time_ms", 30_000)`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Tuple(elts=[ast.Constant(value=str(name)), _]) if name.startswith("grpc."):
                yield name


def is_known(option: str) -> bool:
    """Return whether the core library has the name among its strings."""
    (library,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")
    return option.encode() + b"\0" in library.read_bytes()


def test_every_grpc_option_that_is_set_exists() -> None:
    files = [path for root in ("common", "server", "executor", "client") for path in (ROOT / root).rglob("*.py")]
    found = {name for path in files for name in options_in(path.read_text())}
    assert "grpc.http2.min_ping_interval_without_data_ms" in found
    assert {name for name in found if not is_known(name)} == set()


def test_unknown_grpc_option_is_detected() -> None:
    source = 'OPTIONS = (("grpc.http2.min_recv_ping_interval_without_data_ms", 15_000),)'
    assert [name for name in options_in(source) if not is_known(name)]
