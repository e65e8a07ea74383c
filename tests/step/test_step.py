"""Compiled steps: arguments, captures, guards, effects, fallback, and what must be right of the design's §4."""

import gc
import random
import re
import threading
import weakref

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, ConcretizationError, TapejitWarning
from tapejit.kernel.kernels import compilations

X = [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
Y = [-3.0, -1.0, 1.0, 3.0, 5.0, 7.0]


def strict(function):
    return tj.compile(function, strict=True)


# The line fit of the README

learning_rate = 0.001


def simple_loss(real_y, pred_y):
    return tj.abs(real_y - pred_y)


def make_fit(w, b):
    def fit_data(real_x, real_y):
        with tj.GradientTape(persistent=True) as tape:
            reg_loss = simple_loss(real_y, w * real_x + b)
        w.assign_sub(tape.gradient(reg_loss, w) * learning_rate)
        b.assign_sub(tape.gradient(reg_loss, b) * learning_rate)

    return fit_data


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((0.3, 0.1), (1.9939865, -1.0019997)),
        ((0.25, 0.75), (1.8289883, -0.4909989)),
        ((0.9, 0.5), (1.9839853, -0.9460003)),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_line_fit_gives_tensorflows_numbers(start, end, compiled):
    w, b = map(tj.Variable, start)
    step = make_fit(w, b)
    if compiled:
        step = strict(step)
    for _ in range(500):
        step(X, Y)
    assert float(w) == pytest.approx(end[0], abs=1e-6)
    assert float(b) == pytest.approx(end[1], abs=1e-6)


def test_a_changed_learning_rate_is_seen_and_costs_no_compilation(monkeypatch):
    w, b = tj.Variable(0.3), tj.Variable(0.1)
    step = strict(make_fit(w, b))
    step(X, Y)
    built = compilations()
    before = w.numpy().copy()
    monkeypatch.setitem(globals(), "learning_rate", 0.0)
    step(X, Y)
    assert w.numpy() == before
    monkeypatch.setitem(globals(), "learning_rate", 0.5)
    step(X, Y)
    assert w.numpy() != before
    assert compilations() == built
    assert step.report()["traces"] == 3
    assert "learning_rate: 0.001 → 0.0" in step.explain()


def test_a_redefined_helper_is_seen(monkeypatch):
    w = tj.Variable(2.0)
    step = strict(lambda x: simple_loss(x, w))
    assert float(step(5.0)) == 3.0
    monkeypatch.setitem(globals(), "simple_loss", lambda a, b: a + b)
    assert float(step(5.0)) == 7.0


def test_a_step_redefined_in_a_notebook_cell_runs_anew():
    cell = "import tapejit as tj\n@tj.compile(strict=True)\ndef step(x):\n    return x * {factor}\n"
    names = {}
    for factor in (2.0, 3.0):
        exec(compile(cell.format(factor=factor), "<cell>", "exec"), names)
        assert float(names["step"](tj.constant(1.0))) == factor
    exec(compile(cell.replace("*", "+").format(factor=4.0), "<cell>", "exec"), names)
    assert float(names["step"](tj.constant(1.0))) == 5.0


# Arguments


def test_arrays_numbers_nests_and_lists_are_run_time_inputs():
    step = strict(lambda batch, scale, rows: scale * batch["x"][0] + rows)
    first = step({"x": [np.ones(2), 3]}, 2.0, [[1.0, 2.0]])
    np.testing.assert_allclose(first.numpy(), [[3.0, 4.0]])
    second = step({"x": [np.full(2, 5.0), 3]}, -1.0, [[10.0, 20.0]])
    np.testing.assert_allclose(second.numpy(), [[5.0, 15.0]])
    assert step.report()["traces"] == 1


def test_keyword_arguments_and_defaults():
    def step(x, *, scale=2.0, shift=0.0):
        return x * scale + shift

    compiled = strict(step)
    x = np.arange(3.0)
    for kwargs in ({}, {"scale": 3.0}, {"shift": 1.0}, {"shift": 2.0, "scale": 0.5}):
        np.testing.assert_array_equal(compiled(x, **kwargs).numpy(), step(tj.constant(x), **kwargs).numpy())


def test_booleans_strings_none_and_tuples_of_ints_are_part_of_the_signature():
    def step(x, flag, mode, axes, missing=None):
        y = -x if flag else x
        y = y * 2 if mode == "double" else y
        return tj.sum(y, axis=axes) if missing is None else y

    compiled = strict(step)
    x = np.arange(6.0).reshape(2, 3)
    for args in (
        (True, "double", (0,)),
        (False, "double", (0,)),
        (True, "single", (0, 1)),
        (True, "double", (0,), "all"),
    ):
        np.testing.assert_array_equal(compiled(x, *args).numpy(), step(tj.constant(x), *args).numpy())
    assert compiled.report()["traces"] == 4


def test_an_int_used_as_a_value_becomes_part_of_the_signature():
    def step(x, n):
        for _ in range(n):
            x = x * 2
        return tj.reshape(x, (n, -1))

    compiled = strict(step)
    for n in (1, 2, 3, 2, 1):
        assert compiled(np.ones(6), n).shape == (n, 6 // n)
        np.testing.assert_array_equal(compiled(np.ones(6), n).numpy(), np.full((n, 6 // n), 2.0**n))
    assert compiled.report()["traces"] == 3


def test_more_than_eight_values_of_an_int_warn_once():
    step = tj.compile(lambda x, n: x * (2 if n > 5 else 1))
    with pytest.warns(TapejitWarning, match="traced 9 times") as caught:
        for n in range(12):
            step(np.ones(2), n)
    assert len(caught) == 1


def test_a_python_float_is_weak_and_keeps_its_precision():
    def step(x, rate, n):
        return x * (rate / n + 1 - rate**2)

    compiled = strict(step)
    x64, x32 = np.array([1.0, 3.0]), np.array([1.0, 3.0], np.float32)
    for x in (x64, x32):
        got = compiled(x, 0.1, 3)
        wanted = step(tj.constant(x), 0.1, 3)
        assert got.dtype == wanted.dtype == x.dtype
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=2 * np.finfo(x.dtype).eps)


def test_a_python_number_in_gives_a_python_number_out():
    step = strict(lambda x, rate: (x * rate, rate * 2, rate + 1 > 2))
    scaled, twice, larger = step(np.ones(2), 0.75)
    assert isinstance(scaled, tj.Tensor)
    assert type(twice) is float
    assert twice == 1.5
    assert larger is False


def test_another_shape_or_dtype_is_another_signature():
    step = strict(lambda x: tj.sum(x * x))
    for x in (np.ones(3), np.ones(4), np.ones(3, np.float32), np.ones((2, 2)), np.array(2.0), np.ones((0,))):
        result = step(x)
        assert result.dtype == x.dtype
        assert float(result) == np.sum(x * x)
    assert step.report()["traces"] == 6


def test_non_contiguous_read_only_and_byte_swapped_arguments():
    step = strict(lambda x: x * 2 + 1)
    base = np.arange(24.0).reshape(4, 6)
    frozen = base.copy()
    frozen.flags.writeable = False
    for x in (base[:, ::2], base.T, base[::-1], frozen, base.astype(">f8"), np.asfortranarray(base)):
        np.testing.assert_array_equal(step(x).numpy(), x * 2 + 1)
    large = np.arange(20000.0).reshape(100, 200)
    np.testing.assert_array_equal(step(large[:, ::3]).numpy(), large[:, ::3] * 2 + 1)


def test_unhashable_and_foreign_arguments():
    class Settings:
        __hash__ = None

        def __init__(self, factor):
            self.factor = factor

    step = strict(lambda x, settings: x * settings.factor)
    for factor in (1.0, 2.0, 3.0):
        assert float(step(np.array(1.0), Settings(factor))) == factor
    with pytest.raises(TypeError, match="dtype complex128"):
        step(np.ones(2, complex), None)


def test_a_variable_as_an_argument_that_is_captured_too():
    w = tj.Variable([1.0, 2.0])

    @strict
    def step(v):
        v.assign_add(w)
        w.assign_add(v)
        return w + v

    np.testing.assert_array_equal(step(w).numpy(), [8.0, 16.0])
    np.testing.assert_array_equal(w.numpy(), [4.0, 8.0])


# Captures


def test_captured_arrays_tensors_and_variables_are_inputs_by_reference():
    array, tensor, variable = np.array([1.0, 2.0]), tj.constant([10.0, 20.0]), tj.Variable([100.0, 200.0])
    step = strict(lambda: tj.sum(array * tensor * variable))
    assert float(step()) == 9000.0
    array[0] = 2.0
    assert float(step()) == 10000.0
    variable.assign([0.0, 1.0])
    assert float(step()) == 40.0
    assert step.report()["traces"] == 1


def test_a_non_contiguous_capture_is_seen_too():
    array = np.arange(6.0)
    view = array[::2]
    step = strict(lambda: tj.sum(view))
    assert float(step()) == 6.0
    array[2] = 10.0
    assert float(step()) == 14.0


def test_attributes_closures_defaults_and_keys_are_guarded():
    class Model:
        def __init__(self):
            self.w = tj.Variable(1.0)
            self.lr = 0.5

        @tj.compile(strict=True)
        def step(self, x):
            self.w.assign_sub(self.lr * x * config["scale"])
            return self.w.read_value()

    config = {"scale": 1.0}
    model = Model()
    assert float(model.step(1.0)) == 0.5
    model.lr = 0.25
    assert float(model.step(1.0)) == 0.25
    config["scale"] = 2.0
    assert float(model.step(1.0)) == -0.25
    assert float(Model().step(1.0)) == 0.0


def test_another_variable_under_the_same_name_is_seen():
    names = {"w": tj.Variable(1.0), "tj": tj}
    exec("def read(x):\n    return w * x", names)
    step = strict(names["read"])
    assert float(step(2.0)) == 2.0
    names["w"] = tj.Variable(10.0)
    assert float(step(2.0)) == 20.0


# Effects


def test_assignments_are_effects_in_program_order():
    a, b = tj.Variable(1.0), tj.Variable(10.0)

    @strict
    def step():
        a.assign_add(1.0)
        first = a.read_value()
        a.assign(a * 2)
        b.assign(a + b)
        a.assign(b)
        return first, a.read_value()

    assert tuple(map(float, step())) == (2.0, 14.0)
    assert (float(a), float(b)) == (14.0, 14.0)


def test_swapping_and_overlapping_updates():
    a, b = tj.Variable([1.0, 2.0, 3.0]), tj.Variable([4.0, 5.0, 6.0])

    @strict
    def step():
        old = a.read_value()
        a.assign(b)
        b.assign(old[::-1])

    for _ in range(2):
        step()
    np.testing.assert_array_equal(a.numpy(), [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(b.numpy(), [6.0, 5.0, 4.0])


@pytest.mark.parametrize("update", [lambda w: w[::-1], lambda w: w + w.T, lambda w: w @ w, lambda w: tj.roll(w, 1)])
def test_updates_that_read_elsewhere_than_they_write(update):
    start = np.arange(9.0).reshape(3, 3)
    eager, compiled = tj.Variable(start), tj.Variable(start)
    step = strict(lambda: compiled.assign(update(compiled)))
    for _ in range(3):
        eager.assign(update(eager))
        step()
        np.testing.assert_array_equal(compiled.numpy(), eager.numpy())


def test_a_value_that_someone_holds_never_changes():
    w = tj.Variable(np.arange(4.0))
    step = strict(lambda: w.assign_add(tj.ones(4, "float64")))
    step()
    before, array = w.read_value(), w.numpy()
    view = array[1:]
    kept = array.copy()
    for _ in range(3):
        step()
    np.testing.assert_array_equal(before.numpy(), kept)
    np.testing.assert_array_equal(array, kept)
    np.testing.assert_array_equal(view, kept[1:])
    np.testing.assert_array_equal(w.numpy(), kept + 3)


def test_the_variables_own_array_as_an_argument():
    w = tj.Variable(np.arange(3.0))
    step = strict(lambda x: w.assign(x + w[::-1]))
    for _ in range(3):
        wanted = w.numpy() + w.numpy()[::-1]
        step(w.numpy())
        np.testing.assert_array_equal(w.numpy(), wanted)


def test_a_residual_under_an_open_tape_outlives_a_step():
    w = tj.Variable(3.0)
    step = strict(lambda: w.assign(w * 10))
    step()
    w.assign(3.0)
    with tj.GradientTape() as tape:
        y = w * w
        step()
    assert float(tape.gradient(y, w)) == 6.0
    assert float(w) == 30.0


def test_variables_made_in_the_first_call_persist():
    class Momentum:
        def __init__(self):
            self.velocity = None

        def __call__(self, w, g):
            if self.velocity is None:
                self.velocity = tj.Variable(tj.zeros_like(g), trainable=False)
            self.velocity.assign(0.5 * self.velocity + g)
            w.assign_sub(self.velocity)

    w, optimizer = tj.Variable([1.0, 1.0]), Momentum()
    step = strict(lambda g: optimizer(w, g))
    for _ in range(3):
        step(np.ones(2, np.float32))
    np.testing.assert_allclose(w.numpy(), 1 - (1 + 1.5 + 1.75))
    np.testing.assert_allclose(optimizer.velocity.numpy(), 1.75)
    assert step.report()["traces"] == 1


def test_a_variable_made_at_each_call_falls_back():
    @tj.compile
    def step(x):
        v = tj.Variable([1.0, 2.0])
        v.assign_add(x)
        return v.read_value()

    with pytest.warns(TapejitWarning, match="makes a Variable"):
        first = step(np.ones(2, np.float32))
    for result in (first, step(np.ones(2, np.float32))):
        np.testing.assert_array_equal(result.numpy(), [2.0, 3.0])


def test_a_step_that_raises_leaves_variables_as_they_were():
    w = tj.Variable([1.0, 2.0])

    def step(x):
        w.assign_add([1.0, 1.0])
        return w @ x

    compiled = strict(step)
    with pytest.raises(ValueError, match="matmul"):
        compiled(np.ones((3, 2)))
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])
    compiled(np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(w.numpy(), [2.0, 3.0])


# Results


def test_results_may_be_nests_statics_variables_and_nothing():
    w = tj.Variable(1.0)

    def step(x):
        return {"loss": tj.sum(x), "parts": (x, [w, None, "done", 3])}

    result = strict(step)(np.ones(2))
    assert float(result["loss"]) == 2.0
    parts = result["parts"]
    np.testing.assert_array_equal(parts[0].numpy(), np.ones(2))
    assert parts[1][0] is w
    assert parts[1][1:] == [None, "done", 3]
    assert strict(lambda x: None)(1.0) is None


def test_results_are_fresh_each_time():
    step = strict(lambda x: x + 1)
    for n in (3, 5000):
        first = step(np.zeros(n))
        second = step(np.ones(n))
        assert first.numpy()[0] == 1.0
        assert second.numpy()[0] == 2.0


# What can't be compiled


def test_looking_at_a_value_falls_back_to_eager_with_one_warning():
    losses = []

    @tj.compile
    def step(x):
        loss = tj.sum(x * x)
        losses.append(float(loss))
        return loss

    with pytest.warns(TapejitWarning, match=r"test_step.py:\d+") as caught:
        for _ in range(3):
            assert float(step([1.0, 2.0])) == 5.0
    assert len(caught) == 1
    assert "Return it" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert losses == [5.0] * 3
    assert "float" not in str(step.report().get("loop_nests", ""))
    assert step.report()["eager_because"]


def test_strict_raises_instead():
    @tj.compile(strict=True)
    def step(x):
        return 1.0 if tj.sum(x) > 0 else 0.0

    with pytest.raises(CompileError, match="has none before the step runs"):
        step(np.ones(2))


@pytest.mark.parametrize("look", [lambda t: t.numpy(), float, lambda t: f"{t:.2f}", bool, lambda t: t.item(), str])
def test_every_way_of_looking_is_noticed(look):
    step = strict(lambda x: look(tj.sum(x)))
    with pytest.raises(CompileError):
        step(np.ones(2))


def test_a_draw_from_python_or_numpy_falls_back():
    generator = np.random.default_rng(1)
    for draw in (random.random, lambda: np.random.rand(), lambda: generator.normal()):  # noqa: NPY002
        step = tj.compile(lambda x, draw=draw: x * draw())
        with pytest.warns(TapejitWarning, match="draws a number"):
            step(1.0)
        assert float(step(np.array(1.0))) != float(step(np.array(1.0)))


def test_an_aborted_trace_leaves_variables_as_they_were():
    w = tj.Variable(1.0)

    @tj.compile
    def step():
        w.assign_add(1.0)
        float(w)

    with pytest.warns(TapejitWarning):
        step()
    assert float(w) == 2.0


def test_a_traced_tensor_kept_from_an_earlier_trace_is_an_error():
    kept = []
    step = strict(lambda x: kept.append(x) or x * 2)
    step(np.ones(2))
    with pytest.raises(ConcretizationError):
        kept[0].numpy()
    other = strict(lambda x: x + kept[0])
    with pytest.raises(CompileError, match="a trace that is over"):
        other(np.ones(2))


# Tapes and steps inside


def test_second_order_inside_a_step():
    def step(x):
        with tj.GradientTape() as outer:
            outer.watch(x)
            with tj.GradientTape() as inner:
                inner.watch(x)
                y = tj.sin(x) * x
            dy = inner.gradient(y, x)
        return outer.gradient(dy, x)

    x = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(strict(step)(x).numpy(), 2 * np.cos(x) - x * np.sin(x), atol=1e-14)


def test_a_step_inside_a_step_becomes_part_of_it():
    inner = strict(lambda x: tj.exp(x) * 2)
    outer = strict(lambda x: inner(x) + inner(x + 1))
    x = np.linspace(0, 1, 3)
    np.testing.assert_allclose(outer(x).numpy(), 2 * np.exp(x) + 2 * np.exp(x + 1))
    assert outer.source().count("exp") >= 2
    assert inner.report()["traces"] == 0


def test_eager_does_the_same_without_a_kernel():
    w = tj.Variable(1.0)
    step = strict(lambda x: w.assign_add(tj.sum(x)).read_value())
    assert float(step.eager([1.0, 2.0])) == 4.0
    assert step.report()["traces"] == 0


# Threads and memory


def test_many_threads_share_a_step():
    w = tj.Variable(np.zeros(3))
    step = strict(lambda x: w.assign_add(x))
    step(np.zeros(3))

    def work():
        for _ in range(200):
            step(np.ones(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(w.numpy(), np.full(3, 800.0))


def test_two_steps_that_share_a_variable_are_serialised():
    w = tj.Variable(np.zeros(2000))
    up = strict(lambda: w.assign_add(tj.ones(2000, "float64")))
    down = strict(lambda: w.assign_sub(tj.ones(2000, "float64")))
    up()
    down()
    torn = []

    def work(step):
        for _ in range(300):
            step()
            seen = w.numpy()
            if not np.all(seen == seen[0]):
                torn.append(seen)

    threads = [threading.Thread(target=work, args=(step,)) for step in (up, down)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    np.testing.assert_array_equal(w.numpy(), np.zeros(2000))


def test_a_dropped_step_is_gone():
    w = tj.Variable(1.0)
    step = tj.compile(lambda x: w * x)
    step(2.0)
    alive = weakref.ref(step)
    del step
    gc.collect()
    assert alive() is None


# What it says


def test_source_graph_and_report_of_the_line_fit():
    w, b = tj.Variable(0.3, name="w"), tj.Variable(0.1, name="b")
    step = strict(make_fit(w, b))
    with pytest.raises(CompileError, match="call it first"):
        step.source()
    step(X, Y)
    source = step.source()
    assert source.startswith("def fit_data(table, stage, lo, hi):")
    assert source.count("for ") == 1
    for name in ("real_x", "real_y", "w", "b", "learning_rate"):
        assert name in source
    report = step.report()
    assert report["loop_nests"] == 1
    assert report["matrix_products"] == 0
    assert report["intermediate_bytes"] == 0
    assert report["compilations"] + report["from_cache"] <= 1
    assert "assign w" in step.graph()
    assert "real_x: float32[6]" in step.explain()


def test_report_counts_bytes_and_flops():
    w = tj.Variable(np.zeros((64, 32), np.float32))
    step = strict(lambda x: w.assign_sub(0.1 * (x @ w)))
    report = step.lower(tj.TensorSpec((64, 64))).report()
    assert (report["matrix_products"], report["library_calls"]) == (1, 0)  # small enough to be computed in place
    assert report["flops"] == 2 * 64 * 64 * 32 + 2 * 64 * 32
    assert report["bytes_read"] == 4 * (64 * 64 + 64 * 32) + 4
    assert report["bytes_written"] == 4 * 64 * 32
    np.testing.assert_array_equal(w.numpy(), 0)
    large = strict(lambda x: x @ x).lower(tj.TensorSpec((1024, 1024))).report()
    assert (large["matrix_products"], large["library_calls"]) == (1, 1)


def test_lower_does_all_but_running():
    ran = []
    step = strict(lambda x, n: ran.append(n) or x * n)
    assert "float64[5]" in step.lower(np.ones(5), 2).source()
    assert "float32[7, 3]" in step.lower(tj.TensorSpec((7, 3)), 2).source()
    assert step.report()["traces"] == 2
    built = compilations()
    np.testing.assert_array_equal(step(np.ones((7, 3), np.float32), 2).numpy(), 2.0)
    assert compilations() == built
    assert len(ran) == 2
    eager = tj.compile(lambda x: float(x[0]))
    with pytest.warns(TapejitWarning), pytest.raises(CompileError, match="runs eagerly"):
        eager.lower(np.ones(2))


def test_a_set_of_tensors_names_the_way_out():
    with pytest.raises(TypeError, match=r"unhashable.*return tensors in a list or a tuple, not in a set.*test_step"):
        tj.compile(lambda x: {x})(np.ones(2))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("abc",), TypeError, "TensorSpec: a shape is made of ints, got 'abc'"),
        (((2, -1),), ValueError, "TensorSpec: negative length in shape (2, -1)"),
        (((2,), "float31"), TypeError, "TensorSpec: 'float31' is not a dtype"),
    ],
)
def test_a_specification_is_checked_when_it_is_made(arguments, error, words):
    with pytest.raises(error, match=re.escape(words) + r".* \(at .*test_step\.py:\d+\)$"):
        tj.TensorSpec(*arguments)
    assert tj.TensorSpec(3) == tj.TensorSpec((3,))
    assert tj.TensorSpec([2, 3], float) == tj.TensorSpec((2, 3), "float64")


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
def test_what_is_missing_of_an_eager_step_is_told_with_each_place_once():
    def step(x):
        return float(x[0])

    compiled = tj.compile(step)
    compiled(np.ones(2))
    with pytest.raises(CompileError) as caught:
        compiled.source()
    called, reason = str(caught.value).split("; it runs eagerly: ")
    assert called.startswith("step.source(): there is no kernel (at ")
    for part in (called, reason):
        assert part.count("(at ") == 1
        assert part.endswith(")")
