"""From a commit to the requests that make its runs. No I/O but what reading the commit's files takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from sluiceway.api.run.v1 import definition_pb2, run_pb2, run_service_pb2
from sluiceway.cli.repository import Checkout, ref_name
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.texts import as_name
from sluiceway_common.runconfig.compile import LoadResult, load
from sluiceway_common.runconfig.environment import skips_ci, static_environment
from sluiceway_common.runconfig.files import FileRefused, FolderFiles
from sluiceway_common.runconfig.locate import find_source
from sluiceway_common.runconfig.runs import find_run, runs_that_apply
from sluiceway_common.runconfig.tasks import RunTasks, tasks_of_run
from sluiceway_common.runmodel import groups

__all__ = ["requests_for"]

_MAX_REQUEST_ID = 100


def requests_for(
    checkout: Checkout, *, name: str | None, group: str | None, request_id: str | None
) -> Sequence[run_service_pb2.CreateRunRequest]:
    """Make a request for each run that is wanted.

    Args:
        checkout: the commit.
        name: only this run, whether its `when` matches or not; None: all whose `when` matches.
        group: in which they queue; None: `/user/me/<repository>/<ref>`, where the server puts the caller's id for `me`.
        request_id: makes a repeated call harmless.

    Returns:
        At least one. A configuration that cannot be used gives one request with all its errors, and no task.

    Raises:
        NotFound: the configuration has no such run, or no run applies to this ref.
    """
    loaded = load(checkout.files, checkout.context)
    base = _Base(checkout, group or groups.join("user", "me", checkout.name, ref_name(checkout.context)))
    if loaded.config is None:
        errors = [problem.in_file(loaded.source_path) for problem in loaded.errors]
        if not loaded.source_path:
            errors += _not_committed(checkout)
        return [base.request(name or as_name(checkout.name, otherwise="run"), loaded, request_id, setup_errors=errors)]
    if name is not None:
        find_run(loaded.config, name)
        names: tuple[str, ...] = (name,)
    else:
        names = runs_that_apply(loaded.config, checkout.context)
        if not names:
            raise NotFound(
                f"no run of the configuration applies to {checkout.context.ref}; name one with --name",
                reason="NO_RUN_APPLIES",
            )
    requests = []
    for run_name in names:
        tasks = tasks_of_run(loaded.config, run_name, checkout.context)
        own_id = request_id if request_id is None or len(names) == 1 else _request_id_of(request_id, run_name)
        requests.append(base.request(run_name, loaded, own_id, tasks=tasks))
    return requests


def _not_committed(checkout: Checkout) -> list[str]:
    """Name the configuration that the working tree has and the commit has not."""
    root = Path(checkout.repository)
    if not root.is_dir():
        return []
    try:
        found = find_source(FolderFiles(root))
    except FileRefused:
        return []
    if found is None:
        return []
    return [f"{found.path} is in the working tree, and not in commit {checkout.context.commit_sha[:12]}; commit it"]


def _request_id_of(request_id: str, run_name: str) -> str:
    """Make one run's request id of the one that was given for all."""
    whole = f"{request_id}/{run_name}"
    return whole if len(whole) <= _MAX_REQUEST_ID else hashlib.sha256(whole.encode()).hexdigest()


class _Base:
    """What all runs of one commit share."""

    def __init__(self, checkout: Checkout, group: str) -> None:
        self._checkout = checkout
        self._group = group

    def request(
        self,
        name: str,
        loaded: LoadResult,
        request_id: str | None,
        *,
        tasks: RunTasks | None = None,
        setup_errors: Sequence[str] = (),
    ) -> run_service_pb2.CreateRunRequest:
        checkout, context = self._checkout, self._checkout.context
        warnings = [problem.in_file(loaded.source_path) for problem in loaded.warnings]
        if skips_ci(checkout.message):
            warnings.append("the commit's message asks for no run; a person asked for this one")
        run = run_pb2.Run(name=name, group=self._group)
        if tasks is not None:
            warnings += tasks.warnings
            run.priority = tasks.priority
            if tasks.timeout is not None:
                run.timeout.CopyFrom(tasks.timeout)
        static = static_environment(context, repository_url=checkout.repository, agola=loaded.is_agola)
        return run_service_pb2.CreateRunRequest(
            run=run,
            tasks=tasks.tasks if tasks is not None else (),
            setup_errors=setup_errors,
            static_environment={k: definition_pb2.EnvironmentValue(value=v) for k, v in static.items()},
            source=_source(checkout),
            # Of our own when the caller named none, so that a retry makes no second run.
            request_id=request_id or str(uuid4()),
            warnings=warnings,
        )


def _source(checkout: Checkout) -> definition_pb2.Source:
    """Describe where a run comes from."""
    context = checkout.context
    return definition_pb2.Source(
        repository=checkout.repository,
        ref_type=context.ref_type,
        ref=context.ref,
        branch=context.branch,
        tag=context.tag,
        pull_request_id=context.pull_request_id,
        commit_sha=context.commit_sha,
        message=checkout.message,
    )
