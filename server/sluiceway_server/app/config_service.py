"""The servicers of `ConfigService` and `VersionService`: what `sluice config` does offline, as RPCs.

Faults of a configuration are in the response, and are not errors of the call. Configurations are loaded in worker
processes, a few at a time; a worker is killed when its call is cancelled or takes too long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway.api.config.v1 import config_service_pb2_grpc as pb_grpc
from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, Violation
from sluiceway_common.foundation.version import VERSION
from sluiceway_server.app import config_loading
from sluiceway_server.runs.config_workers import ConfigProcesses

_LIMIT_BYTES = 1024 * 1024
_AT_A_TIME = 2
_WAITING = 32


class ConfigServicer(pb_grpc.ConfigServiceServicer):
    """Checks, renders and draws configurations. Stateless."""

    def __init__(self) -> None:
        self._workers = ConfigProcesses(_AT_A_TIME, waiting=_WAITING)

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
        return await self._workers.call(function, message.SerializeToString())


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
