"""The `sluice` command: which commands there are. What each does is in the module that is named beside it.

This module imports no other one of them: a help text, a mistyped name and a completion need the names only.
"""

from __future__ import annotations

import click

from sluiceway.cli.commands import LazyGroup
from sluiceway_common.foundation.version import VERSION


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
        "search": ("sluiceway.cli.run_search:search", "Search the logs of a run or of a task."),
        "tests": ("sluiceway.cli.run_tests:tests", "List the tests of a run, those that failed first."),
        "artifacts": ("sluiceway.cli.run_artifacts:artifacts", "List or save the artifacts of a run."),
        "delete-logs": ("sluiceway.cli.run_delete_logs:delete_logs", "Delete the logs of a run or of a task."),
        "explain": ("sluiceway.cli.run_explain:explain", "Explain why a run and its tasks wait, or failed."),
        "history": ("sluiceway.cli.run_history:history", "Show what happened in a run, or its state at a time."),
        "restart": ("sluiceway.cli.run_actions:restart", "Run a run that is over again, all or some of its tasks."),
        "approve": ("sluiceway.cli.run_actions:approve", "Approve a task that waits for an approval."),
        "reject": ("sluiceway.cli.run_actions:reject", "Refuse the approval of a task; it is skipped."),
        "stop": ("sluiceway.cli.run_actions:stop", "Stop a run; cancel it if it is queued."),
        "cancel": ("sluiceway.cli.run_actions:cancel", "Cancel a queued run."),
    },
)

task = LazyGroup(
    name="task",
    help="Show the tasks of a run, and continue those that are held.",
    places={
        "get": ("sluiceway.cli.tasks:get", "Show a task: its attempts, their steps and exit codes."),
        "retry": ("sluiceway.cli.tasks:retry", "Attempt a task that failed again, while its run continues."),
        "shell": ("sluiceway.cli.task_shell:shell", "Open a shell in the pod of a task."),
        "continue": ("sluiceway.cli.task_shell:continue_", "Continue a task that is held after a failed step."),
        "release": ("sluiceway.cli.task_shell:release", "End the hold of a task."),
    },
)

config = LazyGroup(
    name="config",
    help="Check, render, draw and convert run configurations, offline.",
    places={
        "check": ("sluiceway.cli.config:check", "Report all errors of a configuration."),
        "render": ("sluiceway.cli.config:render", "Print a configuration as JSON, after jsonnet."),
        "graph": ("sluiceway.cli.config:graph", "Draw the tasks of a configuration's runs."),
        "explain": (
            "sluiceway.cli.config_explain:explain",
            "Explain which runs a ref would start, and why not others.",
        ),
        "import": (
            "sluiceway.cli.config_import:import_",
            "Convert a configuration of another CI system to jsonnet.",
        ),
        "schema": ("sluiceway.cli.config:schema", "Print the JSON Schema of configurations."),
    },
)

