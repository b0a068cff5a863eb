"""How requests are measured before they are parsed."""

from __future__ import annotations

import time

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import Code, SluicewayError
from sluiceway_common.foundation.rpc.channel import API_SERVICES
from sluiceway_common.foundation.rpc.requests import (
    MAX_PARTS,
    MAX_REQUEST_BYTES,
    REQUEST_BYTES,
    RequestReader,
    count_parts,
)
from tests.support.event_loop import count_turns
from tests.support.run_engine import definition, request

CREATE = "/sluiceway.api.run.v1.RunService/CreateRun"
GET = "/sluiceway.api.run.v1.RunService/GetRun"


def empty_tasks(count: int) -> bytes:
    """Return a request with that many empty tasks, two bytes each."""
    number = pb.CreateRunRequest.DESCRIPTOR.fields_by_name["tasks"].number
    return bytes([number << 3 | 2, 0]) * count


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(pb.CreateRunRequest(request_id="x").SerializeToString(), 1, id="one field"),
        pytest.param(empty_tasks(3), 3, id="empty messages"),
        # The run with its name and group; the task with its name, its runtime, container and image, its step with its
        # name, run and command.
        pytest.param(request().SerializeToString(), 3 + 2 + 3 + 4, id="a run of one step"),
        pytest.param(pb.CreateRunRequest(change_groups={"a": "1", "b": "2"}).SerializeToString(), 6, id="a map"),
        pytest.param(
            request(definition("b", "a:always")).SerializeToString(), 12 + 3 + 1, id="a packed field counts its bytes"
        ),
    ],
)
def test_every_field_of_every_message_counts(data: bytes, parts: int) -> None:
    assert count_parts(pb.CreateRunRequest, data) == parts


def test_count_of_parts_stops_above_its_limit() -> None:
    data = empty_tasks(4_000_000)
    began = time.process_time()

    assert count_parts(pb.CreateRunRequest, data, most=1_000) == 1_001

    assert time.process_time() - began < 0.5


@given(st.binary(max_size=200))
def test_count_of_parts_ends_for_malformed_bytes(data: bytes) -> None:
    assert 0 <= count_parts(pb.CreateRunRequest, data) <= MAX_PARTS + len(data)


@given(st.binary(max_size=60))
def test_encoding_has_at_least_a_part_for_each_message(data: bytes) -> None:
    try:
        message = executor_api.ConnectRequest.FromString(data)
    except DecodeError:
        return

    assert count_parts(executor_api.ConnectRequest, data) >= len(message.ListFields())


def test_endless_varint_is_counted_fast() -> None:
    began = time.process_time()

    count_parts(pb.CreateRunRequest, b"\x80" * 8_000_000)

    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("method", "data", "code", "reason", "words"),
    [
        pytest.param(
            GET,
            b"\x0a\xff\xff\xff\x0f",
            Code.INVALID_ARGUMENT,
            "MALFORMED_REQUEST",
            "is not a sluiceway.api.run.v1.CreateRunRequest",
            id="no encoding",
        ),
        pytest.param(
            GET,
            bytes(MAX_REQUEST_BYTES + 1),
            Code.RESOURCE_EXHAUSTED,
            "REQUEST_TOO_LARGE",
            f"RunService.GetRun takes at most {MAX_REQUEST_BYTES}",
            id="too many bytes",
        ),
        pytest.param(
            CREATE,
            bytes(REQUEST_BYTES[CREATE] + 1),
            Code.RESOURCE_EXHAUSTED,
            "REQUEST_TOO_LARGE",
            f"RunService.CreateRun takes at most {REQUEST_BYTES[CREATE]}",
            id="too many bytes of a method with a limit of its own",
        ),
        pytest.param(
            CREATE,
            empty_tasks(MAX_PARTS + 1),
            Code.RESOURCE_EXHAUSTED,
            "REQUEST_TOO_LARGE",
            f"more than {MAX_PARTS} fields",
            id="too many parts",
        ),
    ],
)
async def test_refused_request_says_why(method: str, data: bytes, code: Code, reason: str, words: str) -> None:
    with pytest.raises(SluicewayError, match=words) as caught:
        await RequestReader().message(method, pb.CreateRunRequest, data)

    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_large_request_is_measured_off_the_event_loop() -> None:
    step = definition().steps[0]
    data = request(*(definition(f"task {n}", steps=[step] * 10) for n in range(2_000))).SerializeToString()

    message, turns = await count_turns(RequestReader().message(CREATE, pb.CreateRunRequest, data))

    assert message == pb.CreateRunRequest.FromString(data)
    assert turns > 20


def test_methods_with_their_own_limits_exist() -> None:
    assert all(method[1:].partition("/")[0] in API_SERVICES for method in REQUEST_BYTES)
