"""Running kernels: buffers that must not be written, stages in parts, blocks of reductions, the layout's round trip."""

import json
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel.executable import STAGED_BYTES, Executable
from tapejit.kernel.kernels import kernel_for
from tapejit.kernel.layout import Layout, Slot, number_places
from tapejit.kernel.memory import Recycled, address_of, aligned
from tapejit.kernel.runtime import OK, RUN_ALL
from tapejit.passes.stages import SPLIT_WORK
from tests.agreement import Traced, check_agreement, trace
from tests.programs import STEPS

Arrays = list[np.ndarray]


def executable_of(traced: Traced) -> Executable:
    kernel = kernel_for(traced.graph, "program", traced.names(), cache=False)
    return Executable(kernel, traced.graph, traced.variables, traced.captures, traced.numbers)


def compiled(function: Callable[..., Any], *arguments: np.ndarray) -> Arrays:
    return [tensor.numpy() for tensor in executable_of(trace(function, arguments))(list(arguments))]


# Reductions


LENGTHS = (0, 1, 7, 1023, 1024, 1025, 3000)


@pytest.mark.parametrize("name", ["sum", "prod", "max"])
def test_reductions_of_lengths_around_the_block_borders(name: str) -> None:
    rng = np.random.default_rng(2)
    lengths = LENGTHS if name != "max" else LENGTHS[1:]
    arrays = [rng.uniform(0.99, 1.01, length) for length in lengths]
    function = getattr(tj, name)
    check_agreement(lambda *xs: [function(x) for x in xs], arrays)


def test_blocked_reductions_over_each_kind_of_axes() -> None:
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(size=(1100, 3)), rng.normal(size=(2, 1030, 2)), rng.normal(size=(40, 40, 2))

    def function(x: Any, y: Any, z: Any) -> Any:
        return [
            tj.sum(x, axis=0), tj.sum(x.T, axis=1), tj.sum(x), tj.max(x, axis=0) - tj.sum(x * x, axis=0),
            *[tj.sum(y, axis=axes) for axes in (1, (0, 1), (1, 2), None)],
            *[tj.sum(z, axis=axes) for axes in ((0, 1), (0, 2), None)],
        ]  # fmt: skip

    check_agreement(function, [x, y, z])


TENTH = np.float32(0.1)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((10**7,), None),
        ((2, 10**6, 3), (0, 1)),
        ((10**6, 3), (0,)),
        ((3, 10**6), (1,)),
        ((1000, 1000, 4), (0, 1)),
        ((100, 2, 100, 50), (0, 2, 3)),
    ],
)
def test_long_sums_keep_the_accuracy_of_pairwise_addition(shape: tuple[int, ...], axes: Any) -> None:
    (total,) = compiled(lambda x: tj.sum(x, axis=axes), np.full(shape, TENTH))
    count = np.prod(shape) / total.size
    # A lane of a vector takes every eighth term or so; an element of a row takes all 1024 of a block.
    tolerance = 1e-6 if axes is None else 2e-5
    np.testing.assert_allclose(total, np.full(total.shape, count * float(TENTH)), rtol=tolerance)


def test_matrix_vector_products_keep_it_too() -> None:
    x, v = np.full((10**6, 3), TENTH), np.full(10**6, TENTH)
    (total,) = compiled(lambda x, v: tj.matmul(x.T, v), x, v)
    np.testing.assert_allclose(total, np.full(3, 1e6 * float(TENTH) ** 2), rtol=2e-5)


# Stages


