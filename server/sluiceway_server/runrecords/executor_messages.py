"""What executors may say: every field of their messages has a bound. Pure.

A hello that breaks one is refused with every fault, and so is any other message that no executor of ours sends. An
update that breaks one is refused alone (run-model.md R15), and the others in its message count. Sentences of executors,
which may hold the output of a tool, are made fit to be shown instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.texts import foreign_fault, line_fault, name_fault, shown
from sluiceway_server.runrecords.types import SETUP_STEP

MAX_SLOTS = 10_000
MAX_HELD = 10_000
MAX_ARCHS = 16
MAX_DRIVERS = 16
MAX_LABELS = 100
MAX_LABEL_VALUE = 200
MAX_VERSION = 100
MAX_UPDATES = 1_000
MAX_STEPS = 1_000
MAX_IMAGES = 100
MAX_SENTENCE = 4_096

_EXECUTOR_ID = re.compile(r"[a-zA-Z0-9._-]{1,100}")
_ID = re.compile(r"[a-zA-Z0-9-]{1,64}")
_SECRET = re.compile(r"[a-zA-Z0-9_-]{1,100}")
_WORD = re.compile(r"[a-z0-9_-]{1,32}")
_CODE = re.compile(r"[a-zA-Z0-9_]{0,64}")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?")
_SHA256 = re.compile(r"([0-9a-f]{64})?")
# https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp: the years 1 to 9999.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_MOST_HOLD_SECONDS = 86_400
_MOST_CPU_SECONDS = 100 * 365 * 86_400
_NANOS = 1_000_000_000


def check_hello(hello: pb.Hello) -> None:
    """Refuse a hello that says something impossible. Raises `InvalidInput` with every fault."""
    _raise(_hello_faults(hello))


def check_message(message: pb.ConnectRequest) -> None:
    """Refuse a message after the hello that no executor sends; sentences in it are made fit to be shown, in place.

    Raises:
        InvalidInput: with every fault. Those of single updates are not looked for: see `update_fault`.
    """
    match message.WhichOneof("message"):
        case "heartbeat":
            _raise(_heartbeat_faults(message.heartbeat))
        case "updates":
            count = len(message.updates.updates)
            _raise(_few("updates.updates", count, MAX_UPDATES))
            for update in message.updates.updates:
                _show(update.reason)
                for step in update.steps:
                    _show(step.reason)
        case "pods_gone":
            _raise(
                [
                    *_matches("pods_gone.session_id", message.pods_gone.session_id, _ID, "the id of a session"),
                    *_not_negative("pods_gone.number", message.pods_gone.number),
                ]
            )
        case "acknowledgement":
            acknowledgement = message.acknowledgement
            _show(acknowledgement.refused)
            _raise(
                [
                    *_not_negative("acknowledgement.number", acknowledgement.number),
                    *_matches("acknowledgement.refused.code", acknowledgement.refused.code, _CODE, "a code"),
                ]
            )


def check_push(request: pb.PushLogsRequest, *, most_bytes: int) -> None:
    """Refuse a message of a stream of logs that no executor sends.

    Args:
        request: names a log.
        most_bytes: of its data.

    Raises:
        InvalidInput: with every fault.
    """
    _raise(
        [
            *_few("data", len(request.data), most_bytes),
            *_not_negative("offset", request.offset),
            *_matches("log.assignment_id", request.log.assignment_id, _ID, "an id"),
            *_step_index("log.step", request.log.step),
        ]
    )


def update_fault(update: pb.AssignmentUpdate) -> str | None:
    """Return which field of an update is impossible, and why; None: none is."""
    faults = (f"{fault.path}: {fault.message}" for fault in _update_faults(update))
    return next(faults, None)


def _hello_faults(hello: pb.Hello) -> Iterator[Violation]:
    if not _EXECUTOR_ID.fullmatch(hello.executor_id):
        yield Violation("executor_id", "1 to 100 of a-z A-Z 0-9 . _ -")
    yield from _matches("session_id", hello.session_id, _ID, "the id of a session, or empty", empty=True)
    yield from _matches("session_secret", hello.session_secret, _SECRET, "the secret of a session", empty=True)
    yield from _matches("journal_id", hello.journal_id, _ID, "1 to 64 of a-z A-Z 0-9 -")
    yield from _fault("version", line_fault(hello.version, most=MAX_VERSION))
    yield from _few("archs", len(hello.archs), MAX_ARCHS)
    for at, arch in enumerate(hello.archs[:MAX_ARCHS]):
        yield from _matches(f"archs[{at}]", arch, _WORD, "1 to 32 of a-z 0-9 _ -")
    yield from _few("labels", len(hello.labels), MAX_LABELS)
    for key in sorted(hello.labels)[:MAX_LABELS]:
        where = f'labels["{shown(key, most=100)}"]'
        yield from _fault(where, name_fault(key))
        yield from _fault(where, line_fault(hello.labels[key], most=MAX_LABEL_VALUE))
    if not 0 <= hello.slots <= MAX_SLOTS:
        yield Violation("slots", f"0 to {MAX_SLOTS}")
    if not hello.drivers:
        yield Violation("drivers", "at least one")
    yield from _few("drivers", len(hello.drivers), MAX_DRIVERS)
    for at, driver in enumerate(hello.drivers[:MAX_DRIVERS]):
        yield from _matches(f"drivers[{at}]", driver, _WORD, "1 to 32 of a-z 0-9 _ -")
    yield from _fault("expected_group", line_fault(hello.expected_group, most=1_024))
    yield from _few("held", len(hello.held), MAX_HELD)
    for at, item in enumerate(hello.held[:MAX_HELD]):
        yield from _matches(f"held[{at}].assignment_id", item.assignment_id, _ID, "an id")
        for name in ("run_id", "task_id"):
            yield from _matches(f"held[{at}].{name}", getattr(item, name), _ID, "an id, or empty", empty=True)
        yield from _epoch_faults(f"held[{at}].epoch", item.epoch)


def _heartbeat_faults(heartbeat: pb.Heartbeat) -> Iterator[Violation]:
    yield from _not_negative("heartbeat.number", heartbeat.number)
    yield from _not_negative("heartbeat.free_disk_bytes", heartbeat.free_disk_bytes)
    if not (math.isfinite(heartbeat.load) and heartbeat.load >= 0):
        yield Violation("heartbeat.load", "a number of 0 or more")
    running = heartbeat.running_assignment_ids
    yield from _few("heartbeat.running_assignment_ids", len(running), MAX_HELD)
    for at, id_ in enumerate(running[:MAX_HELD]):
        yield from _matches(f"heartbeat.running_assignment_ids[{at}]", id_, _ID, "an id")


def _update_faults(update: pb.AssignmentUpdate) -> Iterator[Violation]:
    yield from _not_negative("number", update.number)
    yield from _matches("assignment_id", update.assignment_id, _ID, "an id")
    yield from _epoch_faults("epoch", update.epoch)
    yield from _matches("reason.code", update.reason.code, _CODE, "a code")
    if update.HasField("pod_start_time"):
        yield from time_faults("pod_start_time", update.pod_start_time)
    if update.HasField("hold"):
        yield from _not_negative("hold.number", update.hold.number)
        yield from _step_index("hold.step", update.hold.step)
        if not 0 <= update.hold.limit.seconds <= _MOST_HOLD_SECONDS or not 0 <= update.hold.limit.nanos < _NANOS:
            yield Violation("hold.limit", "0 to 24 hours")
    yield from _few("steps", len(update.steps), MAX_STEPS + 1)
    for at, step in enumerate(update.steps[: MAX_STEPS + 1]):
        yield from _step_faults(f"steps[{at}]", step)


def _step_faults(path: str, step: pb.StepUpdate) -> Iterator[Violation]:
    yield from _step_index(f"{path}.step", step.step)
    for name in ("start_time", "end_time"):
        if step.HasField(name):
            yield from time_faults(f"{path}.{name}", getattr(step, name))
    yield from _not_negative(f"{path}.reruns", step.reruns)
    yield from _not_negative(f"{path}.log_size_bytes", step.log_size_bytes)
    yield from _not_negative(f"{path}.peak_memory_bytes", step.peak_memory_bytes)
    if not 0 <= step.cpu_time.seconds <= _MOST_CPU_SECONDS or not 0 <= step.cpu_time.nanos < _NANOS:
        yield Violation(f"{path}.cpu_time", "0 to 100 years")
    yield from _few(f"{path}.images", len(step.images), MAX_IMAGES)
    for at, image in enumerate(step.images[:MAX_IMAGES]):
        yield from _matches(f"{path}.images[{at}].digest", image.digest, _DIGEST, "sha256: and 64 of 0-9 a-f, or empty")
        if foreign_fault(image.name) is not None:
            yield Violation(f"{path}.images[{at}].name", "the name of an image")
    yield from _matches(f"{path}.log_sha256", step.log_sha256, _SHA256, "64 of 0-9 a-f, or empty")
    yield from _matches(f"{path}.reason.code", step.reason.code, _CODE, "a code")


def _step_index(path: str, step: int) -> Iterator[Violation]:
    if not SETUP_STEP <= step < MAX_STEPS:
        yield Violation(path, f"{SETUP_STEP} to {MAX_STEPS - 1}")


def _epoch_faults(path: str, epoch: pb.Epoch) -> Iterator[Violation]:
    yield from _not_negative(f"{path}.database", epoch.database)
    yield from _not_negative(f"{path}.attempt", epoch.attempt)


def time_faults(path: str, time: Timestamp) -> Iterator[Violation]:
    """Yield what is wrong with a time: it must be in the years that a datetime has."""
    if not (_FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS):
        yield Violation(path, "a time in the years 1 to 9999")


def _few(path: str, count: int, most: int) -> Iterator[Violation]:
    if count > most:
        yield Violation(path, f"at most {most}, not {count}")


def _not_negative(path: str, value: int) -> Iterator[Violation]:
    if value < 0:
        yield Violation(path, "must not be negative")


def _matches(path: str, text: str, pattern: re.Pattern[str], words: str, *, empty: bool = False) -> Iterator[Violation]:
    if not (pattern.fullmatch(text) or (empty and not text)):
        yield Violation(path, words)


def _fault(path: str, fault: str | None) -> Iterator[Violation]:
    if fault is not None:
        yield Violation(path, fault)


def _show(reason: api.Reason) -> None:
    if reason.message:
        reason.message = shown(reason.message, most=MAX_SENTENCE)


def _raise(faults: Iterable[Violation]) -> None:
    found = list(faults)
    if found:
        raise InvalidInput(found)
