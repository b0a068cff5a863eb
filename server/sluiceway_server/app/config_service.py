"""The servicers of `ConfigService` and `VersionService`: what `sluice config` does offline, as RPCs.

Faults of a configuration are in the response, and are not errors of the call. Configurations are loaded in worker
processes, a few at a time; a worker is killed when its call is cancelled or takes too long.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio.to_process
from google.protobuf.message import Message

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway.api.config.v1 import config_service_pb2_grpc as pb_grpc
from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, InvalidInput, Unavailable, Violation
from sluiceway_common.foundation.places import Places
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.foundation.version import VERSION
from sluiceway_server.app import config_loading

_LIMIT_BYTES = 1024 * 1024
_AT_A_TIME = 2
_WAITING = 32
# More than a jsonnet evaluation may take.
_WITHIN = timedelta(seconds=75)


class ConfigServicer(pb_grpc.ConfigServiceServicer):
    """Checks, renders and draws configurations. Stateless."""

    def __init__(self) -> None:
        self._places = Places(_AT_A_TIME, waiting=_WAITING, what="configurations")

    async def CheckRunConfig(self, request: pb.CheckRunConfigRequest, context: object) -> pb.CheckRunConfigResponse:
        return pb.CheckRunConfigResponse.FromString(await self._in_worker(config_loading.check, request))

    async def RenderRunConfig(self, request: pb.RenderRunConfigRequest, context: object) -> pb.RenderRunConfigResponse:
        return pb.RenderRunConfigResponse.FromString(await self._in_worker(config_loading.render, request))

    async def GraphRunConfig(self, request: pb.GraphRunConfigRequest, context: object) -> pb.GraphRunConfigResponse:
        return pb.GraphRunConfigResponse.FromString(await self._in_worker(config_loading.graph, request))

    async def _in_worker(self, function: Callable[[bytes], bytes], request: Any) -> bytes:
        """Call a function of `config_loading`.

        Raises:
            InvalidInput: there are no files, or the format or the driver is not known.
            Exhausted: they are too large, or need too much memory.
            DeadlineExceeded: they take too long.
            Unavailable: too many configurations wait, or the worker ended.
        """
        _check_files(request.config)
        message: Message = request
        async with self._places.take():
            try:
                async with time_limit(_WITHIN.total_seconds()):
                    return await anyio.to_process.run_sync(function, message.SerializeToString(), cancellable=True)
            except TimeoutError as cause:
                raise DeadlineExceeded(
                    f"the configuration was not loaded within {_WITHIN.total_seconds():.0f} s",
                    reason="CONFIGURATION_TOO_SLOW",
                ) from cause
            except MemoryError as cause:
                raise Exhausted(
                    "the configuration needs too much memory to be loaded", reason="CONFIGURATION_TOO_LARGE"
                ) from cause
            except anyio.BrokenWorkerProcess as cause:
                raise Unavailable(
                    "the process that loads configurations ended; try again", reason="WORKER_LOST"
                ) from cause


def _check_files(config: pb.ConfigFiles) -> None:
    if not config.files:
        raise InvalidInput([Violation("config.files", "name at least the configuration's own file")])
    size = sum(len(path) + len(content) for path, content in config.files.items())
    if size > _LIMIT_BYTES:
        raise Exhausted(f"the files have {size} bytes; at most {_LIMIT_BYTES} are taken", subject="config.files")


class VersionServicer(version_service_pb2_grpc.VersionServiceServicer):
    """Implements `VersionService`."""

    def __init__(self, *, public_url: str = "") -> None:
        self._public_url = public_url

    async def GetVersion(
        self, request: version_service_pb2.GetVersionRequest, context: object
    ) -> version_service_pb2.GetVersionResponse:
        return version_service_pb2.GetVersionResponse(version=VERSION, public_url=self._public_url)
