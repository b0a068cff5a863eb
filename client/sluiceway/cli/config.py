"""`sluice config`: check, render and draw a configuration, offline, with the code that the server runs.

The configuration is that of a folder (its `.sluice/`, then `.agola/`), of a commit of a folder's repository (`--at`),
or one file. Without options for the ref, it is the one that is checked out there, so that plain `sluice config check`
is about the current branch.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from sluiceway.cli.commands import EnumChoice, option
from sluiceway.cli.repository import open_commit
from sluiceway.cli.values import parse_assignments
from sluiceway_common.foundation.errors import InvalidInput, NotFound
from sluiceway_common.runconfig.capabilities import DRIVERS, Capabilities
from sluiceway_common.runconfig.compile import LoadResult, load, load_source
from sluiceway_common.runconfig.files import MAX_FILE_BYTES, FolderFiles, RepositoryFiles
from sluiceway_common.runconfig.graphs import GraphFormat, render_graph
from sluiceway_common.runconfig.inputs import input_faults
from sluiceway_common.runconfig.runs import find_run
from sluiceway_common.runconfig.schema import json_schema
from sluiceway_common.runconfig.when import Context

_GIT_SECONDS = 10


class CheckFormat(StrEnum):
    """What `check -o` takes."""

    TEXT = "text"
    JSON = "json"


class RefType(StrEnum):
    """What `--ref-type` takes."""

    BRANCH = "branch"
    TAG = "tag"
    PULL_REQUEST = "pull_request"


@dataclass(frozen=True, slots=True)
class Source:
    """The configuration that a command is about.

    Attributes:
        path: a file or folder.
        at: a ref of the folder's repository; None: the files as they are.
        context: the part of `ctx` that was given.
    """

    path: Path
    at: str | None
    context: Context


def source_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options for the configuration, and for the `ctx` that it is evaluated with: the parameter `source`."""

    @functools.wraps(command)
    def with_source(
        *,
        path: Path,
        at: str | None,
        ref_type: RefType | None,
        ref: str,
        branch: str,
        tag: str,
        pull_request_id: str,
        commit_sha: str,
        inputs: tuple[str, ...],
        **others: Any,
    ) -> int:
        given = replace(
            _given(ref_type, ref, branch, tag, pull_request_id, commit_sha),
            inputs=parse_assignments("--input", inputs),
        )
        return command(source=Source(path, at, given), **others)

    decorated: Callable[..., int] = with_source
    for add in reversed(
        (
            click.argument(
                "path", metavar="[FILE-OR-FOLDER]", required=False, default=".", type=click.Path(path_type=Path)
            ),
            option("--at", metavar="REF", help="Read a commit of the repository instead of the files."),
            option("--ref-type", type=EnumChoice(RefType), help="The value of ctx.ref_type."),
            option("--ref", default="", help="The value of ctx.ref, such as refs/heads/main."),
            option("--branch", default="", help="The value of ctx.branch."),
            option("--tag", default="", help="The value of ctx.tag."),
            option("--pull-request-id", default="", metavar="ID", help="The value of ctx.pull_request_id."),
            option("--commit-sha", default="", metavar="SHA", help="The value of ctx.commit_sha."),
            option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A value of ctx.inputs."),
        )
    ):
        decorated = add(decorated)
    return decorated


@click.command()
@source_options
@option(
    "--driver",
    type=click.Choice([each.driver for each in DRIVERS]),
    help="Report also what this driver does not support. Default: what no driver supports.",
)
@option("--output", "-o", type=EnumChoice(CheckFormat), default=CheckFormat.TEXT.value, help="Output format.")
def check(
    source: Source,
    driver: str | None,
    output: CheckFormat,
) -> int:
    """Report all errors of a configuration. The exit code is 1 if there are any."""
    drivers = [each for each in DRIVERS if driver in {None, each.driver}]
    loaded = _load(source, drivers)
    if output is CheckFormat.JSON:
        found = {"errors": [asdict(p) for p in loaded.errors], "warnings": [asdict(p) for p in loaded.warnings]}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_problems(loaded, sys.stdout)
        if loaded.config is not None:
            runs = loaded.config.runs
            tasks = sum(len(run.tasks) for run in runs)
            print(f"{loaded.source_path}: {_counted(len(runs), 'run')}, {_counted(tasks, 'task')}, no errors")
    return 1 if loaded.errors else 0


@click.command()
@source_options
def render(
    source: Source,
) -> int:
    """Print a configuration as JSON, after jsonnet. Errors go to stderr, with exit code 1."""
    loaded = _load(source)
    print_problems(loaded, sys.stderr)
    if loaded.document is not None:
        print(json.dumps(loaded.document, indent=2, ensure_ascii=False))
    return 1 if loaded.errors else 0


