"""What counts as the same value."""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from functools import partial

import numpy as np
import pytest

from tapejit.guards.values import capture, is_number, is_plain_value, same

OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        (float("nan"), OTHER_NAN, False),
        (complex(0.0, 1.0), complex(-0.0, 1.0), False),
        (complex(1, 2), complex(1, 2), True),
        (np.float32(0.0), np.float32(-0.0), False),
        (np.float32("nan"), np.float32("nan"), True),
        (np.float32(1), np.float64(1), False),
        (1.0, np.float64(1), False),
        ("a", b"a", False),
        ((1, (2.0, "x")), (1, (2.0, "x")), True),
        ((1, (2.0,)), (1, (-2.0,)), False),
        ((1,), (1, 2), False),
        (10**30, 10**30, True),
        (None, False, False),
    ],
)
def test_same(first: object, second: object, expected: bool) -> None:
    assert is_plain_value(first)
    assert same(first, second) is expected
    assert same(second, first) is expected


def test_what_is_a_number() -> None:
    assert all(map(is_number, (True, 1, 1.5, 1j, np.float32(1), np.int8(1), np.bool_(1))))
    assert not any(map(is_number, (None, "1", (1,), np.ones(1))))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1, 2], [2, 1]),
        ([1, 2], (1, 2)),
        ([1, [2.0]], [1, [2]]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: 1}, {True: 1}),
        ({"a": 1}, OrderedDict(a=1)),
        ({1, 2}, {1, 3}),
        (deque([1]), deque([2])),
        ([len], [max]),
        ([partial(len)], [partial(len)]),
    ],
)
def test_containers(before: object, after: object) -> None:
    expected = capture(before, lambda value: False)
    assert expected.same(before)
    assert not expected.same(after)


def test_a_container_that_holds_itself() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert capture(loop, lambda value: False).same(loop)
