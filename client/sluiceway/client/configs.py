"""Run configurations, checked on the server."""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway.api.config.v1 import config_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["Configs"]


class Configs:
    """The `ConfigService`. Files are given by their paths in the repository, such as `.sluice/config.jsonnet`.

    Every method raises the errors that the comments of the proto list, as `SluicewayError`. Errors of a configuration
    are part of the response.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ConfigServiceStub(connection.channel)

    async def check(
        self, files: Mapping[str, bytes], context: pb.ConfigContext | None = None, *, driver: str = ""
    ) -> pb.CheckRunConfigResponse:
        """Check a configuration.

        What `driver` (`sandbox` or `host`) does not support is an error. Empty: what no driver supports.
        """
        config = self._connection.request(pb.ConfigFiles, files=files)
        request = self._connection.request(pb.CheckRunConfigRequest, config=config, context=context, driver=driver)
        return await self._connection.call(self._stub.CheckRunConfig, request)

    async def render(
        self, files: Mapping[str, bytes], context: pb.ConfigContext | None = None
    ) -> pb.RenderRunConfigResponse:
        """Render a configuration to JSON."""
        config = self._connection.request(pb.ConfigFiles, files=files)
        return await self._connection.call(
            self._stub.RenderRunConfig, pb.RenderRunConfigRequest(config=config, context=context)
        )

    async def graph(
        self, files: Mapping[str, bytes], context: pb.ConfigContext | None = None, *, form: str = ""
    ) -> pb.GraphRunConfigResponse:
        """Draw the graph of each run, as `text` (the default), `mermaid` or `dot`."""
        config = self._connection.request(pb.ConfigFiles, files=files)
        request = self._connection.request(pb.GraphRunConfigRequest, config=config, context=context, format=form)
        return await self._connection.call(self._stub.GraphRunConfig, request)
