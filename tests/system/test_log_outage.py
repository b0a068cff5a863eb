"""A large log is written while the object storage is away: nothing is lost, and memory does not grow with it.

Followers read it from its beginning on either server. `make chaos-logs` writes a gigabyte in ten million lines, with
the object storage away for a minute.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.installation import until
from tests.support.several_servers import Servers, several_servers

SIZE = int(os.environ.get("LOG_MEGABYTES", "24")) * 1_000_000
AWAY = float(os.environ.get("AWAY", "3"))
GROWTH_BYTES = 150_000_000
"""By what the memory of a process may grow; a large log has six times as much."""
LIMIT_SECONDS = 120 + 10 * AWAY + SIZE / 2_000_000

pytestmark = [pytest.mark.system, pytest.mark.timeout(int(LIMIT_SECONDS) + 60)]

# Lines of 80 bytes, one line of a tenth of the log, zero bytes and broken UTF-8; slower than the outage is long.
WRITE = """
import sys, time
def write(out, size, pause):
    blocks = 50
    count = size * 8 // 10 // 80 // blocks
    for block in range(blocks):
        out.write(b"".join(b"%010d %s\\n" % (block * count + n, b"-" * 68) for n in range(count)))
        out.flush()
        time.sleep(pause / blocks)
    for _ in range(100):
        out.write(b"x" * (size // 1000))
    out.write(b"\\n" + bytes(range(256)) * (size // 10 // 256) + b"\\xff\\xc3 the end")
    out.flush()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Servers]:
    with several_servers(tmp_path) as running:
        yield running


def written() -> bytes:
    names: dict[str, object] = {}
    exec(WRITE, names)
    out = io.BytesIO()
    names["write"](out, SIZE, 0)  # type: ignore[operator]
    return out.getvalue()


def follow(here: Servers, path: str, server: int, dies_after: int) -> tuple[int, str]:
    """Follow a log to its end; return its size and digest.

    After so many bytes the reader is cut off, and continues at the other server where it was.
    """
    position, digest = 0, hashlib.sha256()
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        last = position + dies_after
        try:
            parameters = {"step": 0, "follow": True, "offset": position}
            with (
                here.client(server, Accept="text/plain") as client,
                client.stream("GET", path, params=parameters, timeout=60) as response,
            ):
                response.raise_for_status()
                for piece in response.iter_raw():
                    digest.update(piece)
                    position += len(piece)
                    if position > last:
                        break
                else:
                    return position, digest.hexdigest()
        except httpx.HTTPError:
            pass  # the storage is away
        server = 1 - server
    raise AssertionError(f"the log was not read to its end: {position} bytes")


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_large_log_is_exact_though_the_storage_was_away(here: Servers) -> None:
    program = f"{WRITE}\nwrite(sys.stdout.buffer, {SIZE}, {AWAY * 1.5})"
    step = {"run": {"name": "writes", "command": f"exec python3 - <<'END'\n{program}\nEND\n"}}
    storage, away = here.folder / "storage", here.folder / "away"
    watched = {each.name: each.pid for each in (*here.servers, *here.gateways, *here.executors)}
    run_id = here.create({"name": "writer", "steps": [step]})
    until(lambda: here.tasks(run_id)["writer"]["status"] == "TASK_STATUS_RUNNING", "it runs")
    path = f"/api/v1/runs/{run_id}/tasks/{here.tasks(run_id)['writer']['id']}/log"
    until(lambda: len(here.log(run_id, "writer")) > 0, "it writes")
    before = {name: resident_bytes(pid) for name, pid in watched.items()}
    most = dict(before)

    def watch(is_over: Callable[[], bool]) -> bool:
        for name, pid in watched.items():
            most[name] = max(most[name], resident_bytes(pid))
        return is_over()

    with ThreadPoolExecutor(2) as pool:
        followers = [pool.submit(follow, here, path, server, SIZE // (2 + server)) for server in range(2)]
        storage.rename(away)
        end = time.monotonic() + AWAY
        until(partial(watch, lambda: time.monotonic() > end), "the outage is over", seconds=2 * AWAY + 10)
        away.rename(storage)
        until(
            partial(watch, lambda: all(each.done() for each in followers)),
            "the followers are at the end",
            seconds=LIMIT_SECONDS,
        )
        followed = [each.result() for each in followers]
    expected = written()
    digest = hashlib.sha256(expected).hexdigest()
    assert followed == [(len(expected), digest)] * 2
    assert here.wait_for(run_id, seconds=LIMIT_SECONDS)["result"] == "RUN_RESULT_SUCCESS"
    assert here.tasks(run_id)["writer"]["steps"][0]["logSha256"] == digest
    # What is stored, from either server.
    assert [follow(here, path, server, 2 * SIZE) for server in range(2)] == followed
    grown = {name: most[name] - before[name] for name in most}
    print(f"{len(expected):,} bytes; memory grew by", {name: f"{size >> 20} MiB" for name, size in grown.items()})
    assert max(grown.values()) < GROWTH_BYTES, grown
