from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

CASES: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 4)]),
    ("ba", [(2, 3)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(3, 3, 2)]),
    ("iii->i", [(3, 3, 3)]),
    ("ijji->j", [(2, 3, 3, 2)]),
    ("i->", [(4,)]),
    ("i,i", [(4,), (4,)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,j->", [(2,), (3,)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk", [(5, 1, 2, 3), (2, 3, 4)]),
    ("...", [(2, 3)]),
    ("i...->...", [(2, 3, 4)]),
    ("...i->i...", [(2, 3, 4)]),
    ("b...,b...->b...", [(2, 3, 4), (2, 3, 4)]),
    ("bij,bjk,bkl->bil", [(2, 3, 4), (2, 4, 5), (2, 5, 2)]),
    ("ij,jk,kl,lm,mi->", [(2, 3), (3, 4), (4, 2), (2, 3), (3, 2)]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("i,i,i->", [(3,), (3,), (3,)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
    ("ijk,k->ij", [(2, 3, 4), (4,)]),
    ("ijk,ilk->ijl", [(2, 1, 4), (2, 3, 4)]),
    ("ij,ij->j", [(1, 3), (2, 3)]),
    ("i,i->i", [(1,), (3,)]),
    ("ij,kl->", [(2, 3), (3, 2)]),
    ("aij,bjk->abik", [(2, 3, 4), (3, 4, 2)]),
    (" i j , j -> i ", [(2, 3), (3,)]),
    (",ij", [(), (2, 3)]),
    ("ii->i", [(0, 0)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
    ("ijkl,jl,ik->i", [(2, 3, 2, 3), (3, 3), (2, 2)]),
]


def arrays(shapes: list[tuple[int, ...]], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_values_and_derivatives(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    operands = arrays(shapes)
    found = tj.einsum(subscripts, *operands).numpy()
    np.testing.assert_allclose(found, np.einsum(subscripts, *operands), rtol=1e-12, atol=1e-12, strict=True)
    assert_derivatives(lambda *tensors: tj.einsum(subscripts, *tensors), *operands)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float32"])
def test_dtypes_are_numpys(dtype: str) -> None:
    operands = [np.random.default_rng(1).integers(0, 4, shape).astype(dtype) for shape in ((2, 3, 3), (3, 4))]
    for subscripts, used in (("bij,jk->bik", 2), ("bij,jk->", 2), ("bii->b", 1), ("bij->", 1)):
        expected = np.einsum(subscripts, *operands[:used])
        np.testing.assert_array_equal(
            tj.einsum(subscripts, *operands[:used]).numpy(), np.asarray(expected), strict=True
        )


def test_lists_of_integers_name_axes_too() -> None:
    x, y = arrays([(2, 3), (3, 4)])
    np.testing.assert_allclose(tj.einsum(x, [0, 1], y, [1, 2], [2, 0]).numpy(), (x @ y).T)
    np.testing.assert_allclose(tj.einsum(x, [5, 1], y, [1, 2]).numpy(), np.einsum(x, [5, 1], y, [1, 2]))
    x = arrays([(4, 2, 3)])[0]
    np.testing.assert_allclose(tj.einsum(x, [..., 0], y, [0, 1], [1, ...]).numpy(), np.moveaxis(x @ y, -1, 0))


def test_numpys_function_of_tensors() -> None:
    x, y = arrays([(2, 3), (3, 4)])
    found = np.einsum("ij,jk->ki", tj.constant(x), y, optimize=True)
    assert isinstance(found, tj.Tensor)
    np.testing.assert_allclose(found.numpy(), (x @ y).T)


def test_pairs_are_multiplied_in_a_cheap_order() -> None:
    def program(x: Any, y: Any, z: Any) -> Any:
        return tj.einsum("ij,jk,k->i", x, y, z)

    operands = [np.random.default_rng(0).standard_normal(shape) for shape in ((40, 50), (50, 60), (60,))]
    _, executable = check_agreement(program, operands, plain=False)
    assert executable.kernel.layout.report["flops"] <= 2 * (50 * 60 + 40 * 50) + 200


@pytest.mark.parametrize("subscripts", ["bij,bjk,bkl->bil", "iij->ji", "...ij,...jk", "ijkl,jl,ik->i"])
def test_compiled_with_gradient(subscripts: str) -> None:
    operands = arrays(dict(CASES)[subscripts])

    def program(*tensors: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(tensors)
            out = tj.einsum(subscripts, *tensors)
            loss = tj.sum(out * out)
        return [out, *tape.gradient(loss, list(tensors))]

    check_agreement(program, operands)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "reason"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], "axes 'j' have lengths 3 and 4"),
        ("ij->ij", [(2, 3), (4, 5)], "subscripts for 1 operands"),
        ("ij,jk->iz", [(2, 3), (3, 5)], "label 'z' belongs to no operand"),
        ("ij->ii", [(2, 3)], "label 'i' is there twice"),
        ("ijk", [(2, 3)], "does not name the axes of an array with 2"),
        ("i", [(2, 3)], "does not name the axes of an array with 2"),
        ("...i->i", [(2, 3)], "the result has no '...'"),
        ("i.j", [(2, 3)], "no list of letters"),
        ("...i,...j", [(2, 3), (4, 3)], "axes of '...' have lengths"),
    ],
)
def test_bad_subscripts_are_explained(subscripts: str, shapes: list[tuple[int, ...]], reason: str) -> None:
    with pytest.raises(ShapeError, match="einsum: .*" + reason):
        tj.einsum(subscripts, *arrays(shapes))
    with pytest.raises(ValueError):  # noqa: PT011 (NumPy's words)
        np.einsum(subscripts, *arrays(shapes))


def test_labels_that_are_none_are_explained() -> None:
    with pytest.raises(ShapeError, match="lists of integers"):
        tj.einsum(np.eye(2), ["a", "b"])
