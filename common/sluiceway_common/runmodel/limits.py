"""Limits of a run, and defaults of a task. Separate, so that the command line can import it alone."""

from __future__ import annotations

from datetime import timedelta

MAX_TASKS = 2_000
MAX_RUN_STEPS = 40_000
"""Of all tasks of a run together: 20 of each of the most tasks."""
MAX_RUN_EDGES = 100_000
"""Of all tasks of a run together: 50 parents of each of the most tasks."""
MAX_ATTEMPTS = 10
MAX_EXIT_CODE = 255
DEFAULT_APPROVAL_TIMEOUT = timedelta(days=7)
DEFAULT_TASK_TIMEOUT = timedelta(hours=1)
