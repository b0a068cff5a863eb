"""A secret that is split over two writes, at every byte and in each form, is never in the stored log."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shlex
import tempfile
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_executor.masking import forms_of
from sluiceway_executor.output import StepLog
from sluiceway_executor.spool import LogName, Spools
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.log_server import NEVER, log_server

_CHUNK = 64 * 1024
# No form of these has the sign of the mask, so that a form in the log is one that was not masked.
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=12).map(str.encode)
_BYTES = st.binary(min_size=4, max_size=24).filter(lambda secret: b"*" not in secret)


async def stored_log(secret: bytes, writes: list[bytes]) -> tuple[bytes, bytes]:
    """Return the log of a step that wrote these, and the one object that is stored of it."""
    server = log_server(FakeObjectStorage(), NEVER)
    with tempfile.TemporaryDirectory() as folder:
        spools = Spools(Path(folder), limit_bytes=1 << 30)
        spool = await spools.create(LogName("assignment", 0))
        log = StepLog(spools, spool, masks=[secret], clock=SystemClock())
        for data in writes:
            await log.write(data)
        await log.finish()
        async with server.live, asyncio.TaskGroup() as tasks:
            push = server.push(tasks)
            for offset in range(0, spool.size, _CHUNK):
                data = await spools.read(spool, offset, _CHUNK)
                push.send(offset, data, end=offset + len(data) == spool.size)
            push.finish()
        spools.close()
    (stored,) = [await server.storage.get(info.key) async for info in server.storage.list()]
    return await server.read(), stored


def encodings(secret: bytes) -> set[bytes]:
    """Encode a secret without the code under test."""
    found = {secret, base64.b64encode(secret), quote(secret).encode(), quote_plus(secret).encode()}
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        found |= {json.dumps(text)[1:-1].encode(), shlex.quote(text).encode()}
    return found


async def check(secret: bytes) -> None:
    forms = sorted(encodings(secret) | forms_of(secret))
    texts = [b"[" + form + b"]\n" for form in forms]
    writes = [part for text in texts for at in range(1, len(text)) for part in (text[:at], text[at:])]
    log, stored = await stored_log(secret, writes)
    assert b"***" in log
    # The index follows, which has numbers and the digest of these bytes.
    assert stored.startswith(log + b"{")
    for form in forms:
        assert form not in log


@pytest.mark.parametrize("secret", [b"p@ss/w0rd 'with' \"quotes\" + $more", b"first line\nsecond line, longer\n"])
async def test_each_form_of_a_secret_split_anywhere_is_masked(secret: bytes) -> None:
    await check(secret)


@settings(max_examples=25, deadline=None)
@given(st.one_of(_TEXTS, _BYTES))
def test_secret_split_anywhere_is_never_in_the_stored_log(secret: bytes) -> None:
    asyncio.run(check(secret))
