"""Calls that are made often: what the machine code before the kernel takes, and what it leaves to Python."""

import gc
import signal
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import config
from tapejit.errors import DtypeError, IndexRangeError
from tapejit.kernel import plans
from tapejit.kernel.executable import QUICK
from tapejit.variable import AT_WORK

SMALL, LARGE = 6, QUICK
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
WARM = 5


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapejit.step.routes.ENTRY_AFTER", 2)


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


def warm(step: Any, *args: Any, **kwargs: Any) -> Any:
    """The step after some calls, so that it has an entry."""
    for _ in range(WARM):
        step(*args, **kwargs)
    assert step._entry is not None
    return step


class Python:
    """Whether calls run Python beyond `CompiledStep.__call__`: the entry did not take them."""

    def __init__(self, step: Any) -> None:
        self._step = step
        self._names: list[str] = []

    def _note(self, frame: Any, event: str, _: Any) -> None:
        if event == "call":
            self._names.append(frame.f_code.co_name)

    def saw(self, *args: Any, **kwargs: Any) -> bool:
        self._names = []
        gc.disable()  # a collection may call finalizers
        sys.setprofile(self._note)
        try:
            self._step(*args, **kwargs)
        finally:
            sys.setprofile(None)
            gc.enable()
        return "follow" in self._names


# --- what it takes --------------------------------------------------------------------------------------------

GLOBAL_RATE = 0.5
GLOBAL_ARRAY = np.arange(3.0)


def reads_globals(x: Any) -> Any:
    return x * GLOBAL_RATE + GLOBAL_ARRAY


def reads_a_closure() -> Any:
    w, rate = tj.Variable(np.ones(3)), 0.5

    def loss(x: Any) -> Any:
        return x * rate

    return strict(lambda x: w.assign_sub(loss(x)))


TAKEN: dict[str, tuple[Callable[[], Any], Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]]] = {
    "arrays": (lambda: strict(lambda x, y: x * y), lambda: ((np.ones(6), np.ones((2, 1, 6), np.float32)), {})),
    "an array without axes": (lambda: strict(lambda x: x * 2), lambda: ((np.array(2.0),), {})),
    "an empty array": (lambda: strict(tj.sum), lambda: ((np.zeros((0, 3)),), {})),
    "tensors": (lambda: strict(lambda x: x * 2), lambda: ((tj.constant([1.0, 2.0]),), {})),
    "numbers": (lambda: strict(lambda x, y: x * y), lambda: ((2.0, 3), {})),
    "NumPy numbers": (
        lambda: strict(lambda *numbers: sum(tj.astype(n, "float64") for n in numbers)),
        lambda: ((np.float32(2), np.float64(3), np.int8(4), np.uint64(5), np.bool_(True)), {}),
    ),
    "lists": (lambda: strict(lambda x: x * 2), lambda: (([1.0, 2.0],), {})),
    "keywords": (lambda: strict(lambda x, *, rate: x * rate), lambda: ((np.ones(6),), {"rate": 0.5})),
    "statics": (lambda: strict(lambda x, *more: x * len(more)), lambda: ((np.ones(6), True, None, "word"), {})),
    "arguments that are not read": (lambda: strict(lambda x, y: x * 2), lambda: ((2.0, np.ones(3)), {})),
    "no arguments": (lambda: strict(lambda: tj.ones(3) * 2), lambda: ((), {})),
    "globals": (lambda: strict(reads_globals), lambda: ((np.ones(3),), {})),
    "closures": (reads_a_closure, lambda: ((np.ones(3),), {})),
}


@pytest.mark.parametrize(("make", "arguments"), TAKEN.values(), ids=TAKEN)
def test_a_frequent_call_runs_no_python(make: Any, arguments: Any) -> None:
    step = make()
    args, kwargs = arguments()
    warm(step, *args, **kwargs)
    args, kwargs = arguments()  # equal, and not the same
    assert not Python(step).saw(*args, **kwargs)


RESULTS: dict[str, Callable[[Any], Any]] = {
    "one": lambda x: x * 2,
    "a tuple": lambda x: (x * 2, tj.sum(x)),
    "a tuple of one": lambda x: (x * 2,),
    "a list": lambda x: [x * 2, tj.sum(x)],
    "a nest": lambda x: {"a": x * 2, "b": (None, [tj.sum(x), "word"])},
    "nothing": lambda x: None,
    "constants": lambda x: ("word", None, 3),
    "many": lambda x: tuple(x * n for n in range(64)),
    "too many": lambda x: tuple(x * n for n in range(65)),
}


