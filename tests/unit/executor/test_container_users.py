"""Which user of a container a name, a number and a group mean."""

from __future__ import annotations

import pytest

from sluiceway_executor.drivers.pod_users import find_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
worker:x:1234:1235::/home/worker:/bin/sh
7:x:70:71::/home/seven:/bin/sh
broken line
short:x:5
odd:x:five:6::/:/bin/sh
"""
GROUP = """root:x:0:
workers:x:1235:
extra:x:4321:root,worker
bad:x:many:worker
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("root", 0, 0, [4321], "/root")),
        ("0", ("root", 0, 0, [4321], "/root")),
        ("worker", ("worker", 1234, 1235, [4321], "/home/worker")),
        ("1234", ("worker", 1234, 1235, [4321], "/home/worker")),
        ("worker:extra", ("worker", 1234, 4321, [4321], "/home/worker")),
        ("worker:99", ("worker", 1234, 99, [99], "/home/worker")),
        ("99", ("99", 99, 0, [0], "")),
        ("99:98", ("99", 99, 98, [98], "")),
        ("7", ("7", 70, 71, [71], "/home/seven")),
        (":workers", ("root", 0, 1235, [1235], "/root")),
    ],
)
def test_user_is_found(text: str, expected: tuple[str, int, int, list[int], str]) -> None:
    user = find_user(text, PASSWD, GROUP)
    assert (user.name, *user.ids, user.home) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", 'the image has no user "nobody"'),
        ("odd", 'the image has no user "odd"'),
        ("short", 'the image has no user "short"'),
        ("-1", 'the image has no user "-1"'),
        ("worker:none", 'the image has no group "none"'),
        ("worker:bad", 'the image has no group "bad"'),
    ],
)
def test_user_or_group_that_is_not_there_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_user(text, PASSWD, GROUP)


def test_image_without_users_has_numbers() -> None:
    assert find_user("5:6", "", "").ids == (5, 6, [6])
    with pytest.raises(ValueError, match='no user "root"'):
        find_user("root", "", "")
