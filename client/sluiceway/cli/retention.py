"""Values of `--log-retention` and the other options of a project's retention, and their words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sluiceway.cli.values import parse_span
from sluiceway_common.runmodel.wording import duration

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import project_service_pb2 as pb

_FIELDS = ("logs", "artifacts", "caches", "runs")
_DEFAULT = "default"


def parse_retention(**texts: str | None) -> dict[str, timedelta | None]:
    """Return the fields of a `Retention` that are to change; None: as the installation.

    Raises:
        InvalidInput: a text is no time, `0` or `default`.
    """
    return {name: _parse(name, text) for name, text in texts.items() if text is not None}


def retention_words(project: pb.Project) -> str:
    """Return how long things of a project are kept: `logs 30d, artifacts 30d, caches 1d (set here), runs for ever`."""
    words = []
    for name in _FIELDS:
        span = getattr(project.effective_retention, name).ToTimedelta()
        own = " (set here)" if project.retention.HasField(name) else ""
        words.append(f"{name} {duration(span) if span else 'for ever'}{own}")
    return ", ".join(words)


def _parse(name: str, text: str) -> timedelta | None:
    if text == _DEFAULT:
        return None
    return timedelta() if text == "0" else parse_span(f"--{name.removesuffix('s')}-retention", text)