def shown(tree: Any) -> Any:
    if isinstance(tree, (tuple, list)):
        return type(tree)(map(shown, tree))
    if isinstance(tree, dict):
        return {key: shown(value) for key, value in tree.items()}
    return (type(tree), tree.dtype, tree.numpy().tolist()) if isinstance(tree, tj.Tensor) else tree


@SIZES
@pytest.mark.parametrize("function", RESULTS.values(), ids=RESULTS)
def test_results_are_those_of_an_eager_call(function: Any, size: int) -> None:
    x = np.arange(float(size)) if function is not RESULTS["too many"] else np.arange(3.0)
    step = strict(function)
    for n in range(WARM):
        x[0] = n
        assert shown(step(x)) == shown(step.eager(x))


def test_results_are_tensors_like_any_other() -> None:
    step = warm(strict(lambda x: x * 2), np.ones(3))
    first, second = step(np.ones(3)), step(np.ones(3))
    made = tj.ones(3, "float64") * 2
    assert type(first) is type(made)
    assert all(getattr(type(first), "__slots__", ())) == all(getattr(type(made), "__slots__", ()))
    assert len({first.key, second.key, made.key}) == 3
    assert type(first.key) is int
    assert sys.getrefcount(first) == sys.getrefcount(made)
    assert sys.getrefcount(first.array) == sys.getrefcount(made.array)
    assert gc.is_tracked(first) == gc.is_tracked(made)
    gone = weakref.ref(first), weakref.ref(first.array)
    del first
    assert [reference() for reference in gone] == [None, None]
    with tj.GradientTape() as tape:
        tape.watch(second)
        y = second * second
    np.testing.assert_array_equal(tape.gradient(y, second).numpy(), np.full(3, 4.0))


def test_a_tensor_has_no_attribute_that_the_machine_code_does_not_set() -> None:
    assert set(tj.Tensor.__slots__) == {"__weakref__", "array", "key"}
    assert not any(getattr(base, "__slots__", ()) for base in tj.Tensor.__mro__[1:-1])


# --- what it leaves to Python ---------------------------------------------------------------------------------


class Labelled(np.ndarray):
    """A subclass that computes as arrays do."""


def misaligned() -> np.ndarray:
    view = np.zeros(49, np.uint8)[1:].view(np.float64)
    view[...] = 1.0
    return view


OTHER_ARRAYS: dict[str, Callable[[], Any]] = {
    "shape": lambda: np.ones(7),
    "axes": lambda: np.ones((6, 1)),
    "dtype": lambda: np.ones(6, np.float32),
    "a dtype of the same size": lambda: np.ones(6, np.int64),
    "byte order": lambda: np.ones(6, ">f8"),
    "strides": lambda: np.ones(12)[::2],
    "alignment": misaligned,
    "subclass": lambda: np.ones(6).view(Labelled),
    "tensor": lambda: tj.ones(6, "float64"),
    "list": lambda: [1.0] * 6,
    "number": lambda: 1.0,
    "variable": lambda: tj.Variable(np.ones(6)),
    "None": lambda: None,
}


@pytest.mark.parametrize("other", OTHER_ARRAYS.values(), ids=OTHER_ARRAYS)
def test_another_array_is_seen(other: Any) -> None:
    step = warm(strict(lambda x: x * 2 if x is not None else None), np.full(6, 3.0))
    for argument in (other(), np.full(6, 3.0), other(), other(), other(), other()):
        assert shown(step(argument)) == shown(step.eager(argument))


@pytest.mark.parametrize(
    "other",
    [[1.0] * 5, [1.0] * 7, [], [1.0, 2.0, 3], [1, 2, 3], [True, 1.0, 2.0], [[1.0], [2.0], [3.0]], (1.0, 2.0, 3.0)],
)
def test_another_list_is_seen(other: Any) -> None:
    step = warm(strict(lambda x: tj.asarray(x) * 2), [1.0, 2.0, 3.0])
    for argument in (other, [2.0, 3.0, 4.0], other):
        assert shown(step(argument)) == shown(step.eager(argument))


