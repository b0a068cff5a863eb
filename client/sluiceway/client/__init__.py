"""The SDK: typed, asyncio first.

    async with connect("127.0.0.1:7000", token=token) as client:
        async for message in client.runs.watch(run_id):
            print(message.run.phase)

Answers are the generated protobuf messages. Errors are those of `sluiceway.foundation.errors`. Streams resume by
themselves after a break. `sluiceway.client.blocking` is the same without `await`.
"""

from __future__ import annotations

from sluiceway.client.connection import Client, connect

__all__ = ["Client", "connect"]
