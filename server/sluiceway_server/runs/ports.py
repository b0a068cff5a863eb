"""The ports of the engine, and its settings.

`ExecutorDirectory` lists the executors that are connected to any server. The other way goes through the log: a
transaction that decides something for an executor emits an `AssignmentNotice` to `executor_topic(executor)`, and the
server that has the executor's stream reads the topic and sends. No server calls another one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.runconfig.when import Context
from sluiceway_common.runmodel.model import Run
from sluiceway_common.runmodel.placement import ExecutorView, Owner
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_server.datamanager.model import Action, View
from sluiceway_server.objectstorage.port import ObjectInfo
from sluiceway_server.projects.variables import SecretValue, Unset

Specified = tuple[records.RunRecord, records.TaskRecord, records.RunConfigRecord | None]
"""What a specification is built of."""


WithNewRun = Callable[[View, Run], Iterable[Action]]
"""Returns what is stored in the transaction that creates a run. Pure and quick."""


WithRun = Callable[[View, str, bool], Iterable[Action]]
"""Returns what is stored with a creation, for the id of its run, and whether an earlier call with the same request id
has made it. Pure and quick."""


def nothing_more(view: View, run: Run) -> tuple[Action, ...]:
    """Store nothing together with new runs."""
    return ()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine works. Tests scale the times down together.

    Attributes:
        server_id: of this server process; another one after each start.
        api_url: what tasks get as `SLUICE_API_URL`; empty: they do not get it.
        sweep_interval: between sweeps, the safety net.
        sweep_patience: a run that could have started for so long was forgotten. More than a notice takes to the
            scheduler.
        scheduler_interval: between two checks of who is the scheduler, and between two renewals of this server's lease.
        server_lease: a server that did not renew for so long is taken for dead, and another one takes over from it.
        lost_after: see executors.md; in a new epoch of the database, executors have so long to settle.
        grace: between TERM and KILL.
        log_limit_bytes: of one step's log.
        config_inline_bytes: a larger configuration goes to the object storage.
        prefix: of the keys of objects, without a slash at its end; empty: none.
        request_kept: how long the key of a creation makes it harmless to repeat.
    """

    server_id: str
    api_url: str = ""
    sweep_interval: timedelta = timedelta(seconds=30)
    sweep_patience: timedelta = timedelta(seconds=2)
    scheduler_interval: timedelta = timedelta(seconds=2)
    server_lease: timedelta = timedelta(seconds=6)
    lost_after: timedelta = timedelta(minutes=15)
    grace: timedelta = timedelta(seconds=30)
    log_limit_bytes: int = 1024 * 1024 * 1024
    config_inline_bytes: int = 64 * 1024
    prefix: str = ""
    request_kept: timedelta = timedelta(days=30)


class ExecutorDirectory(Protocol):
    """The executors that have a key in etcd. The scheduler reads it at each placement."""

    def live(self) -> Sequence[ExecutorView]:
        """List the live ones, with the session that each has now. `used` is ignored: the stored assignments count."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback`, on the event loop, whenever the result of `live` may have changed."""
        ...


class ServerPresence(Protocol):
    """Which servers are alive: those that renew a lease in etcd."""

    async def renew(self) -> None:
        """Show that this server is alive. Raises `Unavailable`, or `OutcomeUnknown`: then call it again."""
        ...

    async def is_live(self, server_id: str) -> bool:
        """Return, linearizably, whether a server is alive. Raises `Unavailable`."""
        ...

    async def leave(self) -> None:
        """Show that this server ends. May be called twice, and when etcd is away."""
        ...


class AssignmentNotice(StrEnum):
    """The `kind` of an `Emit` to an executor's topic; its body is the assignment's id in UTF-8.

    The assignment says the rest: the transaction that emits this stores it, and for a stop it is read as it is by then.
    """

    ASSIGNED = "assignment_assigned"
    """It is new: send `assign`."""

    STOP = "assignment_stop"
    """It is to end, or to end by force: send `stop`."""

    END_HOLD = "assignment_end_hold"
    """A person ended the hold of its pod: send `end_hold`."""

    SHELL = "assignment_shell"
    """A person opens a shell in its pod: send `open_shell`, which is the body."""

    ENDED = "assignment_ended"
    """It is final: once that is durable, send `release` (or a discarding `stop` when the executor did not end it)."""


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """The outcome of one update: its number, and why it had no effect, if it was refused (R15)."""

    number: int
    refused: Reason | None = None


class ScopeSettings(Protocol):
    """Where the settings of a scope (`/project/<id>`, `/user/<id>`) come from."""

    def queue_settings(self, view: View, scope: str) -> QueueSettings:
        """Return the settings. Must be quick: it is called inside transaction functions."""
        ...

    def owner(self, view: View, scope: str) -> Owner:
        """Return whose runs they are, for executor groups. As quick."""
        ...


class RunValues(Protocol):
    """Where the variables and secrets of runs come from (`projects.project_values`)."""

    async def variables(
        self, project_id: str, names: Collection[str], context: Context, *, from_fork: bool
    ) -> dict[str, SecretValue | Unset]:
        """Return what variables stand for in a new run of a project; empty `project_id`: it has none."""
        ...

    async def texts(self, values: Mapping[SecretValue, str]) -> dict[SecretValue, str]:
        """Return values of secrets as text, given with the name of what needs each. Raises a `SluicewayError`."""
        ...


class CloneAccess(Protocol):
    """What `clone` steps need to read repositories that are not public (`triggers.clone_access`)."""

    async def credentials(self, project_id: str, repository: str) -> executor_api.CloneCredentials | None:
        """Return what a clone of `repository` needs in a run of a project. Raises a `SluicewayError`."""
        ...


class ObjectBodies(Protocol):
    """The part of the object storage that large configurations need (`objectstorage.port.ObjectStorage`)."""

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        """Store an object unless it is there."""
        ...

    async def put(self, key: str, body: bytes) -> None:
        """Store an object, replacing what was there."""
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """Return the metadata of an object; None if there is none."""
        ...

    async def get(self, key: str) -> bytes:
        """Read an object. Raises `NotFound`."""
        ...
