"""The driver: how often it calls a kernel, what it moves and swaps between steps, where it stops."""

from collections.abc import Callable

import numpy as np
import pytest

from tapejit.kernel import door
from tapejit.kernel.driver import Program
from tapejit.kernel.kernels import machine_code
from tapejit.kernel.memory import address_of

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


def test_a_function_of_the_packages_own_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = KERNEL.replace("adding", "stored")
    first = machine_code(text, "stored")
    monkeypatch.setattr(door, "assembler", lambda: pytest.fail("compiled again"))
    second = machine_code(text, "stored")
    assert first.symbol == second.symbol == "stored"
    assert first.address != second.address
