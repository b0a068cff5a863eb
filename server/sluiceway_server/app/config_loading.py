"""The methods of `ConfigService`, each as a function from request to response that runs in a worker process.

Loading a configuration takes seconds of a processor and hundreds of MiB in the worst case, mostly in libraries that
hold the interpreter's lock. So it is done in worker processes. The functions take and return bytes, and import
`runconfig` when they are called, so that the server, which only passes them to workers, does not import it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sluiceway.api.config.v1 import config_service_pb2 as pb
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, Violation

if TYPE_CHECKING:
    from sluiceway_common.runconfig.capabilities import Capabilities
    from sluiceway_common.runconfig.compile import LoadResult
    from sluiceway_common.runconfig.problems import Problem

_RESPONSE_BYTES = 8 * 1024 * 1024


def check(request: bytes) -> bytes:
    """Handle a `CheckRunConfigRequest`.

    Raises as `load`, InvalidInput for a driver that is not known, and MemoryError when it takes more than 1 GiB.
    """
    from sluiceway_common.runconfig.capabilities import DRIVERS  # noqa: PLC0415 - in the worker only

    asked = pb.CheckRunConfigRequest.FromString(request)
    drivers = [each for each in DRIVERS if asked.driver in {"", each.driver}]
    if not drivers:
        known = ", ".join(each.driver for each in DRIVERS)
        raise InvalidInput([Violation("driver", f'"{asked.driver}" is not one of: {known}')])
    loaded = _load(asked.config, asked.context, drivers)
    return pb.CheckRunConfigResponse(
        errors=_problems(loaded.errors), warnings=_problems(loaded.warnings)
    ).SerializeToString()


def render(request: bytes) -> bytes:
    """Handle a `RenderRunConfigRequest`. Raises as `load`, and MemoryError when it takes more than 1 GiB."""
    asked = pb.RenderRunConfigRequest.FromString(request)
    loaded = _load(asked.config, asked.context)
    rendered = "" if loaded.document is None else _bounded(json.dumps(loaded.document, indent=2, ensure_ascii=False))
    return pb.RenderRunConfigResponse(json=rendered, errors=_problems(loaded.errors)).SerializeToString()


def graph(request: bytes) -> bytes:
    """Handle a `GraphRunConfigRequest`. Raises as `render`, and InvalidInput for a format that is not known."""
    from sluiceway_common.runconfig.graphs import GraphFormat, render_graph  # noqa: PLC0415 - in the worker only

    asked = pb.GraphRunConfigRequest.FromString(request)
    try:
        form = GraphFormat(asked.format or "text")
    except ValueError:
        known = ", ".join(GraphFormat)
        raise InvalidInput([Violation("format", f'"{asked.format}" is not one of: {known}')]) from None
    loaded = _load(asked.config, asked.context)
    drawn = "" if loaded.config is None else _bounded(render_graph(loaded.config.runs, form))
    return pb.GraphRunConfigResponse(graph=drawn, errors=_problems(loaded.errors)).SerializeToString()


def _load(
    config: pb.ConfigFiles, context: pb.ConfigContext, drivers: Sequence[Capabilities] | None = None
) -> LoadResult:
    from sluiceway_common.runconfig.capabilities import DRIVERS  # noqa: PLC0415 - in the worker only
    from sluiceway_common.runconfig.compile import load  # noqa: PLC0415 - in the worker only
    from sluiceway_common.runconfig.files import MappingFiles  # noqa: PLC0415 - in the worker only
    from sluiceway_common.runconfig.when import Context  # noqa: PLC0415 - in the worker only

    return load(
        MappingFiles(dict(config.files)),
        Context(
            ref_type=context.ref_type,
            ref=context.ref,
            branch=context.branch,
            tag=context.tag,
            pull_request_id=context.pull_request_id,
            commit_sha=context.commit_sha,
            inputs=dict(context.inputs),
        ),
        drivers=drivers or DRIVERS,
    )


def _bounded(text: str) -> str:
    size = len(text.encode())
    if size > _RESPONSE_BYTES:
        raise Exhausted(
            f"the response has {size} bytes, and may have {_RESPONSE_BYTES}; "
            "the command `sluice config` has no such limit",
            reason="ANSWER_TOO_LARGE",
        )
    return text


def _problems(problems: Iterable[Problem]) -> list[pb.ConfigProblem]:
    return [pb.ConfigProblem(path=p.path, line=p.line or 0, column=p.column or 0, message=p.message) for p in problems]
