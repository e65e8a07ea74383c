"""`repeat` and `scan`: many steps in one call do what a loop of calls does, to the bit."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, IndexRangeError, ShapeError, TapejitWarning
from tapejit.kernel.driver import Program
from tapejit.pytree import flatten
from tapejit.step import loops
from tests.programs import STEPS
from tests.step.whole_programs import PROGRAMS

TIMES = 5


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


def arrays(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in flatten(tree)[0]]


def assert_stacked(found: Any, one_by_one: Sequence[Any]) -> None:
    """That `found` is the results of single calls, stacked, to the bit."""
    expected = [np.stack(column) for column in zip(*map(arrays, one_by_one), strict=True)]
    results = arrays(found)
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (wanted.shape, wanted.dtype)
        assert result.tobytes() == wanted.tobytes()


def assert_same_variables(one: Sequence[tj.Variable], other: Sequence[tj.Variable]) -> None:
    for left, right in zip(one, other, strict=True):
        assert left.numpy().tobytes() == right.numpy().tobytes()


@pytest.fixture
def in_the_driver(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each chunk was asked for."""
    counts: list[int] = []
    run = Program.run

    def counted(self: Program, count: int) -> int:
        counts.append(count)
        return run(self, count)

    monkeypatch.setattr(Program, "run", counted)
    return counts


# --- the same as a loop ---------------------------------------------------------------------------------------


def state_of(step: Any) -> list[tj.Variable]:
    return list(step._last.executable.variables)


@pytest.mark.parametrize("name", STEPS)
def test_repeating_and_scanning_are_loops_to_the_bit(name: str, in_the_driver: list[int]) -> None:
    program = STEPS[name]
    single, many = strict(program.bound()), strict(program.bound())
    draws = [program.draw(seed) for seed in range(TIMES)]
    assert_stacked(many.repeat(TIMES, *draws[0]), [single(*draws[0]) for _ in range(TIMES)])
    assert_same_variables(state_of(many), state_of(single))
    batches = [np.stack(batch) for batch in zip(*draws, strict=True)]
    assert_stacked(many.scan(*batches), [single(*draw) for draw in draws])
    assert_same_variables(state_of(many), state_of(single))
    assert_stacked(many.repeat(2, *draws[1]), [single(*draws[1]) for _ in range(2)])
    single(*draws[2])
    many(*draws[2])  # a call between loops: each has buffers of its own
    assert_stacked(many.repeat(3, *draws[1]), [single(*draws[1]) for _ in range(3)])
    single(*draws[2])
    many(*draws[2])
    assert_same_variables(state_of(many), state_of(single))
    assert sum(in_the_driver) == 2 * TIMES + 5


@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_programs_in_loops(name: str) -> None:
    single, many = PROGRAMS[name]("float64"), PROGRAMS[name]("float64")
    one, loop = strict(single.step), strict(many.step)
    rng = np.random.default_rng(3)
    arguments = single.arguments(rng)
    assert_stacked(loop.repeat(3, *arguments), [one(*arguments) for _ in range(3)])
    assert_same_variables(many.variables, single.variables)
    if arguments:
        draws = [single.arguments(rng) for _ in range(3)]
        batches = [np.stack([np.asarray(each) for each in batch]) for batch in zip(*draws, strict=True)]
        assert_stacked(loop.scan(*batches), [one(*draw) for draw in draws])
        assert_same_variables(many.variables, single.variables)


def test_results_keep_their_nest_and_what_is_no_tensor() -> None:
    w = tj.Variable([1.0, 2.0])

    @strict
    def step(x, scale):
        w.assign_add(x)
        return {"w": w.read_value(), "nothing": None, "words": "same", "pair": (tj.sum(w), [w]), "twice": scale * 2}

    found = step.repeat(3, np.ones(2, np.float32), 1.5)
    np.testing.assert_array_equal(found["w"], [[2, 3], [3, 4], [4, 5]])
    np.testing.assert_array_equal(found["pair"][0], [5, 7, 9])
    assert found["nothing"] is None
    assert found["words"] == "same"
    assert found["pair"][1] == [w]
    assert found["twice"] == 3.0
    assert type(found["twice"]) is float
    again = step.repeat(1, np.ones(2, np.float32), 1.5)
    assert again["w"].shape == (1, 2)


