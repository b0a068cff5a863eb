"""The `sluice` command: which commands there are. What each does is in the module that is named beside it.

This module imports no other one of them: a help text, a mistyped name and a completion need the names only.
"""

from __future__ import annotations

import click

from sluiceway.cli.commands import LazyGroup
from sluiceway_common.foundation.version import VERSION

__all__ = ["app", "config", "executor", "linked_account", "project", "remote_source", "run", "task", "token", "version"]


class ExecutorGroup(LazyGroup):
    """The commands of `sluice executor`. Options in front of them are those of `run`: `sluice executor --server ...`.

    That was how an executor was started before there was `run`. With another command behind them they are refused: it
    would ignore them, and ask the server that the environment names.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `sluice executor --server ...` for `sluice executor run --server ...`."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            command = next((word for word in args if word in self.commands and word != "run"), None)
            if command is not None:
                ctx.fail(f"options stand behind the command: sluice executor {command} [OPTIONS]")
            args = ["run", *args]
        return super().parse_args(ctx, args)


run = LazyGroup(
    name="run",
    help="Create, show and control runs.",
    places={
        "create": ("sluiceway.cli.run_create:create", "Create the runs of a commit."),
        "list": ("sluiceway.cli.runs:list_", "List runs, the newest first."),
        "get": ("sluiceway.cli.runs:get", "Show a run and its tasks."),
        "watch": ("sluiceway.cli.run_create:watch", "Follow runs until they are over."),
        "logs": ("sluiceway.cli.run_logs:logs", "Print the logs of a run or of a task."),
        "delete-logs": ("sluiceway.cli.run_delete_logs:delete_logs", "Delete the logs of a run or of a task."),
        "explain": ("sluiceway.cli.run_explain:explain", "Explain why a run and its tasks wait, or failed."),
        "restart": ("sluiceway.cli.run_actions:restart", "Run a run that is over again, all or some of its tasks."),
        "approve": ("sluiceway.cli.run_actions:approve", "Approve a task that waits for an approval."),
        "stop": ("sluiceway.cli.run_actions:stop", "Stop a run; cancel it if it is queued."),
        "cancel": ("sluiceway.cli.run_actions:cancel", "Cancel a queued run."),
    },
)

task = LazyGroup(
    name="task",
    help="Show the tasks of a run.",
    places={"get": ("sluiceway.cli.tasks:get", "Show a task: its attempts, their steps and exit codes.")},
)

config = LazyGroup(
    name="config",
    help="Check, render and draw run configurations, offline.",
    places={
        "check": ("sluiceway.cli.config:check", "Report all errors of a configuration."),
        "render": ("sluiceway.cli.config:render", "Print a configuration as JSON, after jsonnet."),
        "graph": ("sluiceway.cli.config:graph", "Draw the tasks of a configuration's runs."),
        "schema": ("sluiceway.cli.config:schema", "Print the JSON Schema of configurations."),
    },
)

executor = ExecutorGroup(
    name="executor",
    parent="executor",
    help="Run an executor; list and control those of a server.",
    places={
        "list": ("sluiceway.cli.executors:list_", "List executors."),
        "get": ("sluiceway.cli.executors:get", "Show an executor."),
        "drain": ("sluiceway.cli.executors:drain", "Assign no more tasks to executors."),
        "undrain": ("sluiceway.cli.executors:undrain", "Assign tasks to executors again."),
        "delete": ("sluiceway.cli.executors:delete", "Remove an executor from the list."),
    },
)

token = LazyGroup(
    name="token",
    help="Create, list and revoke tokens.",
    places={
        "create": ("sluiceway.cli.tokens:create", "Create a token and print it."),
        "list": ("sluiceway.cli.tokens:list_", "List tokens."),
        "revoke": ("sluiceway.cli.tokens:revoke", "Revoke a token."),
    },
)

remote_source = LazyGroup(
    name="remote-source",
    help="Create, list and change git providers.",
    places={
        "create": ("sluiceway.cli.remote_sources:create", "Create a remote source."),
        "list": ("sluiceway.cli.remote_sources:list_", "List remote sources."),
        "get": ("sluiceway.cli.remote_sources:get", "Show a remote source."),
        "update": ("sluiceway.cli.remote_sources:update", "Change a remote source."),
        "delete": ("sluiceway.cli.remote_sources:delete", "Delete a remote source."),
    },
)

project = LazyGroup(
    name="project",
    help="Show what became of the events of a project's repository.",
    places={
        "deliveries": ("sluiceway.cli.deliveries:deliveries", "List the deliveries of a project's webhook."),
        "redeliver": ("sluiceway.cli.deliveries:redeliver", "Work on a delivery once more."),
        "why": ("sluiceway.cli.deliveries:why", "Explain which runs an event made, and why no others."),
    },
)

linked_account = LazyGroup(
    name="linked-account",
    help="Link accounts at git providers.",
    places={
        "create": ("sluiceway.cli.remote_sources:link", "Link your account at a remote source."),
        "list": ("sluiceway.cli.remote_sources:list_accounts", "List linked accounts."),
        "delete": ("sluiceway.cli.remote_sources:unlink", "Remove a linked account."),
    },
)

app = LazyGroup(
    name="sluice",
    parent="",
    help="Sluiceway: continuous integration and delivery.",
    context_settings={"help_option_names": ["-h", "--help"]},
    places={
        "run": ("sluiceway.cli.main:run", "Create, show and control runs."),
        "task": ("sluiceway.cli.main:task", "Show the tasks of a run."),
        "config": ("sluiceway.cli.main:config", "Check, render and draw run configurations, offline."),
        "executor": ("sluiceway.cli.main:executor", "Run an executor; list and control those of a server."),
        "token": ("sluiceway.cli.main:token", "Create, list and revoke tokens."),
        "remote-source": ("sluiceway.cli.main:remote_source", "Create, list and change git providers."),
        "project": ("sluiceway.cli.main:project", "Show what became of the events of a project's repository."),
        "linked-account": ("sluiceway.cli.main:linked_account", "Link accounts at git providers."),
        "login": ("sluiceway.cli.login:login", "Store the address of a server and a token."),
        "completion": ("sluiceway.cli.completion:completion", "Print the completion script of a shell."),
        "version": ("sluiceway.cli.main:version", "Print the version."),
    },
)


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(VERSION)
