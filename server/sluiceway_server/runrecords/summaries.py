"""What a list shows of a run: kept in a column, so that a list of old runs reads nothing but an index.

A summary is a `Run` without what only a page about that one run needs, and without what other columns have. It is kept
for every run alike, so that a list does not change when the bodies of its runs move to the object storage.
"""

from __future__ import annotations

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Fields

__all__ = ["run_of_row", "summary_of"]

_LONGEST_SUBJECT = 100


def summary_of(record: pb.RunRecord) -> bytes:
    """Make the column of a run."""
    run = api.Run()
    run.CopyFrom(record.run)
    for name in ("id", "group", "annotations", "setup_errors", "warnings"):
        run.ClearField(name)
    if run.HasField("source"):
        subject, _, more = run.source.message.partition("\n")
        if more or len(subject) > _LONGEST_SUBJECT:
            run.source.message = subject[:_LONGEST_SUBJECT].rstrip()
    return run.SerializeToString(deterministic=True)


def run_of_row(run_id: str, fields: Fields) -> api.Run:
    """Make the run that a list shows of a row of `RUN`."""
    summary, group = fields["summary"], fields["group"]
    run = api.Run.FromString(summary if isinstance(summary, bytes) else b"")
    run.id, run.group = run_id, str(group)
    return run
