"""The settings of executor groups in their records: which runs a group serves, and whether it takes those of forks.

A group has no record until somebody creates it or changes its settings. Until then it serves all runs, and the servers'
option `--fork-groups` says whether it takes runs of forks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.placement import ExecutorView
from sluiceway_server.datamanager.model import View
from sluiceway_server.runrecords.types import EXECUTOR_GROUP


def with_group_settings(view: View, executors: Iterable[ExecutorView]) -> list[ExecutorView]:
    """Return executors with the settings of their groups."""
    executors = list(executors)
    settings = {group: view.get(EXECUTOR_GROUP, group) for group in {each.group for each in executors}}
    return [_with_settings(each, settings[each.group]) for each in executors]


def _with_settings(executor: ExecutorView, group: pb.ExecutorGroupRecord | None) -> ExecutorView:
    if group is None:
        return executor
    return replace(
        executor,
        serves=None if group.serves_all else frozenset(group.serves),
        # The driver `host` separates nothing, so it takes no run of a fork in any group.
        takes_forks=group.takes_forks and "host" not in executor.drivers,
    )
