"""A history before it is executed: settings, and steps as plain data, drawn from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sluiceway_common.foundation.crashpoints import CRASH_POINTS
from sluiceway_server.datamanager.settings import DataManagerSettings
from tests.properties.network import Chances
from tests.properties.workload import IDS, draw_looks, draw_transaction

__all__ = ["Plan", "PlannedStep", "draw_plan"]


@dataclass(frozen=True)
class PlannedStep:
    """One step.

    Attributes:
        kind: `wait`, or the name of a method of `Clients`, `Faults` or `Operators`.
        after: seconds after the step before.
        server: which one it is about; -1: none.
        arguments: the rest, by name.
    """

    kind: str
    after: float
    server: int = -1
    arguments: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"PlannedStep({self.kind!r}, {self.after!r}, {self.server}, {self.arguments!r})"

    def __str__(self) -> str:
        where = f" s{self.server}" if self.server >= 0 else ""
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"+{self.after * 1000:7.1f} ms {self.kind}{where} {arguments}"


@dataclass(frozen=True)
class Plan:
    """A history to be executed. `seed` also draws the latencies and faults of the network.

    `own_etcd`: the servers recover the database by themselves, whatever becomes of etcd.
    """

    seed: int
    servers: int
    own_etcd: bool
    settings: DataManagerSettings
    chances: Chances
    steps: tuple[PlannedStep, ...]

    def with_steps(self, steps: Sequence[PlannedStep]) -> Plan:
        """Return the same plan with other steps."""
        return replace(self, steps=tuple(steps))


def draw_plan(seed: int) -> Plan:
    """Draw the plan of a history."""
    rng = random.Random(seed)
    servers = rng.choice((1, 2, 2, 3, 3, 4))
    settings = _draw_settings(rng)
    steps: list[PlannedStep] = []
    calm = rng.random() < 0.1
    faults = () if calm else _FAULTS
    # A history has its own mix of faults: some kinds often, others never.
    weights = [weight * rng.choice((0, 0.5, 1, 3)) for _, weight in faults]
    pace = rng.choice((0.001, 0.01, 0.1))
    for _ in range(rng.randint(8, 45)):
        if faults and any(weights) and rng.random() < 0.35:
            draw = rng.choices([fault for fault, _ in faults], weights)[0]
            steps.append(draw(rng, servers))
        burst = rng.choice((1, 1, 1, 1, 3))
        for number in range(burst):
            after = 0.0 if number else rng.random() ** 2 * pace * 3
            server = rng.randrange(servers)
            if rng.random() < 0.08:
                what: dict[str, Any] = {"type": rng.choice(("note", "work")), "id": rng.choice(IDS)}
                steps.append(PlannedStep("get", after, server, what))
            elif rng.random() < 0.2:
                what = {"looks": draw_looks(rng, 4), "linear": rng.random() < 0.3, "after": rng.random() < 0.3}
                steps.append(PlannedStep("read", after, server, what))
            else:
                what = {"transaction": draw_transaction(rng)}
                if rng.random() < 0.03:
                    what["durable"] = True
                steps.append(PlannedStep("transact", after, server, what))
        if rng.random() < 0.04:
            steps.append(PlannedStep("wait", rng.random() ** 2 * 5))
    own_etcd = servers == 1 and rng.random() < 0.5
    return Plan(seed, servers, own_etcd, settings, _draw_chances(rng, calm=calm), tuple(steps))


def _draw_settings(rng: random.Random) -> DataManagerSettings:
    def milliseconds(*choices: float) -> timedelta:
        return timedelta(milliseconds=rng.choice(choices))

    return DataManagerSettings(
        etcd_name="the simulated etcd",
        flush_interval=milliseconds(50, 200, 1000),
        flush_bytes=rng.choice((700, 3000, 100_000)),
        flush_entries=rng.choice((2, 7, 1000)),
        keep_log_entries=rng.choice((0, 1, 5, 1000)),
        slow_at_bytes=rng.choice((3000, 1_000_000, 1_000_000)),
        refuse_at_bytes=rng.choice((9000, 2_000_000, 2_000_000)),
        max_batch_bytes=rng.choice((200, 1000, 500_000)),
        etcd_timeout=milliseconds(300, 2000),
        commit_patience=milliseconds(500, 3000),
        position_wait=milliseconds(500, 2000),
        durable_wait=timedelta(seconds=20),
        read_threads=1,
        ring_bytes=rng.choice((3000, 20_000, 1_000_000)),
        subscriber_bytes=rng.choice((2000, 1_000_000)),
        check_interval=milliseconds(300, 3000),
        stop_timeout=timedelta(seconds=5),
        sweep_interval=milliseconds(300, 2000),
        body_retention=timedelta(hours=rng.choice((0, 0, 1, 24))),
        body_interval=milliseconds(300, 2000),
        body_timeout=timedelta(seconds=5),
        checkpoint_entries=rng.choice((4, 15, 10_000)),
        checkpoint_interval=timedelta(minutes=10),
        file_bytes=rng.choice((600, 4000, 1_000_000)),
        duty_interval=milliseconds(500, 3000, 10_000),
        clean_interval=timedelta(seconds=rng.choice((1, 3600))),
        manifests_kept=rng.choice((1, 3)),
        rescue_timeout=timedelta(seconds=5),
        recovery_wait=timedelta(seconds=5),
    )


def _draw_chances(rng: random.Random, *, calm: bool) -> Chances:
    if calm:
        return Chances()

    sound_storage = rng.random() < 0.5

    def chance(most: float, *, of_storage: bool = False) -> float:
        return 0.0 if of_storage and sound_storage else rng.choice((0.0, 0.0, 0.3, 1.0)) * most

    return Chances(
        kv_lost_answer=chance(0.05),
        kv_lost_request=chance(0.05),
        kv_late=chance(0.04),
        kv_refused=chance(0.05),
        watch_breaks=chance(0.1),
        storage_failed=chance(0.1, of_storage=True),
        storage_failed_applied=chance(0.1, of_storage=True),
        storage_failed_late=chance(0.1, of_storage=True),
        storage_slow=chance(0.05, of_storage=True),
    )


# -- faults


def _after(rng: random.Random) -> float:
    return rng.random() ** 2 * 0.1


def _crash(rng: random.Random, servers: int) -> PlannedStep:
    point = rng.choice((*sorted(CRASH_POINTS), "")) if rng.random() < 0.8 else ""
    what = {"point": point, "times": rng.choice((1, 1, 2, 4)), "again_after": rng.random() ** 2 * 3, **_reopening(rng)}
    return PlannedStep("crash", _after(rng), rng.randrange(servers), what)


def _reopening(rng: random.Random) -> dict[str, Any]:
    return {"folder": rng.choice(("same", "same", "same", "deleted", "older"))}


def _stop(rng: random.Random, servers: int) -> PlannedStep:
    what = {"again_after": rng.random() ** 2 * 3, **_reopening(rng)}
    return PlannedStep("stop", _after(rng), rng.randrange(servers), what)


def _pause(rng: random.Random, servers: int) -> PlannedStep:
    seconds = rng.choice((0.05, 0.5, 3.0, 30.0))
    return PlannedStep("pause", _after(rng), rng.randrange(servers), {"seconds": seconds})


def _cut_off(rng: random.Random, servers: int) -> PlannedStep:
    return PlannedStep("cut_off", _after(rng), rng.randrange(servers), {"seconds": rng.choice((0.05, 0.5, 5.0))})


def _kv_away(rng: random.Random, servers: int) -> PlannedStep:
    return PlannedStep("kv_away", _after(rng), -1, {"seconds": rng.choice((0.05, 0.5, 5.0))})


def _storage_away(rng: random.Random, servers: int) -> PlannedStep:
    seconds = rng.choice((0.1, 1.0, 10.0, 600.0))
    return PlannedStep("storage_away", _after(rng), -1, {"seconds": seconds, "full": rng.random() < 0.3})


def _fates(rng: random.Random, servers: int) -> PlannedStep:
    fates = rng.choices(("lost_answer", "lost_request", "late", "refused", "well"), k=rng.randint(1, 5))
    return PlannedStep("fates", _after(rng), rng.randrange(servers), {"fates": tuple(fates)})


def _compact(rng: random.Random, servers: int) -> PlannedStep:
    return PlannedStep("compact", _after(rng), -1, {"breaks": rng.random() < 0.7})


def _clock(rng: random.Random, servers: int) -> PlannedStep:
    if rng.random() < 0.4:
        return PlannedStep("advance", _after(rng), -1, {"hours": rng.choice((0.1, 1, 7, 25, 60))})
    return PlannedStep("skew", _after(rng), rng.randrange(servers), {"seconds": rng.choice((-4000, -5, 5, 4000))})


def _checkpoint(rng: random.Random, servers: int) -> PlannedStep:
    return PlannedStep("checkpoint", _after(rng), rng.randrange(servers))


def _clean(rng: random.Random, servers: int) -> PlannedStep:
    hours = rng.choice((0, 0, 25, 60))
    return PlannedStep("clean", _after(rng), rng.randrange(servers), {"hours": hours})


def _loss(rng: random.Random, servers: int) -> PlannedStep:
    if rng.random() < 0.4:
        return PlannedStep("snapshot", _after(rng))
    if rng.random() < 0.2:
        return PlannedStep("restore", _after(rng), -1, {"part": rng.random()})
    what = {
        "how": rng.choice(("wiped", "restored")),
        "cluster": rng.choice(("other", "other", "same")),
        "recover_after": rng.choice((0.01, 0.3, 3.0, 10.0)),
    }
    return PlannedStep("loss", _after(rng), -1, what)


_FAULTS = (
    (_checkpoint, 6),
    (_clean, 3),
    (_loss, 3),
    (_crash, 6),
    (_stop, 1),
    (_pause, 2),
    (_cut_off, 2),
    (_kv_away, 1),
    (_storage_away, 1),
    (_fates, 3),
    (_compact, 1),
    (_clock, 1),
)
