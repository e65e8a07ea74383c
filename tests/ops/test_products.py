from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.ops.differences import assert_derivatives

SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
    ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 1)),
    ((2, 0), (0, 3)), ((0,), (0,)), ((0, 3), (3, 2)), ((4, 0, 3), (3, 2)), ((0, 2, 3), (1, 3, 2)),
]  # fmt: skip


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul_follows_numpys_rank_rules(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = normal(*left), normal(*right)
    np.testing.assert_allclose(tj.matmul(x, y).numpy(), x @ y, strict=True, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose((tj.constant(x) @ y).numpy(), x @ y, strict=True, rtol=1e-12, atol=1e-14)
    assert_derivatives(tj.matmul, x, y)
    assert_derivatives(lambda a, b: tj.matmul(a, b) ** 2, x, y)


def test_matmul_keeps_dtypes() -> None:
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(tj.matmul(x, x.T).numpy(), x @ x.T, strict=True)
    single = tj.constant(x.astype(np.float32))
    with tj.GradientTape() as tape:
        tape.watch(single)
        y = single @ x.astype(np.float32).T
    assert tape.gradient(y, single).dtype == np.float32
    assert tj.matmul(x.astype(np.float32), x.T.astype(np.float64)).dtype == np.float64
    assert (single @ [1.0, 2.0, 3.0]).dtype == np.float32


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_a_later_change_of_an_operand_changes_no_gradient(shape: tuple[int, ...]) -> None:
    x, w = np.ones(shape), tj.constant(np.ones(3))
    with tj.GradientTape() as tape:
        tape.watch(w)
        y = x @ w + tj.matmul(w, x.T)
    x[:] = 100
    np.testing.assert_array_equal(tape.gradient(y, w).numpy(), np.full(3, 2.0 * np.prod(shape[:-1])))


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (
            (2, 3),
            (2, 3),
            r"\(2, 3\) and \(2, 3\) do not fit: axis -1 of the first has length 3, axis -2 .* 2",
        ),
        ((2, 3), (4,), r"axis -1 of the first has length 3, axis 0 of the second 4"),
        ((3,), (4, 2), r"has length 3, axis -2 of the second 4"),
        ((5, 2, 3), (4, 3, 2), r"matmul: shapes \(5,\) and \(4,\) do not broadcast"),
        ((), (2,), "0-d"),
    ],
)
def test_matmul_names_the_axes_that_disagree(left: Any, right: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        tj.matmul(normal(*left), normal(*right))
    assert "test_products.py" in str(caught.value)


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        ((2, 3, 4), (3, 4, 5), 2), ((2, 3), (3, 2), 1), ((2,), (3,), 0), ((2, 3), (3, 2), ((1, 0), (0, 1))),
        ((2, 3, 4), (4, 2), ([0, 2], [1, 0])), ((2, 3, 4), (5, 3), (1, 1)), ((2, 3), (2, 3), 2),
        ((0, 2), (2, 0), 1), ((2, 3, 4), (4, 3), ((-1, -2), (0, 1))),
    ],
)  # fmt: skip
def test_tensordot_is_numpys(left: Any, right: Any, axes: Any) -> None:
    x, y = normal(*left), normal(*right)
    expected = np.tensordot(x, y, axes)
    np.testing.assert_allclose(tj.tensordot(x, y, axes=axes).numpy(), expected, strict=True, rtol=1e-12, atol=1e-14)
    assert_derivatives(lambda a, b: tj.tensordot(a, b, axes=axes) ** 2, x, y)


def test_tensordot_explains_itself() -> None:
    x, y = normal(2, 3), normal(4, 5)
    for axes in (1, ((0,), (0,)), ((0, 1), (0,)), 3, ((0, 0), (0, 1))):
        with pytest.raises(ShapeError, match="tensordot"):
            tj.tensordot(x, y, axes=axes)


def test_outer_and_vecdot_are_numpys() -> None:
    x, y = normal(2, 3), normal(4)
    np.testing.assert_array_equal(tj.outer(x, y).numpy(), np.outer(x, y), strict=True)
    assert_derivatives(lambda a, b: tj.outer(a, b) ** 2, x, y)
    x, y = normal(2, 1, 3), normal(4, 3)
    np.testing.assert_allclose(tj.vecdot(x, y).numpy(), np.vecdot(x, y), strict=True, rtol=1e-14)
    assert_derivatives(lambda a, b: tj.vecdot(a, b) ** 2, x, y)
    x, y = normal(3, 2), normal(3, 2)
    np.testing.assert_allclose(tj.vecdot(x, y, axis=0).numpy(), np.vecdot(x, y, axis=0), strict=True, rtol=1e-14)
    with pytest.raises(ShapeError, match="differ along axis -1: 2 and 3"):
        tj.vecdot(x, normal(3))


def test_matrix_transpose() -> None:
    x = normal(2, 3, 4)
    np.testing.assert_array_equal(tj.constant(x).mT.numpy(), np.matrix_transpose(x), strict=True)
    with pytest.raises(ShapeError, match="two axes or more"):
        tj.matrix_transpose([1.0])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "bool"])
def test_vecdot_stays_in_its_dtype(dtype: str) -> None:
    x = np.arange(1, 7).reshape(2, 3).astype(dtype)
    np.testing.assert_array_equal(tj.vecdot(x, x).numpy(), np.vecdot(x, x), strict=True)
