"""The id tokens of a task: requested for each step, put into its environment, and kept fresh in files of the pod.

A step finds a token in the variable of its name, and in the file that the variable `NAME_FILE` names. The variable
stays as it was when the step began; the file is replaced before its token expires. Each token is masked in the logs
from before the pod has it. The next process of the executor, which must mask them too, reads them from the files of the
pod: the present token and the one before, since older ones have expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError
from sluiceway_common.runconfig.environment import id_token_variables
from sluiceway_executor.drivers.port import Command, Pod
from sluiceway_executor.journal import Journal
from sluiceway_executor.server_calls import repeat_call

__all__ = ["IdTokenSource", "ServerIdTokens", "TaskIdTokens", "masks_of"]

log = structlog.get_logger(__name__)

_CALL_SECONDS = 30.0
_PAUSE_AFTER_REFUSAL = 60.0
_MAX_READ_BYTES = 1 << 20
_FOLDER = ".sluice/id_tokens"
_WRITE = """umask 077
mkdir -p "$FOLDER"
if [ -f "$FOLDER/$NAME" ]; then cp "$FOLDER/$NAME" "$FOLDER/.$NAME.before"; fi
printf %s "$TOKEN" > "$FOLDER/.$NAME.new"
mv -f "$FOLDER/.$NAME.new" "$FOLDER/$NAME"
"""
_READ = """for file in "$FOLDER"/* "$FOLDER"/.*.before; do if [ -f "$file" ]; then cat "$file"; echo; fi; done"""


class IdTokenSource(Protocol):
    """Where tokens come from (`ServerIdTokens`)."""

    async def issue(self, assign: pb.Assign, name: str) -> tuple[str, float]:
        """Return a new token of an assignment, and after how many seconds another one is to be requested."""
        ...


class ServerIdTokens:
    """The id tokens that the servers issue to this executor."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], journal: Journal) -> None:
        self._open_channel = open_channel
        self._journal = journal

    async def issue(self, assign: pb.Assign, name: str) -> tuple[str, float]:
        """Return a new token. The call is repeated until a server answers, or it is cancelled.

        Raises:
            SluicewayError: the server refuses it; see `ExecutorService.IssueIdToken`.
        """

        async def call(stub: pb_grpc.ExecutorServiceAsyncStub) -> pb.IssueIdTokenResponse:
            request = pb.IssueIdTokenRequest(
                executor_id=self._journal.executor_id,
                session_id=self._journal.session_id,
                session_secret=self._journal.session_secret,
                assignment_id=assign.assignment_id,
                epoch=assign.epoch,
                name=name,
            )
            return await stub.IssueIdToken(request, timeout=_CALL_SECONDS)

        response = await repeat_call(self._open_channel, "issue an id token", call)
        return response.token, response.refresh_after.ToTimedelta().total_seconds()


def masks_of(token: str) -> tuple[bytes, ...]:
    """Return what is masked of a token: all of it, and its signature, without which the rest proves nothing."""
    return tuple({token.encode(), token.rpartition(".")[2].encode()} - {b""})


class TaskIdTokens:
    """The tokens of one task.

    Attributes:
        masks: of all tokens so far, to be masked in the logs that are opened from now on.
    """

    def __init__(self, assign: pb.Assign, source: IdTokenSource, mask: Callable[[tuple[bytes, ...]], None]) -> None:
        """Make them.

        Args:
            assign: the task, which may get its specification later.
            source: where tokens come from.
            mask: masks texts in the logs that are open, from now on.
        """
        self.masks: list[bytes] = []
        self._assign = assign
        self._source = source
        self._mask = mask
        self._refresh_after = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tokens; none: the task has no tokens."""
        return tuple(self._assign.specification.id_tokens)

    async def begin(self, pod: Pod) -> dict[str, str]:
        """Request new tokens for a step, write their files, and return their variables.

        Raises:
            SluicewayError: the server refuses one, or its file cannot be written.
        """
        variables: dict[str, str] = {}
        for name in self.names:
            token = await self._renew(pod, name)
            text, path = id_token_variables(name)
            variables |= {text: token, path: f"{_folder(pod)}/{name}"}
        return variables

    async def refresh(self, pod: Pod) -> None:
        """Replace the files before their tokens expire, until cancelled, or the server refuses them."""
        while self.names:
            await asyncio.sleep(self._refresh_after)
            for name in self.names:
                try:
                    await self._renew(pod, name)
                except SluicewayError as error:
                    # The task continues: it may not need the token any more.
                    log.warning(
                        "id_token_not_refreshed", assignment=self._assign.assignment_id, name=name, error=str(error)
                    )
                    self._refresh_after = _PAUSE_AFTER_REFUSAL

    async def resume(self, pod: Pod) -> None:
        """Mask what an earlier process of the executor put into the pod."""
        if not self.names:
            return
        try:
            output = await _run(pod, _READ, {"FOLDER": _folder(pod)}, self._assign.specification.user)
        except SluicewayError as error:
            log.warning("id_tokens_not_read", assignment=self._assign.assignment_id, error=str(error))
            return
        for token in output.decode("utf-8", "replace").split():
            self._add_masks(token)

    async def _renew(self, pod: Pod, name: str) -> str:
        token, self._refresh_after = await self._source.issue(self._assign, name)
        self._add_masks(token)
        variables = {"FOLDER": _folder(pod), "NAME": name, "TOKEN": token}
        await _run(pod, _WRITE, variables, self._assign.specification.user)
        return token

    def _add_masks(self, token: str) -> None:
        masks = masks_of(token)
        self.masks.extend(masks)
        self._mask(masks)


def _folder(pod: Pod) -> str:
    return f"{pod.home}/{_FOLDER}"


async def _run(pod: Pod, script: str, environment: dict[str, str], user: str) -> bytes:
    """Run a script in a pod, and return its output.

    Raises:
        FailedPrecondition: it failed, or the pod is gone.
    """
    process = await pod.exec(Command(argv=("/bin/sh", "-ec", script), environment=environment, user=user))
    output = b""
    while data := await process.read():
        output = (output + data)[:_MAX_READ_BYTES]
    status = await process.wait()
    if status.code != 0:
        said = output.decode("utf-8", "replace").strip() or status.error or "the pod is gone"
        raise FailedPrecondition(
            f"the id tokens could not be put into the pod: {said[:200]}", reason="ID_TOKEN_NOT_WRITTEN"
        )
    return output
