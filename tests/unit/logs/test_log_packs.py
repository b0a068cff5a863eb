"""What is to be packed, and the form of a pack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.logs.layout import is_attempt
from sluiceway_server.logs.packs import (
    PACK_BYTES,
    SMALL_BYTES,
    Pack,
    SmallLog,
    is_small,
    logs_in,
    make_pack,
    pack_size,
    repack,
)

OLD = 100.0


def pack_of(*steps: int, made: float = 0.0, size: int = 10) -> tuple[str, Pack]:
    logs = [SmallLog.of(step, bytes([step + 1]) * size, (), now=0.0) for step in steps]
    pack, _ = make_pack(logs, now=made)
    return pack.name, pack


@given(st.dictionaries(st.integers(-1, 20), st.binary(min_size=1, max_size=300), min_size=1))
def test_pack_returns_the_logs_that_were_put_in(logs: dict[int, bytes]) -> None:
    pack, body = make_pack([SmallLog.of(step, data, ((0, 1.5),), now=2.0) for step, data in logs.items()], now=3.0)
    size = pack_size(pack.name)
    assert size == sum(map(len, logs.values()))
    read = Pack.decode(body[size:])
    assert read == pack
    assert {log.step: log.data for log in logs_in(read, body)} == logs
    again, _ = make_pack([SmallLog.of(step, logs[step], (), now=9.0) for step in reversed(logs)], now=9.0)
    assert again.name == pack.name, "the name depends on the logs only"


def test_packs_of_equal_size_and_other_logs_differ_in_name() -> None:
    assert pack_of(0, 1)[0] != pack_of(0, 2)[0]


@pytest.mark.parametrize(
    "name", ["pack", "pack.1", "pack." + "0" * 20, "pack." + "x" * 20 + ".ab", "log." + "0" * 20, "pack/0/log"]
)
def test_other_names_are_not_of_packs(name: str) -> None:
    assert pack_size(name) is None


def test_folder_of_an_attempt_has_two_numbers() -> None:
    assert all(is_attempt(name) for name in ("1.1", "12.34"))
    assert not any(is_attempt(name) for name in ("1", "1.1.1", "01a2-1.1", ".", ""))


def test_small_is_what_weighs_little_with_its_times() -> None:
    assert is_small(1, ())
    assert not is_small(0, ())
    assert not is_small(SMALL_BYTES, ())
    assert not is_small(1, [(n, float(n)) for n in range(8192)])


def test_old_pack_makes_objects_superfluous() -> None:
    whole, part = pack_of(0, 1, 2), pack_of(0, 1)
    plan = repack(dict((whole, part)), {1: 10, 3: 10}, old=OLD)
    assert plan.unused_packs == (part[0],)
    assert plan.unused_steps == (1,)
    assert (plan.merged, plan.alone) == ((whole[0],), (3,))


def test_nothing_is_deleted_for_a_young_pack() -> None:
    whole, part = pack_of(0, 1, 2, made=OLD + 1), pack_of(0, 1)
    plan = repack(dict((whole, part)), {2: 10}, old=OLD)
    assert (plan.unused_packs, plan.unused_steps, plan.merged, plan.alone) == ((), (), (), ())


def test_logs_that_do_not_fit_into_one_pack_are_packed_in_parts() -> None:
    alone = dict.fromkeys(range(40), SMALL_BYTES)
    first = repack({}, alone, old=OLD)
    assert len(first.alone) == PACK_BYTES // SMALL_BYTES


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 5), min_size=1), st.sampled_from([0.0, OLD + 1])), max_size=5),
    st.sets(st.integers(0, 6)),
)
def test_every_log_is_left_and_one_pack_remains(found: list[tuple[set[int], float]], alone: set[int]) -> None:
    packs = dict(pack_of(*sorted(steps), made=made) for steps, made in found)
    single = dict.fromkeys(alone, 10)
    everything = {step for pack in packs.values() for step in pack.steps} | alone
    time = OLD
    for _ in range(6):
        plan = repack(packs, single, old=time)
        for name in plan.unused_packs:
            del packs[name]
        for step in plan.unused_steps:
            del single[step]
        old_enough = {step for pack in packs.values() if pack.composed <= time for step in pack.steps}
        assert everything <= old_enough | {step for pack in packs.values() for step in pack.steps} | single.keys()
        steps = {*plan.alone, *(step for name in plan.merged for step in packs[name].steps)}
        if steps:
            name, pack = pack_of(*sorted(steps), made=time + 1)
            packs.setdefault(name, pack)
        time += 2
    assert len(packs) + len(single) == min(1, len(everything))
