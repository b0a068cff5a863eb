"""`sluice db rotate-master-key`: for an operator who has put another master key first in the file of the servers."""

from __future__ import annotations

import click

from sluiceway.cli.commands import Format, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.terminal import clean, waiting

FAILED = 1


@click.command("rotate-master-key")
@output_option(Format.TABLE, Format.JSON)
@server_options
def rotate_master_key(output: Format, server: str | None, token: str | None) -> int:
    """Encrypt all secrets under the first key of the master key file, while runs continue.

    The server reads its file, or runs its command, again. Afterwards the other keys of the file are not needed any
    more, unless a server of the installation still encrypts under one of them. The exit code is 1 if some values could
    not be opened: they are as before, and need the key that they are encrypted under.
    """
    from sluiceway.cli.showing import plain, show

    with waiting("encrypting under the newest master key"):
        done = with_client(server, token, lambda client: client.database.rotate_master_key())
    if output is Format.JSON:
        show([plain(done)], output, single=True)
    else:
        print(
            f"master key {done.master_key_id}: {done.rewrapped} values encrypted under it now,"
            f" {done.unchanged} before, {done.failed} failed"
        )
        for failure in done.failures:
            print(f"failed: {clean(failure)}")
    return FAILED if done.failed else 0
