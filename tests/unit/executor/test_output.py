from __future__ import annotations

from pathlib import Path

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_executor.output import StepLog
from sluiceway_executor.spool import LogName, Spools


async def test_notes_are_lines_of_their_own_and_masked(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1000)
    spool = await spools.create(LogName("a1", 0))
    step_log = StepLog(spools, spool, masks=[b"hunter22"], clock=SystemClock())
    await step_log.write(b"no newline hunter")
    await step_log.note("the password is hunter22")
    await step_log.write(b"hunter22\n")
    await step_log.finish()
    assert spool.read(0, 1000) == b"no newline hunter\n[sluice] the password is ***\n***\n"
