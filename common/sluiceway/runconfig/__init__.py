"""From the text of a configuration to the tasks of a run.

The way: `files` -> `locate` -> `documents` or `evaluation` -> `model` -> `checks` -> `tasks`. What others need is
here; the model's classes are in `model`. All of it is pure but for `files` and the child process of `evaluation`.
"""

from __future__ import annotations

from sluiceway.runconfig.compile import LoadResult, load, load_async, load_source
from sluiceway.runconfig.environment import layered, run_environment, skips_ci, static_environment
from sluiceway.runconfig.files import FileRefused, FolderFiles, GitFiles, MappingFiles, RepositoryFiles
from sluiceway.runconfig.graphs import GraphFormat, levels_of_run, render_graph
from sluiceway.runconfig.model import Config
from sluiceway.runconfig.problems import Problem
from sluiceway.runconfig.schema import json_schema
from sluiceway.runconfig.tasks import RunTasks, find_run, runs_that_apply, tasks_of_run, variables_of_run
from sluiceway.runconfig.when import Context

__all__ = [
    "Config",
    "Context",
    "FileRefused",
    "FolderFiles",
    "GitFiles",
    "GraphFormat",
    "LoadResult",
    "MappingFiles",
    "Problem",
    "RepositoryFiles",
    "RunTasks",
    "find_run",
    "json_schema",
    "layered",
    "levels_of_run",
    "load",
    "load_async",
    "load_source",
    "render_graph",
    "run_environment",
    "runs_that_apply",
    "skips_ci",
    "static_environment",
    "tasks_of_run",
    "variables_of_run",
]
