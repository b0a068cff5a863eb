"""Make the requests for the runs of a commit. Its only I/O is reading the files of the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from sluiceway.api.run.v1 import run_service_pb2
from sluiceway.cli.repository import Checkout, ref_name
from sluiceway_common.foundation.errors import InvalidInput, NotFound
from sluiceway_common.foundation.texts import as_name
from sluiceway_common.runconfig.compile import load
from sluiceway_common.runconfig.environment import skips_ci
from sluiceway_common.runconfig.files import FileRefused, FolderFiles
from sluiceway_common.runconfig.inputs import input_faults
from sluiceway_common.runconfig.locate import find_source
from sluiceway_common.runconfig.run_requests import RunOrigin, run_request
from sluiceway_common.runconfig.runs import find_run, runs_that_apply
from sluiceway_common.runconfig.tasks import project_variables, tasks_of_run
from sluiceway_common.runmodel import groups

_MAX_REQUEST_ID = 100
_SKIPPED = "the commit's message asks for no run; a person asked for this one"


def requests_for(
    checkout: Checkout,
    *,
    name: str | None,
    group: str | None,
    request_id: str | None,
    project_id: str = "",
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[run_service_pb2.CreateRunRequest]:
    """Make a request for each run that is wanted.

    Args:
        checkout: the commit.
        name: only this run, whether its `when` matches or not; None: all whose `when` matches.
        group: in which they queue; None: `/project/<id>/<type>/<ref>`, or without a project
            `/user/me/<repository>/<ref>`, where the server puts the caller's id for `me`.
        request_id: makes a repeated call harmless.
        project_id: of the project of the runs; empty: they have none. Its variables are resolved by the server.
        inputs: values for inputs that the runs declare.

    Returns:
        At least one. A configuration that cannot be used gives one request with all its errors, and no task.

    Raises:
        NotFound: the configuration has no such run, or no run applies to this ref.
        InvalidInput: no run declares such an input, it cannot have this value, or a value is missing.
    """
    context = replace(checkout.context, inputs=inputs)
    loaded = load(checkout.files, context)
    origin = RunOrigin(
        checkout.repository,
        checkout.context,
        checkout.message,
        group or _group(checkout, project_id),
    )
    warnings = [_SKIPPED] if skips_ci(checkout.message) else []
    if loaded.config is None:
        errors = [problem.in_file(loaded.source_path) for problem in loaded.errors]
        if not loaded.source_path:
            errors += _not_committed(checkout)
        own_name = name or as_name(checkout.name, otherwise="run")
        own_id = request_id or str(uuid4())
        return [
            run_request(origin, loaded, own_name, request_id=own_id, setup_errors=errors, warnings=warnings),
        ]
    if name is not None:
        find_run(loaded.config, name)
        names: tuple[str, ...] = (name,)
    else:
        names = runs_that_apply(loaded.config, context)
        if not names:
            raise NotFound(
                f"no run of the configuration applies to {checkout.context.ref}; name one with --name",
                reason="NO_RUN_APPLIES",
            )
    faults = input_faults((find_run(loaded.config, each).declared_inputs() for each in names), inputs)
    if faults:
        raise InvalidInput(faults)
    requests = []
    for run_name in names:
        variables = project_variables(loaded.config, run_name) if project_id else None
        tasks = tasks_of_run(loaded.config, run_name, context, variables=variables)
        # Of our own when the caller named none, so that a retry makes no second run.
        own_id = _request_id_of(request_id, run_name, alone=len(names) == 1) if request_id else str(uuid4())
        requests.append(run_request(origin, loaded, run_name, request_id=own_id, tasks=tasks, warnings=warnings))
    return requests


def _group(checkout: Checkout, project_id: str) -> str:
    """Return the group of a run: that of a push to its ref if it has a project."""
    context = checkout.context
    if not project_id:
        return groups.join("user", "me", checkout.name, ref_name(context))
    return groups.join("project", project_id, context.ref_type or "commit", ref_name(context))


def _not_committed(checkout: Checkout) -> list[str]:
    """Return the configuration that the working tree has and the commit has not."""
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


def _request_id_of(request_id: str, run_name: str, *, alone: bool) -> str:
    """Make one run's request id of the one that was given for all."""
    if alone:
        return request_id
    import hashlib

    whole = f"{request_id}/{run_name}"
    return whole if len(whole) <= _MAX_REQUEST_ID else hashlib.sha256(whole.encode()).hexdigest()
