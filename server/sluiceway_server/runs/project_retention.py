"""How long each project keeps things, as one sweep of the retention reads it, and its runs that are due early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_server.datamanager.model import Query, View, Where
from sluiceway_server.datamanager.queries import walk_rows
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.projects.retention import Kept, kept_by
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import RUN, TERMINAL_PHASES, outcomes, run_of_row
from sluiceway_server.runs.retention_rules import is_due

_MOST_PROJECTS = 1000


@dataclass(frozen=True, slots=True)
class Retentions:
    """How long things are kept in the scopes of runs and caches.

    Attributes:
        installation: where a project says nothing.
        projects: by the id of the project; those with settings of their own.
    """

    installation: Kept
    projects: dict[str, Kept]

    def of(self, scope: str) -> Kept:
        """Return how long things of a scope, such as `/project/<id>/...`, are kept."""
        if not self.projects:
            return self.installation
        # That of the caches of a fork has a blank and more behind it.
        _, kind, name, *_ = (*scope.partition(" ")[0].split("/"), "", "", "")
        return (self.projects.get(name) if kind == "project" else None) or self.installation

    def shortest(self, of: Callable[[Kept], timedelta | None]) -> timedelta | None:
        """Return the shortest time for which anything of a kind is kept; None: all for ever."""
        spans = [span for kept in (self.installation, *self.projects.values()) if (span := of(kept)) is not None]
        return min(spans, default=None)

    def shorter(self, of: Callable[[Kept], timedelta | None]) -> Iterator[tuple[str, timedelta]]:
        """Yield the projects that keep things of a kind for less time than the installation, with that time."""
        default = of(self.installation)
        for project_id, kept in self.projects.items():
            span = of(kept)
            if span is not None and (default is None or span < default):
                yield project_id, span


def read_retentions(view: View, installation: Kept) -> Retentions:
    """Read what projects say."""
    found: dict[str, Kept] = {}
    token = ""
    while True:
        page = view.select(PROJECT, Query(where={"has_retention": 1}, size=_MOST_PROJECTS, token=token))
        found.update((id_, kept_by(project, installation)) for id_, project in page.records)
        token = page.next_token
        if not token:
            return Retentions(installation, found)


def due_runs(view: View, project_id: str, kept_for: timedelta, time: datetime) -> list[api.Run]:
    """Return the runs of a project whose things are due: rows of an index only, the oldest first."""
    where: Where = {"scope": f"/project/{project_id}", "outcome": outcomes(phases=TERMINAL_PHASES)}
    found = []
    for id_, fields in walk_rows(view, RUN, where, order=("created",)):
        run = run_of_row(id_, fields)
        if codec.read_time(run.create_time) + kept_for > time:
            break
        if is_due(run, kept_for, time):
            found.append(run)
    return found
