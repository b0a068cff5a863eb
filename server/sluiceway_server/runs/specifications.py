"""Build the specifications of assignments from what is stored, with the secrets and credentials that they need."""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import Position, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords import enums
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, TASK, task_id
from sluiceway_server.runs.configs import RunConfigs
from sluiceway_server.runs.environment_values import references_of
from sluiceway_server.runs.identity_claims import withheld_reason
from sluiceway_server.runs.ports import CloneAccess, EngineSettings, RunValues, Specified
from sluiceway_server.runs.specification import check_clone_is_first, clones, definition_of, specify


class AssignmentFinal(FailedPrecondition):
    """The attempt is over; nothing more is to be run for it."""

    reason = "ASSIGNMENT_FINAL"


class Specifications:
    """What executors need to run their assignments."""

    def __init__(
        self,
        db: Database,
        configs: RunConfigs,
        *,
        settings: EngineSettings,
        values: RunValues,
        clone_access: CloneAccess | None,
    ) -> None:
        self._db = db
        self._configs = configs
        self._settings = settings
        self._values = values
        self._clone_access = clone_access

    async def build(
        self, assignment_id: str, *, after: Position | None = None, specified: Specified | None = None
    ) -> executor_api.Specification:
        """Build what the executor of an assignment needs to run it; from `specified`, the records in the log, if given.

        Raises:
            NotFound: there is no such assignment.
            AssignmentFinal: it is over.
            FailedPrecondition: a secret that its task needs was deleted, or this server has not the master key of it;
                or its source cannot be cloned.
            DataLoss: such a secret was changed in the database.
        """

        def read(view: View) -> Specified | None:
            assignment = view.get(ASSIGNMENT, assignment_id)
            if assignment is None:
                return None
            if assignment.phase in enums.FINAL_PHASES:
                raise AssignmentFinal(f"assignment {assignment_id} is over; there is nothing more to run")
            run = view.get(RUN, assignment.run_id)
            task = view.get(TASK, task_id(assignment.run_id, assignment.task_id))
            if run is None or task is None:
                raise NotFound(f"assignment {assignment_id} is of a run or a task that is not there")
            return run, task, view.get(RUN_CONFIG, assignment.run_id)

        found = specified or await self._db.read(read, after=after)
        if found is None:
            await self._db.get(ASSIGNMENT, assignment_id)  # catches up when this server is behind, or raises
            found = await self._db.read(read)
        if found is None:
            raise NotFound(f"there is no assignment {assignment_id!r}")
        run, task, config = found
        whole = await self._configs.of_run(run.run.id, config)
        definition = definition_of(whole, task)
        needed = references_of(definition, whole.static_environment, whole.environment)
        secrets = await self._values.texts(needed)
        credentials = await self._clone_credentials(run, whole, definition)
        withheld = ""
        if definition.id_tokens:
            withheld = await self._db.read(lambda view: withheld_reason(view, run))
        return specify(run, whole, task, self._settings, secrets, credentials=credentials, id_tokens_withheld=withheld)

    async def _clone_credentials(
        self, run: pb.RunRecord, config: pb.RunConfig, definition: definition_api.TaskDefinition
    ) -> executor_api.CloneCredentials | None:
        if self._clone_access is None or not clones(definition):
            return None
        project_id = groups.project_of(run.run.group)
        credentials = await self._clone_access.credentials(project_id, config.source.repository)
        if credentials is not None and run.from_fork:
            check_clone_is_first(definition)
        return credentials
