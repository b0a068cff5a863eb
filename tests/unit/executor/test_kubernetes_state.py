"""What the status of a pod means, in sentences for a person."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway_executor.drivers.kubernetes_state import end_of, failure_of_start, is_running, pull_trouble, waits_for

IMAGE = "registry.example.org/team/tool:1"


def pod(**status: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "task", "image": IMAGE}], "nodeName": "n1"}, "status": status}


def task(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "task", "image": IMAGE, "state": state}]}


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
}


def test_what_a_pod_waits_for_is_a_sentence() -> None:
    assert waits_for(pod(conditions=[UNSCHEDULABLE])) == (
        "no node for the pod yet: 0/3 nodes are available: 3 Insufficient memory."
    )
    assert waits_for(pod()) == "the pod starts on the node n1"


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ("failed to pull and unpack image: not found", True),
        ("pull access denied, repository does not exist or may require authorization", True),
        ("unexpected status code: 401 Unauthorized", True),
        ("429 Too Many Requests", False),
        ("dial tcp: i/o timeout", False),
    ],
)
def test_pull_that_cannot_succeed_is_final(message: str, final: bool) -> None:
    found = pod(**task(waiting={"reason": "ErrImagePull", "message": message}))
    trouble = pull_trouble(found)
    assert trouble is not None
    assert (trouble.image, trouble.message, trouble.is_final) == (IMAGE, message, final)
    assert failure_of_start(found) is None


def test_container_that_cannot_be_started_fails_the_pod() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}
    failure = failure_of_start(pod(**task(waiting=waiting)))
    assert failure is not None
    assert failure.message == 'the container task cannot be started: secret "x" not found'


def test_last_message_of_the_first_process_is_the_failure() -> None:
    over = {"exitCode": 1, "message": '{"event": "failed", "text": "the image has no user", "user": true}'}
    failure = failure_of_start(pod(**task(terminated=over)))
    assert failure is not None
    assert (failure.reason, failure.message) == ("USER_UNSUPPORTED", "the pod did not start: the image has no user")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        pytest.param(task(running={}), "", id="it runs"),
        pytest.param(task(terminated={"exitCode": 0, "message": '{"event": "starved"}'}), "fenced", id="not fed"),
        pytest.param(
            task(terminated={"exitCode": 137, "reason": "OOMKilled"}),
            "the pod used more memory than it may, and its first process was ended",
            id="memory",
        ),
        pytest.param(
            task(terminated={"exitCode": 3, "message": "no json"}),
            "the first process of the pod ended with 3",
            id="a status",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            "the node evicted the pod: The node was low on resource: memory.",
            id="evicted",
        ),
        pytest.param(
            {
                "phase": "Failed",
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                        "message": "default-scheduler: preempting",
                    }
                ],
            },
            "Kubernetes ended the pod (PreemptionByScheduler): default-scheduler: preempting",
            id="preempted",
        ),
    ],
)
def test_end_of_a_pod_is_a_sentence(status: dict[str, Any], sentence: str) -> None:
    assert end_of(pod(**status)) == sentence


def test_pod_that_is_gone_was_deleted() -> None:
    assert end_of(None) == "the pod was deleted"
    assert not is_running(pod(**task(waiting={})), "task")
