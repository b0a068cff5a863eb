"""Runs by hand: the faults of a request for them, and the event that it becomes.

The event is that of a branch, a tag or a pull request as it is now. Its variables become environment variables of the
runs. A name that a task takes from a secret is refused when the configuration is known (`planning`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import definition_pb2
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import NotFound, Violation
from sluiceway_common.foundation.texts import lines_fault, shown
from sluiceway_common.runconfig.environment import POD_VARIABLE, system_variables
from sluiceway_common.runconfig.inputs import MAX_VALUE, VARIABLE_PREFIX, name_fault, path_of
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.runs.create_request import MAX_ENVIRONMENT_BYTES
from sluiceway_server.runs.definition_checks import environment_faults
from sluiceway_server.triggers.event_rules import event_record, manual_event
from sluiceway_server.triggers.providers import LinkedRepository
from sluiceway_server.triggers.schedule_rules import full_name, ref_violation

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_OF_THE_SYSTEM = system_variables(agola=True) | {POD_VARIABLE}


def run_faults(request: api.RunProjectRequest) -> Iterator[Violation]:
    """Yield the faults of a request that no provider needs to be asked for. Pure."""
    if request.ref and (fault := ref_violation(request.ref)) is not None:
        yield Violation("ref", fault)
    if request.commit_sha and not _COMMIT.fullmatch(request.commit_sha):
        yield Violation("commit_sha", "it is not the id of a commit: 40 or 64 digits from 0 to 9 and a to f")
    if request.pull_request_id:
        if not _NUMBER.fullmatch(request.pull_request_id):
            yield Violation("pull_request_id", "it is not the number of a pull request")
        for name in ("ref", "commit_sha"):
            if getattr(request, name):
                yield Violation(name, "it goes not together with a pull request, whose head is run")
    yield from _variable_faults(request.variables)
    yield from given_faults(request.inputs)


async def event_by_hand(
    request: api.RunProjectRequest, linked: LinkedRepository, *, user: str, key: str
) -> pb.EventRecord:
    """Return the event of a request without faults.

    Args:
        request: what to run.
        linked: the repository of the project.
        user: who asked.
        key: what tells the runs from others of the same commit.

    Raises:
        NotFound: `NO_SUCH_REF` or `NO_SUCH_PULL_REQUEST`.
        SluicewayError: as `forges.port`.
    """
    if request.pull_request_id:
        event = await _pull_request(request.pull_request_id, linked)
    else:
        event = await _ref(request.ref, request.commit_sha, linked)
    event.requested_by, event.run_name, event.request = user, request.run_name, key
    event.variables.update(request.variables)
    event.inputs.update(request.inputs)
    return event


def given_faults(inputs: Mapping[str, str], *, holder: str = "") -> Iterator[Violation]:
    """Yield the faults of values of inputs that need no declaration. Pure."""
    for name in sorted(inputs):
        fault = name_fault(name)
        if fault is None and len(inputs[name]) > MAX_VALUE:
            fault = f"can have at most {MAX_VALUE} characters, not {len(inputs[name])}"
        fault = fault or lines_fault(inputs[name])
        if fault is not None:
            yield Violation(f"{holder}{path_of(name)}", fault)


def _variable_faults(variables: Mapping[str, str]) -> Iterator[Violation]:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > MAX_ENVIRONMENT_BYTES:
        yield Violation("variables", f"they have {size} bytes; at most {MAX_ENVIRONMENT_BYTES} are allowed")
        return
    values = {name: definition_pb2.EnvironmentValue(value=value) for name, value in variables.items()}
    yield from environment_faults("variables", values)
    for name in sorted(n for n in variables if n in _OF_THE_SYSTEM or n.startswith(VARIABLE_PREFIX)):
        yield Violation(f'variables["{shown(name, most=100)}"]', "the system sets this variable; choose another name")


async def _pull_request(number: str, linked: LinkedRepository) -> pb.EventRecord:
    account = linked.account
    try:
        found = await account.forge.pull_request(account.token, linked.repository, number)
    except NotAtForge as cause:
        raise NotFound(
            f"{linked.repository.path} has no pull request {number}",
            reason="NO_SUCH_PULL_REQUEST",
            resource_type="pull_request",
            resource_name=number,
        ) from cause
    return event_record(found)


async def _ref(name: str, commit: str, linked: LinkedRepository) -> pb.EventRecord:
    account = linked.account
    ref = full_name(name or linked.repository.default_branch)
    if not commit:
        commit = (await account.forge.refs(account.token, linked.repository)).get(ref, "")
    if not commit:
        raise NotFound(
            f"{linked.repository.path} has no {ref}", reason="NO_SUCH_REF", resource_type="ref", resource_name=ref
        )
    return manual_event(linked.repository, ref, commit)
