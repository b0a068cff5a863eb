"""What a channel repeats by itself, and what it never does."""

from __future__ import annotations

import json

import pytest
from google.protobuf import descriptor_pool

from sluiceway.api.executor.v1 import executor_service_pb2  # noqa: F401 - its descriptor
from sluiceway.api.run.v1 import run_service_pb2  # noqa: F401 - its descriptor
from sluiceway.foundation.rpc.channel import is_repeatable, service_config


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
def test_what_may_be_repeated(method: str, repeatable: bool) -> None:
    service, _, name = method.rpartition(".")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    assert is_repeatable(descriptor) is repeatable


def test_the_service_config_balances_and_repeats_on_unavailable_only() -> None:
    config = json.loads(service_config())
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    (methods,) = config["methodConfig"]
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {"service": "sluiceway.api.run.v1.RunService", "method": "GetRun"} in methods["name"]
    assert {"service": "sluiceway.api.run.v1.RunService", "method": "DeleteLogs"} not in methods["name"]
