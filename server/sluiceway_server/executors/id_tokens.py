"""Issues the id tokens of tasks to their executors (`ExecutorService.IssueIdToken`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sluiceway.api.executor.v1 import executor_service_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.holding import held_assignment
from sluiceway_server.projects.identity_keys import TOKEN_LIFETIME, IdentityKeys
from sluiceway_server.projects.tree import NodeType, require
from sluiceway_server.runrecords.enums import FINAL_PHASES
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, TASK, task_id
from sluiceway_server.runs.identity_claims import Identity, claims_of, identity_of, withheld_reason
from sluiceway_server.runs.identity_service import required_issuer
from sluiceway_server.runs.specification import definition_of
from sluiceway_server.runs.specifications import AssignmentFinal

__all__ = ["IdTokens", "IdTokensWithheld"]


class IdTokensWithheld(FailedPrecondition):
    """The task is one of those that get no id tokens."""

    reason = "ID_TOKENS_WITHHELD"


@dataclass(frozen=True, slots=True)
class _Attempt:
    assignment: pb.AssignmentRecord
    run: pb.RunRecord
    task: pb.TaskRecord
    identity: Identity


class IdTokens:
    """Issues tokens. The caller has proved the session of the request."""

    def __init__(
        self,
        database: Database,
        keys: IdentityKeys,
        clock: Clock,
        *,
        ids: IdSource,
        config_of: Callable[[str], Awaitable[pb.RunConfig]],
        public_url: str,
    ) -> None:
        """Make an issuer.

        Args:
            database: where assignments are.
            keys: that sign.
            clock: for the times of tokens.
            ids: of tokens.
            config_of: returns the configuration of a run.
            public_url: of the gateway; empty: it is not known, and no tokens are issued.
        """
        self._database = database
        self._keys = keys
        self._clock = clock
        self._ids = ids
        self._config_of = config_of
        self._public_url = public_url

    async def issue(self, request: api.IssueIdTokenRequest, group: str) -> api.IssueIdTokenResponse:
        """Issue a token for the present attempt of a task, to an executor of a group.

        Raises:
            NotFound: the executor does not hold the assignment, or the task has no such token.
            FailedPrecondition: as the proto lists them.
            Unavailable: the database is away.
        """
        issuer = required_issuer(self._public_url)
        # What was lost or stopped a moment ago gets none, whichever server is asked.
        position = await self._database.linearize()
        attempt = await self._database.read(lambda view: _attempt(view, request), after=position)
        config = await self._config_of(attempt.run.run.id)
        definition = definition_of(config, attempt.task)
        if request.name not in definition.id_tokens:
            raise NotFound(
                f"the task {definition.name} has no id token {request.name}",
                resource_type="id token",
                resource_name=request.name,
            )
        claims = claims_of(
            attempt.identity,
            attempt.run,
            config,
            attempt.task,
            attempt.assignment,
            issuer=issuer,
            audiences=definition.id_tokens[request.name].audiences,
            group=group,
            token_id=self._ids.new_id(),
            now=self._clock.now(),
        )
        response = api.IssueIdTokenResponse(token=await self._keys.sign(claims))
        response.refresh_after.FromTimedelta(TOKEN_LIFETIME / 2)
        return response


def _attempt(view: View, request: api.IssueIdTokenRequest) -> _Attempt:
    assignment = held_assignment(view.get(ASSIGNMENT, request.assignment_id), request)
    if assignment.phase in FINAL_PHASES:
        raise AssignmentFinal(f"assignment {assignment.id} is over; it gets no id tokens")
    run, task = view.get(RUN, assignment.run_id), view.get(TASK, task_id(assignment.run_id, assignment.task_id))
    if run is None or task is None or task.task.assignment_id != assignment.id:
        raise AssignmentFinal(f"assignment {assignment.id} is not the present attempt of its task")
    withheld = withheld_reason(view, run)
    if withheld:
        raise IdTokensWithheld(withheld, subject=task.task.name)
    project = require(view, groups.project_of(run.run.group), {NodeType.PROJECT})
    return _Attempt(assignment, run, task, identity_of(view, project))
