"""What shares a loop with what, in which order, and what is kept: the mechanisms one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.passes import schedule, stages
from tests.agreement import check_agreement, trace
from tests.kernel.test_executable import call_in_parts
from tests.passes.test_plan import drawn, nests, plan_of
from tests.programs import PROGRAMS

Function = Callable[..., Any]


def source_of(function: Function, *arguments: np.ndarray) -> str:
    return trace(function, arguments).emitted().source


# Order


def test_a_loop_waits_for_what_its_next_statement_needs() -> None:
    w, count = tj.Variable(np.ones(50, np.float32)), tj.Variable(np.float32(0))

    def step(x: Any) -> None:
        m = 0.9 * w + x
        total = tj.sum(tj.exp(x[:7]))  # comes between in program order
        count.assign_add(total)
        w.assign(m / (1.0 + count) + tj.sin(m))

    assert plan_of(step, *drawn((50,))) == (2, 0, 0)
    check_agreement(step, drawn((50,)))


def test_a_loop_does_not_wait_for_what_needs_it() -> None:
    def function(x: Any) -> Any:
        y = tj.exp(x)
        return y, y / tj.sum(y)

    assert plan_of(function, *drawn((50,)))[0] == 2
    check_agreement(function, drawn((50,)))


def test_a_chain_through_other_loops_is_seen() -> None:
    def function(x: Any) -> Any:
        y = tj.exp(x)
        reversed_sums = tj.sum(tj.flip(y)[:, None] * tj.ones((50, 3)), axis=1)  # after y, in a loop of its own
        return y, tj.sin(y) + reversed_sums

    assert plan_of(function, *drawn((50,)))[0] == 2
    check_agreement(function, drawn((50,)))


def test_what_reads_a_variable_moves_before_its_update() -> None:
    w = tj.Variable(np.ones((30, 20), np.float32))

    def step(x: Any) -> Any:
        old = w.read_value()
        w.assign(old * 2.0)
        return tj.sum(tj.exp(old.T)[3:] * x, axis=1)

    arguments = drawn((30,))
    assert trace(step, arguments).plan().in_place == (True,)
    check_agreement(step, arguments)


# Values


def test_a_value_behind_two_views_is_computed_once() -> None:
    def function(v: Any) -> Any:
        h = tj.exp(v)
        return h[:, None] * h[None, :], tj.reshape(h, (5, 10)), h

    assert source_of(function, *drawn((50,))).count("exp(") == 1
    check_agreement(function, drawn((50,)))


def test_planning_work_grows_with_the_program() -> None:
    def program(count: int) -> Function:
        def function(x: Any) -> list[Any]:
            sums = []
            for _ in range(count):
                sums.append(tj.sum(x * 0.5))
                x = x * sums[-1]
            return sums

        return function

    def work(count: int) -> int:
        original, computed = schedule.statements_for, 0

        def counting(*arguments: Any) -> Any:
            nonlocal computed
            statements = original(*arguments)
            computed += sum(len(statement.values) for statement in statements)
            return statements

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schedule, "statements_for", counting)
            trace(program(count), drawn((20,))).plan()
        return computed

    assert 0 < work(200) < 2.5 * work(100)
    check_agreement(program(20), drawn((20,)))


# Products


def test_a_gradient_of_a_sum_has_no_product_with_ones() -> None:
    def function(x: Any, w: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, w])
            target = tj.sum(tj.matmul(x, w))
        return tape.gradient(target, [x, w])

    shapes = (40, 30), (30, 20)
    assert plan_of(function, *drawn(*shapes)) == (4, 0, 128)  # the sums of either one, and where they go
    check_agreement(function, drawn(*shapes))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_gradient_of_row_means_has_no_product_with_repeated_columns(axis: int) -> None:
    def function(x: Any, w: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, w])
            target = tj.sum(tj.mean(tj.matmul(x, w), axis=axis) ** 2)
        return tape.gradient(target, [x, w])

    shapes = (40, 30), (30, 20)
    assert plan_of(function, *drawn(*shapes))[1] == 0  # nor has the mean itself, as it is a product of a mean
    check_agreement(function, drawn(*shapes))


def test_a_transposed_product_is_computed_as_it_is_wanted() -> None:
    def once(x: Any, y: Any) -> Any:
        return tj.matmul(x, y).mT

    def twice(x: Any, y: Any) -> Any:
        product = tj.matmul(x, y)
        return product, product.mT

    shapes = (2, 20, 18), (2, 18, 19)
    assert plan_of(once, *drawn(*shapes)) == (1, 1, 0)
    assert plan_of(twice, *drawn(*shapes))[1] == 1
    check_agreement(once, drawn(*shapes))
    check_agreement(twice, drawn(*shapes))


def test_merged_batch_axes_are_no_copy_for_a_product() -> None:
    def function(x: Any, w: Any) -> Any:
        return tj.matmul(tj.exp(x), w)

    shapes = (4, 20, 18), (18, 19)
    loops, products, workspace = plan_of(function, *drawn(*shapes))
    assert (loops, products) == (1, 1)
    assert workspace == 4 * 4 * 20 * 18
    check_agreement(function, drawn(*shapes))


# Pieces


def differences(x: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch(x)
        d = x[1:] - x[:-1]
        energy = tj.sum(d * d)
    return tape.gradient(energy, x)


def test_the_gradient_of_differences_is_one_loop_and_its_ends() -> None:
    assert plan_of(differences, *drawn((100,))) == (1, 0, 0)
    assert " if " not in source_of(differences, *drawn((100,)))
    check_agreement(differences, drawn((100,)))


def test_computed_pieces_go_where_they_belong() -> None:
    def function(x: Any, y: Any) -> Any:
        return tj.concat([tj.exp(x), tj.tanh(y), x * 2.0], axis=1)

    shapes = (6, 5), (6, 7)
    assert plan_of(function, *drawn(*shapes))[2] == 0
    assert " if " not in source_of(function, *drawn(*shapes))
    check_agreement(function, drawn(*shapes))


def test_many_rows_are_stacked_in_one_loop() -> None:
    def function(x: Any) -> Any:
        return tj.stack([tj.exp(x * float(i + 1)) for i in range(30)])

    assert plan_of(function, *drawn((20,))) == (1, 0, 0)
    check_agreement(function, drawn((20,)))


def test_a_padded_expensive_value_is_computed_without_a_condition() -> None:
    def function(x: Any) -> Any:
        return tj.pad(tj.exp(x), ((1, 1), (2, 0)))

    assert plan_of(function, *drawn((6, 5)))[2] == 0
    assert " if " not in source_of(function, *drawn((6, 5)))
    check_agreement(function, drawn((6, 5)))


def test_cheap_pieces_of_a_reduction_are_computed_under_their_condition() -> None:
    def function(x: Any) -> Any:
        return tj.sum(tj.concat([x, x * x], axis=1), axis=1)

    assert plan_of(function, *drawn((6, 5))) == (1, 0, 0)
    check_agreement(function, drawn((6, 5)))


def test_expensive_pieces_of_a_reduction_are_stored() -> None:
    def function(x: Any) -> Any:
        return tj.sum(tj.concat([tj.exp(x), tj.tanh(x)], axis=1), axis=1)

    loops, _, workspace = plan_of(function, *drawn((6, 5)))
    assert loops == 1
    assert 0 < workspace <= 64  # a row
    check_agreement(function, drawn((6, 5)))


def test_a_sum_over_one_element_of_pieces_is_a_sum() -> None:
    def function(x: Any) -> Any:
        return tj.sum(tj.pad(tj.exp(x), ((1, 2), (0, 0))), axis=1) * 2.0

    check_agreement(function, drawn((3, 1)))


def test_indices_of_pieces_are_not_read_outside_of_them() -> None:
    def function(x: Any) -> Any:
        index = np.array([3, 0, 2])
        return tj.sum(tj.pad(tj.take(x, index), ((2, 1),)) * 2.0), tj.pad(tj.take(x, index), ((2, 1),))

    check_agreement(function, drawn((4,)))


@pytest.mark.parametrize("shift", [1, -2])
def test_a_periodic_stencil_is_one_loop_and_its_ends(shift: int) -> None:
    def function(u: Any) -> Any:
        return u + 0.1 * (tj.roll(u, shift) - u)

    loops, _, workspace = plan_of(function, *drawn((40,)))
    assert loops == (1 if shift == 1 else 2)
    assert workspace == 0
    check_agreement(function, drawn((40,)))


# Reductions


def test_what_blocks_leave_is_the_result_where_the_workspace_holds_it() -> None:
    w = tj.Variable(np.ones((9,), np.float32))

    def step(x: Any) -> None:
        w.assign_sub(tj.sum(x, axis=0))

    arguments = drawn((200, 9))
    loops, _, workspace = plan_of(step, *arguments)
    assert loops == 2
    assert workspace == 192  # four blocks of nine numbers
    assert trace(step, arguments).emitted().source.count("combine_pairwise(") == 1
    check_agreement(step, arguments)


def test_integers_need_no_blocks() -> None:
    def function(x: Any) -> Any:
        return tj.sum(x, axis=0), tj.sum(x)

    arguments = [np.arange(6000, dtype=np.int32).reshape(2000, 3)]
    assert "block" not in source_of(function, *arguments)
    check_agreement(function, arguments, plain=False)


@pytest.mark.parametrize("shape", [(10**7,), (10**6, 10), (10, 10**6), (1000, 100, 100)])
def test_ten_million_tenths_are_a_million_in_either_layout(shape: tuple[int, ...]) -> None:
    tenths = np.full(shape, 0.1, np.float32)
    total = tj.compile(lambda x: [tj.sum(x), *[tj.sum(tj.sum(x, axis=axis)) for axis in range(len(shape))]])
    for value in total(tenths):
        assert float(value) / (1e7 * float(np.float32(0.1))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1, (0, 2)])
def test_sums_over_outer_axes_are_as_right_as_pairwise_ones(axis: Any) -> None:
    rng = np.random.default_rng(0)
    for x in (np.full((300, 200, 5), 0.1, np.float32), rng.uniform(0, 1, (300, 200, 5)).astype(np.float32)):
        exact = np.sum(x, axis=axis, dtype=np.float64)
        found = tj.compile(lambda x: tj.sum(x, axis=axis))(x).numpy()
        np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_a_result_that_is_a_reshape_is_written_where_it_is_computed() -> None:
    def function(x: Any) -> Any:
        total = tj.sum(x, axis=1)
        return tj.reshape(total, (2, 3, 1)), tj.reshape(total, (6,)), total * 2.0

    assert plan_of(function, *drawn((6, 5)))[2] == 0
    check_agreement(function, drawn((6, 5)))


def test_loops_of_the_text_are_counted_where_blocks_leave_rows_for_a_result() -> None:
    def function(x: Any) -> Any:
        return tj.sum(x, axis=0), tj.sum(x * x, axis=0)

    arguments = drawn((200, 9))
    assert plan_of(function, *arguments)[0] == 2  # over the rows, and from the blocks to the results
    assert len(nests(trace(function, arguments))) == 2
    check_agreement(function, arguments)


# Stages


def stages_of(function: Function, *arguments: np.ndarray) -> list[bool]:
    """For each stage whether threads may split it."""
    return [stage.split is not None for stage in trace(function, arguments).plan().stages]


def test_large_loops_are_split_and_sums_of_blocks_finished_after_them() -> None:
    square = drawn((300, 300))
    assert stages_of(lambda x: tj.exp(x) * 2.0, *square) == [True]
    assert stages_of(lambda x: tj.sum(x, axis=1), *square) == [True]
    assert stages_of(lambda x: (tj.sum(x, axis=1), x - tj.mean(x, axis=1, keepdims=True)), *square) == [True]
    assert stages_of(tj.exp, *drawn((30, 30))) == [False]
    assert stages_of(lambda x: tj.softmax(x, axis=-1), *square) == [True]  # each part has a row of exponentials
    assert stages_of(lambda x: tj.sum(x, axis=0), *square) == [True, False]
    assert stages_of(lambda x: tj.sum(tj.exp(x)), *drawn((90000,))) == [True, False]
    assert stages_of(lambda x: tj.cumsum(x, axis=1), *square) == [True]
    assert stages_of(lambda x: tj.cumsum(x, axis=0), *square) == [True]
    assert stages_of(tj.cumsum, *drawn((90000,))) == [False]
    assert stages_of(tj.max, *drawn((90000,))) == [False]
    assert stages_of(lambda x: tj.sum(tj.exp(x)) * tj.exp(x), *drawn((90000,))) == [True, False, True]


def test_long_rows_have_blocks_of_their_own_in_each_part() -> None:
    assert stages_of(lambda x: tj.sum(x, axis=1), *drawn((40, 3000))) == [True]


SPLIT = ["layer_norm", "joined", "padded", "slices", "outer_of_exp", "overlapping_slices"]


@pytest.mark.parametrize("name", SPLIT)
def test_small_loops_in_parts_give_the_bits_of_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SPLIT_WORK", 2)
    program = PROGRAMS[name]
    arguments = program.draw(0)
    traced = trace(program.bound(), arguments)
    assert any(stage.split for stage in traced.plan().stages)
    whole, split = (call_in_parts(traced, arguments, parts) for parts in (0, 2))
    for one, other in zip(whole, split, strict=True):
        assert one.tobytes() == other.tobytes()