def test_a_list_that_changed_is_read_again() -> None:
    numbers = [1.0, 2.0, 3.0]
    step = warm(strict(lambda x: x * 2), numbers)
    numbers[1] = 5.0
    assert step(numbers).tolist() == [2.0, 10.0, 6.0]
    numbers.append(7.0)
    assert step(numbers).tolist() == [2.0, 10.0, 6.0, 14.0]


@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_lists_become_what_floats_become(floatx: Any) -> None:
    with tj.using_floatx(floatx):
        step = strict(lambda x: x * 2)
        for _ in range(WARM):
            assert (
                step([0.1, np.inf, -np.inf, -0.0]).numpy().tobytes()
                == step.eager([0.1, np.inf, -np.inf, -0.0]).numpy().tobytes()
            )
        assert np.isnan(step([np.nan] * 4).numpy()).all()


def test_another_floatx_is_seen() -> None:
    step = warm(strict(lambda x: x * 2), [1.0, 2.0])
    with tj.using_floatx("float64"):
        assert step([1.0, 2.0]).dtype == np.float64
    assert step([1.0, 2.0]).dtype == np.float32
    tj.set_floatx("float64")
    try:
        assert step([1.0, 2.0]).dtype == np.float64
    finally:
        tj.set_floatx("float32")
    assert step([1.0, 2.0]).dtype == np.float32


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_floats_that_float32_does_not_hold() -> None:
    step = warm(strict(lambda x: x * 2), [1.0, 2.0])
    for numbers in ([1e300, 1.0], [1e-300, 1.0], [3.5e38, 1.0]):
        assert shown(step(numbers)) == shown(step.eager(numbers))


NUMBERS: list[Any] = [
    2.0,
    2,
    True,
    np.float32(2),
    np.float64(2),
    np.int64(2),
    np.int8(2),
    -(2**63),
    2**63 - 1,
    float("nan"),
]


@pytest.mark.filterwarnings("ignore:.*was traced")
@pytest.mark.parametrize("first", NUMBERS, ids=repr)
def test_numbers_keep_their_type_and_bits(first: Any) -> None:
    step = strict(lambda n: (n, tj.asarray(n) * 2))
    for number in (*[first] * WARM, *NUMBERS, first):
        found, wanted = step(number), step.eager(number)
        assert type(found[0]) is type(wanted[0]) or isinstance(number, np.generic)
        np.testing.assert_equal(np.asarray(found[0]), np.asarray(wanted[0]))
        assert found[1].dtype == wanted[1].dtype
        np.testing.assert_equal(found[1].numpy(), wanted[1].numpy())


def test_an_int_that_is_too_large_is_refused_as_before() -> None:
    step = warm(strict(lambda x, n: x * n), np.ones(2), 3)
    for _ in range(3):
        with pytest.raises(
            DtypeError, match=r"an argument is 1267650600228229401496703205376, which int64 can't hold.*test_entries"
        ):
            step(np.ones(2), 2**100)
    assert step(np.ones(2), 4).tolist() == [4.0, 4.0]