def call_in_parts(traced: Traced, arguments: Sequence[np.ndarray], parts: int) -> Arrays:
    """Outputs, by stages, with each split loop in `parts` that find NaN in their scratch; with 0 parts by one call."""
    kernel = kernel_for(traced.graph, "program", traced.names(), cache=False)
    layout = kernel.layout
    outputs = [np.full(shape, 7, dtype) for shape, dtype in layout.outputs]
    placed = list(zip(layout.numbers, traced.numbers, strict=True))
    numbers = {
        dtype: np.array([number for (other, _), number in placed if other == dtype], dtype)
        for dtype, _ in layout.numbers
    }
    workspace = aligned((layout.workspace,), np.dtype(np.uint8))
    scratch = aligned((layout.scratch,), np.dtype(np.uint8))
    held = {"argument": list(arguments), "output": outputs, "workspace": [workspace], "scratch": [scratch]}
    table = np.zeros(len(layout.slots), np.int64)
    for index, slot in enumerate(layout.slots):
        table[index] = address_of(numbers[slot.dtype] if slot.kind == "numbers" else held[slot.kind][slot.position])
    stages = [(RUN_ALL, 0, 0)]
    if parts:
        stages = []
        for number, stage in enumerate(traced.plan().stages):
            borders = np.linspace(0, stage.parts, parts + 1).astype(int) // stage.grain * stage.grain
            borders[-1] = stage.parts
            spans = pairwise(borders)
            stages += [(number, lo, hi) for lo, hi in spans] if stage.split else [(number, 0, 0)]
    for stage, lo, hi in stages:
        scratch[:] = 0xFF
        assert kernel.loaded.call(address_of(table), stage, int(lo), int(hi)) == OK
    return outputs


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_stages_in_parts_give_the_bits_of_one_call(parts: int) -> None:
    n = SPLIT_WORK + 37
    x = np.random.default_rng(1).normal(size=n).astype(np.float32)
    rows = np.concatenate([x, x])[: 300 * 220].reshape(300, 220)

    def function(x: Any, rows: Any) -> Any:
        y = tj.exp(x) * 0.5
        total = tj.sum(y)
        return y, total, tj.sin(y) / total, tj.cos(tj.reshape(rows, (-1,))), tj.sum(rows, axis=0)

    traced = trace(function, [x, rows])
    assert sum(stage.split is not None for stage in traced.plan().stages) >= 2
    whole = call_in_parts(traced, [x, rows], 0)
    split = call_in_parts(traced, [x, rows], parts)
    for one, other in zip(whole, split, strict=True):
        assert one.tobytes() == other.tobytes()
    with np.errstate(all="ignore"):
        for one, expected in zip(whole, function(tj.asarray(x), tj.asarray(rows)), strict=True):
            np.testing.assert_allclose(one, expected.numpy(), rtol=2e-4, atol=1e-4)


# Buffers


def test_an_exposed_buffer_is_never_written_again() -> None:
    w = tj.Variable(np.ones(3, np.float32))

    def step(x: Any) -> Any:
        w.assign_sub(x)
        return tj.sum(w)

    x = np.full(3, 0.25, np.float32)
    run = executable_of(trace(step, [x]))
    before, view = w.read_value(), w.numpy()
    run([x])
    np.testing.assert_array_equal(before.numpy(), np.ones(3))
    np.testing.assert_array_equal(view, np.ones(3))
    np.testing.assert_array_equal(w.numpy(), np.full(3, 0.75))


def test_a_buffer_that_nobody_sees_is_written_in_place() -> None:
    w = tj.Variable(np.ones(2000, np.float32))

    def step(x: Any) -> None:
        w.assign_add(x)

    run = executable_of(trace(step, [np.ones(2000, np.float32)]))
    run([np.ones(2000, np.float32)])  # the first value may be shared with the tensor that it came from
    buffer = w.buffer
    run([np.ones(2000, np.float32)])
    assert w.buffer is buffer
    np.testing.assert_array_equal(buffer, np.full(2000, 3.0))


def test_an_update_that_is_not_in_place_takes_a_fresh_buffer() -> None:
    w = tj.Variable(np.arange(4, dtype=np.float32))

    def step(x: Any) -> None:
        w.assign(w[::-1] * x)

    run = executable_of(trace(step, [np.asarray(1, np.float32)]))
    for _ in range(3):
        buffer = w.buffer
        run([np.asarray(1, np.float32)])
        assert w.buffer is not buffer
    np.testing.assert_array_equal(w.numpy(), [3, 2, 1, 0])


def test_an_argument_that_is_the_variables_own_buffer() -> None:
    w = tj.Variable(np.arange(2000, dtype=np.float32))

    def step(x: Any) -> Any:
        w.assign(w + x[::-1])

    x = w.numpy()
    run = executable_of(trace(step, [x]))
    run([x])
    np.testing.assert_array_equal(x, np.arange(2000))
    np.testing.assert_array_equal(w.numpy(), np.full(2000, 1999))


def test_results_of_a_call_outlive_the_next_call() -> None:
    run = executable_of(trace(lambda x: (x * 2.0, tj.sum(x)), [np.ones(3000)]))
    doubled, total = run([np.ones(3000)])
    run([np.full(3000, 5.0)])
    np.testing.assert_array_equal(doubled.numpy(), np.full(3000, 2.0))
    assert total.numpy() == 3000


LAYOUTS = [lambda x: x[::-1], np.asfortranarray, lambda x: x.astype(">f8"), lambda x: x[:, ::2].repeat(2, 1)]


