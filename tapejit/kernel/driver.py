"""Many calls of a kernel in one, or of several in turn: C functions that call them in a loop, the same for all kernels.

Between two steps it moves addresses in the kernel's table by their strides (rows of scanned arguments, places in
stacked results) and swaps pairs of them (a variable's buffer and the one that its next value is written to). It is
given as LLVM text, so that no process imports Numba for it.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .kernels import machine_code
from .memory import address_of
from .shuffling import ORDER_TEXT, Order

_TEXT = """
define i64 @tapejit_steps(ptr noalias %program, i64 %stage, i64 %first, i64 %last) {
start:
  %kernel = load ptr, ptr %program
  %table_at = getelementptr i64, ptr %program, i64 1
  %table = load ptr, ptr %table_at
  %moves_at = getelementptr i64, ptr %program, i64 2
  %moves = load i64, ptr %moves_at
  %swaps_at = getelementptr i64, ptr %program, i64 3
  %swaps = load i64, ptr %swaps_at
  %done_at = getelementptr i64, ptr %program, i64 4
  %move_pairs = getelementptr i64, ptr %program, i64 5
  %swap_pairs = getelementptr { i64, i64 }, ptr %move_pairs, i64 %moves
  br label %step

step:
  %number = phi i64 [ %first, %start ], [ %next, %stepped ]
  %wanted = icmp slt i64 %number, %last
  br i1 %wanted, label %call, label %end

call:
  %status = call i64 %kernel(ptr %table, i64 -1, i64 0, i64 0)
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %move, label %end

move:
  %moved = phi i64 [ 0, %call ], [ %moved_more, %move_one ]
  %to_move = icmp slt i64 %moved, %moves
  br i1 %to_move, label %move_one, label %swap

move_one:
  %move_pair = getelementptr { i64, i64 }, ptr %move_pairs, i64 %moved
  %slot = load i64, ptr %move_pair
  %stride_at = getelementptr i64, ptr %move_pair, i64 1
  %stride = load i64, ptr %stride_at
  %address_at = getelementptr i64, ptr %table, i64 %slot
  %address = load i64, ptr %address_at
  %further = add i64 %address, %stride
  store i64 %further, ptr %address_at
  %moved_more = add i64 %moved, 1
  br label %move

swap:
  %swapped = phi i64 [ 0, %move ], [ %swapped_more, %swap_one ]
  %to_swap = icmp slt i64 %swapped, %swaps
  br i1 %to_swap, label %swap_one, label %stepped

swap_one:
  %swap_pair = getelementptr { i64, i64 }, ptr %swap_pairs, i64 %swapped
  %one_slot = load i64, ptr %swap_pair
  %other_slot_at = getelementptr i64, ptr %swap_pair, i64 1
  %other_slot = load i64, ptr %other_slot_at
  %one_at = getelementptr i64, ptr %table, i64 %one_slot
  %other_at = getelementptr i64, ptr %table, i64 %other_slot
  %one = load i64, ptr %one_at
  %other = load i64, ptr %other_at
  store i64 %other, ptr %one_at
  store i64 %one, ptr %other_at
  %swapped_more = add i64 %swapped, 1
  br label %swap

stepped:
  %next = add i64 %number, 1
  br label %step

end:
  %answer = phi i64 [ 0, %step ], [ %status, %call ]
  %done = sub i64 %number, %first
  store i64 %done, ptr %done_at
  ret i64 %answer
}
"""
_DONE, _PAIRS = 4, 5
"""Where the number of completed steps, and the first pair, are; before them addresses and the numbers of pairs."""

_TURN = "{ ptr, i64, i64, ptr, i64 }"
"""A program, how many steps it makes when it is its turn, how many it has made, a slot, what is in that before."""
_TURN_NUMBERS, _STEPS_DONE = 5, 2

_TURNS_TEXT = f"""
{_TEXT}
{ORDER_TEXT}
define i64 @tapejit_turns(ptr noalias %order, i64 %turns_address, i64 %count, i64 %rounds) {{
start:
  %turns = inttoptr i64 %turns_address to ptr
  br label %round

round:
  %number = phi i64 [ 0, %start ], [ %next, %turn ]
  %wanted = icmp slt i64 %number, %rounds
  br i1 %wanted, label %begin, label %end

begin:
  %ordered = call i64 @tapejit_order(ptr %order, i64 0, i64 0, i64 0)
  %next = add i64 %number, 1
  br label %turn

turn:
  %place = phi i64 [ 0, %begin ], [ %next_place, %call ]
  %left = icmp slt i64 %place, %count
  br i1 %left, label %call, label %round

call:
  %program_at = getelementptr {_TURN}, ptr %turns, i64 %place
  %program = load ptr, ptr %program_at
  %steps_at = getelementptr {_TURN}, ptr %turns, i64 %place, i32 1
  %steps = load i64, ptr %steps_at
  %slot_at = getelementptr {_TURN}, ptr %turns, i64 %place, i32 3
  %slot = load ptr, ptr %slot_at
  %first_row_at = getelementptr {_TURN}, ptr %turns, i64 %place, i32 4
  %first_row = load i64, ptr %first_row_at
  store i64 %first_row, ptr %slot
  %status = call i64 @tapejit_steps(ptr %program, i64 0, i64 0, i64 %steps)
  %made_at = getelementptr i64, ptr %program, i64 {_DONE}
  %made = load i64, ptr %made_at
  %done_at = getelementptr {_TURN}, ptr %turns, i64 %place, i32 2
  %done = load i64, ptr %done_at
  %done_now = add i64 %done, %made
  store i64 %done_now, ptr %done_at
  %next_place = add i64 %place, 1
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %turn, label %end

end:
  %answer = phi i64 [ 0, %round ], [ %status, %call ]
  ret i64 %answer
}}
"""


@cache
def _driver() -> Any:
    return machine_code(_TEXT, "tapejit_steps")


@cache
def _turns_driver() -> Any:
    return machine_code(_TURNS_TEXT, "tapejit_turns")


class Program:
    """What the driver is to do with one kernel.

    Parameters
    ----------
    kernel : int
        The kernel's address.
    table : ndarray of int64
        Its table; the driver changes it.
    moved : sequence of int
        The slots that move on after each step; their strides are set by `stride`.
    swapped : sequence of (int, int)
        The pairs of slots that are swapped after each step.

    Attributes
    ----------
    address : int
        Where the driver finds it.
    """

    __slots__ = ("_call", "_moved", "_numbers", "_swapped", "_table", "_view", "address")

    def __init__(
        self, kernel: int, table: np.ndarray, moved: Sequence[int], swapped: Sequence[tuple[int, int]]
    ) -> None:
        pairs = [number for slot in moved for number in (slot, 0)] + [slot for pair in swapped for slot in pair]
        self._numbers = np.array([kernel, address_of(table), len(moved), len(swapped), 0, *pairs], np.int64)
        self._view: Any = memoryview(self._numbers.data)  # three times as fast to index
        self.address = address_of(self._numbers)
        self._call = _driver().call
        self._table, self._moved, self._swapped = table, moved, swapped

    def stride(self, place: int, stride: int) -> None:
        """By how many bytes the slot at a place among those that move goes on."""
        self._view[_PAIRS + 2 * place + 1] = stride

    @property
    def done(self) -> int:
        """How many steps the latest run has completed; 0 before it has ended."""
        return self._view[_DONE]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Forget the latest run."""
        self._view[_DONE] = 0

    def run(self, count: int) -> int:
        """Run so many steps, or as many as succeed; the kernel's status, 0 where all did."""
        return self._call(self.address, 0, 0, count)  # type: ignore[no-any-return]

    def run_by(self, kernel: Callable[[], int], count: int) -> int:
        """What `run` does, with calls of another function that does what the kernel does."""
        table = self._table
        for number in range(count):
            status = kernel()
            if status:
                return status
            for place, slot in enumerate(self._moved):
                table[slot] += self._view[_PAIRS + 2 * place + 1]
            for one, other in self._swapped:
                table[one], table[other] = int(table[other]), int(table[one])
            self._view[_DONE] = number + 1
        return 0


