"""The driver: how often it calls a kernel, what it moves and swaps between steps, where it stops."""

from collections.abc import Callable

import numpy as np
import pytest

from tapejit.kernel import door
from tapejit.kernel.driver import Program, Turn, Turns
from tapejit.kernel.kernels import machine_code
from tapejit.kernel.memory import address_of
from tapejit.kernel.shuffling import Order

# Adds to the number at slot 0 that at slot 1, writes it to slot 2, and fails where that is 40 or more.
KERNEL = """
define i64 @adding(ptr %table, i64 %stage, i64 %lo, i64 %hi) {
  %total_at = load ptr, ptr %table
  %rows = getelementptr i64, ptr %table, i64 1
  %row_at = load ptr, ptr %rows
  %results = getelementptr i64, ptr %table, i64 2
  %result_at = load ptr, ptr %results
  %total = load i64, ptr %total_at
  %row = load i64, ptr %row_at
  %sum = add i64 %total, %row
  %large = icmp sge i64 %sum, 40
  br i1 %large, label %fail, label %write
write:
  store i64 %sum, ptr %result_at
  ret i64 0
fail:
  ret i64 5
}
"""


def in_c(program: Program, _: Callable[[], int], count: int) -> int:
    return program.run(count)


def in_python(program: Program, kernel: Callable[[], int], count: int) -> int:
    return program.run_by(kernel, count)


@pytest.mark.parametrize("run", [in_c, in_python])
def test_steps_move_on_swap_and_stop_at_a_failure(run: Callable[..., int]) -> None:
    kernel = machine_code(KERNEL, "adding")
    buffers, rows = np.array([1, 0]), np.arange(20)
    table = np.array([address_of(buffers), address_of(rows), address_of(buffers[1:])])
    program = Program(kernel.address, table, [1], [(0, 2)])
    program.stride(0, 16)  # every second row

    def call() -> int:
        return kernel.call(address_of(table), 0, 0, 0)  # type: ignore[no-any-return]

    assert (run(program, call, 3), program.done) == (0, 3)
    np.testing.assert_array_equal(buffers, [3, 7])  # 1 + 0, + 2, + 4, each in the other one
    assert table[1] == address_of(rows) + 3 * 16
    program.prepare()
    assert (run(program, call, 10), program.done) == (5, 3)
    np.testing.assert_array_equal(buffers, [31, 21])  # + 6, + 8, + 10, and then 12 would be too much
    assert table[0] == address_of(buffers)


@pytest.mark.parametrize("state", [None, 3])
def test_programs_take_turns_over_another_order_each_round(state: int | None) -> None:
    kernel = machine_code(KERNEL, "adding")
    order = Order(5, state)
    total, out = np.zeros(1, np.int64), np.zeros(1, np.int64)
    tables = [np.array([address_of(total), 0, address_of(out)]) for _ in range(2)]
    programs = [Program(kernel.address, table, [1], [(0, 2)]) for table in tables]
    for program, table in zip(programs, tables, strict=True):
        program.stride(0, 8)
        table[2] = table[0]  # in place
    turns = Turns(
        [
            Turn(programs[0], 3, address_of(tables[0]) + 8, address_of(order.rows)),
            Turn(programs[1], 2, address_of(tables[1]) + 8, address_of(order.rows) + 24),
        ],
        order,
    )
    assert (turns.run(3), turns.done) == (0, [9, 6])
    assert total[0] == 3 * (0 + 1 + 2 + 3 + 4)
    expected = Order(5, state)
    for _ in range(3):
        expected.move_on()
    np.testing.assert_array_equal(order.rows, expected.rows)
    assert (order.rows.tolist() == list(range(5))) == (state is None)
    turns.prepare()
    status, sums = turns.run(2), np.cumsum(expected.move_on()) + 30
    steps = int(np.argmax(sums >= 40))
    assert (status, turns.done) == (5, [min(steps, 3), max(steps - 3, 0)])
    assert total[0] == 30 + sum(expected.rows[:steps])


def test_a_function_of_the_packages_own_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = KERNEL.replace("adding", "stored")
    first = machine_code(text, "stored")
    monkeypatch.setattr(door, "assembler", lambda: pytest.fail("compiled again"))
    second = machine_code(text, "stored")
    assert first.symbol == second.symbol == "stored"
    assert first.address != second.address
