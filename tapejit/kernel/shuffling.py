"""Random orders in machine code, in a fraction of the time that NumPy takes.

Given as LLVM text, as the loops in `driver` are. Each order grows by R. Durstenfeld's algorithm (Algorithm 235, Comm.
ACM 7, 1964) turned inside out: the next number goes to a random place, and what stood there to the end. The random
numbers are those of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) scaled to the range, which prefers none of n places by more than n/2^64.
"""

from functools import cache
from typing import Any

import numpy as np

from .kernels import machine_code
from .memory import address_of

ORDER_TEXT = """
define i64 @tapejit_order(ptr noalias %order, i64 %unused, i64 %unused_too, i64 %unused_as_well) {
start:
  %rows = load ptr, ptr %order
  %length_at = getelementptr i64, ptr %order, i64 1
  %length = load i64, ptr %length_at
  %state_at = getelementptr i64, ptr %order, i64 2
  %first_state = load i64, ptr %state_at
  %fixed = icmp eq ptr %rows, null
  br i1 %fixed, label %end, label %place

place:
  %last = phi i64 [ 0, %start ], [ %size, %put ]
  %state = phi i64 [ %first_state, %start ], [ %next_state, %put ]
  %more = icmp slt i64 %last, %length
  br i1 %more, label %put, label %keep

put:
  %size = add i64 %last, 1
  %next_state = add i64 %state, -7046029254386353131
  %shifted_30 = lshr i64 %next_state, 30
  %mixed_30 = xor i64 %next_state, %shifted_30
  %first_product = mul i64 %mixed_30, -4658895280553007687
  %shifted_27 = lshr i64 %first_product, 27
  %mixed_27 = xor i64 %first_product, %shifted_27
  %second_product = mul i64 %mixed_27, -7723592293110705685
  %shifted_31 = lshr i64 %second_product, 31
  %random = xor i64 %second_product, %shifted_31
  %wide_random = zext i64 %random to i128
  %wide_size = zext i64 %size to i128
  %wide = mul i128 %wide_random, %wide_size
  %high = lshr i128 %wide, 64
  %chosen = trunc i128 %high to i64
  %last_at = getelementptr i64, ptr %rows, i64 %last
  %chosen_at = getelementptr i64, ptr %rows, i64 %chosen
  %moved = load i64, ptr %chosen_at
  store i64 %moved, ptr %last_at
  store i64 %last, ptr %chosen_at
  br label %place

keep:
  store i64 %state, ptr %state_at
  br label %end

end:
  ret i64 0
}
"""
"""Makes the next order of what an `Order` has at its address: where the rows are, or 0; how many; the state."""


@cache
def _shuffle() -> Any:
    return machine_code(ORDER_TEXT, "tapejit_order").call


class Order:
    """The numbers of rows, each time in another random order; or always in their own.

    Parameters
    ----------
    length : int
        How many rows there are.
    state : int, optional
        0 to 2^63 - 1, decides on all orders; without it the rows stay as they come.

    Attributes
    ----------
    rows : ndarray of int64
        The latest order.
    address : int
        Where machine code finds what it needs to make the next one.
    """

    __slots__ = ("_numbers", "address", "rows")

    def __init__(self, length: int, state: int | None) -> None:
        self.rows = np.arange(length, dtype=np.int64)
        self._numbers = np.array([0 if state is None else address_of(self.rows), length, state or 0], np.int64)
        self.address = address_of(self._numbers)

    def move_on(self) -> np.ndarray:
        """Make the next order, in the same memory."""
        _shuffle()(self.address, 0, 0, 0)
        return self.rows
