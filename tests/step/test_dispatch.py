"""The path of a call: what an unchanged call does not do, what arguments may be, overlapping memory."""

import collections
import decimal
import fractions
import gc
import pickle
import sys
import tracemalloc
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError, TapejitWarning

PACKAGE = str(Path(tj.__file__).parent)
SMALL, LARGE = 6, 100_000


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


# --- an unchanged call ----------------------------------------------------------------------------------------


def batch_step() -> Any:
    w = tj.Variable(np.ones(SMALL))
    return strict(lambda x, batch, flag, *, rate: w.assign_sub(rate * (x - batch["y"][0])) if flag else w)


CALLS: dict[str, Any] = {
    "arrays": (lambda: strict(lambda x, y: x * y), lambda: ((np.ones(6), np.ones(6)), {})),
    "large arrays": (lambda: strict(lambda x, y: tj.sum(x * y)), lambda: ((np.ones(LARGE), np.ones(LARGE)), {})),
    "tensors": (lambda: strict(lambda x: x * 2), lambda: ((tj.constant([1.0, 2.0]),), {})),
    "numbers": (lambda: strict(lambda x, y: x * y), lambda: ((2.0, 3), {})),
    "NumPy numbers": (lambda: strict(lambda x: x * 2), lambda: ((np.float32(2),), {})),
    "lists": (lambda: strict(lambda x: x * 2), lambda: (([1.0, 2.0], ), {})),
    "nested lists": (lambda: strict(lambda x: x * 2), lambda: (([[1, 2], [3, 4]], ), {})),
    "keywords": (lambda: strict(lambda x, *, rate: x * rate), lambda: ((np.ones(6),), {"rate": 0.5})),
    "statics": (
        lambda: strict(lambda x, *more: x * len(more)),
        lambda: ((np.ones(6), True, None, "word", (1, 2)), {}),
    ),
    "nests": (
        batch_step,
        lambda: ((np.ones(SMALL), {"y": [np.ones(SMALL), None]}, True), {"rate": 0.5}),
    ),
    "named tuples": (lambda: strict(lambda p: p.x * p.y), lambda: ((POINT(np.ones(3), 2.0),), {})),
    "no arguments": (lambda: strict(lambda: tj.ones(3) * 2), lambda: ((), {})),
}  # fmt: skip
POINT = collections.namedtuple("POINT", "x y")


