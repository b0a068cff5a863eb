"""What a step used, as an executor reports it, and as it is kept."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway_server.runrecords.executor_messages import update_fault
from sluiceway_server.runrecords.steps import EncodedSteps

DIGEST = f"sha256:{'a' * 64}"
IMAGE = run_pb2.ContainerImage(name="debian:12", digest=DIGEST)


def steps() -> EncodedSteps:
    return EncodedSteps.of_definitions(
        [definition_pb2.StepDefinition(name="make", run=definition_pb2.RunStep(command="make"))]
    )


def ended(**more: object) -> pb.StepUpdate:
    update = pb.StepUpdate(step=0, phase=run_pb2.STEP_PHASE_SUCCESS, cpu_time=Duration(seconds=2))
    update.MergeFrom(pb.StepUpdate(**more))  # type: ignore[arg-type]  # what a test adds
    return update


def test_usage_and_images_are_kept_with_the_steps() -> None:
    setup = pb.StepUpdate(step=-1, phase=run_pb2.STEP_PHASE_SUCCESS, images=[IMAGE])
    kept = steps().merged([setup, ended(peak_memory_bytes=5)]).decoded()
    assert list(kept.setup_step.images) == [IMAGE]
    assert (kept.steps[0].cpu_time.seconds, kept.steps[0].peak_memory_bytes) == (2, 5)
    assert not kept.setup_step.HasField("cpu_time")


def test_next_attempt_has_no_usage() -> None:
    blank = steps().merged([ended(peak_memory_bytes=5)]).blank().decoded().steps[0]
    assert (blank.HasField("cpu_time"), blank.peak_memory_bytes) == (False, 0)


def test_usage_that_comes_twice_is_kept_once() -> None:
    once = steps().merged([ended(images=[IMAGE])])
    assert once.merged([ended(images=[IMAGE])]) == once


@pytest.mark.parametrize(
    "step",
    [
        ended(peak_memory_bytes=-1),
        ended(cpu_time=Duration(seconds=-5)),
        ended(cpu_time=Duration(seconds=10**12)),
        ended(images=[IMAGE] * 101),
        ended(images=[run_pb2.ContainerImage(name="x", digest="latest")]),
        ended(images=[run_pb2.ContainerImage(name="\x1b[2J", digest=DIGEST)]),
    ],
    ids=["memory", "negative time", "too long a time", "too many images", "no digest", "a name with controls"],
)
def test_usage_out_of_bounds_is_refused(step: pb.StepUpdate) -> None:
    def update(each: pb.StepUpdate) -> pb.AssignmentUpdate:
        return pb.AssignmentUpdate(
            number=1,
            assignment_id="a1",
            epoch=pb.Epoch(database=1, attempt=1),
            phase=pb.ASSIGNMENT_PHASE_RUNNING,
            steps=[each],
        )

    assert update_fault(update(ended(images=[IMAGE]))) is None
    assert update_fault(update(step)) is not None
