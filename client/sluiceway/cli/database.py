"""`sluice db ...`: see, check, save and repair the database.

Through a server (`--server`, `--token`), or on etcd and object storage directly, with the options of `sluice server`:
`--etcd`, `--object-storage`, `--prefix`. What repairs a database works directly only: a server that has none cannot
tell who asks. The code of the server is loaded when it is needed, as in `processes`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from sluiceway.cli.connecting import ServerOption, TokenOption, with_client
from sluiceway.cli.terminal import clean, progress, waiting
from sluiceway.foundation.errors import FailedPrecondition, SluicewayError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from sluiceway.api.database.v1 import database_service_pb2 as pb
    from sluiceway.app.operations import RecoverPlan, RestorePlan, StoreSettings

__all__ = ["app"]

T = TypeVar("T")

FAULTS = 1
CANNOT_RUN = 2

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


class Output(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"


EtcdOption = Annotated[str, typer.Option("--etcd", metavar="URL,...", help="Directly: endpoints of etcd, with commas.")]
StorageOption = Annotated[
    str, typer.Option("--object-storage", help="Directly, without a server: posix:DIR or s3://BUCKET/PREFIX.")
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="Directly: of all keys in etcd, and of all objects.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people, or for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")]


# -- what only reads


@app.command()
def status(
    output: OutputOption = Output.TABLE,
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Show how etcd and object storage stand, also when they disagree or one is away.

    Exit code 0, whatever is found: findings are told, `verify` judges.
    """
    direct = _direct(etcd, object_storage, prefix)
    with waiting("looking at etcd and object storage"):
        if direct is None:
            found = with_client(server, token, lambda client: client.database.status())
        else:
            from sluiceway.app import operations

            _need_etcd(direct)
            found = _run(operations.status(direct))
    if output is Output.JSON:
        from sluiceway.cli.showing import Format, show_messages

        show_messages([found], Format.JSON, single=True)
    else:
        _show_status(found)


@app.command()
def verify(
    output: OutputOption = Output.TABLE,
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Read every object and every checksum, and say what is wrong.

    Exit code 0: no fault; 1: faults; 2: it could not be run to its end. Servers may be writing meanwhile. Directly and
    without --etcd, only the object storage is verified.
    """
    direct = _direct(etcd, object_storage, prefix)
    findings: list[pb.VerifyDatabaseResponse] = []
    last: list[pb.VerifyDatabaseResponse] = []

    async def read(messages: AsyncGenerator[pb.VerifyDatabaseResponse], say: Callable[[str], None]) -> None:
        async with aclosing(messages):
            async for message in messages:
                last[:] = [message]
                if message.fault or message.note:
                    findings.append(message)
                    if output is Output.TABLE:
                        _show_finding(message)
                say(f"{message.objects} of {message.all_objects} objects, {_size(message.bytes)}")

    try:
        with progress("verifying") as say:
            if direct is None:
                with_client(server, token, lambda client: read(client.database.verify(), say))
            else:
                from sluiceway.app import operations

                _run(read(operations.verify(direct), say))
    except SluicewayError as error:
        # 1 says that there are faults.
        print(f"sluice: {clean(error.message)}", file=sys.stderr)
        raise typer.Exit(CANNOT_RUN) from error
    faults = sum(1 for message in findings if message.fault)
    total = last[0] if last else None
    if output is Output.JSON:
        _show_findings(findings, total)
    elif total is not None:
        what = f"{faults} faults" if faults != 1 else "1 fault"
        print(f"{total.objects} objects read, {_size(total.bytes)}: {what if faults else 'no faults'}")
    raise typer.Exit(FAULTS if faults else 0)


# -- what saves


@app.command()
def checkpoint(
    output: OutputOption = Output.TABLE,
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Make a checkpoint now. Directly: of what the object storage has."""
    direct = _direct(etcd, object_storage, prefix)
    with waiting("making a checkpoint"):
        if direct is None:
            made = with_client(server, token, lambda client: client.database.checkpoint())
        else:
            from sluiceway.app import operations

            _need_etcd(direct)
            made = _run(operations.checkpoint(direct))
    if output is Output.JSON:
        print(json.dumps({"sequence": made.sequence, "made": made.made}))
    else:
        print(
            f"checkpoint {made.sequence}" if made.made else f"nothing has changed since the checkpoint {made.sequence}"
        )


@app.command()
def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where it goes; - is standard output.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Save all records, as they are at one moment, in one file that `import` takes.

    Logs and archives of runs are objects of their own and are not in it. Directly and without --etcd: what the object
    storage alone holds. The file holds everything that the database does: keep it as you keep that.
    """
    direct = _direct(etcd, object_storage, prefix)

    async def write(pieces: AsyncGenerator[bytes], target: BinaryIO, say: Callable[[str], None]) -> int:
        size = 0
        async with aclosing(pieces):
            async for piece in pieces:
                target.write(piece)
                size += len(piece)
                say(_size(size))
        return size

    with _target(file, force=force) as target, progress("exporting") as say:
        if direct is None:
            size = with_client(server, token, lambda client: write(client.database.export(), target, say))
        else:
            from sluiceway.app import operations

            size = _run(write(operations.export(direct), target, say))
    print(f"exported {_size(size)}" + ("" if file == "-" else f" into {file}"), file=sys.stderr)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Of an export; - is standard input.")],
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a database out of an export, in an empty etcd and an empty object storage. Start servers afterwards.

    The whole file is checked before the first write. An import that was interrupted is run again.
    """
    from sluiceway.app import operations

    direct = _direct(etcd, object_storage, prefix)
    if direct is None or not direct.etcd:
        raise typer.BadParameter("an import goes into two stores; name them with --etcd and --object-storage")
    with _source(file) as path, progress("importing") as say:
        made = _run(operations.import_file(direct, path, progress=lambda records: say(f"{records} records")))
    if output is Output.JSON:
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
            f" {_moment(made.info.time)}, as the database {made.database_id}; start servers now"
        )


