"""The first tokens of a database, and the files in a server's data folder that hold them.

Nobody can create a token without one, so the first two are made by a server: an operator's, for the person who installs
Sluiceway, and one for the executors of the first group. They are made once for the database, by whichever server comes
first: one transaction makes both, with the user `admin`, whose token the operator's is, and a record that says where
their files are. A server that starts with an empty data folder afterwards makes none; an operator creates others, or
resets them on the two stores (`sluice db reset-operator-token`).

A server whose database belongs to its data folder alone (`standalone` with its own etcd) replaces what is missing
there: whoever owns that folder owns all of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.rpc.caller import ALL_SCOPES, CallerKind
from sluiceway_server.datamanager.model import Action, Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.records import FIRST_TOKENS, FIRST_TOKENS_ID, TOKEN, USER
from sluiceway_server.projects.tokens import TokenSpec, is_good, is_text, new_text, record_of, token_id

__all__ = [
    "ADMIN_TOKEN_FILE",
    "EXECUTOR_TOKEN_FILE",
    "FIRST_OPERATOR_ID",
    "FirstTokens",
    "ensure_first_tokens",
    "read_token",
    "restore_first_operator",
    "write_token",
]

FIRST_OPERATOR_ID = "admin"
"""Of the first user, who is an operator; also its first name."""
ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a name of a file
EXECUTOR_TOKEN_FILE = "executor.token"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """The tokens in a data folder, as text.

    Attributes:
        admin: the operator's; None: the folder has none that is valid.
        executor: that of the executors; None: likewise.
        admin_is_new: the operator's was made just now: show it once.
        place: where the first tokens of the database were put, for people.
    """

    admin: str | None
    executor: str | None
    admin_is_new: bool
    place: str


async def ensure_first_tokens(
    database: Database, data_dir: Path, *, clock: Clock, group: str = "default", replace: bool = False
) -> FirstTokens:
    """Make the first tokens of a database, unless it has them; files are in `data_dir`, with mode 0600.

    May be repeated, and interrupted anywhere: files are written first, and a file whose token the database does not
    know is used for the first tokens, or of no use.

    Args:
        database: where tokens are kept.
        data_dir: the folder; it exists.
        clock: for the time of their making.
        group: of the executors.
        replace: make new tokens for files that are missing or hold no valid token.

    Raises:
        Unavailable: the database is away.
    """
    place = f"{socket.gethostname()}:{data_dir.absolute()}"
    specs = {
        ADMIN_TOKEN_FILE: TokenSpec(
            CallerKind.OPERATOR, "first operator", user_id=FIRST_OPERATOR_ID, scopes=frozenset({ALL_SCOPES})
        ),
        EXECUTOR_TOKEN_FILE: TokenSpec(CallerKind.EXECUTOR, f"executors of group {group}", group=group),
    }
    await database.linearize()
    found = {name: await asyncio.to_thread(read_token, data_dir / name) for name in specs}
    known = await _known(database, clock, [text for text in found.values() if text is not None])
    first = await database.read(lambda view: view.get(FIRST_TOKENS, FIRST_TOKENS_ID))
    # A token that was revoked or has expired stays so.
    texts = {name: text for name, text in found.items() if text is not None and known[text] is not False}
    made: dict[str, str] = {}
    if first is None:
        made = {name: new_text() for name in specs if name not in texts}
        for name, text in made.items():
            await asyncio.to_thread(write_token, data_dir / name, text)
        first = await _make_first(database, clock, place, {**texts, **made}, specs)
        if first is not None:
            # Another server was faster.
            for name in made:
                await asyncio.to_thread((data_dir / name).unlink, missing_ok=True)
            made, known = {}, await _known(database, clock, list(texts.values()))
        else:
            known = dict.fromkeys([*texts.values(), *made.values()], True)
    texts = {name: text for name, text in {**texts, **made}.items() if known.get(text)}
    if replace:
        for name in specs.keys() - texts.keys():
            made[name] = texts[name] = await _replace(database, clock, data_dir / name, specs[name], place)
    return FirstTokens(
        texts.get(ADMIN_TOKEN_FILE),
        texts.get(EXECUTOR_TOKEN_FILE),
        ADMIN_TOKEN_FILE in made,
        place if first is None else first.place,
    )


async def restore_first_operator(database: Database) -> None:
    """Make the first user an operator again, if it is one no longer: its tokens would count as those of a user."""

    def restore(view: View) -> Decision[None]:
        user = view.get(USER, FIRST_OPERATOR_ID)
        if user is None or user.operator:
            return Decision(None)
        changed = pb.User()
        changed.CopyFrom(user)
        changed.operator = True
        return Decision(None, [Put(USER, FIRST_OPERATOR_ID, changed)])

    await database.transact(restore)


async def _known(database: Database, clock: Clock, texts: list[str]) -> dict[str, bool | None]:
    """Return for each token whether it is valid; None if the database does not know it."""

    def read(view: View) -> dict[str, bool | None]:
        now = clock.now()
        stored = {text: view.get(TOKEN, token_id(text)) for text in texts}
        return {text: None if token is None else is_good(token, now) for text, token in stored.items()}

    return await database.read(read)


async def _make_first(
    database: Database, clock: Clock, place: str, texts: dict[str, str], specs: dict[str, TokenSpec]
) -> pb.FirstTokens | None:
    """Make the first tokens, unless there are some: then return what is known of those."""

    def make(view: View) -> Decision[pb.FirstTokens | None]:
        there = view.get(FIRST_TOKENS, FIRST_TOKENS_ID)
        if there is not None:
            return Decision(there)
        now = clock.now()
        first = pb.FirstTokens(place=place)
        first.create_time.FromDatetime(now)
        actions: list[Action] = [Put(FIRST_TOKENS, FIRST_TOKENS_ID, first)]
        if view.get(USER, FIRST_OPERATOR_ID) is None:
            operator = pb.User(name=FIRST_OPERATOR_ID, operator=True)
            operator.create_time.FromDatetime(now)
            actions.append(Put(USER, FIRST_OPERATOR_ID, operator))
        for name, text in texts.items():
            if view.get(TOKEN, token_id(text)) is None:
                actions.append(Put(TOKEN, token_id(text), record_of(specs[name], now)))
        return Decision(None, actions)

    return (await database.transact(make)).value


async def _replace(database: Database, clock: Clock, path: Path, spec: TokenSpec, place: str) -> str:
    text = new_text()
    await asyncio.to_thread(write_token, path, text)
    named = TokenSpec(spec.kind, f"{spec.name}, at {place}", spec.user_id, spec.group, spec.scopes)
    await database.commit([Put(TOKEN, token_id(text), record_of(named, clock.now()))])
    return text


def read_token(path: Path) -> str | None:
    """Read a token file; return None if it is missing or holds no token."""
    try:
        text = path.read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if is_text(text) else None


def write_token(path: Path, text: str) -> None:
    """Write a token file, with mode 0600 from the first moment on; it is whole or not there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
