"""Reading and adding at computed indices, and running sums, inside compiled steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import IndexRangeError
from tests.agreement import check_agreement

ROWS, COLUMNS = 7, 5
LABELS = np.array([0, 4, -1, 2, 2, -5, 3])


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(size=shape) for shape in shapes]


def gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(x: Any, *rest: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.sum(function(x, *rest) ** 2)
        return tape.gradient(y, x)

    return wrapped


READS: dict[str, Callable[..., Any]] = {
    "rows": lambda x, i: tj.exp(x)[i],
    "elements": lambda x, i: x[tj.arange(ROWS), i],
    "one axis of two": lambda x, i: x[:, i] * 2,
    "after a reversal": lambda x, i: x[::-1][:, i],
    "twice": lambda x, i: x[i[i]],
    "of a running sum": lambda x, i: tj.cumsum(x, axis=0)[tj.arange(ROWS), i],
    "of a reduction": lambda x, i: tj.sum(x, axis=0)[i],
    "beside a reduction": lambda x, i: tj.logsumexp(x, axis=1) - x[tj.arange(ROWS), i],
    "of a product": lambda x, i: (x @ x.T)[tj.arange(ROWS), i],
    "in front of a product": lambda x, i: x[i % ROWS] @ x.T,
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("integers", ["int64", "int32", "int8"])
def test_reads_at_computed_indices(name: str, integers: str) -> None:
    (x,) = arrays((ROWS, COLUMNS))
    other = np.roll(LABELS, 2)
    check_agreement(READS[name], [x, LABELS.astype(integers)], [x * 2, other.astype(integers)])


@pytest.mark.parametrize("name", READS)
def test_their_gradients(name: str) -> None:
    (x,) = arrays((ROWS, COLUMNS))
    check_agreement(gradient(READS[name]), [x, LABELS], [x - 1, np.roll(LABELS, 3)])


@pytest.mark.parametrize("length", [2, 8, 31, 64])
@pytest.mark.parametrize("integers", ["int64", "int32"])
def test_where_a_row_begins_is_computed_once_a_row(integers: str, length: int) -> None:
    """So that LLVM sees that a row's elements lie side by side."""
    (x,) = arrays((ROWS, length))
    rows = np.array([1, -1, 0, 6], integers)

    @tj.compile(strict=True)
    def step(x: Any, rows: Any) -> Any:
        taken = tj.take(x, rows, axis=0)
        return taken, tj.scatter_add(2 * x, rows, taken * taken)

    taken, added = step(x, rows)
    expected = 2 * x
    np.add.at(expected, rows, x[rows] ** 2)
    np.testing.assert_array_equal(taken, x[rows])
    np.testing.assert_allclose(added, expected, rtol=1e-14)
    lines = step.source().splitlines()
    inner = [line for line in lines if line.startswith("            ") and "row]" in line]
    assert any(line.endswith("x[j + row]") for line in inner)
    assert not any("select(" in line for line in inner)


def test_unsigned_and_0d_and_empty_indices() -> None:
    (x,) = arrays((ROWS, COLUMNS))
    for index in (np.array([4, 0], np.uint8), np.array(3), np.zeros(0, np.int64), np.zeros((2, 0), np.int64)):
        check_agreement(lambda x, i: x[:, i], [x, index])
        check_agreement(gradient(lambda x, i: x[:, i]), [x, index])


def test_adding_at_indices_that_repeat() -> None:
    x, u = arrays((4, 3), (6, 3))
    index = np.array([0, 0, -1, 2, 0, 2])
    check_agreement(tj.scatter_add, [x, index, u])
    check_agreement(lambda x, i, u: tj.scatter_add(tj.zeros((4, 3), "float64"), i, u) @ x.T, [x, index, u])
    check_agreement(lambda x, i, u: tj.scatter_add(x * 2, i, u[0]), [x, index, u])
    check_agreement(gradient(lambda u, x, i: tj.scatter_add(x, i, u)), [u, x, index])


def test_arrays_of_one_element_are_read_and_added_to_where_the_index_says() -> None:
    x, y = arrays((1,), (1, 1))
    index, twice = np.array([0, -1, 0]), np.array([0, 0])
    check_agreement(lambda x, i: tj.take(-x, i, axis=0), [x, index])
    check_agreement(lambda y, i: tj.take(tj.exp(y), i, axis=1) * 2, [y, index])
    check_agreement(lambda x, i: tj.scatter_add(-x, i, x[i]) * 2, [x, twice])
    check_agreement(lambda x, i: tj.exp(tj.scatter_add(tj.zeros(1, "float64"), i, x)), [x, twice])
    check_agreement(gradient(lambda x, i: tj.take(-x, i, axis=0)), [x, index])


