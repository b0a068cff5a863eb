"""Histories that failed once, made short. They happen first, in every run; BUGS.md says what each of them found."""

from __future__ import annotations

from datetime import timedelta

from sluiceway.datamanager.settings import DataManagerSettings
from tests.properties.network import Chances
from tests.properties.plan import Plan, PlannedStep
from tests.properties.workload import Look, Transaction, Write

__all__ = ["REGRESSIONS"]

REGRESSIONS: dict[str, Plan] = {
    "read-while-closing": Plan(
        seed=48,
        servers=3,
        own_etcd=False,
        settings=DataManagerSettings(
            etcd_name="the simulated etcd",
            flush_interval=timedelta(seconds=0.15),
            flush_bytes=700,
            flush_entries=1000,
            keep_log_entries=5,
            slow_at_bytes=1000000,
            refuse_at_bytes=9000,
            max_batch_bytes=500000,
            etcd_timeout=timedelta(seconds=2),
            commit_patience=timedelta(seconds=0.5),
            position_wait=timedelta(seconds=0.5),
            durable_wait=timedelta(seconds=20),
            read_threads=1,
            body_retention=timedelta(seconds=0),
            body_interval=timedelta(seconds=0.1),
            body_timeout=timedelta(seconds=5),
            ring_bytes=1000000,
            subscriber_bytes=2000,
            check_interval=timedelta(seconds=3),
            file_bytes=1000000,
            clean_interval=timedelta(seconds=1),
            rescue_timeout=timedelta(seconds=5),
            recovery_wait=timedelta(seconds=5),
        ),
        chances=Chances(kv_lost_request=0.015, kv_late=0.04, kv_refused=0.05),
        steps=(
            PlannedStep("clean", 0.03985866088537704, 1, {"hours": 25}),
            PlannedStep(
                "transact",
                9.252353250205464e-05,
                1,
                {
                    "transaction": Transaction(
                        looks=(Look(kind="get", id="\uffff", colour="blue", size=10),),
                        writes=(
                            Write(kind="add", id="n/ä", padding=300),
                            Write(kind="add", type="work", id="a", colour="blue"),
                            Write(kind="add", id="\uffff"),
                            Write(kind="add", type="work", id="n/1", colour="red"),
                            Write(kind="add", id="d"),
                        ),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.0009716271654671078,
                2,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="list", type="work", id="n/ä"),
                            Look(kind="group", id="g", colour="red", size=1),
                            Look(kind="group", type="work", id="h", colour="red", size=10),
                        ),
                        writes=(
                            Write(kind="add", id="\uffff", colour="red"),
                            Write(kind="add", id="b", padding=300),
                            Write(kind="delete", type="work", id="n/2", colour="red", padding=40),
                            Write(kind="emit", id="n/1"),
                            Write(kind="delete", id="n/3", padding=40),
                        ),
                    )
                },
            ),
            PlannedStep("clean", 0.07078349542329128, 2, {"hours": 0}),
            PlannedStep(
                "transact",
                5.5162942722661895e-05,
                1,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="get", id="\uffff", colour="red", size=10),
                            Look(kind="get", type="work", id="n/1", size=2),
                        ),
                        writes=(Write(kind="delete", id="n/3"),),
                    )
                },
            ),
            PlannedStep(
                "transact",
                4.887468324345803e-05,
                2,
                {"transaction": Transaction(looks=(Look(kind="get", id="b", colour="blue", size=10),))},
            ),
            PlannedStep(
                "transact",
                0.002177832868573832,
                1,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="get", id="c", size=10),
                            Look(kind="count", id="a", colour="red", size=1),
                            Look(kind="get", id="c", colour="red", size=10),
                        ),
                        writes=(
                            Write(kind="delete", id="b", colour="red"),
                            Write(kind="add", type="work", id="😀", colour="red"),
                        ),
                        guards=("c", "d"),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.0003832492056897648,
                1,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="get", type="work", id="d", size=2),
                            Look(kind="back", type="work", id="n/1", colour="blue", size=1),
                        ),
                        writes=(Write(kind="emit", type="work", id="😀", colour="blue"),),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.00024099654239070613,
                1,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="list", id="d", colour="blue", size=1),
                            Look(kind="revision", id="c", colour="blue", size=2),
                        ),
                        writes=(
                            Write(kind="delete", id="n/ä"),
                            Write(kind="delete", type="work", id="n/2", colour="red", padding=40),
                        ),
                    ),
                    "durable": True,
                },
            ),
            PlannedStep(
                "transact",
                0.0,
                1,
                {
                    "transaction": Transaction(
                        writes=(Write(kind="add", id="😀", colour="red"), Write(kind="add", id="n/ä")),
                        guards=("c", "n/2"),
                    ),
                    "durable": True,
                },
            ),
            PlannedStep("get", 0.0, 1, {"type": "note", "id": "\uffff"}),
            PlannedStep("stop", 0.0802886941973169, 2, {"again_after": 0.6337080640940337, "folder": "same"}),
            PlannedStep("wait", 0.8977378599113462, -1, {}),
            PlannedStep("storage_away", 0.030309409293449815, -1, {"seconds": 600.0, "full": False}),
            PlannedStep(
                "read",
                0.0014867215525627467,
                2,
                {
                    "looks": (
                        Look(kind="get", id="b", size=1),
                        Look(kind="revision", type="work", id="b", colour="blue"),
                        Look(kind="group", type="work", id="g", colour="blue"),
                        Look(kind="group", type="work", id="g", colour="blue"),
                    ),
                    "linear": False,
                    "after": True,
                },
            ),
            PlannedStep(
                "transact",
                0.0,
                1,
                {
                    "transaction": Transaction(
                        looks=(Look(kind="get", id="d", colour="blue", size=2), Look(kind="list", id="n/1")),
                        writes=(
                            Write(kind="delete", id="a", padding=40),
                            Write(kind="add", id="d", colour="blue"),
                            Write(kind="add", id="n/2", colour="blue"),
                        ),
                    )
                },
            ),
            PlannedStep("clean", 0.05410808674036596, 2, {"hours": 60}),
            PlannedStep(
                "transact",
                0.0020853192268074916,
                1,
                {"transaction": Transaction(writes=(Write(kind="emit", type="work", id="c"),))},
            ),
            PlannedStep("get", 0.0, 1, {"type": "work", "id": "n/ä"}),
            PlannedStep(
                "transact",
                0.0,
                2,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="get", type="work", id="n/ä", colour="blue", size=10),
                            Look(kind="get", id="b", colour="red"),
                        ),
                        writes=(
                            Write(kind="delete", type="work", id="d"),
                            Write(kind="delete", type="work", id="d", colour="red"),
                            Write(kind="add", id="n/1"),
                            Write(kind="add", id="n/ä"),
                            Write(kind="delete", id="n/2"),
                        ),
                        groups=("g",),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.0005674089602321009,
                0,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="group", type="work", id="g", colour="red", size=10),
                            Look(kind="revision", type="work", id="n/1", colour="blue", size=1),
                        ),
                        writes=(Write(kind="add", id="n/1", colour="blue"),),
                    )
                },
            ),
            PlannedStep(
                "read",
                0.0019874743350213483,
                1,
                {
                    "looks": (
                        Look(kind="revision", id="c", colour="blue", size=2),
                        Look(kind="get", type="work", id="😀", size=10),
                        Look(kind="get", id="c", colour="blue", size=2),
                        Look(kind="get", type="work", id="n/ä", colour="red"),
                    ),
                    "linear": False,
                    "after": False,
                },
            ),
            PlannedStep(
                "transact",
                0.0026024718404645862,
                2,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="revision", type="work", id="c", size=2),
                            Look(kind="get", id="c", colour="red"),
                            Look(kind="get", id="n/ä", colour="blue", size=2),
                        ),
                        writes=(
                            Write(kind="add", id="d", colour="blue"),
                            Write(kind="emit", type="work", id="n/3", colour="red"),
                        ),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.0027912859645356477,
                2,
                {
                    "transaction": Transaction(
                        looks=(
                            Look(kind="list", id="n/2", colour="red", size=1),
                            Look(kind="get", id="a", size=1),
                            Look(kind="get", id="n/2", colour="red", size=1),
                        ),
                        writes=(Write(kind="add", id="b", padding=40),),
                    )
                },
            ),
            PlannedStep(
                "transact",
                0.0003737336934589357,
                2,
                {
                    "transaction": Transaction(
                        looks=(Look(kind="scan", id="n/", size=10), Look(kind="get", id="n/ä", colour="red"))
                    )
                },
            ),
            PlannedStep("get", 0.0, 1, {"type": "work", "id": "b"}),
            PlannedStep(
                "read", 0.0, 1, {"looks": (Look(kind="get", id="😀", size=2),), "linear": False, "after": False}
            ),
            PlannedStep("stop", 0.03836972539457004, 1, {"again_after": 1.082668197494095, "folder": "older"}),
            PlannedStep("cut_off", 0.08653541035490629, 2, {"seconds": 0.05}),
        ),
    ),
}
"""By the name that BUGS.md gives them; each is what a run prints."""