class Turn(NamedTuple):
    """What a program does when it is its turn: so many steps, for rows whose first address goes into a slot before."""

    program: Program
    steps: int
    slot_address: int
    first_row: int


class Turns:
    """Programs that take turns, round by round; before each round the order of rows moves on.

    Parameters
    ----------
    turns : sequence of Turn
        What makes a round.
    order : Order
        The order.
    """

    __slots__ = ("_call", "_numbers", "_order", "_turns", "_view")

    def __init__(self, turns: Sequence[Turn], order: Order) -> None:
        numbers = [n for program, steps, slot, row in turns for n in (program.address, steps, 0, slot, row)]
        self._numbers = np.array(numbers, np.int64)
        self._view: Any = memoryview(self._numbers.data)
        self._call = _turns_driver().call
        self._turns, self._order = tuple(turns), order

    def prepare(self) -> None:
        """Forget the latest run."""
        for place in range(len(self._turns)):
            self._view[_TURN_NUMBERS * place + _STEPS_DONE] = 0

    def run(self, rounds: int) -> int:
        """Run so many rounds, or as far as all steps succeed; the status of the kernel that fails, else 0."""
        return self._call(self._order.address, address_of(self._numbers), len(self._turns), rounds)  # type: ignore[no-any-return]

    @property
    def done(self) -> list[int]:
        """How many steps of each the latest run has completed."""
        return [self._view[_TURN_NUMBERS * place + _STEPS_DONE] for place in range(len(self._turns))]
