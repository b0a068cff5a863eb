"""`sluice run stop|cancel|restart|approve|reject`: what changes a run. Each says what it did."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, resolve, run_argument, short_id, title_of
from sluiceway.cli.terminal import clean, say
from sluiceway.cli.values import parse_assignments
from sluiceway.cli.waiting import check_wait, wait_options, within
from sluiceway_common.foundation.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.client import Client


@click.command(epilog=RUN_HELP)
@run_argument
@option("--force", is_flag=True, help="Stop clean-up tasks and `always` steps too.")
@wait_options("the run is over")
@server_options
def stop(run: str, force: bool, wait: bool, timeout: timedelta | None, server: str | None, token: str | None) -> None:
    """Stop a run. A queued run is cancelled."""
    check_wait(wait, timeout)

    async def conversation(client: Client) -> None:
        found = await resolve(client, run)
        if await _stop_or_cancel(client, found, force=force):
            say(f"{title_of(found)} was queued, and is cancelled")
            return
        say(f"{title_of(found)} is stopping")
        if wait:
            await within(timeout, _end_of_run(client, found.id), f"{title_of(found)} is still running")

    with_client(server, token, conversation)


@click.command(epilog=RUN_HELP)
@run_argument
@wait_options("the run is over")
@server_options
def cancel(run: str, wait: bool, timeout: timedelta | None, server: str | None, token: str | None) -> None:
    """Cancel a queued run. A run that has started is not stopped."""
    check_wait(wait, timeout)

    async def conversation(client: Client) -> None:
        found = await resolve(client, run)
        try:
            await client.runs.cancel(found.id)
        except FailedPrecondition as error:
            if error.metadata.get("phase") == "running":
                error.message = (
                    f"{title_of(found)} is running already; stop it with: sluice run stop {short_id(found.id)}"
                )
            else:
                _explain_phase(error, found)
            raise
        say(f"{title_of(found)} is cancelled")
        if wait:
            await within(timeout, _end_of_run(client, found.id), f"{title_of(found)} is not over")

    with_client(server, token, conversation)


@click.command(epilog=RUN_HELP)
@run_argument
@option("--failed", is_flag=True, help="Run only the tasks that did not succeed again, and all that depend on them.")
@option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK",
    help="Run this task again, those that did not succeed, and all that depend on them. May be repeated.",
)
@option(
    "--hold-on-failure",
    type=DurationType(),
    metavar="DURATION",
    help="Keep the pod of a task for so long when a step fails, such as 30m; see `sluice task shell`.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for an input; the others keep theirs. Only if all tasks run again. May be repeated.",
)
@option("--request-id", default="", metavar="ID", help="A repeated call with the same id creates no second run.")
@option("--watch", is_flag=True, help="Follow the new run until it is over. The exit code says how it ended.")
@output_option(*ALL_FORMATS)
@server_options
def restart(
    run: str,
    failed: bool,
    tasks: tuple[str, ...],
    hold_on_failure: timedelta | None,
    inputs: tuple[str, ...],
    request_id: str,
    watch: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> int:
    """Run a run that is over again, as a new run.

    Without --failed and --task, all tasks run again. Other tasks are kept, with their logs. Where other inputs may make
    other tasks, the commit of a project's run is run again by hand.
    """
    given = parse_assignments("--input", inputs)

    async def conversation(client: Client) -> int:
        from sluiceway.cli.run_create import follow
        from sluiceway.cli.run_tables import RunList

        found = await resolve(client, run)
        chosen = []
        if tasks:
            known = await client.runs.tasks(found.id)
            chosen = [find_task(known, task).id for task in tasks]
        try:
            new = await client.runs.restart(
                found.id,
                from_failed=failed and not chosen,
                tasks=chosen,
                request_id=request_id,
                hold_on_failure=hold_on_failure,
                inputs=given,
            )
        except FailedPrecondition as error:
            if error.reason != "INPUTS_MAKE_TASKS" or hold_on_failure is not None:
                raise
            again = await _run_by_hand(client, found, given, request_id)
            if again is None:
                raise
            new = again
        if not (watch and output.is_for_people):
            RunList(output).print([new])
        return await follow(client, [new], to_stderr=not output.is_for_people) if watch else 0

    return with_client(server, token, conversation)


async def _run_by_hand(
    client: Client, run: run_pb2.Run, changed: Mapping[str, str], request_id: str
) -> run_pb2.Run | None:
    """Run the commit of a project's run again by hand, with other inputs; None: it has no project, or no branch or tag.

    Raises:
        InvalidInput: a value is wrong with the tasks that it makes.
        FailedPrecondition: no run was made; the message says why.
    """
    from sluiceway.cli.deliveries import worked
    from sluiceway_common.runmodel.groups import project_of

    project, source = project_of(run.group), run.source
    if not project or not source.commit_sha or not (source.branch or source.tag):
        return None
    delivery = await client.deliveries.run(
        project,
        ref=source.ref,
        commit_sha=source.commit_sha,
        run_name=run.name,
        variables=run.variables,
        inputs={each.name: each.value for each in run.inputs} | dict(changed),
        request_id=request_id,
    )
    done = await worked(client, project, delivery)
    for decision in done.decisions:
        if decision.run_id:
            return await client.runs.get(decision.run_id)
    sentence = "; ".join(each.sentence for each in done.decisions) or done.sentence
    raise FailedPrecondition(f"no run was made: {sentence}", reason="NO_RUN_MADE")


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@option("--commit", default="", metavar="SHA", help="Refuse if the run is of another commit.")
@wait_options("the task is over")
@server_options
def approve(
    run: str,
    task: str,
    commit: str,
    wait: bool,
    timeout: timedelta | None,
    server: str | None,
    token: str | None,
) -> int:
    """Approve TASK, which waits for an approval.

    With --wait the exit code says how the task ended: 0 success, 1 failed or lost, 2 stopped, cancelled or skipped.
    """
    check_wait(wait, timeout)

    async def conversation(client: Client) -> int:
        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        name = f"task {clean(chosen.name)} of {title_of(found)}"
        await client.runs.approve(found.id, chosen.id, commit_sha=commit)
        say(f"{name} is approved")
        if not wait:
            return 0
        ended = await within(timeout, end_of_task(client, found.id, chosen.id), f"{name} is not over")
        return task_exit_code(ended)

    return with_client(server, token, conversation)


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@option("--comment", default="", metavar="TEXT", help="Why, for those who read the run.")
@server_options
def reject(run: str, task: str, comment: str, server: str | None, token: str | None) -> int:
    """Refuse the approval of TASK, which waits for it.

    The task is skipped, and so are the tasks that need its success. The run continues without them.
    """

    async def conversation(client: Client) -> int:
        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        await client.runs.reject(found.id, chosen.id, comment=comment)
        say(f"task {clean(chosen.name)} of {title_of(found)} is rejected")
        return 0

    return with_client(server, token, conversation)


async def _stop_or_cancel(client: Client, run: run_pb2.Run, *, force: bool) -> bool:
    """Stop a run, or cancel it if it has not started; returns whether it was cancelled.

    Raises:
        FailedPrecondition: it is over.
    """
    while True:
        try:
            await client.runs.stop(run.id, force=force)
        except FailedPrecondition as error:
            if error.metadata.get("phase") != "queued":
                _explain_phase(error, run)
                raise
        else:
            return False
        try:
            await client.runs.cancel(run.id)
        except FailedPrecondition as error:
            # It started between the two calls.
            if error.metadata.get("phase") != "running":
                _explain_phase(error, run)
                raise
        else:
            return True


def _explain_phase(error: FailedPrecondition, run: run_pb2.Run) -> None:
    from sluiceway.cli.words import run_status

    if phase := error.metadata.get("phase"):
        # The run was read before; it may have ended since.
        word = run_status(run) if run.end_time.seconds else phase.replace("_", " ")
        error.message = f"{title_of(run)} is over: {word}"


async def _end_of_run(client: Client, run_id: str) -> None:
    """Return when a run is over, and say how it ended."""
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.words import run_status, run_took

    run = run_pb2.Run()
    async with aclosing(client.runs.watch(run_id)) as messages:
        async for message in messages:
            if message.HasField("run"):
                run = message.run
    took = run_took(run)
    say(f"{title_of(run)} is over: {run_status(run)}" + (f" after {took}" if took else ""))


async def end_of_task(client: Client, run_id: str, task_id: str, *, held_after: int = 0) -> run_pb2.Task:
    """Return a task when it is over, or held with a number above `held_after`, and say how it ended."""
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.words import task_status

    task = run_pb2.Task()
    async with aclosing(client.runs.watch(run_id)) as messages:
        async for message in messages:
            task = next((each for each in message.tasks if each.id == task_id), task)
            if task.HasField("end_time") or task.hold.number > held_after:
                break
    if task.HasField("hold"):
        say(f"task {clean(task.name)} {clean(task.reason.message)}")
        return task
    reason = f": {clean(task.reason.message)}" if task.reason.message else ""
    say(f"task {clean(task.name)} is over: {task_status(task)}{reason}")
    return task


def task_exit_code(task: run_pb2.Task) -> int:
    """Return 0 for success, 1 for failed, lost or held, and 2 for stopped, cancelled or skipped."""
    from sluiceway.api.run.v1 import run_pb2

    if task.status == run_pb2.TASK_STATUS_SUCCESS:
        return 0
    bad = {run_pb2.TASK_STATUS_FAILED, run_pb2.TASK_STATUS_LOST}
    return 1 if task.status in bad or task.HasField("hold") else 2
