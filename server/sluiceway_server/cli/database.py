"""`sluice db ...`: see, check, save and repair the database.

Through a server (`--server`, `--token`), or on etcd and object storage directly, with the options of `sluice server`:
`--etcd`, `--object-storage`, `--prefix`. What repairs a database works directly only: a server that has none cannot
tell who asks. The code of the server is loaded when it is needed, as in `processes`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.confirming import ask, refuse_silence, yes_option
from sluiceway.cli.terminal import clean, progress, waiting
from sluiceway.cli.units import moment_text, size_text, span_text
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.cli.database_places import Place, both_stores, need_etcd, say, stores_options
from sluiceway_server.cli.database_showing import show_finding, show_findings, show_notes, show_status
from sluiceway_server.cli.export_files import export_source, export_target

if TYPE_CHECKING:
    from sluiceway.api.database.v1 import database_service_pb2 as pb
    from sluiceway_server.app.store_access import StoreSettings

FAULTS = 1
CANNOT_RUN = 2

# -- what only reads


@click.command()
@stores_options
@output_option(Format.TABLE, Format.JSON)
@server_options
def status(output: Format, etcd: str, object_storage: str, prefix: str, server: str | None, token: str | None) -> None:
    """Show the state of etcd and of the object storage, also if they disagree or one is not available.

    The exit code is 0 whatever is found; use `verify` to check the database.
    """

    def directly(stores: StoreSettings) -> Coroutine[Any, Any, pb.GetDatabaseStatusResponse]:
        from sluiceway_server.app import operations

        need_etcd(stores)
        return operations.status(stores)

    place = Place.of(etcd, object_storage, prefix, server, token)
    with waiting("looking at etcd and object storage"):
        found = place.ask(lambda client: client.database.status(), directly)
    if output is Format.JSON:
        from sluiceway.cli.showing import plain, show

        show([plain(found)], output, single=True)
    else:
        show_status(found)


@click.command()
@option("--skip-logs", is_flag=True, help="Do not read the logs of runs.")
@stores_options
@output_option(Format.TABLE, Format.WIDE, Format.JSON)
@server_options
def verify(
    skip_logs: bool,
    output: Format,
    etcd: str,
    object_storage: str,
    prefix: str,
    server: str | None,
    token: str | None,
) -> int:
    """Read all objects, check them, and report faults.

    The exit code is 0 without faults, 1 with faults, and 2 if not everything could be read. Servers may be running.
    With --object-storage but without --etcd, only the object storage is checked.
    """
    place = Place.of(etcd, object_storage, prefix, server, token)
    findings: list[pb.VerifyDatabaseResponse] = []
    last: list[pb.VerifyDatabaseResponse] = []

    async def read(messages: AsyncGenerator[pb.VerifyDatabaseResponse], say: Callable[[str], None]) -> None:
        async with aclosing(messages):
            async for message in messages:
                last[:] = [message]
                if message.fault or message.note:
                    findings.append(message)
                    if output is Format.WIDE or (output is Format.TABLE and message.fault):
                        show_finding(message)
                say(f"{message.objects} of {message.all_objects} objects, {size_text(message.bytes)}")

    try:
        with progress("verifying") as say:

            def directly(stores: StoreSettings) -> Coroutine[Any, Any, None]:
                from sluiceway_server.app import operations

                return read(operations.verify(stores, skip_logs=skip_logs), say)

            place.ask(lambda client: read(client.database.verify(skip_logs=skip_logs), say), directly)
    except SluicewayError as error:
        # 1 says that there are faults.
        print(f"sluice: {clean(error.message)}", file=sys.stderr)
        return CANNOT_RUN
    faults = sum(1 for message in findings if message.fault)
    total = last[0] if last else None
    if output is Format.JSON:
        show_findings(findings, total)
        return FAULTS if faults else 0
    if output is Format.TABLE:
        show_notes(message for message in findings if message.note)
    if total is not None:
        what = f"{faults} faults" if faults != 1 else "1 fault"
        print(f"{total.objects} objects read, {size_text(total.bytes)}: {what if faults else 'no faults'}")
    return FAULTS if faults else 0


# -- what saves


@click.command()
@stores_options
@output_option(Format.TABLE, Format.JSON)
@server_options
def checkpoint(
    output: Format, etcd: str, object_storage: str, prefix: str, server: str | None, token: str | None
) -> None:
    """Make a checkpoint now. Without a server: of what the object storage holds."""

    def directly(stores: StoreSettings) -> Coroutine[Any, Any, pb.CheckpointDatabaseResponse]:
        from sluiceway_server.app import operations

        need_etcd(stores)
        return operations.checkpoint(stores)

    place = Place.of(etcd, object_storage, prefix, server, token)
    with waiting("making a checkpoint"):
        made = place.ask(lambda client: client.database.checkpoint(), directly)
    if output is Format.JSON:
        print(json.dumps({"sequence": made.sequence, "made": made.made}))
    else:
        print(
            f"checkpoint {made.sequence}" if made.made else f"nothing has changed since the checkpoint {made.sequence}"
        )


@click.command()
@click.argument("file", metavar="FILE")
@option("--force", is_flag=True, help="Replace an existing file.")
@stores_options
@server_options
def export(
    file: str, force: bool, etcd: str, object_storage: str, prefix: str, server: str | None, token: str | None
) -> None:
    """Write a snapshot of all records to FILE, for `import`. - is standard output.

    Logs and archives of runs are not in it: copy those from the object storage. With --object-storage but without
    --etcd, it holds what the object storage holds. The file is as confidential as the database.
    """
    place = Place.of(etcd, object_storage, prefix, server, token)

    async def write(pieces: AsyncGenerator[bytes], target: BinaryIO, say: Callable[[str], None]) -> int:
        size = 0
        async with aclosing(pieces):
            async for piece in pieces:
                target.write(piece)
                size += len(piece)
                say(size_text(size))
        return size

    with export_target(file, force=force) as target, progress("exporting") as say:

        def directly(stores: StoreSettings) -> Coroutine[Any, Any, int]:
            from sluiceway_server.app import operations

            return write(operations.export(stores), target, say)

        size = place.ask(lambda client: write(client.database.export(), target, say), directly)
    print(f"exported {size_text(size)}" + ("" if file == "-" else f" into {file}"), file=sys.stderr)


@click.command("import")
@click.argument("file", metavar="FILE")
@stores_options
@output_option(Format.TABLE, Format.JSON)
def import_(file: str, etcd: str, object_storage: str, prefix: str, output: Format) -> None:
    """Create a database from the export in FILE, in an empty etcd and an empty object storage. - is standard input.

    Start servers afterwards. The whole file is checked before anything is written. Repeat an import that was
    interrupted.
    """
    from sluiceway_server.app import operations

    stores = both_stores(etcd, object_storage, prefix, why="an import goes into two stores")
    with export_source(file) as path, progress("importing") as say:
        made = asyncio.run(operations.import_file(stores, path, progress=lambda records: say(f"{records} records")))
    if output is Format.JSON:
        found = {
            "records": made.info.records,
            "databaseId": made.database_id,
            "exportedDatabaseId": made.info.database_id,
            "exportedSequence": str(made.info.sequence),
            "exportedTime": made.info.time.isoformat(),
        }
        print(json.dumps(found))
    else:
        print(
            f"imported {made.info.records} records of the database {made.info.database_id} as it was at"
            f" {moment_text(made.info.time)}, as the database {made.database_id}; start servers now"
        )


# -- what repairs


@click.command()
@stores_options
@option("--force", is_flag=True, help="Recover even though servers use the object storage.")
@yes_option
@output_option(Format.TABLE, Format.JSON)
def recover(etcd: str, object_storage: str, prefix: str, force: bool, yes: bool, output: Format) -> None:
    """Continue in a new epoch after etcd was lost, wiped or reset to an older state.

    It shows what was found and what will be lost, and asks for confirmation. What is in the object storage is never
    lost. Servers that wait for the recovery continue by themselves.
    """
    from sluiceway_server.app import operations

    stores = both_stores(etcd, object_storage, prefix, why="a recovery needs both stores")
    refuse_silence(yes)

    # Asked between two loops: nothing runs while a person thinks, and Ctrl-C ends the question at once.
    plan = asyncio.run(operations.plan_recovery(stores, force=force))
    end = plan.end
    kept = f"{end.last.sequence}, of {moment_text(plan.time)}, in {end.last.where}" if plan.time else "the beginning"
    say(
        f"Found: {plan.found}",
        f"The database continues from {kept}, in epoch {plan.epoch}.",
        f"Entries that only etcd has, and that are saved first: {len(end.tail)}." if end.tail else "",
        *(f"Given up: {void}." for void in end.void),
        "A server that is down may have more, in its read database: start it first. It saves that and waits.",
    )
    ask("Recover?", yes)
    done = asyncio.run(operations.recover(stores, plan))
    if output is Format.JSON:
        found = {
            "epoch": done.epoch,
            "lastSequence": str(done.accepted or ""),
            "voidEntries": sum(void.entries for void in done.void),
            "recoveredByOthers": not done.won,
        }
        print(json.dumps(found))
    elif done.won:
        given_up = sum(void.entries for void in done.void)
        print(f"recovered into epoch {done.epoch}, from {done.accepted}; {given_up} entries were given up")
    else:
        print(f"somebody else recovered the database meanwhile: it is in epoch {done.epoch}")


@click.command()
@option(
    "--to",
    required=True,
    metavar="SEQUENCE|TIME",
    help="The last entry to keep, or a time such as 2026-01-31T12:00:00Z. `sluice db history` lists both.",
)
@stores_options
@yes_option
@output_option(Format.TABLE, Format.JSON)
def restore(to: str, etcd: str, object_storage: str, prefix: str, yes: bool, output: Format) -> None:
    """Reset the database to its state after an entry. All later entries are lost: export the database first.

    It reaches back to the oldest manifest that is kept (24 hours), and further if all segments still exist.
    """
    from sluiceway_server.app import operations

    stores = both_stores(etcd, object_storage, prefix, why="a restore needs both stores")
    refuse_silence(yes)

    plan = asyncio.run(operations.plan_restore(stores, to))
    span = ""
    if plan.time is not None and plan.newest_time is not None:
        span = f", {span_text(plan.newest_time - plan.time)} of work"
    say(
        f"The database goes back to {plan.to}, of {moment_text(plan.time) if plan.time else 'the beginning'},"
        f" in epoch {plan.epoch}.",
        f"Lost for good: {plan.given_up} entries, up to {plan.newest}{span}.",
        "Runs that were made in between are forgotten; tasks that run now are stopped where nobody knows them.",
    )
    ask("Restore?", yes)
    done = asyncio.run(operations.restore(stores, plan))
    if output is Format.JSON:
        print(json.dumps({"epoch": done.epoch, "lastSequence": str(plan.to), "voidEntries": plan.given_up}))
    else:
        print(f"restored to {plan.to}, in epoch {done.epoch}; {plan.given_up} entries were given up")
