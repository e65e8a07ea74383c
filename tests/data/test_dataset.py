"""Data sets: what comes out, in which order, how many, and what is refused."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tapejit.data import Dataset
from tapejit.errors import ShapeError, TapejitWarning

X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10)


def numbers(dataset: Dataset) -> list[Any]:
    return [element.tolist() for element in dataset]


def slices() -> Dataset:
    return Dataset.from_tensor_slices(Y)


def elements() -> Dataset:
    """The same, but not as rows of an array."""
    return Dataset.range(10)


BOTH = pytest.mark.parametrize("make", [slices, elements])


class Pair(NamedTuple):
    """A nest with names."""

    image: Any
    label: Any


def test_elements_have_the_nest_of_the_arrays() -> None:
    dataset = Dataset.from_tensor_slices({"pair": Pair(X, Y), "list": [1.0, *range(9)], "tensor": tj.constant(X)})
    assert len(dataset) == 10
    for number, element in enumerate(dataset):
        assert set(element) == {"pair", "list", "tensor"}
        np.testing.assert_array_equal(element["pair"].image, X[number])
        assert (element["pair"].label.shape, element["list"].dtype) == ((), np.float32)
        np.testing.assert_array_equal(element["tensor"], X[number])
    (batch,) = dataset.batch(16)
    np.testing.assert_array_equal(batch["pair"].image, X)
    batch["pair"].image[:] = 0  # a copy
    assert X[3, 1] == 7


@BOTH
def test_take_skip_repeat_and_lengths(make: Any) -> None:
    d = make()
    cases = (
        (d.take(3), [0, 1, 2]),
        (d.skip(8), [8, 9]),
        (d.skip(2).take(2).repeat(2), [2, 3, 2, 3]),
        (d.take(100).skip(9), [9]),
        (d.repeat(0), []),
        (d.take(0).repeat(), []),
        (d.skip(11), []),
        (d.repeat().skip(18).take(3), [8, 9, 0]),
        (d.skip(8).repeat(-1).take(3), [8, 9, 8]),
        (d.take(2).take(-1), [0, 1]),
        (d.skip(-1), []),
        (d.take(1).concatenate(d.skip(9)), [0, 9]),
    )
    for dataset, expected in cases:
        assert numbers(dataset) == numbers(dataset) == expected
        assert len(dataset) == len(expected)
    with pytest.raises(TypeError, match=r"no end; take\(n\) has one"):
        len(d.repeat())


@BOTH
@pytest.mark.parametrize("buffer_size", [1, 3, 10, 50])
def test_shuffling(make: Any, buffer_size: int) -> None:
    dataset = make().shuffle(buffer_size, seed=3)
    first, second = numbers(dataset), numbers(dataset)
    assert sorted(first) == sorted(second) == Y.tolist()
    assert (first == second) == (buffer_size == 1)
    assert all(number < place + buffer_size for place, number in enumerate(first))
    again = make().shuffle(buffer_size, seed=3)
    assert [numbers(again), numbers(again)] == [first, second]
    kept = make().shuffle(buffer_size, reshuffle_each_iteration=False)
    assert numbers(kept) == numbers(kept)
    epochs = numbers(make().shuffle(buffer_size, seed=3).repeat(2))
    assert epochs == first + second
    assert len(dataset) == 10


def test_rows_and_elements_are_shuffled_alike() -> None:
    for buffer_size in (4, 10):
        assert numbers(slices().shuffle(buffer_size, seed=1)) == numbers(elements().shuffle(buffer_size, seed=1))


@BOTH
def test_batches(make: Any) -> None:
    assert numbers(make().batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert numbers(make().batch(4, drop_remainder=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert numbers(make().batch(4, drop_remainder=True).take(1).unbatch()) == [0, 1, 2, 3]
    assert numbers(make().batch(5).batch(2)) == [[Y[:5].tolist(), Y[5:].tolist()]]
    assert [len(make().batch(4, drop)) for drop in (False, True)] == [3, 2]
    assert numbers(make().repeat().batch(7).take(2)) == [[*range(7)], [7, 8, 9, 0, 1, 2, 3]]


def test_batches_of_rows_gather_and_read_no_single_rows() -> None:
    class Counted(np.ndarray):
        """Counts how often it is indexed."""

        times = 0

        def __getitem__(self, index: Any) -> Any:
            Counted.times += 1
            return super().__getitem__(index)

    counted = X.view(Counted)
    batches = list(Dataset.from_tensor_slices(counted).shuffle(10, seed=0).repeat(2).skip(1).batch(5))
    assert Counted.times == len(batches) == 4


def test_mapped_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    (batch,) = Dataset.from_tensor_slices((mapped, Y)).skip(2).batch(8)
    np.testing.assert_array_equal(batch[0], X[2:])


def test_functions_of_elements() -> None:
    pairs = Dataset.from_tensor_slices((X, Y))
    assert numbers(pairs.filter(lambda x, y: y % 4 == 0).map(lambda x, y: x[0] + y)) == [0, 12, 24]
    assert numbers(elements().filter(lambda n: n > 7).map(lambda n: [n, n + 1])) == [[8, 9], [9, 10]]
    (mapped,) = elements().take(1).map(lambda _: (1.5, 2, tj.constant(1.0), np.float64(1)))
    assert [part.dtype.name for part in mapped] == ["float32", "int64", "float32", "float64"]
    assert len(pairs.map(lambda x, y: x)) == 10
    with pytest.raises(TypeError, match="shows only when they are gone through"):
        len(pairs.filter(lambda x, y: True))


def test_zip_and_enumerate() -> None:
    both = Dataset.zip(slices().take(3), slices().shuffle(10, seed=0)).enumerate(start=5)
    assert len(both) == 3
    assert [(int(n), int(a)) for n, (a, _) in both] == [(5, 0), (6, 1), (7, 2)]
    assert repr(both) == "<data set of 3 elements>"
    named = Dataset.zip({"a": slices(), "b": (slices().skip(1), elements())})
    assert next(iter(named.skip(1))) == {"a": 1, "b": (2, 1)}
    assert [(int(a), int(b)) for a, b in Dataset.zip((slices(), elements()))] == [(n, n) for n in range(10)]


def test_what_tensorflow_calls_them() -> None:
    (whole,) = Dataset.from_tensors((X, Y)).as_numpy_iterator()
    np.testing.assert_array_equal(whole[0], X)
    assert slices().reduce(0, lambda total, number: total + number) == 45
    assert numbers(slices().apply(lambda dataset: dataset.take(2))) == [0, 1]
    assert numbers(elements().take(4).flat_map(lambda n: Dataset.range(n))) == [0, 0, 1, 0, 1, 2]
    counts = [d.cardinality() for d in (slices().batch(3), slices().repeat(), slices().filter(bool))]
    assert counts == [4, tj.data.INFINITE_CARDINALITY, tj.data.UNKNOWN_CARDINALITY]


def test_a_function_in_several_threads_keeps_the_order() -> None:
    met = threading.Barrier(3)

    def wait_for_others(number: Any) -> Any:
        met.wait(10)
        return number * 2

    before = threading.active_count()
    dataset = Dataset.range(9).map(wait_for_others, num_parallel_calls=3).prefetch(tj.data.AUTOTUNE)
    assert numbers(dataset) == list(range(0, 18, 2))
    assert numbers(elements().map(lambda n: n, num_parallel_calls=tj.data.AUTOTUNE).take(3)) == [0, 1, 2]
    assert len(dataset) == 9
    assert numbers(Dataset.range(3).repeat().take(4).prefetch()) == [0, 1, 2, 0]

    def fail(number: Any) -> Any:
        if number >= 4:
            raise ZeroDivisionError(f"at {number}")
        return number

    seen = []
    with pytest.raises(ZeroDivisionError, match="at 4"):
        seen.extend(elements().map(fail, num_parallel_calls=4))
    assert seen == [0, 1, 2, 3]
    assert threading.active_count() == before


def test_a_source_that_blocks_holds_nobody_who_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapejit.data.prefetching.PATIENCE", 0.01)
    blocked, release, ended = threading.Event(), threading.Event(), threading.Event()

    def wait() -> Iterator[int]:
        yield 1
        blocked.set()
        release.wait(30)
        ended.set()

    for _ in Dataset.from_generator(wait).prefetch(1):
        blocked.wait(30)
        break  # leaves the block while its thread waits
    assert not ended.is_set()
    release.set()
    assert ended.wait(30)


def test_orders_go_on_where_they_were_saved() -> None:
    """Two shufflings, one of rows and one of batches; as another process would make the data set."""
    make = lambda: slices().shuffle(10).batch(2).map(lambda n: n).shuffle(4)  # noqa: E731
    first = make()
    numbers(first)
    states = {path: variable.numpy() for path, variable in first.named_variables()}
    assert list(states) == ["shuffle/0", "shuffle/1"]
    expected = [numbers(first), numbers(first)]
    again = make()
    for path, variable in again.named_variables():
        variable.assign(states[path])
    assert [numbers(again), numbers(again)] == expected


def test_a_compiled_step_does_not_take_elements_for_constants() -> None:
    rows = X.copy()
    dataset, eager = (Dataset.from_tensor_slices(rows).shuffle(10, seed=0).batch(3).take(2) for _ in range(2))

    def total() -> Any:
        return tj.stack([2 * batch for batch in dataset])

    step = tj.compile(total)
    with pytest.warns(TapejitWarning, match="go through it outside, and pass its elements as arguments"):
        step()
    next(iter(eager))
    rows[:] += 1
    assert step().tolist() == [(2 * batch).tolist() for batch in eager]


def test_generators_are_called_again() -> None:
    calls: list[None] = []

    def generate() -> Iterator[Any]:
        calls.append(None)
        yield from ((np.full(number, 1.0), {"n": number}) for number in range(1, 4))

    dataset = Dataset.from_generator(generate)
    for _ in range(2):
        assert [(len(row), int(d["n"])) for row, d in dataset] == [(1, 1), (2, 2), (3, 3)]
    cached = dataset.cache()
    next(iter(cached))  # given up, so it is not kept
    for _ in range(3):
        assert len(list(cached)) == 3
    assert len(calls) == 4
    assert len(cached) == 3


def test_a_cache_behind_a_shuffle_keeps_the_order() -> None:
    for make in (slices, elements):
        cached = make().shuffle(10, seed=2).cache()
        assert numbers(cached) == numbers(cached)


def test_prefetching_gives_the_same_and_is_ahead() -> None:
    made: list[int] = []

    def slow(number: Any) -> Any:
        made.append(int(number))
        return number

    dataset = elements().map(slow).prefetch(3)
    iterator = iter(dataset)
    assert int(next(iterator)) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1, 2, 3]
    before = threading.active_count()
    del iterator  # given up: the thread ends
    assert threading.active_count() == before - 1
    assert numbers(dataset) == Y.tolist()
    with tj.using_floatx("float64"):
        assert next(iter(elements().map(lambda n: 0.5).prefetch(1))).dtype == np.float64


def test_an_exception_of_the_thread_comes_through() -> None:
    def fail(number: Any) -> Any:
        if number == 2:
            raise ZeroDivisionError("at two")
        return number

    seen = []
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="at two"):
        seen.extend(elements().map(fail).prefetch(5))
    assert (seen, threading.active_count()) == ([0, 1], before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dataset.from_tensor_slices((X, Y[1:])), ShapeError, r"\[1\] has 9 rows, .*\[0\] has 10"),
        (lambda: Dataset.from_tensor_slices(3.0), ShapeError, r"has no axis to take elements from; pass it as \[x\]"),
        (lambda: Dataset.from_tensor_slices(()), ShapeError, "there is no array"),
        (lambda: Dataset.from_generator(iter([])), TypeError, "takes a function that returns a generator"),  # type: ignore[arg-type]
        (lambda: slices().batch(0), ValueError, "batch: batch_size is 0, and has to be 1 at least"),
        (lambda: slices().shuffle(0), ValueError, "shuffle: buffer_size is 0"),
        (lambda: slices().take(-2), ValueError, "take: count is -2"),
        (lambda: slices().shuffle(2, seed=-1), ValueError, "shuffle: the seed is an int from 0"),
        (lambda: Dataset.from_tensor_slices([[1, 2], [3]]), ShapeError, "is an array, or a nest of arrays"),
        (lambda: slices().map(len, num_parallel_calls=0), ValueError, "map: num_parallel_calls is 0"),
        (lambda: Dataset.zip(), ValueError, "zip: there is no data set"),
        (lambda: Dataset.zip(slices(), X), TypeError, "zip: it takes data sets, got ndarray"),
        (lambda: slices().concatenate(X), TypeError, "concatenate: it takes data sets, got ndarray"),  # type: ignore[arg-type]
        (
            lambda: list(elements().skip(1).map(lambda n: np.zeros(n)).batch(3)),
            ShapeError,
            r"batch: element 1 has shape \(2,\), element 0 has \(1,\); .* map, .* or use batch\(1\)",
        ),
        (
            lambda: list(elements().map(lambda n: (n,) if n else n).batch(3)),
            ShapeError,
            "element 1 is another nest than element 0",
        ),
        (lambda: list(elements().unbatch()), ShapeError, "unbatch: .* has no axis to take elements from"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_batches_train_a_step() -> None:
    w = tj.Variable(tj.zeros(2))

    @tj.compile
    def step(x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean((x @ w - y) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
        return loss

    x = X / 10
    targets = (x @ np.array([1.0, -0.5])).astype(np.float32)
    dataset = Dataset.from_tensor_slices((x, targets)).shuffle(10, seed=0).batch(5).repeat(40).prefetch(2)
    losses = [float(step(*batch)) for batch in dataset]
    assert len(losses) == len(dataset) == 80
    assert losses[-1] < losses[0] / 20
