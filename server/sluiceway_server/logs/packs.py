"""The form of a pack, which is the small logs of one attempt in one object, and what is to be packed. Pure.

A pack is the bytes of its logs, one after the other, and after them its directory: for each log the step, where its
bytes begin, and its index. Its name has the size of the bytes, so that the directory is a range from there on, and a
digest of what is in it: a name always has the same logs.

An attempt may have several packs: one is stored by the server to which the logs are pushed, and what was stored before
or after it is packed later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from sluiceway_server.logs.layout import LogIndex, LogKey, complete_name, complete_size, index_of
from sluiceway_server.logs.times import Times

_T = TypeVar("_T")

SMALL_BYTES = 256 * 1024
"""The largest weight of a log that is packed."""
PACK_BYTES = 4 * 1024 * 1024
"""The largest sum of weights in a pack."""

_PACK = "pack."
_TIME_BYTES = 32
_FEWEST_BYTES = 256


@dataclass(frozen=True, slots=True)
class PackedLog:
    """A log in a pack: its step, where its bytes begin in the object, and its index."""

    step: int
    begin: int
    index: LogIndex

    @property
    def weight(self) -> int:
        """As of `weight_of`."""
        return weight_of(self.index.size, self.index.times)


@dataclass(frozen=True, slots=True)
class Pack:
    """The directory of a pack.

    Attributes:
        logs: in the order of their bytes.
        composed: when the pack was made, in seconds since 1970.
    """

    logs: tuple[PackedLog, ...]
    composed: float

    @property
    def steps(self) -> frozenset[int]:
        """The steps whose logs it has."""
        return frozenset(log.step for log in self.logs)

    @property
    def weight(self) -> int:
        """The sum of the weights of its logs."""
        return sum(log.weight for log in self.logs)

    @property
    def name(self) -> str:
        """The name of the object, in the folder of the attempt."""
        digest = hashlib.sha256()
        for log in self.logs:
            digest.update(f"{log.step} {log.index.size} {log.index.sha256}\n".encode())
        return f"{_PACK}{sum(log.index.size for log in self.logs):020d}.{digest.hexdigest()[:16]}"

    def find(self, step: int) -> PackedLog | None:
        """Return the log of a step; None: it is not in this pack."""
        return next((log for log in self.logs if log.step == step), None)

    def encode(self) -> bytes:
        """Return the stored form of the directory."""
        return json.dumps({"format": 1, **asdict(self)}).encode()

    @staticmethod
    def decode(stored: bytes) -> Pack:
        """Read the stored form. Raises ValueError, KeyError or TypeError if it is damaged."""
        raw = json.loads(stored)
        logs = (PackedLog(log["step"], log["begin"], LogIndex.of_json(log["index"])) for log in raw["logs"])
        return Pack(tuple(logs), raw["composed"])


@dataclass(frozen=True, slots=True)
class FinishedLog:
    """A log that is over, and all of whose bytes are in memory.

    Attributes:
        key: of the log.
        data: all its bytes.
        times: when they were written; empty: not known.
        has_segments: some of them may be stored as segments, which are deleted later.
    """

    key: LogKey
    data: bytes
    times: Times = ()
    has_segments: bool = False


def pack_size(name: str) -> int | None:
    """Return the size of the logs in a pack of this name, in the folder of its attempt; None: it is no pack."""
    kind, *parts = name.split(".")
    if f"{kind}." != _PACK or len(parts) != 2 or len(parts[0]) != 20 or not parts[0].isdigit():
        return None
    return int(parts[0])


def weight_of(size: int, times: Times) -> int:
    """Return about how many bytes a log of a size, with its times, takes in a pack."""
    return size + _FEWEST_BYTES + _TIME_BYTES * len(times)


def is_small(size: int, times: Times) -> bool:
    """Return whether a log of a size is packed. An empty one has no object."""
    return size > 0 and weight_of(size, times) <= SMALL_BYTES


@dataclass(frozen=True, slots=True)
class SmallLog:
    """The bytes of a complete log for a pack, and its index."""

    step: int
    data: bytes
    index: LogIndex

    def __post_init__(self) -> None:
        """Check the bytes against the index. Raises ValueError."""
        if hashlib.sha256(self.data).hexdigest() != self.index.sha256:
            raise ValueError(f"the log of step {self.step} is damaged")

    @staticmethod
    def of(step: int, data: bytes, times: Times, *, now: float) -> SmallLog:
        """Make the index of a log. Not for large ones: it takes time."""
        return SmallLog(step, data, index_of(data, times=times or ((0, now),), composed=now))

    @staticmethod
    def stored(step: int, name: str, body: bytes) -> SmallLog:
        """Read the object of a single complete log. Raises ValueError, KeyError or TypeError if it is damaged."""
        size = complete_size(name) or 0
        return SmallLog(step, body[:size], LogIndex.decode(body[size:]))


def make_pack(logs: Iterable[SmallLog], *, now: float) -> tuple[Pack, bytes]:
    """Return the directory of a pack and the whole object. The order of `logs` makes no difference."""
    packed: list[PackedLog] = []
    body = bytearray()
    for log in sorted(logs, key=lambda log: log.step):
        packed.append(PackedLog(log.step, len(body), log.index))
        body += log.data
    pack = Pack(tuple(packed), now)
    return pack, bytes(body) + pack.encode()


def object_of(logs: Sequence[FinishedLog], now: float) -> tuple[str, bytes]:
    """Return the name in the folder of the attempt, and the content, of the object for whole logs."""
    if len(logs) == 1:
        data = logs[0].data
        index = index_of(data, times=logs[0].times or ((0, now),), composed=now)
        return logs[0].key.step_folder + complete_name(len(data)), data + index.encode()
    pack, body = make_pack((SmallLog.of(log.key.step, log.data, log.times, now=now) for log in logs), now=now)
    return pack.name, body


def logs_in(pack: Pack, body: bytes) -> list[SmallLog]:
    """Return the logs in a pack, from the whole object. Raises ValueError if one is damaged."""
    return [SmallLog(log.step, body[log.begin : log.begin + log.index.size], log.index) for log in pack.logs]


def fitting(logs: Iterable[_T], weight: Callable[[_T], int]) -> list[_T]:
    """Return those small logs, from the first one on, that fit into one pack together."""
    chosen: list[_T] = []
    left = PACK_BYTES
    for log in logs:
        if weight(log) <= left:
            chosen.append(log)
            left -= weight(log)
    return chosen


@dataclass(frozen=True, slots=True)
class Repacking:
    """What is to be done with the objects of an attempt.

    Attributes:
        unused: names of packs, and steps whose own object is not needed: all of it is in packs that are old enough.
        alone: the steps whose logs go into a new pack, from their own objects.
        merged: the names of the packs that go into it too. Without `alone` and `merged`, no pack is made.
    """

    unused_packs: tuple[str, ...] = ()
    unused_steps: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()
    merged: tuple[str, ...] = ()


def repack(packs: Mapping[str, Pack], alone: Mapping[int, int], *, old: float) -> Repacking:
    """Decide what to do with the small logs of an attempt.

    Args:
        packs: all packs by their names.
        alone: the weight of each small log that is complete in an object of its own, by its step.
        old: what is in a pack that was made by then (in seconds since 1970) is not needed elsewhere: no reader has a
            list from before.
    """
    # The largest first: it makes others superfluous, and of equal ones, the first name stays.
    ordered = sorted(packs, key=lambda name: (-len(packs[name].logs), name))
    kept: list[str] = []
    for name in ordered:
        if not any(packs[name].steps <= packs[other].steps and packs[other].composed <= old for other in kept):
            kept.append(name)
    safe = frozenset(step for name in kept if packs[name].composed <= old for step in packs[name].steps)
    packed = frozenset(step for name in kept for step in packs[name].steps)
    # Packs whose logs are in another one that is not old enough yet are not merged again.
    merged = [
        name for name in kept if not any(packs[name].steps < packs[other].steps for other in kept if other != name)
    ]
    fresh = [step for step in sorted(alone) if step not in packed]
    if sum(packs[name].weight for name in merged) + sum(alone[step] for step in fresh) > PACK_BYTES:
        merged, fresh = [], fitting(fresh, alone.__getitem__)
    if len(merged) + len(fresh) < 2:
        merged, fresh = [], []
    return Repacking(
        unused_packs=tuple(name for name in ordered if name not in kept),
        unused_steps=tuple(step for step in sorted(alone) if step in safe),
        alone=tuple(fresh),
        merged=tuple(merged),
    )
