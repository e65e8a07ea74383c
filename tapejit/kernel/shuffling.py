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

_GAMMA = -7046029254386353131  # what SplitMix64's state grows by

_TEXT = f"""
define i64 @tapejit_orders(ptr noalias %rows, i64 %count, i64 %length, i64 %seed) {{
start:
  br label %row

row:
  %number = phi i64 [ 0, %start ], [ %next_row, %end_row ]
  %first_state = phi i64 [ %seed, %start ], [ %state, %end_row ]
  %wanted = icmp slt i64 %number, %count
  br i1 %wanted, label %begin, label %end

begin:
  %offset = mul i64 %number, %length
  %order = getelementptr i64, ptr %rows, i64 %offset
  br label %place

place:
  %last = phi i64 [ 0, %begin ], [ %size, %put ]
  %state = phi i64 [ %first_state, %begin ], [ %next_state, %put ]
  %more = icmp slt i64 %last, %length
  br i1 %more, label %put, label %end_row

put:
  %size = add i64 %last, 1
  %next_state = add i64 %state, {_GAMMA}
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
  %last_at = getelementptr i64, ptr %order, i64 %last
  %chosen_at = getelementptr i64, ptr %order, i64 %chosen
  %moved = load i64, ptr %chosen_at
  store i64 %moved, ptr %last_at
  store i64 %last, ptr %chosen_at
  br label %place

end_row:
  %next_row = add i64 %number, 1
  br label %row

end:
  ret i64 0
}}
"""


@cache
def _shuffler() -> Any:
    return machine_code(_TEXT, "tapejit_orders")


def random_orders(orders: np.ndarray, state: int) -> int:
    """Fill each row of a contiguous array with its places in a random order, which the state determines.

    Parameters
    ----------
    orders : ndarray of int64, shape (count, length)
        What is filled.
    state : int
        0 to 2^64 - 1.

    Returns
    -------
    int
        The state for the orders that follow: they don't depend on how many are made at a time.
    """
    count, length = orders.shape
    _shuffler().call(address_of(orders), count, length, state - (state >> 63 << 64))
    following: int = (state + count * length * _GAMMA) % 2**64
    return following