class Calls:
    """Names and files of the Python functions that run."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            self.seen.append((code.co_filename.removeprefix(PACKAGE + "/"), code.co_name))

    def of(self, step: Any, args: Any, kwargs: Any) -> list[tuple[str, str]]:
        self.seen = []
        gc.disable()  # a collection may call finalizers
        sys.setprofile(self)
        try:
            step(*args, **kwargs)
        finally:
            sys.setprofile(None)
            gc.enable()
        return self.seen


@pytest.mark.parametrize(("make", "arguments"), CALLS.values(), ids=CALLS)
def test_an_unchanged_call_goes_straight_to_the_kernel(make: Any, arguments: Any) -> None:
    step = make()
    for _ in range(2):
        args, kwargs = arguments()
        step(*args, **kwargs)
    args, kwargs = arguments()  # equal, and not the same
    seen = Calls().of(step, args, kwargs)
    files = {file for file, _ in seen}
    assert files <= {
        "<tapejit guards>", "step/compiled.py", "step/arguments.py", "pytree.py", "kernel/executable.py",
        "kernel/<locks>", "kernel/memory.py", "step/results.py", "step/routes.py", "tensor.py", "variable.py",
        "operators.py", "aval.py", "config.py", "primitive.py",
    }, files  # fmt: skip
    names = {name for _, name in seen}
    assert not names & {"describe", "flatten", "graph_signature", "make_key", "kernel_for", "_trace", "__hash__"}
    assert "_run" in names
    assert step.report()["traces"] == 1


def test_the_work_of_a_call_does_not_grow_with_the_program() -> None:
    counts = []
    for length in (1, 60):

        def function(x: Any, length: int = length) -> Any:
            for _ in range(length):
                x = tj.sin(x) + x
            return x

        step = strict(function)
        step(np.ones(3))
        step(np.ones(3))
        counts.append(len(Calls().of(step, (np.ones(3),), {})))
    assert counts[0] == counts[1] < 25


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_unchanged_call_allocates_its_results_and_nothing_of_the_size_of_its_arguments(size: int) -> None:
    w = tj.Variable(np.ones(size))
    turned = tj.Variable(np.ones(size))

    @strict
    def step(x, y):
        w.assign_sub((x - y) * 0.5)
        turned.assign(turned[::-1] + x)
        return tj.sum(w), x * 2

    x, y = np.ones(size), np.ones(size)
    results = [step(x, y) for _ in range(3)]
    results = []
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        results.append(step(x, y))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 8 * size + 2000
    assert peak - before < 8 * size + 8000
    assert results


def test_arguments_are_not_kept() -> None:
    step = strict(lambda x, batch: x * batch["scale"])
    for size in (SMALL, LARGE):
        x, scale = np.ones(size), np.ones(size)
        for _ in range(2):
            step(x, {"scale": scale})
        gone = weakref.ref(x), weakref.ref(scale)
        del x, scale
        step(np.ones(3), {"scale": np.ones(3)})
        gc.collect()
        assert [reference() for reference in gone] == [None, None]


@pytest.mark.filterwarnings("ignore:.*was traced")
def test_changes_between_calls_are_seen_in_each_kind_of_argument() -> None:
    step = strict(lambda x, nest, flag, mode="up", *, rate=1.0: x * nest["a"][0] * rate + (1 if flag else 0))
    x = np.ones(3)
    for args, kwargs, wanted in (
        ((x, {"a": [2.0]}, True), {}, 3.0),
        ((x, {"a": [3.0]}, True), {}, 4.0),
        ((x, {"a": [np.float64(3.0)]}, True), {}, 4.0),
        ((x, {"a": (3.0,)}, True), {}, 4.0),
        ((x, {"a": [3.0, 1.0]}, True), {}, 4.0),
        ((x, {"a": [3.0], "b": None}, True), {}, 4.0),
        ((x, {"b": None, "a": [3.0]}, True), {}, 4.0),
        ((x, collections.OrderedDict(a=[3.0]), True), {}, 4.0),
        ((x, {"a": [3.0]}, False), {}, 3.0),
        ((x, {"a": [3.0]}, False, "down"), {}, 3.0),
        ((x, {"a": [3.0]}, False), {"mode": "down"}, 3.0),
        ((x, {"a": [3.0]}, False), {"rate": 2.0, "mode": "down"}, 6.0),
        ((x, {"a": [3.0]}, False), {"mode": "down", "rate": 2.0}, 6.0),
        ((x, {"a": [3.0]}, False), {"rate": 4.0}, 12.0),
        ((x, {"a": [3.0]}, 0), {"rate": 4.0}, 12.0),
    ):
        for _ in range(3):
            np.testing.assert_array_equal(step(*args, **kwargs).numpy(), np.full(3, wanted))


def test_a_tuple_of_floats_is_not_the_tuple_of_ints_that_it_equals() -> None:
    step = strict(lambda x, t: x * t[0])
    x = np.arange(3)
    assert step(x, (2, 1)).dtype == np.int64
    assert step(x, (2, 1)).dtype == np.int64
    assert step(x, (2.0, 1.0)).dtype != np.int64
    assert step(x, (True, 1)).dtype == step.eager(tj.constant(x), (True, 1)).dtype


# --- what arguments may be ------------------------------------------------------------------------------------


class Labelled(np.ndarray):
    """A subclass that computes as arrays do."""


def misaligned(x: np.ndarray) -> np.ndarray:
    raw = np.empty(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def memory_map(x: np.ndarray, folder: Path) -> np.ndarray:
    mapped = np.memmap(folder / "numbers", x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    return mapped


FORMS: dict[str, Any] = {
    "contiguous": lambda x: x,
    "column-major": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda x: x.T.copy().T,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
    "subclass": lambda x: x.view(Labelled),
    "from a pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "tensor": tj.constant,
    "nested lists": lambda x: x.tolist(),
}


def read_only(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        x.flags.writeable = False
    return x


@pytest.mark.parametrize("shape", [(2, 3), (200, 300)], ids=["staged", "by address"])
@pytest.mark.parametrize("frozen", [False, True], ids=["", "read-only"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_array_in_any_form(form: Any, shape: tuple[int, int], frozen: bool) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7
    argument = form(x)
    argument = read_only(argument) if frozen else argument
    step = strict(lambda x: x * 2 + 1)
    for _ in range(3):
        found = step(argument)
        assert found.dtype == np.float32
        assert found.dtype.isnative
        np.testing.assert_array_equal(found.numpy(), x * 2 + 1)
    np.testing.assert_array_equal(step(x).numpy(), x * 2 + 1)
    assert step.report()["traces"] == 1
    np.testing.assert_array_equal(np.asarray(argument), x)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_memory_mapped_files(size: int, tmp_path: Path) -> None:
    mapped = memory_map(np.ones(size), tmp_path)
    step = strict(lambda x: x * 2)
    np.testing.assert_array_equal(step(mapped).numpy(), np.full(size, 2.0))
    captured = strict(lambda: mapped * tj.ones((), "float64"))
    for value in (1.0, 5.0):
        mapped[:] = value
        np.testing.assert_array_equal(captured().numpy(), np.full(size, value))
    assert captured.report()["traces"] == 1


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_byte_swapped_array_that_is_captured_is_seen_by_reference(size: int) -> None:
    swapped = np.ones(size, ">f8")
    step = strict(lambda x: x * swapped)
    for value in (1.0, 5.0):
        swapped[:] = value
        np.testing.assert_array_equal(step(2.0).numpy(), np.full(size, 2 * value))
    x = tj.constant(2.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    assert float(tape.gradient(y, x)) == 5.0 * size


def test_a_captured_array_that_is_reshaped_in_place_is_seen() -> None:
    array = np.arange(6.0)
    step = strict(lambda: tj.sum(tj.asarray(array) * 2, axis=0))
    assert float(step()) == 30.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        array.shape = (2, 3)
    np.testing.assert_array_equal(step().numpy(), [6.0, 10.0, 14.0])
    assert "shape (6,)" in step.explain()


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_dtype_than_was_traced_is_traced_again(dtype: str) -> None:
    step = strict(lambda x: x + x)
    x = np.array([0, 1, 1])
    step(x.astype("float32"))
    found = step(x.astype(dtype))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found.numpy(), (tj.constant(x.astype(dtype)) + x.astype(dtype)).numpy())


NUMBERS: list[Any] = [
    2, 2.5, True, np.float32(2.5), np.float64(2.5), np.int8(3), np.int64(3), np.uint8(3), np.bool_(True), np.array(2.5),
    np.array(2, np.int32), [2.5], [2], [[2.5, 1.5]], fractions.Fraction(1, 2), 1j, decimal.Decimal("1.5"), float("nan"),
    float("inf"), -0.0, 2**40,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*was traced")
@pytest.mark.parametrize("first", NUMBERS[:8], ids=repr)
def test_one_kind_of_number_after_another(first: Any) -> None:
    step = strict(lambda n: (n * 2, n))
    for number in (first, first, *NUMBERS):
        found, same = step(number)
        wanted = step.eager(number)[0]
        assert np.array_equal(np.asarray(found), np.asarray(wanted), equal_nan=isinstance(number, float))
        if isinstance(number, (int, float, complex, fractions.Fraction, decimal.Decimal)):
            assert type(same) is type(number) or isinstance(number, np.generic)


def test_an_integer_that_no_array_can_hold_is_refused() -> None:
    step = strict(lambda x, n: x * n)
    np.testing.assert_array_equal(step(np.ones(2), 3).numpy(), [3.0, 3.0])
    with pytest.raises(DtypeError, match=r"an argument is 1267650600228229401496703205376, which int64 can't hold"):
        step(np.ones(2), 2**100)
    np.testing.assert_array_equal(step(np.ones(2), 2.0**100).numpy(), [2.0**100] * 2)


class Quantity(np.ndarray):
    """An array with a unit, as packages of units make it."""

    def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
        return NotImplemented


REFUSED: dict[str, tuple[Any, str]] = {
    "objects": (np.array([1, 2.0, None]), "dtype object"),
    "strings": (np.array(["a", "b"]), "dtype <U1"),
    "bytes": (np.array([b"a"]), r"dtype \|S1"),
    "complex": (np.ones(2, complex), "dtype complex128"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), r"dtype datetime64\[D\]"),
    "durations": (np.array([1], "m8[s]"), r"dtype timedelta64\[s\]"),
    "records": (np.zeros(2, [("a", "f4")]), "dtype .*a"),
    "masked": (np.ma.masked_array(np.ones(3), [True, False, False]), "MaskedArray .* and what that loses"),
    "nothing masked": (np.ma.masked_array(np.ones(3)), "MaskedArray computes in its own way"),
    "units": (np.ones(3).view(Quantity), "Quantity computes in its own way"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("warm", [False, True])
def test_what_is_refused_is_named(value: Any, reason: str, warm: bool) -> None:
    w = tj.Variable(1.0)

    @strict
    def step(batch, scale):
        w.assign_add(1.0)
        return batch["x"][1] * scale

    if warm:
        step({"x": [1.0, np.ones(3)]}, 2.0)
    before = float(w)
    for call, path in (
        (lambda: step({"x": [1.0, value]}, 2.0), r"argument batch\['x'\]\[1\]: "),
        (lambda: step({"x": [1.0, np.ones(3)]}, scale=value), "argument scale: "),
    ):
        with pytest.raises(DtypeError, match=path + ".*" + reason) as error:
            call()
        assert str(error.value).count("test_dispatch.py") == 1
    assert float(w) == before


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_refused_since_its_product_is_another() -> None:
    with pytest.raises(DtypeError, match=r"argument m: a matrix computes in its own way.*np.asarray"):
        strict(lambda m: m * m)(np.matrix([[1.0, 2.0], [3.0, 4.0]]))
    matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(DtypeError, match="a matrix computes in its own way"):
        strict(lambda x: x * matrix)(np.ones((2, 2)))


def test_ragged_lists_are_named() -> None:
    with pytest.raises(ShapeError, match="argument rows: the nested list is ragged"):
        strict(lambda rows: rows * 2)([[1.0], [2.0, 3.0]])


def test_what_has_no_hash_is_taken_by_identity() -> None:
    step = strict(lambda x, thing: x * len(thing))
    for thing in (bytearray(b"abc"), memoryview(bytearray(b"abcd")), {1, 2}, memoryview(bytearray(b"abc"))):
        for _ in range(2):
            np.testing.assert_array_equal(step(np.ones(2), thing).numpy(), [float(len(thing))] * 2)


# --- overlapping memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_one_array_twice_and_views_of_each_other(size: int) -> None:
    w = tj.Variable(np.zeros(size))

    @strict
    def step(x, y):
        w.assign(x - y[::-1])
        return x + y

    x = np.arange(float(size))
    for one, other in ((x, x), (x, x[::-1]), (x[1:-1], x[2:]), (np.broadcast_to(x[:1], (size,)), x)):
        count = min(len(one), len(other))
        if count < size:
            one, other = (np.resize(part, size) for part in (one, other))  # noqa: PLW2901
        before = x.copy()
        found = step(one, other)
        np.testing.assert_array_equal(found.numpy(), one + other)
        np.testing.assert_array_equal(w.numpy(), one - other[::-1])
        np.testing.assert_array_equal(x, before)
        assert not np.shares_memory(found.numpy(), x)
    base = np.arange(float(size + 3))
    found = step(base[:-3], base[3:])
    np.testing.assert_array_equal(found.numpy(), base[:-3] + base[3:])


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_views_of_a_variables_buffer_as_arguments(size: int) -> None:
    w = tj.Variable(np.arange(float(size)))

    @strict
    def step(x, y):
        w.assign_sub(x * 0.5 + y[::-1])
        return tj.sum(w)

    for _ in range(4):
        now = w.numpy()
        held = now.copy()
        step(now, now[::-1])
        np.testing.assert_array_equal(now, held)
        np.testing.assert_array_equal(w.numpy(), held - (held * 0.5 + held))
        step(w.read_value(), w)
        held = held - (held * 0.5 + held)
        np.testing.assert_array_equal(w.numpy(), held - (held * 0.5 + held[::-1]))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_array_that_a_variable_was_given_is_not_written(size: int) -> None:
    given, frozen = np.ones(size), np.ones(size)
    frozen.flags.writeable = False
    for value in (given, frozen, tj.constant(given)):
        w = tj.Variable(value)
        step = strict(lambda x, w=w: w.assign_add(x))
        for _ in range(3):
            step(given)
        w.assign(value)
        for _ in range(3):
            step(given)
        np.testing.assert_array_equal(w.numpy(), np.full(size, 4.0))
        np.testing.assert_array_equal(np.asarray(value), np.ones(size))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_update_that_is_not_in_place_swaps_two_buffers(size: int) -> None:
    w = tj.Variable(np.arange(float(size)))
    step, other = strict(lambda: w.assign(w[::-1] + 1)), strict(lambda: w.assign(w[::-1] * 2))
    wanted = np.arange(float(size))
    step()  # the first buffer may be shared with what it came from
    wanted = wanted[::-1] + 1
    seen = set()
    for _ in range(6):
        step()
        wanted = wanted[::-1] + 1
        seen.add(id(w.buffer))
    assert len(seen) == 2
    held, copy = w.numpy(), w.numpy().copy()
    for turn in range(12):
        (other if turn % 3 == 0 else step)()
        wanted = wanted[::-1] * 2 if turn % 3 == 0 else wanted[::-1] + 1
        np.testing.assert_array_equal(held, copy)
        if turn % 4 == 0:
            np.testing.assert_array_equal(w.numpy(), wanted)
            held, copy = w.numpy(), wanted.copy()
    np.testing.assert_array_equal(w.numpy(), wanted)


def test_a_tensor_spec_is_for_lower_only() -> None:
    w = tj.Variable(np.ones(3))

    @tj.compile
    def step(x):
        w.assign_sub(x)

    for call in (step, step.eager):
        with pytest.raises(DtypeError, match=r"argument x: a TensorSpec stands for an array in step.lower\(…\) only"):
            call(tj.TensorSpec((3,), "float64"))
    np.testing.assert_array_equal(w, np.ones(3))
    step.lower(tj.TensorSpec((3,), "float64"))(np.ones(3))
    np.testing.assert_array_equal(w, np.zeros(3))


def test_explain_says_which_argument_changed_from_what_to_what() -> None:
    @tj.compile(cache=False)
    def step(x, mode="a"):
        return tj.sum(x) if mode == "a" else x

    step(np.ones(3))
    step(np.ones(3), mode="b")
    step(np.ones(4), mode="b")
    step(np.ones(4, np.float32), "b")
    assert step.explain().splitlines() == [
        "1. first call: x: float64[3]",
        "2. new call signature: mode: not passed → 'b'",
        "3. new call signature: x: float64[3] → float64[4]",
        "4. new call signature: x: float64[4] → float32[4]",
    ]


def test_explain_numbers_the_traces_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapejit.step.retraces.HISTORY", 3)
    monkeypatch.setattr("tapejit.step.compiled.RETRACES_BEFORE_WARNING", 100)
    step = tj.compile(lambda x: x + 1, cache=False)
    for length in range(1, 8):
        step(np.ones(length))
    lines = step.explain().splitlines()
    assert [line.split()[0] for line in lines] == ["1.", "…", "5.", "6.", "7."]
    assert lines[1] == "… 3 left out …"


def test_the_report_of_an_eager_step_has_the_same_keys() -> None:
    compiled, eager = tj.compile(lambda x: x + 1), tj.compile(lambda x: x + float(tj.sum(x)))
    compiled(np.ones(3))
    with pytest.warns(TapejitWarning):
        eager(np.ones(3))
    assert set(eager.report()) == set(compiled.report())
    assert eager.report()["loop_nests"] is None