@pytest.mark.filterwarnings("ignore:.*was traced")
def test_other_ways_to_call_are_seen() -> None:
    step = warm(strict(lambda x, y=2.0, *, flag=True: x * y + (1 if flag else 0)), np.ones(2), 3.0)
    x = np.ones(2)
    for args, kwargs, wanted in (
        ((x,), {}, 3.0), ((x, 3.0), {}, 4.0), ((x,), {"y": 4.0}, 5.0), ((), {"x": x, "y": 4.0}, 5.0),
        ((), {"y": 4.0, "x": x}, 5.0), ((x, 3.0), {"flag": False}, 3.0), ((x, 3.0), {"flag": True}, 4.0),
    ):  # fmt: skip
        for _ in range(WARM):
            np.testing.assert_array_equal(step(*args, **kwargs).numpy(), np.full(2, wanted))
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        step(x, 3.0, other=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        step()


def test_a_step_alternates_between_several_kinds_of_calls() -> None:
    step = strict(lambda x: x * 2)
    kinds = [np.ones(3), np.ones(4), [1.0, 2.0], 3.0]
    for _ in range(3 * WARM):
        for argument in kinds:
            assert shown(step(argument)) == shown(step.eager(argument))
    assert step.report()["traces"] == 4
    assert step._counts.looked_up == 4
    assert all(not Python(step).saw(argument) for argument in kinds if not Python(step).saw(argument))


# --- guards ---------------------------------------------------------------------------------------------------


def test_a_global_that_changed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    step = warm(strict(reads_globals), np.ones(3))
    for rate in (0.25, 0.5, 2, True):
        monkeypatch.setitem(globals(), "GLOBAL_RATE", rate)
        np.testing.assert_array_equal(step(np.ones(3)).numpy(), rate + np.arange(3.0))
    GLOBAL_ARRAY[0] = 7.0
    try:
        assert step(np.ones(3)).tolist() == [8.0, 2.0, 3.0]
    finally:
        GLOBAL_ARRAY[0] = 0.0
    monkeypatch.setitem(globals(), "GLOBAL_ARRAY", np.arange(3.0) + 1)
    assert step(np.ones(3)).tolist() == [2.0, 3.0, 4.0]
    monkeypatch.delitem(globals(), "GLOBAL_ARRAY")
    with pytest.raises(NameError, match="GLOBAL_ARRAY"):
        step(np.ones(3))


def test_an_equal_number_that_is_another_object_is_taken_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    step = warm(strict(reads_globals), np.ones(3))
    monkeypatch.setitem(globals(), "GLOBAL_RATE", float("0.5"))
    for _ in range(WARM):
        assert step(np.ones(3)).tolist() == [0.5, 1.5, 2.5]
    assert not Python(step).saw(np.ones(3))
    assert step.report()["traces"] == 1


def test_cells_functions_and_code_that_changed_are_seen() -> None:
    rate = 0.5

    def loss(x: Any) -> Any:
        return x * rate

    def other(x: Any) -> Any:
        return x + rate

    step = warm(strict(lambda x: loss(x) + 0), np.ones(2))
    rate = 3.0
    assert step(np.ones(2)).tolist() == [3.0, 3.0]
    warm(step, np.ones(2))
    kept, loss.__code__ = loss.__code__, other.__code__
    assert step(np.ones(2)).tolist() == [4.0, 4.0]
    loss.__code__ = kept
    assert step(np.ones(2)).tolist() == [3.0, 3.0]
    loss = other
    assert step(np.ones(2)).tolist() == [4.0, 4.0]


class Model:
    """A step as a method, with numbers among its attributes."""

    def __init__(self) -> None:
        self.rate = 0.5
        self.settings = {"scale": 2.0}
        self.w = tj.Variable(np.ones(3))

    @tj.compile(strict=True)
    def step(self, x: Any) -> Any:
        return x * self.w * self.rate * self.settings["scale"]


def test_attributes_and_items_that_changed_are_seen() -> None:
    model = Model()
    step = warm(model.step, np.ones(3))
    assert model.step is step
    model.rate = 1.0
    assert step(np.ones(3)).tolist() == [2.0] * 3
    warm(step, np.ones(3))
    model.settings["scale"] = 3.0
    assert step(np.ones(3)).tolist() == [3.0] * 3
    warm(step, np.ones(3))
    model.w = tj.Variable(np.full(3, 2.0))
    assert step(np.ones(3)).tolist() == [6.0] * 3
    del model.settings["scale"]
    with pytest.raises(KeyError, match="scale"):
        step(np.ones(3))


def test_an_entry_keeps_no_arguments_and_nothing_that_is_only_guarded() -> None:
    class Thing:
        pass

    thing = Thing()
    namespace: dict[str, Any] = {"thing": thing, "tj": tj}
    exec("def function(x):\n    return x * 2 if thing is not None else x", namespace)
    step = warm(strict(namespace["function"]), np.ones(3))
    x = np.ones(3)
    step(x)
    gone = weakref.ref(x), weakref.ref(thing)
    del x, thing
    namespace["thing"] = 5
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert step(np.ones(3)).tolist() == [2.0] * 3


def test_a_step_that_is_gone_takes_its_entry_along() -> None:
    w = tj.Variable(np.ones(3))

    def made() -> Any:
        step = warm(strict(lambda x: (w.assign(w[::-1] * x), tj.sum(w))), np.ones(3))
        return weakref.ref(step), weakref.ref(step._last.executable)

    gone = made()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_tapes_and_steps_around_are_seen() -> None:
    step = warm(strict(lambda x: x * x), tj.constant([1.0, 2.0]))
    x = tj.constant([3.0, 4.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    assert tape.gradient(y, x).tolist() == [6.0, 8.0]
    outer = strict(lambda x: step(x) + 1)
    assert outer(x).tolist() == [10.0, 17.0]
    assert not Python(step).saw(x)


# --- variables ------------------------------------------------------------------------------------------------


@SIZES
@pytest.mark.parametrize("turned", [False, True], ids=["in place", "to another buffer"])
def test_what_anyone_holds_of_a_variable_never_changes(size: int, turned: bool) -> None:
    w = tj.Variable(np.arange(float(size)))
    step = warm(strict(lambda x: (w.assign(w[::-1] + x) if turned else w.assign(w + x), None)[1]), 1.0)
    wanted = w.numpy().copy()
    held = []
    for turn in range(24):
        if turn % 5 == 0:
            held.append((w.numpy(), w.read_value(), tj.reshape(w, (1, -1)), wanted.copy()))
        if turn % 7 == 0:
            w.assign(wanted * 2)
            wanted = wanted * 2
        assert not Python(step).saw(1.0)
        wanted = (wanted[::-1] if turned else wanted) + 1.0
        for view, tensor, reshaped, then in held:
            np.testing.assert_array_equal(view, then)
            np.testing.assert_array_equal(tensor.numpy(), then)
            np.testing.assert_array_equal(reshaped.numpy()[0], then)
        if turn % 4 == 0:
            np.testing.assert_array_equal(w.numpy(), wanted)
    np.testing.assert_array_equal(w.numpy(), wanted)


@SIZES
def test_an_array_that_a_variable_was_given_is_not_written(size: int) -> None:
    given = np.ones(size)
    for value in (given, given[:], tj.constant(given), tj.asarray(given)[:]):
        w = tj.Variable(np.zeros(size))
        step = warm(strict(lambda x, w=w: w.assign(w + x)), given)
        w.assign(value)
        for _ in range(3):
            step(given)
        np.testing.assert_array_equal(w.numpy(), np.full(size, 4.0))
        np.testing.assert_array_equal(np.asarray(value), np.ones(size))
        np.testing.assert_array_equal(given, np.ones(size))


@SIZES
def test_steps_that_share_a_variable_take_turns_with_eager_code(size: int) -> None:
    w = tj.Variable(np.zeros(size))
    adding = warm(strict(lambda x: w.assign(w + x)), 1.0)
    turning = warm(strict(lambda: w.assign(w[::-1] * 2.0)))
    w.assign(np.arange(float(size)))
    wanted = np.arange(float(size))
    for turn in range(30):
        adding(1.0)
        wanted = wanted + 1.0
        if turn % 3 == 0:
            turning()
            wanted = wanted[::-1] * 2.0
        if turn % 4 == 0:
            w.assign_sub(w / 2)
            wanted = wanted - wanted / 2
        if turn % 5 == 0:
            np.testing.assert_array_equal(w.numpy(), wanted)
    np.testing.assert_array_equal(w.numpy(), wanted)


@pytest.mark.parametrize("line", range(1, 9))
def test_a_quick_call_between_any_two_lines_of_a_read_or_an_assignment(line: int) -> None:
    w = tj.Variable(np.zeros(SMALL))
    enter = warm(strict(lambda x: w.assign(w + x)), 1.0)._entry
    lines = 0

    def tracer(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_name in {"expose", "replace"}:
            lines = lines + 1 if event == "line" else 0
            if lines == line:
                enter(1.0)
        return tracer

    held = []
    for turn in range(6):
        given = np.full(SMALL, 100.0 * turn)
        sys.settrace(tracer)
        try:
            if turn % 2:
                w.assign(tj.constant(given) if turn % 3 else given)
            read, view = w.read_value(), w.numpy()
        finally:
            sys.settrace(None)
        held += [(array, np.array(array)) for array in (given, read, view)]
        np.testing.assert_array_equal(given, 100.0 * turn)
        for _ in range(3):
            assert enter(1.0) is not plans.MISSED
        for array, then in held:
            np.testing.assert_array_equal(np.asarray(array), then)


def test_a_variable_that_is_an_argument_too() -> None:
    w = tj.Variable(np.ones(SMALL))
    step = warm(strict(lambda v, x: v.assign_sub(x * w)), w, w.numpy())
    before = w.numpy()
    x = before.copy()
    step(w, before)
    np.testing.assert_array_equal(before, x)
    np.testing.assert_array_equal(w.numpy(), x - x * x)
    other = tj.Variable(np.ones(SMALL))
    step(other, x)
    np.testing.assert_array_equal(other.numpy(), 1 - x * (x - x * x))


@SIZES
def test_a_failed_check_assigns_nothing(size: int) -> None:
    w, turned = tj.Variable(np.zeros(size)), tj.Variable(np.arange(float(size)))
    table = tj.constant(np.arange(float(size)))

    @strict
    def step(i):
        turned.assign(turned[::-1])
        w.assign_add(tj.take(table, i, axis=0))
        return tj.sum(w), w * 2

    good, bad = np.zeros(size, np.int64), np.full(size, size)
    warm(step, good)
    before, kept = w.numpy().copy(), turned.numpy().copy()
    for _ in range(3):
        with pytest.raises(IndexRangeError, match=rf"index {size} is out of range.*nothing was assigned.*test_entries"):
            step(bad)
        np.testing.assert_array_equal(w.numpy(), before)
        np.testing.assert_array_equal(turned.numpy(), kept)
    _, doubled = step(good + 1)
    np.testing.assert_array_equal(w.numpy(), before + 1)
    np.testing.assert_array_equal(doubled.numpy(), (before + 1) * 2)
    np.testing.assert_array_equal(turned.numpy(), kept[::-1])


def test_random_draws_go_on() -> None:
    one, other = tj.random.Generator(3), tj.random.Generator(3)
    step = strict(lambda x: x + one.normal((4,)))
    for _ in range(3 * WARM):
        assert step(0.0).tolist() == other.normal((4,)).tolist()
    assert not Python(step).saw(0.0)


# --- memory ---------------------------------------------------------------------------------------------------


@SIZES
def test_a_frequent_call_allocates_its_results_only(size: int) -> None:
    w, turned = tj.Variable(np.ones(size)), tj.Variable(np.ones(size))

    @strict
    def step(x):
        w.assign_sub(x * 0.5)
        turned.assign(turned[::-1] + x)
        return tj.sum(w), x * 2

    x = np.ones(size)
    results = [step(x) for _ in range(2 * WARM)]
    results = results[-1:]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        results.append(step(x))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 8 * size + 1000
    assert peak - before < 8 * size + 1500


def test_calls_leave_no_references_behind() -> None:
    w, turned = tj.Variable(np.ones(3)), tj.Variable(np.ones(3))

    @strict
    def step(x, n, numbers, flag):
        turned.assign(turned[::-1] * x)
        w.assign_add(x)
        return w * 1.0, n * 2, (tj.sum(numbers), None)

    x, numbers, n, flag = np.ones(3), [1.5, 2.5], 3000, "word"
    warm(step, x, n, numbers, flag)
    watched = [x, numbers, n, flag, numbers[0], None, True, False, w, turned, tj.Tensor, np.ndarray, plans.MISSED]
    with tj.GradientTape():  # so that the other objects exist already
        step(x, n, numbers, flag)
    missing = (np.ones(4, np.float32)[::2], n, numbers, flag)
    before = [sys.getrefcount(thing) for thing in watched]
    for turn in range(2000):
        step(x, n, numbers, flag)
        if turn % 10 == 0:
            w.numpy()
            turned.numpy()
            assert plans.MISSED is step._entry(*missing)
    after = [sys.getrefcount(thing) for thing in watched]
    assert max(abs(now - then) for now, then in zip(after, before, strict=True)) < 50


# --- threads and interruptions --------------------------------------------------------------------------------


def together(*functions: Any) -> list[BaseException]:
    raised: list[BaseException] = []

    def run(function: Any) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 (reported by the caller)
            raised.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    return raised


@pytest.fixture
def _often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@SIZES
@pytest.mark.usefixtures("_often")
def test_threads_lose_no_update_and_see_no_half_step(size: int) -> None:
    a, b = tj.Variable(np.zeros(size)), tj.Variable(np.zeros(size))

    def both() -> None:
        a.assign_add(np.ones(size))
        b.assign(b[::-1] + 1.0)

    steps = [strict(both), strict(lambda: (b.assign_add(np.ones(size)), a.assign(a[::-1] + 1.0), None)[2])]
    look = strict(lambda: (tj.min(a - b), tj.max(a - b)))
    for step in (*steps, look):
        warm(step)
    start = float(a.numpy()[0])
    count = 300 if size == SMALL else 40

    def work(step: Any) -> None:
        for _ in range(count):
            step()

    def watch() -> None:
        for _ in range(count):
            assert tuple(map(float, look())) == (0.0, 0.0)
            a.numpy()

    assert together(*[lambda step=step: work(step) for step in (*steps, *steps)], watch, watch) == []
    np.testing.assert_array_equal(a.numpy(), np.full(size, start + 4 * count))
    np.testing.assert_array_equal(b.numpy(), a.numpy())
    assert AT_WORK == []


@SIZES
@pytest.mark.usefixtures("_often")
def test_each_thread_gets_its_own_results(size: int) -> None:
    step = warm(strict(lambda x, y: (x * y, tj.sum(x - y))), np.ones(size), np.ones(size))

    def work(n: int) -> None:
        rng = np.random.default_rng(n)
        for _ in range(100 if size == SMALL else 20):
            x, y = rng.normal(size=(2, size))
            product, difference = step(x, y)
            np.testing.assert_array_equal(product.numpy(), x * y)
            np.testing.assert_allclose(float(difference), np.sum(x - y), atol=1e-9)

    assert together(*[lambda n=n: work(n) for n in range(4)]) == []


def test_while_another_thread_is_at_work_with_locks_a_quick_call_takes_them_too() -> None:
    w = tj.Variable(np.zeros(3))
    step = warm(strict(lambda: w.assign_add(np.ones(3))))
    wanted = w.numpy() + 2
    assert not Python(step).saw()
    AT_WORK.append(None)
    try:
        assert Python(step).saw()
    finally:
        AT_WORK.pop()
    np.testing.assert_array_equal(w.numpy(), wanted)


class Stop(BaseException):
    """What Ctrl-C raises is no Exception either."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
@SIZES
@pytest.mark.usefixtures("without_collector")  # what is raised in a finalizer is lost
def test_an_interruption_leaves_no_lock_and_no_half_step(size: int) -> None:
    w, turned = tj.Variable(np.zeros(size)), tj.Variable(np.zeros(size))
    step = warm(strict(lambda x: (w.assign(w + x), turned.assign(turned[::-1] + x), None)[2]), np.ones(size))

    def stop(*_: Any) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    x, others = np.ones(size), np.ones(size, np.float32).astype(">f8")  # by the entry, and by Python
    interrupted = 0
    try:
        for turn in range(200):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + 7 * turn))
                for _ in range(1000):
                    step(x if turn % 2 else others)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stop:
                interrupted += 1
            assert step._last.executable.lock.acquire(blocking=False)
            step._last.executable.lock.release()
            assert AT_WORK == []
            if turn % 20 == 0:
                assert together(lambda: step(x)) == []  # the locks of variables belong to threads
                np.testing.assert_array_equal(w.numpy(), np.full(size, w.numpy()[0]))
                np.testing.assert_array_equal(turned.numpy(), w.numpy())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100


# --- other Pythons --------------------------------------------------------------------------------------------


def test_where_objects_are_laid_out_in_another_way_there_are_no_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapejit.step.entry.is_possible", lambda: False)
    step = strict(lambda x: x * 2)
    for n in range(3 * WARM):
        assert step(np.full(2, float(n))).tolist() == [2.0 * n] * 2
    assert step._entry is None


@pytest.mark.parametrize("field", ["TYPE", "DATA", "SIZE", "ITEMS", "SHAPE", "DTYPE", "RANK", "FLAGS"])
def test_another_layout_is_noticed(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plans.is_possible()
    fields = type("Moved", (), {name: int(word) for name, word in plans.Field.__members__.items()})
    setattr(fields, field, getattr(fields, field) ^ 1)
    monkeypatch.setattr(plans, "Field", fields)
    assert not plans.is_possible.__wrapped__()


def test_a_step_that_threads_can_share_has_an_entry_as_long_as_there_is_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = strict(lambda x: tj.exp(x) * tj.sin(x) + tj.cos(x))
    x = np.linspace(0, 1, 1 << 17)
    monkeypatch.setattr(config._THREADS, "count", 1)
    expected = warm(step, x)(x).numpy()
    saw = Python(step)
    assert not saw.saw(x)
    assert step._last.executable.stages is not None
    tj.set_num_threads(2)
    assert saw.saw(x)
    np.testing.assert_array_equal(step(x).numpy(), expected)
    tj.set_num_threads(1)
    assert not Python(warm(step, x)).saw(x)
