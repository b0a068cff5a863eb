"""Errors survive the wire with all their fields."""

from __future__ import annotations

from datetime import timedelta

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # ships no types
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation import errors as e
from sluiceway_common.foundation.rpc.limits import MAX_DETAILS_BYTES, MAX_TEXT_BYTES
from sluiceway_common.foundation.rpc.status import DETAILS_KEY, error_of, error_of_status, status_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=50)
REASONS = st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True)
COMMON = {"reason": st.none() | REASONS, "metadata": st.dictionaries(TEXT, TEXT, max_size=3)}
PAUSES = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1))
VIOLATIONS = st.lists(st.builds(e.Violation, TEXT, TEXT), min_size=1, max_size=5)
PLAIN = (
    e.OutOfRange,
    e.Conflict,
    e.Unauthenticated,
    e.PermissionDenied,
    e.DeadlineExceeded,
    e.Cancelled,
    e.Unimplemented,
    e.DataLoss,
)
ERRORS = st.one_of(
    *(st.builds(kind, TEXT, **COMMON) for kind in PLAIN),
    st.builds(e.InvalidInput, TEXT, **COMMON),
    st.builds(e.InvalidInput, VIOLATIONS, message=st.none() | TEXT, **COMMON),
    st.builds(e.FailedPrecondition, TEXT, subject=TEXT, **COMMON),
    st.builds(e.NotFound, TEXT, resource_type=TEXT, resource_name=TEXT, **COMMON),
    st.builds(e.AlreadyExists, TEXT, resource_type=TEXT, resource_name=TEXT, **COMMON),
    st.builds(e.Exhausted, TEXT, subject=TEXT, retry_after=st.none() | PAUSES, **COMMON),
    st.builds(e.Unavailable, TEXT, retry_after=PAUSES, **COMMON),
    st.builds(e.Internal, TEXT),
)


def content(error: e.SluicewayError) -> dict[str, object]:
    return {"type": type(error), "reason": error.reason, "text": str(error), **vars(error)}


@given(ERRORS)
def test_error_survives_the_round_trip_through_a_status(error: e.SluicewayError) -> None:
    assert content(error_of_status(status_of(error))) == content(error)


def test_every_error_class_has_an_example() -> None:
    family = {kind for kind in vars(e).values() if isinstance(kind, type) and issubclass(kind, e.SluicewayError)}
    tested = {*PLAIN, e.InvalidInput, e.FailedPrecondition, e.NotFound, e.AlreadyExists, e.Exhausted, e.Unavailable}
    assert {kind for kind in family if not kind.__name__.startswith("_")} == tested | {e.Internal, e.SluicewayError}


def test_error_subclass_returns_as_its_base_class() -> None:
    class RunAlreadyFinished(e.FailedPrecondition):
        reason = "RUN_ALREADY_FINISHED"

    back = error_of_status(status_of(RunAlreadyFinished("it has ended")))
    assert type(back) is e.FailedPrecondition
    assert back.reason == "RUN_ALREADY_FINISHED"


def test_unexpected_exception_reveals_nothing_in_its_status() -> None:
    status = status_of(ValueError("a secret"))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert b"secret" not in status.SerializeToString()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(e.InvalidInput([e.Violation("p" * 3000, "ä" * 3000)] * 5000), id="faults"),
        pytest.param(e.NotFound("ä" * 100_000), id="message"),
        pytest.param(e.Conflict("x", metadata={"k": "v" * 100_000}), id="metadata"),
    ],
)
def test_error_always_fits_into_the_trailers(error: e.SluicewayError) -> None:
    status = status_of(error)
    assert status.ByteSize() <= MAX_DETAILS_BYTES + MAX_TEXT_BYTES
    back = error_of_status(status)
    assert back.reason == error.reason
    assert type(back) is type(error)


def rpc_error(
    code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, str | bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details)


@pytest.mark.parametrize(
    "trailers",
    [
        pytest.param((), id="none"),
        pytest.param(((DETAILS_KEY, b"\xff\xff"),), id="damaged"),
        pytest.param(((DETAILS_KEY, status_of(e.NotFound("x")).SerializeToString()),), id="of another code"),
    ],
)
def test_status_without_known_details_becomes_an_error(trailers: tuple[tuple[str, str | bytes], ...]) -> None:
    error = error_of(rpc_error(grpc.StatusCode.UNAVAILABLE, "connection refused", trailers))
    assert isinstance(error, e.Unavailable)
    assert str(error) == "connection refused"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str)
def test_every_grpc_code_has_an_error_class(code: grpc.StatusCode) -> None:
    assert error_of(rpc_error(code, "")).code.value == code.name


def test_status_details_are_the_standard_ones() -> None:
    kinds = {detail.TypeName() for detail in status_of(e.Exhausted("x", retry_after=timedelta(1))).details}
    assert kinds == {
        error_details_pb2.ErrorInfo.DESCRIPTOR.full_name,
        error_details_pb2.QuotaFailure.DESCRIPTOR.full_name,
        error_details_pb2.RetryInfo.DESCRIPTOR.full_name,
    }