executor_group = LazyGroup(
    name="group",
    help="Create, list and change groups of executors.",
    places={
        "create": ("sluiceway.cli.executor_groups:create", "Create a group."),
        "list": ("sluiceway.cli.executor_groups:list_", "List groups."),
        "get": ("sluiceway.cli.executor_groups:get", "Show a group."),
        "update": ("sluiceway.cli.executor_groups:update", "Change what a group serves."),
        "delete": ("sluiceway.cli.executor_groups:delete", "Delete a group, its executors and tokens."),
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
        "group": ("sluiceway.cli.main:executor_group", "Create, list and change groups of executors."),
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

project = LazyGroup(
    name="project",
    help="Create, list and change projects; show the events of their repositories.",
    places={
        "create": ("sluiceway.cli.projects:create", "Create a project."),
        "list": ("sluiceway.cli.projects:list_", "List projects."),
        "get": ("sluiceway.cli.projects:get", "Show a project."),
        "update": ("sluiceway.cli.projects:update", "Change or move a project."),
        "delete": ("sluiceway.cli.projects:delete", "Delete a project."),
        "run": ("sluiceway.cli.deliveries:run", "Create the runs of a branch, tag or pull request by hand."),
        "deliveries": ("sluiceway.cli.deliveries:deliveries", "List the deliveries of a project's webhook."),
        "redeliver": ("sluiceway.cli.deliveries:redeliver", "Work on a delivery once more."),
        "badge": ("sluiceway.cli.badges:badge", "Print the Markdown of a badge."),
        "why": ("sluiceway.cli.deliveries:why", "Explain which runs an event made, and why no others."),
    },
)

schedule = LazyGroup(
    name="schedule",
    help="Create, list and pause runs at times of a calendar.",
    places={
        "create": ("sluiceway.cli.schedules:create", "Create a schedule."),
        "list": ("sluiceway.cli.schedules:list_", "List the schedules of a project."),
        "pause": ("sluiceway.cli.schedules:pause", "Create no runs of a schedule until it is resumed."),
        "resume": ("sluiceway.cli.schedules:resume", "Create runs of a schedule again."),
        "delete": ("sluiceway.cli.schedules:delete", "Delete a schedule."),
    },
)

identity = LazyGroup(
    name="identity",
    help="Show what verifies the id tokens of tasks.",
    places={
        "get": ("sluiceway.cli.identity:get", "Show the issuer and its keys, or the subjects of a project."),
        "rotate-keys": ("sluiceway.cli.identity:rotate_keys", "Sign with a new key."),
    },
)

quota = LazyGroup(
    name="quota",
    help="Show and set what users, organizations and projects may have.",
    places={
        "get": ("sluiceway.cli.quotas:get", "Show a quota, and what is used of it."),
        "set": ("sluiceway.cli.quotas:set_", "Change a quota."),
    },
)

audit = LazyGroup(
    name="audit",
    help="List who changed what.",
    places={"list": ("sluiceway.cli.audit:list_", "List changes, the newest first.")},
)

webhook = LazyGroup(
    name="webhook",
    help="Tell other systems of runs.",
    places={
        "create": ("sluiceway.cli.webhooks:create", "Create a webhook."),
        "list": ("sluiceway.cli.webhooks:list_", "List webhooks."),
        "get": ("sluiceway.cli.webhooks:get", "Show a webhook."),
        "update": ("sluiceway.cli.webhooks:update", "Change where a webhook sends events, or which."),
        "enable": ("sluiceway.cli.webhooks:enable", "Send events again."),
        "disable": ("sluiceway.cli.webhooks:disable", "Send nothing until the webhook is enabled."),
        "rotate-secret": ("sluiceway.cli.webhooks:rotate_secret", "Replace the secret."),
        "delete": ("sluiceway.cli.webhooks:delete", "Delete a webhook with its deliveries."),
        "deliveries": ("sluiceway.cli.webhooks:deliveries", "List what was sent, and the responses."),
        "redeliver": ("sluiceway.cli.webhooks:redeliver", "Send a delivery once more."),
    },
)

group = LazyGroup(
    name="group",
    help="Create, list and change project groups.",
    places={
        "create": ("sluiceway.cli.projects:create_group", "Create a project group."),
        "list": ("sluiceway.cli.projects:list_groups", "List project groups."),
        "get": ("sluiceway.cli.projects:get_group", "Show a project group."),
        "update": ("sluiceway.cli.projects:update_group", "Change or move a project group."),
        "delete": ("sluiceway.cli.projects:delete_group", "Delete a project group with everything below it."),
    },
)

org = LazyGroup(
    name="org",
    help="Create, list and change organizations and their members.",
    places={
        "create": ("sluiceway.cli.people:create", "Create an organization."),
        "list": ("sluiceway.cli.people:list_", "List organizations."),
        "get": ("sluiceway.cli.people:get", "Show an organization."),
        "update": ("sluiceway.cli.people:update", "Change an organization."),
        "delete": ("sluiceway.cli.people:delete", "Delete an organization with everything below it."),
        "members": ("sluiceway.cli.people:members", "List the members of an organization."),
        "set-member": ("sluiceway.cli.people:set_member", "Give a user a role in an organization."),
        "invite": ("sluiceway.cli.invitations:invite", "Invite somebody to an organization."),
        "invitations": ("sluiceway.cli.invitations:invitations", "List invitations: yours, or an organization's."),
        "accept": ("sluiceway.cli.invitations:accept", "Accept an invitation."),
        "decline": ("sluiceway.cli.invitations:decline", "Decline an invitation."),
        "delete-invitation": ("sluiceway.cli.invitations:delete", "Delete an invitation."),
        "remove-member": ("sluiceway.cli.people:remove_member", "Remove a user from an organization."),
    },
)

user = LazyGroup(
    name="user",
    help="Create, list and change users, their passwords and tokens.",
    places={
        "create": ("sluiceway.cli.people:create_user", "Create a user."),
        "list": ("sluiceway.cli.people:list_users", "List users."),
        "get": ("sluiceway.cli.people:get_user", "Show a user."),
        "update": ("sluiceway.cli.people:update_user", "Change a user."),
        "delete": ("sluiceway.cli.people:delete_user", "Delete a user with everything below it."),
        "set-password": ("sluiceway.cli.people:set_password", "Set the password of a user."),
        "tokens": ("sluiceway.cli.people:tokens", "List the tokens and sessions of a user."),
        "create-token": ("sluiceway.cli.people:create_token", "Create a token of a user and print it."),
        "revoke-token": ("sluiceway.cli.people:revoke_token", "Revoke a token of a user."),
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

linked_account = LazyGroup(
    name="linked-account",
    help="Link accounts at git providers.",
    places={
        "create": ("sluiceway.cli.remote_sources:link", "Link your account at a remote source."),
        "list": ("sluiceway.cli.remote_sources:list_accounts", "List linked accounts."),
        "delete": ("sluiceway.cli.remote_sources:unlink", "Remove a linked account."),
    },
)

secret = LazyGroup(
    name="secret",
    help="Set, list and delete secrets of projects.",
    places={
        "set": ("sluiceway.cli.secrets:set_", "Set a value of a secret."),
        "list": ("sluiceway.cli.secrets:list_", "List secrets, without their values."),
        "get": ("sluiceway.cli.secrets:get", "Show the keys of a secret."),
        "delete": ("sluiceway.cli.secrets:delete", "Delete a secret, or some of its values."),
    },
)

variable = LazyGroup(
    name="variable",
    help="Set, list and delete variables of projects.",
    places={
        "set": ("sluiceway.cli.variables:set_", "Let a variable stand for a value of a secret."),
        "list": ("sluiceway.cli.variables:list_", "List variables."),
        "get": ("sluiceway.cli.variables:get", "Show what a variable stands for."),
        "delete": ("sluiceway.cli.variables:delete", "Delete a variable."),
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
        "config": ("sluiceway.cli.main:config", "Check, render, draw and convert run configurations, offline."),
        "executor": ("sluiceway.cli.main:executor", "Run an executor; list and control those of a server."),
        "token": ("sluiceway.cli.main:token", "Create, list and revoke tokens."),
        "project": (
            "sluiceway.cli.main:project",
            "Create, list and change projects; show the events of their repositories.",
        ),
        "schedule": ("sluiceway.cli.main:schedule", "Create, list and pause runs at times of a calendar."),
        "webhook": ("sluiceway.cli.main:webhook", "Tell other systems of runs."),
        "group": ("sluiceway.cli.main:group", "Create, list and change project groups."),
        "org": ("sluiceway.cli.main:org", "Create, list and change organizations and their members."),
        "user": ("sluiceway.cli.main:user", "Create, list and change users, their passwords and tokens."),
        "quota": ("sluiceway.cli.main:quota", "Show and set what users, organizations and projects may have."),
        "identity": ("sluiceway.cli.main:identity", "Show what verifies the id tokens of tasks."),
        "audit": ("sluiceway.cli.main:audit", "List who changed what."),
        "remote-source": ("sluiceway.cli.main:remote_source", "Create, list and change git providers."),
        "linked-account": ("sluiceway.cli.main:linked_account", "Link accounts at git providers."),
        "secret": ("sluiceway.cli.main:secret", "Set, list and delete secrets of projects."),
        "variable": ("sluiceway.cli.main:variable", "Set, list and delete variables of projects."),
        "login": ("sluiceway.cli.login:login", "Log in with a browser, a password or a token."),
        "logout": ("sluiceway.cli.login:logout", "Revoke the token of the login, and forget it."),
        "completion": ("sluiceway.cli.completion:completion", "Print the completion script of a shell."),
        "version": ("sluiceway.cli.main:version", "Print the version."),
    },
)


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(VERSION)