@click.command()
@source_options
@option("--format", "output", type=EnumChoice(GraphFormat), default=GraphFormat.TEXT.value, help="Output format.")
@option("--run", metavar="NAME", help="Only this run.")
def graph(
    source: Source,
    output: GraphFormat,
    run: str | None,
) -> int:
    """Draw the tasks of a configuration's runs."""
    loaded = _load(source)
    print_problems(loaded, sys.stderr)
    if loaded.config is None:
        return 1
    runs = loaded.config.runs if run is None else [find_run(loaded.config, run)]
    print(render_graph(runs, output), end="")
    return 0


@click.command()
def schema() -> None:
    """Print the JSON Schema of configurations, for editors."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def print_problems(loaded: LoadResult, stream: Any) -> None:
    """Print the errors and warnings of a configuration, a line each."""
    for kind, problems in (("error", loaded.errors), ("warning", loaded.warnings)):
        for problem in problems:
            print(problem.in_file(loaded.source_path, kind), file=stream)


# Where the configuration is, and what it is asked for


@dataclass(frozen=True, slots=True)
class _Place:
    """The repository's files, and the one file in it that was named, if one was."""

    files: RepositoryFiles
    root: Path
    file: Path | None


def load_configuration(source: Source, drivers: Sequence[Capabilities] = DRIVERS) -> tuple[LoadResult, Context]:
    """Load a configuration; return it, and the context that it was evaluated with.

    Raises:
        NotFound, InvalidInput: there is no such file, folder or ref.
        InvalidInput: no run has an input that was given, or it cannot have this value.
    """
    loaded, context = _loaded(source, drivers)
    if loaded.config is not None and context.inputs:
        runs = (run.declared_inputs() for run in loaded.config.runs)
        faults = input_faults(runs, context.inputs, are_all_needed=False)
        if faults:
            raise InvalidInput(faults)
    return loaded, context


def _loaded(source: Source, drivers: Sequence[Capabilities]) -> tuple[LoadResult, Context]:
    path, at, given = source.path, source.at, source.context
    if not path.exists():
        raise NotFound(f"there is no file or folder {path}")
    if at is not None:
        if not path.is_dir():
            raise InvalidInput("--at goes with a folder")
        with open_commit(str(path), at) as checkout:
            context = _merged(given, checkout.context)
            return load(checkout.files, context, drivers=drivers), context
    place = _find_place(path)
    context = _merged(given, _checked_out(place.root))
    if place.file is None:
        return load(place.files, context, drivers=drivers), context
    inside = place.file.relative_to(place.root).as_posix()
    return load_source(inside, _read(path), place.files, context, drivers=drivers), context


def _load(source: Source, drivers: Sequence[Capabilities] = DRIVERS) -> LoadResult:
    return load_configuration(source, drivers)[0]


def _find_place(path: Path) -> _Place:
    target = path.resolve()
    if target.is_dir():
        # The configuration's own folder stands for the repository that it lies in.
        root = target.parent if target.name in {".sluice", ".agola"} else target
        return _Place(FolderFiles(root), root, None)
    if target.parent.name in {".sluice", ".agola"}:
        root = target.parent.parent
    else:
        root = next((f for f in target.parents if (f / ".git").exists()), target.parent)
    return _Place(FolderFiles(root), root, target)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than is taken: the size is then refused with its own message.
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as cause:
        raise InvalidInput(f"{path} cannot be read: {cause.strerror}") from cause


def _given(ref_type: RefType | None, ref: str, branch: str, tag: str, pull_request_id: str, commit_sha: str) -> Context:
    """Make the context of what was given; a branch, a tag or a pull request says what type of ref it is."""
    if ref_type is None:
        inferred = "tag" if tag else "pull_request" if pull_request_id else "branch" if branch else ""
        if not inferred and ref.startswith("refs/heads/"):
            inferred, branch = "branch", ref.removeprefix("refs/heads/")
        elif not inferred and ref.startswith("refs/tags/"):
            inferred, tag = "tag", ref.removeprefix("refs/tags/")
    else:
        inferred = ref_type.value
    if not ref:
        names = {"branch": ("refs/heads/", branch), "tag": ("refs/tags/", tag), "": ("", "")}
        prefix, name = names.get(inferred, ("refs/pull/", pull_request_id and f"{pull_request_id}/head"))
        ref = prefix + name if name else ""
    return Context(inferred, ref, branch, tag, pull_request_id, commit_sha)


def _merged(given: Context, found: Context) -> Context:
    """Use the ref that was found if none was given; a commit that was given has precedence."""
    if given.ref_type or given.ref:
        return given
    return replace(found, commit_sha=given.commit_sha or found.commit_sha, inputs=given.inputs)


def _checked_out(root: Path) -> Context:
    """Return the branch and commit that are checked out; empty strings outside of a repository or without git."""
    branch = _git(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not branch:
        return Context(commit_sha=commit)
    return Context(ref_type="branch", ref=f"refs/heads/{branch}", branch=branch, commit_sha=commit)


def _git(root: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
