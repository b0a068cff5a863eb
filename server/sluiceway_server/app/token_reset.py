"""Create an operator token on the two stores directly, without a server, for an operator who has lost every token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.rpc.caller import ALL_SCOPES, CallerKind
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.store_access import StoreSettings, opened, operator_name, survey
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.projects.first_tokens import FIRST_OPERATOR_ID, restore_first_operator
from sluiceway_server.projects.token_service import ID_LENGTH
from sluiceway_server.projects.tokens import TokenSpec, is_good, make_token, operator_tokens, revoke_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """A valid token of an operator, for the person who decides whether to revoke it."""

    id: str
    name: str
    created: datetime

    @property
    def short_id(self) -> str:
        """As the API shows it."""
        return self.id[:ID_LENGTH]


async def list_operator_tokens(settings: StoreSettings) -> Sequence[OperatorToken]:
    """List the valid tokens of operators, by name. Raises as `reset_operator_token`."""
    async with _database(settings) as database:
        return await database.read(_valid)


async def reset_operator_token(settings: StoreSettings, *, revoke: Sequence[OperatorToken]) -> str:
    """Create a token that may do everything, then revoke others; returns its text, which is not stored.

    Servers may be running: they accept the new token at once.

    Args:
        settings: where the database is.
        revoke: tokens that `list_operator_tokens` returned.

    Raises:
        FailedPrecondition: there is no database, or etcd and the object storage do not fit together.
        DataLoss, Unavailable: as for a server.
    """
    clock = SystemClock()
    async with _database(settings) as database:
        name = f"operator, by {operator_name()} on {clock.now():%Y-%m-%d %H:%M:%S}Z"
        spec = TokenSpec(CallerKind.OPERATOR, name, user_id=FIRST_OPERATOR_ID, scopes=frozenset({ALL_SCOPES}))
        text = await make_token(database, spec, clock=clock)
        await restore_first_operator(database)
        for token in revoke:
            await revoke_token(database, token.id, clock=clock)
        return text


def _valid(view: View) -> tuple[OperatorToken, ...]:
    now = SystemClock().now()
    return tuple(
        OperatorToken(id_, token.name, token.create_time.ToDatetime())
        for id_, token in operator_tokens(view)
        if is_good(token, now)
    )


@asynccontextmanager
async def _database(settings: StoreSettings) -> AsyncIterator[DataManager]:
    """Open the database as a server does, with a temporary read database."""
    async with opened(settings) as at:
        diagnosis, _ = await survey(at)
        if not diagnosis.is_healthy:
            # A server would create a database at a mistyped address.
            raise diagnosis.error()
        if diagnosis.holdings.head is None:
            raise FailedPrecondition("there is no database here yet", reason="NO_DATABASE")
        async with DataManager.open(
            kv=at.needed_kv,
            storage=at.storage,
            prefix=at.prefix,
            path=at.scratch / "database",
            types=RECORD_TYPES,
            settings=DataManagerSettings(server_id=operator_name(), etcd_name=settings.etcd_name),
        ) as database:
            yield database
