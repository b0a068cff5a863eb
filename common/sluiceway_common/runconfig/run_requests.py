"""The request that creates a run of a configuration, for the command line and for events of git providers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sluiceway.api.run.v1 import definition_pb2, run_pb2, run_service_pb2
from sluiceway_common.runconfig.compile import LoadResult
from sluiceway_common.runconfig.environment import static_environment
from sluiceway_common.runconfig.tasks import RunTasks
from sluiceway_common.runconfig.when import Context


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """What all runs of one commit share.

    Attributes:
        repository: the URL to clone, or the path of a folder on the machine of the executor.
        context: ref and commit.
        message: of the commit.
        group: in which the runs queue.
        link: a page about the event that the runs are for; empty: none.
    """

    repository: str
    context: Context
    message: str
    group: str
    link: str = ""


def run_request(
    origin: RunOrigin,
    loaded: LoadResult,
    name: str,
    *,
    request_id: str,
    tasks: RunTasks | None = None,
    setup_errors: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> run_service_pb2.CreateRunRequest:
    """Make the request for one run.

    Args:
        origin: where the run comes from.
        loaded: the configuration, whose warnings the run gets.
        name: of the run.
        request_id: makes the call safe to repeat.
        tasks: of the run; None: it has none, because of `setup_errors`.
        setup_errors: why the configuration cannot be used.
        warnings: further ones.
    """
    run = run_pb2.Run(name=name, group=origin.group)
    all_warnings = [*(problem.in_file(loaded.source_path) for problem in loaded.warnings), *warnings]
    if tasks is not None:
        all_warnings += tasks.warnings
        run.priority = tasks.priority
        if tasks.timeout is not None:
            run.timeout.CopyFrom(tasks.timeout)
    static = static_environment(origin.context, repository_url=origin.repository, agola=loaded.is_agola)
    return run_service_pb2.CreateRunRequest(
        run=run,
        tasks=tasks.tasks if tasks is not None else (),
        setup_errors=setup_errors,
        static_environment={k: definition_pb2.EnvironmentValue(value=v) for k, v in static.items()},
        source=_source(origin),
        request_id=request_id,
        warnings=all_warnings,
        inputs=tasks.inputs if tasks is not None else (),
        inputs_make_tasks=tasks is not None
        and bool(tasks.inputs)
        and (tasks.are_made_with_inputs or loaded.is_made_with_inputs),
    )


def _source(origin: RunOrigin) -> definition_pb2.Source:
    context = origin.context
    return definition_pb2.Source(
        repository=origin.repository,
        ref_type=context.ref_type,
        ref=context.ref,
        branch=context.branch,
        tag=context.tag,
        pull_request_id=context.pull_request_id,
        commit_sha=context.commit_sha,
        message=origin.message,
        link=origin.link,
    )