# -- what repairs


@app.command()
def recover(
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    force: Annotated[bool, typer.Option("--force", help="Although the object storage is still being written.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on in a new epoch, after etcd was lost, wiped or set back. Servers that wait go on by themselves then.

    It shows what was found and what would be given up, and asks. Nothing that a server said was stored in the object
    storage is ever given up.
    """
    from sluiceway.app import operations

    direct = _direct(etcd, object_storage, prefix)
    if direct is None or not direct.etcd:
        raise typer.BadParameter("a recovery needs both stores; name them with --etcd and --object-storage")
    _refuse_silence(yes)

    def confirm(plan: RecoverPlan) -> None:
        end = plan.end
        kept = f"{end.sequence}, of {_moment(plan.time)}, in {end.where}" if plan.time else "the beginning"
        _say(
            f"Found: {plan.found}",
            f"The database goes on from {kept}, in epoch {plan.epoch}.",
            f"Entries that only etcd has, and that are saved first: {len(end.tail)}." if end.tail else "",
            *(f"Given up: {void}." for void in end.void),
            "A server that is down may have more, in its read database: start it first. It saves that and waits.",
        )
        _ask("Recover?", yes)

    _, done = _run(operations.recover(direct, force=force, confirm=confirm))
    if output is Output.JSON:
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


@app.command()
def restore(
    to: Annotated[str, typer.Option("--to", metavar="SEQUENCE", help="The last entry that is kept.")],
    etcd: EtcdOption = "",
    object_storage: StorageOption = "",
    prefix: PrefixOption = "sluiceway",
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go back to how the database was after an entry; all later ones are given up for ever. Export it before.

    Reaches as far back as the oldest manifest that is kept (24 hours), and further where all segments are there still.
    """
    from sluiceway.app import operations

    direct = _direct(etcd, object_storage, prefix)
    if direct is None or not direct.etcd:
        raise typer.BadParameter("a restore needs both stores; name them with --etcd and --object-storage")
    _refuse_silence(yes)

    def confirm(plan: RestorePlan) -> None:
        span = ""
        if plan.time is not None and plan.newest_time is not None:
            span = f", {_span(plan.newest_time - plan.time)} of work"
        _say(
            f"The database goes back to {plan.to}, of {_moment(plan.time) if plan.time else 'the beginning'},"
            f" in epoch {plan.epoch}.",
            f"Given up for ever: {plan.given_up} entries, up to {plan.newest}{span}.",
            "Runs that were made in between are forgotten; tasks that run now are stopped where nobody knows them.",
        )
        _ask("Restore?", yes)

    plan, done = _run(operations.restore(direct, to, confirm=confirm))
    if output is Output.JSON:
        print(json.dumps({"epoch": done.epoch, "lastSequence": str(plan.to), "voidEntries": plan.given_up}))
    else:
        print(f"restored to {plan.to}, in epoch {done.epoch}; {plan.given_up} entries were given up")


# -- helpers


def _direct(etcd: str, object_storage: str, prefix: str) -> StoreSettings | None:
    """Tell which stores are meant; None: those of a server."""
    if not object_storage:
        if etcd:
            raise typer.BadParameter("--etcd goes with --object-storage: both stores, or a server")
        return None
    from sluiceway.app.operations import StoreSettings
    from sluiceway.foundation.logging import set_up_logging

    # What is worth knowing is told by the command itself.
    set_up_logging(level="error")
    endpoints = tuple(endpoint.strip() for endpoint in etcd.split(",") if endpoint.strip())
    return StoreSettings(endpoints, object_storage, prefix)


def _need_etcd(direct: StoreSettings) -> None:
    if not direct.etcd:
        raise typer.BadParameter("this needs both stores; name etcd too, with --etcd")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _refuse_silence(yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked; give --yes to do it unasked")


def _say(*lines: str) -> None:
    for line in lines:
        if line:
            print(clean(line), file=sys.stderr)


def _ask(question: str, yes: bool) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise FailedPrecondition("nothing was changed")


@contextmanager
def _target(file: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open the file of an export: it appears whole or not at all."""
    if file == "-":
        if sys.stdout.isatty():
            raise typer.BadParameter("an export is no text; name a file, or send it to another program")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    if path.exists() and not force:
        raise FailedPrecondition(f"{path} is there already; name another file, or replace it with --force")
    try:
        # As mkstemp makes it: readable for its owner only. It holds what the database holds.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _source(file: str) -> Iterator[Path]:
    """Give the file of an export; a stream is kept in a temporary file, since all of it is checked first."""
    if file != "-":
        path = Path(file)
        if not path.is_file():
            raise FailedPrecondition(f"there is no file {path}")
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="sluice-import-") as spool:
        while chunk := sys.stdin.buffer.read(1024 * 1024):
            spool.write(chunk)
        spool.flush()
        yield Path(spool.name)


def _show_finding(message: pb.VerifyDatabaseResponse) -> None:
    kind = "fault" if message.fault else "note"
    where = f"{message.object}: " if message.object and message.object not in (message.fault or message.note) else ""
    print(clean(f"{kind}: {where}{message.fault or message.note}"), flush=True)


def _show_findings(findings: list[pb.VerifyDatabaseResponse], total: pb.VerifyDatabaseResponse | None) -> None:
    found = {
        "objects": total.objects if total is not None else 0,
        "bytes": total.bytes if total is not None else 0,
        "faults": [{"object": item.object, "message": item.fault} for item in findings if item.fault],
        "notes": [{"object": item.object, "message": item.note} for item in findings if item.note],
    }
    print(json.dumps(found, indent=2))


def _show_status(found: pb.GetDatabaseStatusResponse) -> None:
    from sluiceway.cli.showing import table

    now = found.time.ToDatetime(tzinfo=UTC)
    rows = [("epoch", str(found.epoch) if found.epoch else "none"), ("database", found.database_id)]
    if found.etcd_fault:
        rows.append(("etcd", f"away: {found.etcd_fault}"))
    else:
        size = _size(found.etcd_size_bytes)
        quota = f" of {_size(found.etcd_quota_bytes)}" if found.etcd_quota_bytes else ""
        rows += [
            ("etcd", f"{found.etcd_version}, cluster {found.etcd_cluster_id}, {size}{quota}"),
            ("alarms", ", ".join(found.etcd_alarms) or "none"),
            ("head", found.head or "none"),
            ("flushed", f"{found.flushed or 'none'}, {_size(found.unflushed_bytes)} not flushed"),
            ("checkpoint", found.checkpoint or "none"),
        ]
    if found.position:
        rows.append(("applied", f"{found.position}, by this server"))
    if found.storage_fault:
        rows.append(("storage", f"away: {found.storage_fault}"))
    else:
        rows += [
            ("segment", _stored(found.newest_segment, now)),
            ("manifest", _stored(found.newest_manifest, now)),
            ("recoverable", f"{found.recoverable or 'nothing'}, out of the object storage alone"),
        ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(clean(f"{name.ljust(width)}  {value}"))
    if found.objects:
        print()
        table(("OBJECTS", "COUNT", "SIZE"), [(o.kind, str(o.count), _size(o.bytes)) for o in found.objects])
    if len(found.epochs) > 1:
        print()
        table(
            ("EPOCH", "BEGAN", "FROM", "BY", ""),
            [
                (str(e.number), _age(e.time, now), e.accepted, e.writer, "" if e.in_history else "void")
                for e in found.epochs
            ],
        )
    if found.findings:
        print()
        for finding in found.findings:
            print(clean(f"finding: {finding}"))


def _stored(item: pb.StoredStatus, now: datetime) -> str:
    return f"{item.sequence}, {_age(item.time, now)}, by {item.writer}" if item.sequence else "none"


def _age(time: Timestamp, now: datetime) -> str:
    return f"{_span(now - time.ToDatetime(tzinfo=UTC))} ago"


def _span(span: timedelta) -> str:
    seconds = max(round(span.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
