"""The stream that outlives its connections: what is lost with a connection is sent again, once."""

from __future__ import annotations

import random

import pytest

from sluiceway_executor.drivers.pod_link import FRAME_BYTES, Link

ID = bytes(range(32))


def connect(one: Link, other: Link) -> None:
    first, second = one.hello(), other.hello()
    assert other.take(first) == one.take(second) == b""


@pytest.mark.parametrize("seed", range(30))
def test_everything_arrives_once_over_broken_connections(seed: int) -> None:
    chance = random.Random(seed)
    sides = (Link(ID), Link(ID))
    sent = [bytearray(), bytearray()]
    got = [bytearray(), bytearray()]
    connect(*sides)
    for _ in range(400):
        me = chance.randrange(2)
        match chance.randrange(5):
            case 0:
                data = chance.randbytes(chance.randrange(3 * FRAME_BYTES))
                sent[me] += data
                sides[me].outgoing.extend(data)
            case 1 | 2:
                frame = sides[me].next_frame()
                # A part of it may be lost with the connection.
                if chance.randrange(8) == 0:
                    got[1 - me] += sides[1 - me].take(frame[: chance.randrange(len(frame) + 1)])
                    connect(*sides)
                else:
                    got[1 - me] += sides[1 - me].take(frame)
            case 3:
                sides[1 - me].take(sides[me].acknowledgement())
            case 4:
                if chance.randrange(10) == 0:
                    connect(*sides)
    connect(*sides)
    for me in range(2):
        while frame := sides[me].next_frame():
            got[1 - me] += sides[1 - me].take(frame)
        assert got[1 - me] == sent[me]
        sides[me].take(sides[1 - me].acknowledgement())
        assert not sides[me].outgoing


def test_another_link_is_refused() -> None:
    link = Link(ID)
    link.hello()
    with pytest.raises(ValueError, match="another link"):
        link.take(Link(bytes(32)).hello())


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"D\0\0\0\1x", id="data before the hello"),
        pytest.param(b"X\0\0\0\1x", id="an unknown frame"),
        pytest.param(b"D\xff\xff\xff\xff", id="a frame that is too large"),
    ],
)
def test_what_is_not_the_protocol_is_refused(wire: bytes) -> None:
    link = Link(ID)
    link.hello()
    with pytest.raises(ValueError, match="the other side"):
        link.take(wire)


def test_side_that_lost_what_it_had_is_refused() -> None:
    one, other = Link(ID), Link(ID)
    one.outgoing += b"abc"
    connect(one, other)
    other.take(one.next_frame())
    one.take(other.acknowledgement())
    one.hello()
    with pytest.raises(ValueError, match="lost"):
        one.take(Link(ID).hello())
