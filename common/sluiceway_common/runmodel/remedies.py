"""What a person can do so that a task or a run need not wait: one sentence for each cause that somebody can remove.

Commands are those of `sluice`. Nothing is proposed for what ends by itself, such as a full executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sluiceway_common.runmodel.model import ExecutorId, Needs, RunId
from sluiceway_common.runmodel.placement import ExecutorView, Missing, Owner, Waiting
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.wording import listing

__all__ = ["free_lock", "of_placement", "raise_concurrency", "return_executor", "stop_holder"]

_COMMANDS_SHOWN: Final = 3


def of_placement(
    waiting: Waiting, needs: Needs, executors: Mapping[ExecutorId, ExecutorView], owner: Owner
) -> tuple[Reason, ...]:
    """Return what makes an executor fit, for each kind of executors that does not. None if one that fits is full."""
    if waiting.reason.code != ReasonCode.WAITS_FOR_EXECUTOR:
        return ()
    if not waiting.kinds:
        return (_remedy("start an executor: sluice executor run"),)
    if any(missing.code in ("full", "avoided") for missing, _ in waiting.kinds):
        return ()
    found: dict[str, None] = {}
    for missing, ids in waiting.kinds:
        groups = sorted({executors[each].group for each in ids if each in executors})
        for sentence in _SENTENCES[missing.code](missing, ids, groups, needs, owner):
            found.setdefault(sentence)
    return tuple(map(_remedy, found))


def free_lock(run_id: RunId) -> Reason:
    """Return how the holder of a lock is ended."""
    return _remedy(f"the lock is free when that task ends; to stop its run: sluice run stop {run_id}")


def stop_holder(run_id: RunId) -> Reason:
    """Return how the run that holds a group is ended."""
    return _remedy(f"to stop that run: sluice run stop {run_id}")


def raise_concurrency() -> Reason:
    """Return where the number of runs at a time is set."""
    return _remedy("a maintainer can raise it: sluice project update PROJECT --concurrency N")


def return_executor(executor: ExecutorId) -> Reason:
    """Return what to do about an executor that is away."""
    return _remedy(f"start {executor} again; if it is gone for good: sluice executor delete {executor}")


def _remedy(sentence: str) -> Reason:
    return Reason(ReasonCode.WHAT_TO_DO, sentence)


_Sentences = Callable[[Missing, Sequence[ExecutorId], Sequence[str], Needs, Owner], Sequence[str]]


def _undrain(
    missing: Missing, ids: Sequence[ExecutorId], groups: Sequence[str], needs: Needs, owner: Owner
) -> list[str]:
    return [f"end its drain: sluice executor undrain {each}" for each in ids[:_COMMANDS_SHOWN]]


def _return(
    missing: Missing, ids: Sequence[ExecutorId], groups: Sequence[str], needs: Needs, owner: Owner
) -> list[str]:
    return [return_executor(each).sentence for each in ids[:_COMMANDS_SHOWN]]


def _serve(missing: Missing, ids: Sequence[ExecutorId], groups: Sequence[str], needs: Needs, owner: Owner) -> list[str]:
    return [
        f"let group {group} serve {owner.name} too: sluice executor group update {group} --serves ..."
        for group in groups[:_COMMANDS_SHOWN]
    ]


def _take_forks(
    missing: Missing, ids: Sequence[ExecutorId], groups: Sequence[str], needs: Needs, owner: Owner
) -> list[str]:
    if needs.privileged:
        return ["let it have no privileged containers: runs of forks never may"]
    return [
        f"let group {group} take runs of forks: sluice executor group update {group} --takes-forks"
        for group in groups[:_COMMANDS_SHOWN]
    ]


_SENTENCES: Final[Mapping[str, _Sentences]] = {
    "not_served": _serve,
    "fork": _take_forks,
    "arch": lambda missing, ids, groups, needs, owner: [f"start an executor of arch {needs.arch}"],
    "labels": lambda missing, ids, groups, needs, owner: [
        "start an executor with " + " ".join(f"--label {name}={value}" for name, value in needs.labels)
    ],
    "privileged": lambda missing, ids, groups, needs, owner: [
        "start an executor with --allow-privileged, or let the task have no privileged containers"
    ],
    "runtime": lambda missing, ids, groups, needs, owner: [f"start an executor for the runtime {needs.runtime}"],
    "driver": lambda missing, ids, groups, needs, owner: [
        f"start an executor with --driver {listing(sorted(needs.drivers)).replace(' and ', ' or ')}"
    ],
    "offline": _return,
    "draining": _undrain,
}
