"""The skins of `ConfigService` and `VersionService`: what the command line does offline, for those without one.

Faults of a configuration are answers here, never errors; the evaluation runs in its limited child, off the event loop,
and few at a time, since each may take 512 MiB and 5 s of a processor. The language itself is imported at the first
call, so that a server starts without it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway.api.config.v1 import config_service_pb2_grpc as pb_grpc
from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.foundation.errors import Exhausted, InvalidInput, Violation
from sluiceway.foundation.version import VERSION

if TYPE_CHECKING:
    from sluiceway.runconfig.compile import LoadResult
    from sluiceway.runconfig.problems import Problem

__all__ = ["ConfigServicer", "VersionServicer"]

_LIMIT_BYTES = 1024 * 1024
_AT_A_TIME = 4
_WAITING = 32


class ConfigServicer(pb_grpc.ConfigServiceServicer):
    """Checks, renders and draws configurations. Stateless."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0

    async def CheckRunConfig(self, request: pb.CheckRunConfigRequest, context: object) -> pb.CheckRunConfigResponse:
        """See the proto."""
        loaded = await self._load(request.config, request.context)
        return pb.CheckRunConfigResponse(errors=_problems(loaded.errors), warnings=_problems(loaded.warnings))

    async def RenderRunConfig(self, request: pb.RenderRunConfigRequest, context: object) -> pb.RenderRunConfigResponse:
        """See the proto."""
        loaded = await self._load(request.config, request.context)
        rendered = "" if loaded.document is None else json.dumps(loaded.document, indent=2, ensure_ascii=False)
        return pb.RenderRunConfigResponse(json=rendered, errors=_problems(loaded.errors))

    async def GraphRunConfig(self, request: pb.GraphRunConfigRequest, context: object) -> pb.GraphRunConfigResponse:
        """See the proto."""
        from sluiceway.runconfig.graphs import GraphFormat, render_graph  # noqa: PLC0415 - see the module

        try:
            form = GraphFormat(request.format or "text")
        except ValueError:
            known = ", ".join(GraphFormat)
            raise InvalidInput([Violation("format", f'"{request.format}" is not one of: {known}')]) from None
        loaded = await self._load(request.config, request.context)
        drawn = "" if loaded.config is None else render_graph(loaded.config.runs, form)
        return pb.GraphRunConfigResponse(graph=drawn, errors=_problems(loaded.errors))

    async def _load(self, config: pb.ConfigFiles, context: pb.ConfigContext) -> LoadResult:
        from sluiceway.runconfig.compile import load_async  # noqa: PLC0415 - see the module
        from sluiceway.runconfig.files import MappingFiles  # noqa: PLC0415 - see the module
        from sluiceway.runconfig.when import Context  # noqa: PLC0415 - see the module

        files = dict(config.files)
        if not files:
            raise InvalidInput([Violation("config.files", "name at least the configuration's own file")])
        size = sum(len(path) + len(content) for path, content in files.items())
        if size > _LIMIT_BYTES:
            raise Exhausted(f"the files have {size} bytes; at most {_LIMIT_BYTES} are taken", subject="config.files")
        if self._waiting >= _WAITING:
            raise Exhausted("too many configurations wait to be rendered; try again", subject="config")
        self._waiting += 1
        try:
            async with self._places:
                return await load_async(
                    MappingFiles(files),
                    Context(
                        ref_type=context.ref_type,
                        ref=context.ref,
                        branch=context.branch,
                        tag=context.tag,
                        pull_request_id=context.pull_request_id,
                        commit_sha=context.commit_sha,
                    ),
                )
        finally:
            self._waiting -= 1


class VersionServicer(version_service_pb2_grpc.VersionServiceServicer):
    """Says what this build is."""

    async def GetVersion(
        self, request: version_service_pb2.GetVersionRequest, context: object
    ) -> version_service_pb2.GetVersionResponse:
        """See the proto."""
        return version_service_pb2.GetVersionResponse(version=VERSION)


def _problems(problems: Iterable[Problem]) -> list[pb.ConfigProblem]:
    return [pb.ConfigProblem(path=p.path, line=p.line or 0, column=p.column or 0, message=p.message) for p in problems]
