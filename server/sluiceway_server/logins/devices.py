"""Logins of programs that a person confirms in a browser, on this machine or any other (RFC 8628).

The program keeps the device code, of which the digest is stored. The person compares the short user code, which has no
vowels, so that it is no word, and is read easily. What waits is bounded in number, since anybody may begin.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from sluiceway.api.project.v1 import login_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Exhausted, NotFound, PermissionDenied
from sluiceway_common.foundation.rpc.caller import (
    Caller,
    CallerKind,
    as_caller,
    current_caller,
    current_origin,
    set_response_position,
)
from sluiceway_common.foundation.texts import shown
from sluiceway_server.datamanager.model import Action, Decision, Delete, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.login_tokens import login_token
from sluiceway_server.projects.records import DEVICE_LOGIN, TOKEN, USER
from sluiceway_server.projects.tokens import is_good, is_text, new_text, revoked, token_id

DEVICE_PAGE: Final = "/device"
LIFETIME: Final = timedelta(minutes=10)
_MOST_WAITING: Final = 1000
_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
_CODE_LETTERS: Final = 8
_INTERVAL_SECONDS: Final = 2


class DeviceLogins:
    """Begins, answers and redeems them, and ends logins."""

    def __init__(self, database: Database, clock: Clock, *, ids: IdSource) -> None:
        self._database = database
        self._clock = clock
        self._changes = Changes(database, clock=clock, ids=ids)

    async def begin(self, client_name: str, public_url: str) -> api.BeginDeviceLoginResponse:
        """Begin a login.

        Raises:
            Exhausted: `TOO_MANY_DEVICE_LOGINS`.
        """
        device_code = secrets.token_urlsafe(32)
        user_code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LETTERS))
        now, origin = self._clock.now(), current_origin()
        record = pb.DeviceLogin(
            user_code=user_code,
            client_name=" ".join(shown(client_name, most=100).split()),
            address=shown(origin.forwarded_for or origin.peer, most=200),
        )
        record.time.FromDatetime(now)

        def begin(view: View) -> Decision[None]:
            rows = view.rows(DEVICE_LOGIN, Query(order=("time",), size=_MOST_WAITING)).records
            oldest = int((now - LIFETIME).timestamp())
            gone = [id_ for id_, fields in rows if isinstance(fields["time"], int) and fields["time"] < oldest]
            if len(rows) - len(gone) >= _MOST_WAITING:
                raise Exhausted(
                    "too many logins wait to be confirmed; wait some minutes, or log in with a password or a token",
                    reason="TOO_MANY_DEVICE_LOGINS",
                    retry_after=timedelta(minutes=1),
                )
            actions: list[Action] = [Delete(DEVICE_LOGIN, id_) for id_ in gone]
            return Decision(None, [*actions, Put(DEVICE_LOGIN, _id_of(device_code), record)])

        set_response_position(str((await self._database.transact(begin)).position))
        page, code = f"{public_url}{DEVICE_PAGE}", _shown_code(user_code)
        response = api.BeginDeviceLoginResponse(
            device_code=device_code,
            user_code=code,
            verification_uri=page,
            verification_uri_complete=f"{page}?code={code}",
            interval_seconds=_INTERVAL_SECONDS,
        )
        response.expire_time.FromDatetime(now + LIFETIME)
        return response

    async def get(self, user_code: str) -> api.DeviceLogin:
        """Return a login that waits for an answer.

        Raises:
            NotFound: there is none with this code.
        """
        await self._database.linearize()
        _, record = await self._database.read(lambda view: _waiting(view, user_code, self._clock.now()))
        return api.DeviceLogin(
            user_code=_shown_code(record.user_code),
            client_name=record.client_name,
            address=record.address,
            create_time=record.time,
        )

    async def answer(self, user_code: str, *, confirmed: bool) -> None:
        """Confirm or deny a login for the caller.

        Raises:
            NotFound: none with this code waits.
        """
        caller = current_caller()

        def answer(view: View, now: datetime) -> Change[None]:
            id_, record = _waiting(view, user_code, now)
            changed = pb.DeviceLogin()
            changed.CopyFrom(record)
            changed.denied = not confirmed
            if confirmed:
                changed.user_id = caller.id
                changed.operator = caller.kind is CallerKind.OPERATOR
                changed.scopes.extend(sorted(caller.scopes))
                changed.organization_id = caller.organization or ""
                if caller.tokens_until is not None:
                    changed.tokens_until.FromDatetime(caller.tokens_until)
            details = ["confirmed" if confirmed else "denied", f"address: {record.address}"]
            subject = Subject("device_login", id_[:16], record.client_name, details, parent_id=caller.id)
            return Change(None, subject, [Put(DEVICE_LOGIN, id_, changed)])

        await self._changes.commit("AnswerDeviceLogin", answer)

    async def redeem(self, device_code: str, expire: datetime) -> tuple[str, str] | None:
        """Return a token and the id of its user, once; None: nobody has answered yet.

        Raises:
            NotFound: there is no such login any more.
            PermissionDenied: `DEVICE_LOGIN_DENIED`.
        """
        id_ = _id_of(device_code)
        record = await self._database.read(lambda view: view.get(DEVICE_LOGIN, id_))
        if record is None:
            await self._database.linearize()
            record = await self._database.read(lambda view: view.get(DEVICE_LOGIN, id_))
        if _check_answered(record, self._clock.now()) is None:
            return None
        text = new_text()

        def redeem(view: View, now: datetime) -> Change[str]:
            answered = _check_answered(view.get(DEVICE_LOGIN, id_), now)
            if answered is None:
                raise _gone()
            token = login_token(
                text,
                answered.user_id,
                operator=answered.operator,
                now=now,
                expire=_bounded(expire, answered),
                scopes=frozenset(answered.scopes),
                organization=answered.organization_id or None,
                # What it creates is not valid for longer than itself.
                is_session=False,
            )
            user = view.get(USER, answered.user_id)
            name = answered.user_id if user is None else user.name
            subject = Subject("token", token_id(text)[:16], name, [answered.client_name], parent_id=answered.user_id)
            return Change(answered.user_id, subject, [Delete(DEVICE_LOGIN, id_), token])

        kind = CallerKind.OPERATOR if record is not None and record.operator else CallerKind.USER
        user_id = "" if record is None else record.user_id
        with as_caller(Caller(kind, user_id), origin=current_origin()):
            committed = await self._changes.commit("LogIn", redeem)
        set_response_position(str(committed.position))
        return text, committed.value

    async def log_out(self, text: str) -> None:
        """Revoke a token of a user, which whoever has it may do. Without effect if it is not valid.

        Raises:
            FailedPrecondition: `LAST_OPERATOR_TOKEN`.
        """
        id_ = token_id(text)
        if not is_text(text):
            return
        await self._database.linearize()
        stored = await self._database.read(lambda view: view.get(TOKEN, id_))
        if stored is None or not stored.user_id or not is_good(stored, self._clock.now()):
            return

        def revoke(view: View, now: datetime) -> Change[None]:
            current = view.get(TOKEN, id_)
            if current is None or not is_good(current, now):
                return Change(None)
            subject = Subject("token", id_[:16], current.name, parent_id=current.user_id)
            # The password of a session is as good as before.
            record = revoked(view, id_, now, keep_an_operator=not current.is_session)
            return Change(None, subject, [Put(TOKEN, id_, record)])

        with as_caller(Caller(CallerKind.USER, stored.user_id), origin=current_origin()):
            committed = await self._changes.commit("LogOut", revoke)
        set_response_position(str(committed.position))


def _id_of(device_code: str) -> str:
    return hashlib.sha256(device_code.encode()).hexdigest()


def _shown_code(user_code: str) -> str:
    half = _CODE_LETTERS // 2
    return f"{user_code[:half]}-{user_code[half:]}"


def _is_old(record: pb.DeviceLogin, now: datetime) -> bool:
    return record.time.ToDatetime(tzinfo=UTC) + LIFETIME <= now


def _waiting(view: View, user_code: str, now: datetime) -> tuple[str, pb.DeviceLogin]:
    code = "".join(letter for letter in user_code.upper() if letter in _ALPHABET)
    query = Query(where={"user_code": code}, size=10)
    found: Iterable[tuple[str, pb.DeviceLogin]] = view.select(DEVICE_LOGIN, query).records
    for id_, record in found:
        if not (record.user_id or record.denied or _is_old(record, now)):
            return id_, record
    raise NotFound(
        "no login with this code waits; compare it with the program, or begin once more",
        resource_type="device login",
        resource_name=shown(user_code, most=20),
    )


def _check_answered(record: pb.DeviceLogin | None, now: datetime) -> pb.DeviceLogin | None:
    """Return a login that was confirmed, None for one that waits."""
    if record is None or _is_old(record, now):
        raise _gone()
    if record.denied:
        raise PermissionDenied("the login was denied in the browser", reason="DEVICE_LOGIN_DENIED")
    return record if record.user_id else None


def _gone() -> NotFound:
    return NotFound(
        "the login has expired, or was redeemed; begin once more", resource_type="device login", resource_name=""
    )


def _bounded(expire: datetime, answered: pb.DeviceLogin) -> datetime:
    """Return when a token expires: not after that of who confirmed the login."""
    if not answered.HasField("tokens_until"):
        return expire
    return min(expire, answered.tokens_until.ToDatetime(tzinfo=UTC))