@pytest.mark.parametrize("make", LAYOUTS)
def test_arguments_of_any_memory_layout(make: Callable[[np.ndarray], np.ndarray]) -> None:
    x = np.random.default_rng(0).normal(size=(30, 40))
    run = executable_of(trace(lambda x: tj.sum(x * x, axis=1), [x]))
    (found,) = run([make(x)])
    np.testing.assert_allclose(found.numpy(), (make(x) ** 2).sum(1), rtol=1e-12)


def test_captured_arrays_are_seen_by_reference() -> None:
    held = np.ones((40, 40))
    strided = held[::2]
    x = np.ones((20, 40))
    run = executable_of(trace(lambda x: x + held[:20] + strided, [x]))
    held += 1.0
    (found,) = run([x])
    np.testing.assert_array_equal(found.numpy(), np.full((20, 40), 5.0))


def test_a_step_replayed_many_times_agrees_with_eager() -> None:
    program = STEPS["momentum_and_scale"]
    eager, kernel = program.bound("float64"), program.bound("float64")
    run = executable_of(trace(kernel, program.draw(0, "float64")))
    for seed in range(20):
        eager(*map(tj.asarray, program.draw(seed, "float64")))
        run(program.draw(seed, "float64"))
    probe = trace(eager, program.draw(0, "float64"))
    for found, expected in zip(run.variables, probe.variables, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


# The layout


@pytest.mark.parametrize("name", STEPS)
def test_a_layout_survives_json(name: str) -> None:
    layout = trace(STEPS[name].bound(), STEPS[name].draw(0)).emitted().layout
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert len(set(layout.slots)) == len(layout.slots)


def test_slots_are_found_by_what_they_are() -> None:
    layout = Layout((Slot("argument", 1), Slot("numbers", dtype="float32")), (), (), (), (), 0, 0, ((0, 1, 0),), {})
    assert layout.position("argument", 1) == 0
    assert layout.position("numbers", dtype="float32") == 1
    with pytest.raises(ValueError, match="not in"):
        layout.position("output")


def test_numbers_have_places_in_the_table_of_their_dtype() -> None:
    assert number_places(["float32", "float64", "float32"]) == (("float32", 0), ("float64", 0), ("float32", 1))


# Recycled memory


LARGE = STAGED_BYTES // 8 + 1


def test_a_large_result_takes_the_memory_of_one_that_nobody_holds() -> None:
    run = executable_of(trace(lambda x: x * 2.0, [np.ones(LARGE)]))
    addresses = set()
    result = None
    for n in range(8):  # the name holds one result while the next is made
        (result,) = run([np.full(LARGE, float(n))])
        np.testing.assert_array_equal(result.numpy(), np.full(LARGE, 2.0 * n))
        addresses.add(address_of(result.array))
    assert len(addresses) == 2


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "the tensor": lambda result: result,
    "its array": lambda result: result.numpy(),
    "a part of it": lambda result: result.numpy()[1:2],
    "a memoryview": lambda result: memoryview(result.numpy()),
    "a variable": tj.Variable,
    "another tensor": lambda result: tj.reshape(result, (1, -1)),
    "a dict": lambda result: {"held": [result]},
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_what_anybody_holds_of_a_result_is_never_written(holder: Callable[[Any], Any]) -> None:
    run = executable_of(trace(lambda x: x * 2.0, [np.ones(LARGE)]))
    held = [holder(run([np.full(LARGE, float(n))])[0]) for n in range(6)]
    for n, each in enumerate(held):
        for values in each.values() if isinstance(each, dict) else [each]:
            found = np.asarray(values[0] if isinstance(values, list) else values)
            np.testing.assert_array_equal(found, np.full(found.shape, 2.0 * n))


def test_a_buffer_that_a_variable_gave_up_serves_its_next_value_unless_someone_holds_it() -> None:
    w = tj.Variable(np.zeros(LARGE))
    run = executable_of(trace(lambda: w.assign_add(tj.ones(LARGE, "float64")), []))
    run([])
    addresses = set()
    for n in range(1, 8):
        view = w.numpy()  # so that the buffer may not be written
        run([])
        np.testing.assert_array_equal(view, np.full(LARGE, float(n)))
        addresses.add(address_of(w.buffer))
        del view
    assert len(addresses) == 2
    held = []
    for n in range(8, 13):
        held.append((n, w.numpy()))
        run([])
    for n, view in held:
        np.testing.assert_array_equal(view, np.full(LARGE, float(n)))


def test_memory_that_is_too_large_is_given_back() -> None:
    small, large = (Recycled((count,), np.dtype(np.uint8)) for count in (100, 1 << 28))
    for memory, again in ((small, True), (large, False)):
        gone = weakref.ref(memory.take())
        assert (gone() is not None) == again