def test_lists_numbers_and_nests_are_scanned_by_rows() -> None:
    @strict
    def step(pair, scale, *, more):
        return pair["x"] * scale + pair["y"][0] + more

    x, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    found = step.scan({"x": x, "y": [tj.constant(y)]}, 2.0, more=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    more = np.array([[1, 2], [3, 4], [5, 6]])
    np.testing.assert_allclose(found, x * 2 + y[:, None] + more)
    assert step.report()["traces"] == 1


def test_rows_of_any_memory_layout() -> None:
    w = tj.Variable(np.zeros((30, 40)))

    @strict
    def step(x):
        w.assign(0.5 * w + x)
        return tj.sum(w, axis=0)

    x = np.random.default_rng(0).normal(size=(4, 30, 40))
    layouts = [x[::-1], x[::2].repeat(2, 0), np.asfortranarray(x), x.astype(">f8"), x.transpose(0, 2, 1).copy().mT]
    layouts.append(np.broadcast_to(x[0], x.shape))
    for rows in layouts:
        w.assign(np.zeros((30, 40)))
        found = step.scan(rows)
        w.assign(np.zeros((30, 40)))
        assert_stacked(found, [step(row) for row in rows])


def test_draws_of_a_generator_go_on() -> None:
    one, many = tj.random.Generator(5), tj.random.Generator(5)
    single, loop = strict(lambda: one.normal((3,))), strict(lambda: many.normal((3,)))
    assert_stacked(loop.repeat(4), [single() for _ in range(4)])
    np.testing.assert_array_equal(many.get_state(), one.get_state())


def test_captured_arrays_are_read_at_each_loop() -> None:
    held, strided = np.ones(3), np.ones(6)[::2]
    step = strict(lambda x: x + held + strided)
    step.repeat(2, 1.0)
    held += 1
    strided += 2
    np.testing.assert_array_equal(step.repeat(2, 1.0), np.full((2, 3), 6.0))


def test_numbers_that_are_read_by_name_are_looked_at_before_each_loop() -> None:
    rate = 1.0
    w = tj.Variable(0.0)

    @strict
    def step():
        w.assign_add(rate)

    step.repeat(3)
    rate = 10.0
    step.repeat(2)
    assert float(w) == 23.0
    assert step.report()["compilations"] + step.report()["from_cache"] == 1


def test_what_someone_holds_is_never_written() -> None:
    v, w = tj.Variable(np.arange(2000.0)), tj.Variable(np.arange(2000.0))

    @strict
    def step(x):
        v.assign_add(x)
        w.assign(w[::-1] + x)

    v_before, w_before = v.numpy(), w.read_value()
    for times in (1, 2, 3):
        step.repeat(times, v_before)  # an argument that is the variable's own buffer
        v_held, w_held = v.numpy(), w.numpy()
        copies = v_held.copy(), w_held.copy()
        step.repeat(times, np.ones(2000))
        np.testing.assert_array_equal(v_held, copies[0])
        np.testing.assert_array_equal(w_held, copies[1])
    np.testing.assert_array_equal(v_before, np.arange(2000))
    np.testing.assert_array_equal(w_before, np.arange(2000))
    np.testing.assert_array_equal(v.numpy(), 7 * np.arange(2000) + 6)


def test_results_of_one_loop_outlive_the_next() -> None:
    step = strict(lambda x: x * 2)
    first = step.scan(np.arange(4.0))
    step.scan(np.arange(4.0) + 1)
    np.testing.assert_array_equal(first, 2 * np.arange(4.0))


def test_an_argument_that_is_too_large() -> None:
    step = strict(lambda n: n + np.arange(2))
    step.repeat(2, 1)
    with pytest.raises(TypeError, match="pass a float"):
        step.repeat(2, 2**70)
    np.testing.assert_array_equal(step.repeat(2, 3), [[3, 4]] * 2)


# --- counts ---------------------------------------------------------------------------------------------------


def test_no_step_at_all() -> None:
    w = tj.Variable(3.0)

    @strict
    def step(x):
        w.assign_add(tj.sum(x))
        return w.read_value(), x * 2, None

    for found in (step.repeat(0, np.ones(4)), step.scan(np.ones((0, 4)))):
        assert [each.shape for each in found[:2]] == [(0,), (0, 4)]
        assert [each.dtype.name for each in found[:2]] == ["float32", "float64"]
        assert found[2] is None
    assert float(w) == 3.0
    assert float(step(np.ones(4))[0]) == 7.0


def test_counts_that_make_no_sense() -> None:
    step = strict(lambda x: x)
    with pytest.raises(ValueError, match="number of steps is -1"):
        step.repeat(-1, 2.0)
    with pytest.raises(TypeError):
        step.repeat(2.5, 2.0)


def test_rows_that_do_not_fit_name_the_argument_and_both_lengths() -> None:
    step = strict(lambda x, y: x + y["b"])
    with pytest.raises(ShapeError, match=r"argument y\['b'\] has 3 rows, argument x has 4"):
        step.scan(np.ones((4, 2)), {"b": np.ones((3, 2))})
    with pytest.raises(ShapeError, match=r"argument y\['b'\] has no axis"):
        step.scan(np.ones((4, 2)), {"b": np.array(1.0)})
    with pytest.raises(ShapeError, match="no argument is an array"):
        step.scan(1.0, {"b": 2.0})


def test_chunks_grow_and_end_at_the_last_step(in_the_driver: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(loops.time, "perf_counter", lambda: next(ticks) * 1e-6)  # each chunk takes a microsecond
    w = tj.Variable(0.0)
    step = strict(lambda: w.assign_add(1.0))
    step.repeat(1000)
    assert in_the_driver == [1, 16, 256, 727]
    assert float(w) == 1000
    monkeypatch.setattr(loops.time, "perf_counter", lambda: next(ticks) * 1.0)  # a second
    step.repeat(5000)
    assert in_the_driver[4:7] == [4096, 204, 10]
    assert float(w) == 6000


# --- failures -------------------------------------------------------------------------------------------------


def failing_step() -> tuple[Any, list[tj.Variable]]:
    first, turned, table, unread = (tj.Variable(np.arange(5.0)) for _ in range(4))

    @strict
    def step(i):
        first.assign_add(np.ones(5))
        turned.assign(turned[::-1])
        table.assign(table + tj.take(table, i, axis=0))
        unread.assign(tj.take(tj.constant(np.arange(5.0)), i, axis=0) + tj.ones(5, "float64"))
        return tj.sum(first)

    return step, [first, turned, table, unread]


@pytest.mark.parametrize("bad", range(5))
def test_a_step_that_fails_is_named_and_leaves_those_before_it(bad: int) -> None:
    index = np.tile(np.arange(5), (6, 1))
    index[bad, 2] = 9
    (many, held), (single, expected) = failing_step(), failing_step()
    with pytest.raises(IndexRangeError, match=rf"^step {bad}: indexing: index 9 is out of range.*nothing was assigned"):
        many.scan(index)
    for row in index[:bad]:
        single(row)
    assert_same_variables(held, expected)
    assert_stacked(many.scan(index[-1:]), [single(index[-1])])
    assert_same_variables(held, expected)


def test_a_singular_matrix_is_numpys_error() -> None:
    step = strict(tj.linalg.inv)
    with pytest.raises(np.linalg.LinAlgError, match=r"^step 2: .*singular"):
        step.scan(np.stack([np.eye(2), np.eye(2), np.ones((2, 2))]))


@pytest.mark.parametrize("when", ["in the steps", "in the variables"])
def test_interrupts_leave_a_whole_number_of_steps(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step, held = failing_step()
    index = np.arange(5)
    step.repeat(3, index)
    target, name = (Program, "run") if when == "in the steps" else (tj.Variable, "replace")
    original: Callable[..., Any] = getattr(target, name)
    calls = []

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        calls.append(name)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return result

    chunks: list[int] = []
    monkeypatch.setattr(target, name, interrupted)
    run = Program.run
    monkeypatch.setattr(Program, "run", lambda self, count: chunks.append(count) or run(self, count))
    with pytest.raises(KeyboardInterrupt):
        step.repeat(1001, index)
    monkeypatch.undo()
    twin, expected = failing_step()
    for _ in range(3 + sum(chunks)):
        twin(index)
    assert_same_variables(held, expected)
    assert_stacked(step.repeat(2, index), [twin(index), twin(index)])
    assert_same_variables(held, expected)


# --- what runs as a loop in Python ----------------------------------------------------------------------------


def test_an_eager_step_warns_once_and_does_the_same() -> None:
    w = tj.Variable(1.0)

    @tj.compile
    def step(x):
        w.assign_add(tj.sum(x))
        return w.read_value(), float(w) > 5, None, "word", float(w)

    with pytest.warns(TapejitWarning, match="runs eagerly") as caught:
        found = step.repeat(3, [1.0, 1.0])
    assert len(caught) == 1
    np.testing.assert_array_equal(found[0], [3, 5, 7])
    np.testing.assert_array_equal(found[1], [False, False, True])
    np.testing.assert_array_equal(found[4], [3, 5, 7])
    assert found[2:4] == (None, "word")
    found = step.scan([[1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_array_equal(found[0], [9, 13])
    with pytest.raises(CompileError, match="runs eagerly"):
        step.repeat(0, [1.0])


def test_results_that_can_not_be_stacked() -> None:
    step = tj.compile(lambda x: ("large" if float(x) > 1 else "small",))
    with pytest.warns(TapejitWarning), pytest.raises(TypeError, match="'small' in step 0 and 'large' in step 1"):
        step.scan([0.0, 2.0])
    other = tj.compile(lambda x: (x, x) if float(x) > 1 else [x])
    with pytest.warns(TapejitWarning), pytest.raises(ShapeError, match="step 1 returns another nest"):
        other.scan([0.0, 2.0])


def test_an_exception_of_the_users_says_in_which_step() -> None:
    def refuse(x):
        if x[0] > 1:
            raise LookupError("too large")
        return x

    step = strict(lambda x: tj.numpy_function(refuse, x, shape=(2,), dtype="float64"))
    with pytest.raises(LookupError, match="too large") as raised:
        step.scan(np.arange(6.0).reshape(3, 2))
    assert raised.value.__notes__ == ["in step 1 of 3"]


def test_a_split_step() -> None:
    w = tj.Variable(np.ones(2))

    @strict
    def step(x):
        w.assign(w + tj.numpy_function(np.sort, x, shape=(2,), dtype="float64"))
        return tj.sum(w)

    np.testing.assert_array_equal(step.scan(np.array([[2.0, 1.0], [4.0, 3.0]])), [5, 12])
    np.testing.assert_array_equal(step.repeat(2, np.array([1.0, 0.0])), [13, 14])
    assert step.repeat(0, np.array([1.0, 0.0])).shape == (0,)


def test_a_flag_that_is_set_once_costs_one_eager_step() -> None:
    class Model:
        ready = False

    model, ran = Model(), []

    @tj.compile
    def step(x):
        if not model.ready:
            model.ready = True
            ran.append("first")
        return x + 1

    np.testing.assert_array_equal(step.repeat(3, 1.0), 2.0)
    assert model.ready
    np.testing.assert_array_equal(step.repeat(3, np.ones(1)), [[2.0]] * 3)


def test_variables_that_the_first_step_makes() -> None:
    slots: list[tj.Variable] = []
    w = tj.Variable([1.0, 2.0])

    @strict
    def step(x):
        if not slots:
            slots.append(tj.Variable(tj.zeros_like(w)))
        slots[0].assign(0.5 * slots[0] + x)
        w.assign_sub(slots[0])
        return w.read_value()

    found = step.repeat(3, np.ones(2, np.float32))
    np.testing.assert_array_equal(found, [[0, 1], [-1.5, -0.5], [-3.25, -2.25]])


def test_tapes_follow_the_steps() -> None:
    w = tj.Variable(2.0)
    step = strict(lambda x: w * x * x)
    x = tj.constant([1.0, 2.0, 3.0])
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        scanned = step.scan(x)
        repeated = step.repeat(3, x[1])
    np.testing.assert_array_equal(scanned, [2, 8, 18])
    np.testing.assert_array_equal(tape.gradient(scanned, x), [4, 8, 12])
    np.testing.assert_array_equal(tape.gradient(scanned, w), 14)
    np.testing.assert_array_equal(tape.gradient(repeated, x), [0, 24, 0])


def test_a_loop_inside_of_a_step_becomes_part_of_it() -> None:
    w = tj.Variable(1.0)

    @strict
    def inner(x):
        w.assign(w * x)
        return w.read_value()

    outer = strict(lambda xs: (inner.scan(xs), inner.repeat(2, 3.0)))
    scanned, repeated = outer(np.array([1.0, 2.0, 3.0], np.float32))
    np.testing.assert_array_equal(scanned, [1, 2, 6])
    np.testing.assert_array_equal(repeated, [18, 54])


def test_a_compiled_method() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = tj.Variable(1.0)

        @tj.compile(strict=True)
        def step(self, x):
            self.w.assign_add(x)
            return self.w.read_value()

    np.testing.assert_array_equal(Model().step.repeat(3, 2.0), [3, 5, 7])


# --- threads --------------------------------------------------------------------------------------------------


def test_loops_in_many_threads_lose_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "CHUNK_SECONDS", 0.0)  # one step a chunk
    total, turned = tj.Variable(np.zeros(3)), tj.Variable(np.arange(3.0))

    @strict
    def step(x):
        total.assign_add(x)
        turned.assign(turned[::-1] + x)
        return tj.sum(x)

    step(np.zeros(3))
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(4):
                np.testing.assert_array_equal(step.repeat(10, np.full(3, float(n))), np.full(10, 3.0 * n))
                np.testing.assert_array_equal(step.scan(np.full((5, 3), float(n))), np.full(5, 3.0 * n))
                step(np.full(3, float(n)))
        except BaseException as error:  # noqa: BLE001 (reported below)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failed
    np.testing.assert_array_equal(total.numpy(), np.full(3, 4 * 16.0 * (0 + 1 + 2 + 3)))
    np.testing.assert_array_equal(turned.numpy() - total.numpy(), [2, 1, 0])  # after an odd number of turns