def test_an_embedding_trains_in_place() -> None:
    table = tj.Variable(arrays((10, 4))[0])
    eager = tj.Variable(table.numpy())

    def step(variable: tj.Variable, words: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.sum(tj.sum(variable[words], axis=1) ** 2)
        variable.assign_sub(0.01 * tape.gradient(loss, variable))
        return loss

    compiled = tj.compile(step, strict=True)
    for words in ([[1, 2], [2, 2]], [[9, 0], [-1, 3]]):
        expected = step(eager, np.array(words))
        np.testing.assert_allclose(compiled(table, np.array(words)).numpy(), expected.numpy())
        np.testing.assert_allclose(table.numpy(), eager.numpy())


def test_sparse_labels_need_no_one_hot() -> None:
    (logits,) = arrays((ROWS, COLUMNS))

    def loss(x: Any, labels: Any) -> Any:
        return -tj.log_softmax(x, axis=1)[tj.arange(ROWS), labels]

    check_agreement(loss, [logits, LABELS])
    check_agreement(gradient(loss), [logits, LABELS])


@pytest.mark.parametrize("bad", [[0, COLUMNS], [-COLUMNS - 1, 0], [1 << 40, 0]])
def test_an_index_out_of_range_is_an_error_and_nothing_is_assigned(bad: list[int]) -> None:
    w, count = tj.Variable(np.ones(COLUMNS)), tj.Variable(0.0)

    @tj.compile(strict=True)
    def step(i: Any) -> Any:
        count.assign_add(1.0)
        w.assign(w * 2)
        w.assign(tj.scatter_add(w, i, -tj.ones(2, "float64")))
        return w[i]

    np.testing.assert_array_equal(step(np.array([0, -1])).numpy(), [1.0, 1.0])
    before = w.numpy().copy()
    for _ in range(2):
        wrong = bad[0] if bad[1] == 0 else bad[1]
        with pytest.raises(IndexRangeError, match=rf"index {wrong} is out of range.* length {COLUMNS}"):
            step(np.array(bad))
        np.testing.assert_array_equal(w.numpy(), before)
        assert float(count) == 1.0
    with pytest.raises(IndexError):
        step(np.array(bad))
    step(np.array([1, 1]))
    assert float(count) == 2.0


def test_the_indices_that_cannot_be_wrong_are_not_checked() -> None:
    step = tj.compile(lambda x: x[tj.arange(4), tj.arange(4)], strict=True)
    np.testing.assert_array_equal(step(np.arange(20.0).reshape(5, 4)).numpy(), [0.0, 5.0, 10.0, 15.0])
    assert "return status" not in step.source()
    with pytest.raises(IndexRangeError):
        tj.compile(lambda x: x[tj.arange(4)], strict=True)(np.ones(3))


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("shape", [(6, 4), (1, 5), (0, 3), (3, 0), (1100, 2)])
def test_running_sums(shape: tuple[int, ...], axis: int | None) -> None:
    (x,) = arrays(shape)
    plain = x.size < 100
    check_agreement(lambda x: tj.cumsum(tj.sin(x), axis=axis) * 2, [x], plain=plain)
    check_agreement(gradient(lambda x: tj.cumsum(x, axis=axis)), [x], plain=plain, scale=10.0)


def test_running_sums_of_integers_and_booleans_and_beside_other_sums() -> None:
    (x,) = arrays((2000,))
    check_agreement(tj.cumsum, [np.arange(100, dtype=np.int8)])
    check_agreement(lambda x: tj.cumsum(x > 0), [x], plain=False)

    def several(x: Any) -> Any:
        return tj.sum(tj.cumsum(x) * x), tj.sum(x), tj.cumsum(tj.flip(x))

    check_agreement(several, [x], plain=False, scale=100.0)


def second_of(x: Any, i: Any) -> Any:
    return x[i]


def test_a_failed_check_names_the_line_of_the_operation() -> None:
    step = tj.compile(lambda x, i: 2 * second_of(x, i), strict=True)
    line = second_of.__code__.co_firstlineno + 1
    with pytest.raises(IndexRangeError, match=rf"assigned; it is computed at .*test_indexing_steps.py:{line} \(at "):
        step(np.ones(3), np.array(7))
    step = tj.compile(lambda x, i: second_of(x, i) + x[i + 1], strict=True)
    with pytest.raises(IndexRangeError, match=r"nothing was assigned \(at "):  # it may be either
        step(np.ones(3), np.array(7))


def test_a_failed_factorisation_names_the_line_of_the_operation() -> None:
    def factor(x: Any) -> Any:
        return tj.linalg.cholesky(x)

    step = tj.compile(lambda x: 2 * factor(x), strict=True)
    line = factor.__code__.co_firstlineno + 1
    with pytest.raises(np.linalg.LinAlgError, match=rf"assigned; it is computed at .*:{line} \(at "):
        step(-np.eye(2))
