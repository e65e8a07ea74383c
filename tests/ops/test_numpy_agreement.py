"""Compositions against NumPy: values, shapes and dtypes of eager calls, and the same from one compiled step.

Each entry is a function of the library and one of NumPy's, with arrays for both. What has more to it than values
(derivatives at hard places, errors, orders that NumPy has not) is tested in the files of the modules.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(11)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
ROW = RNG.normal(size=7)
WITH_NAN = np.where(RNG.random((4, 5)) < 0.3, NAN, RNG.normal(size=(4, 5)))
WITH_NAN[2] = NAN
INTEGERS = RNG.integers(-9, 9, (3, 4))
ORDERED = np.sort(ROW)
SOME = np.array([NAN, INF, -INF, 1.0, -2.0])

Entry = tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]


def both(name: str, *arguments: Any, **options: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two functions of a name, of arrays before other arguments."""
    return (
        lambda *a: getattr(tj, name)(*a, *arguments, **options),
        lambda *a: getattr(np, name)(*a, *arguments, **options),
    )


def same(name: str, *arrays: np.ndarray, **options: Any) -> Entry:
    """The function of the same name, with the same options."""
    return (*both(name, **options), arrays)


ELEMENTS: dict[str, Entry] = {
    "deg2rad": same("deg2rad", X),
    "deg2rad of integers": same("deg2rad", INTEGERS),
    "rad2deg": same("rad2deg", X.astype("float32")),
    "heaviside": same("heaviside", np.array([-1.0, 0.0, -0.0, 2.0, NAN]), np.array(0.5)),
    "fmax": same("fmax", SOME, np.array([1.0, NAN, NAN, 2.0, -3.0])),
    "fmax of integers": same("fmax", INTEGERS, INTEGERS[::-1]),
    "fmin": same("fmin", SOME, np.array([1.0, NAN, NAN, 2.0, -3.0])),
    "nan_to_num": same("nan_to_num", SOME),
    "nan_to_num with numbers": same("nan_to_num", SOME.astype("float32"), nan=1.0, posinf=2.0, neginf=-3.0),
    "isclose": same("isclose", X, X * (1 + np.array([1e-4, 1e-6, -1e-5, 0.0]))),
    "isclose of infinities": same("isclose", SOME, np.array([NAN, INF, INF, INF, -2.0])),
    "isclose of nan": same("isclose", SOME, SOME, equal_nan=True),
    "allclose": same("allclose", X, X + 1e-10),
    "lerp": (tj.lerp, lambda a, b, t: a + t * (b - a), (X, Y, np.array([0.0, 0.25, 0.75, 1.0]))),
    "silu": (tj.silu, lambda x: x / (1 + np.exp(-x)), (X,)),
    "elu": (lambda x: tj.elu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x)), (X,)),
    "leaky_relu": (tj.leaky_relu, lambda x: np.where(x > 0, x, 0.2 * x), (X,)),
    "log_sigmoid": (tj.log_sigmoid, lambda x: -np.logaddexp(0, -x), (X,)),
    "sinc": same("sinc", np.array([0.0, 1e-9, 0.3, 1.0, -2.5])),
}
ARRANGED: dict[str, Entry] = {
    "swapaxes": (*both("swapaxes", 0, -1), (CUBE,)),
    **{f"rot90 {k}": same("rot90", CUBE, k=k, axes=(2, 0)) for k in (-1, 0, 1, 2, 3)},
    "tile": (lambda x: tj.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3)), (X,)),
    "tile by fewer": (lambda x: tj.tile(x, 2), lambda x: np.tile(x, 2), (CUBE,)),
    "tile by more": (lambda x: tj.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), (ROW,)),
    "tile by none": (lambda x: tj.tile(x, 0), lambda x: np.tile(x, 0), (ROW,)),
    "repeat": (lambda x: tj.repeat(x, 2), lambda x: np.repeat(x, 2), (X,)),
    "repeat along": (lambda x: tj.repeat(x, 3, axis=1), lambda x: np.repeat(x, 3, axis=1), (CUBE,)),
    "repeat each": (lambda x: tj.repeat(x, [2, 0, 3], axis=0), lambda x: np.repeat(x, [2, 0, 3], axis=0), (X,)),
    "unstack": (lambda x: tj.unstack(x, axis=1)[2], lambda x: x[:, 2], (CUBE,)),
    "array_split": (lambda x: tj.array_split(x, 3)[1], lambda x: np.array_split(x, 3)[1], (ROW,)),
    "array_split of few": (lambda x: tj.array_split(x, 9)[8], lambda x: np.array_split(x, 9)[8], (ROW,)),
    "hstack": (lambda x, y: tj.hstack([x, y]), lambda x, y: np.hstack([x, y]), (X, Y)),
    "vstack": (lambda x, y: tj.vstack([x, y]), lambda x, y: np.vstack([x, y]), (ROW, ROW * 2)),
    "broadcast_arrays": (
        lambda x, y: tj.broadcast_arrays(x, y)[1], lambda x, y: np.broadcast_arrays(x, y)[1], (CUBE, X)
    ),
    "meshgrid": (lambda x, y: tj.meshgrid(x, y)[1], lambda x, y: np.meshgrid(x, y)[1], (ROW, X[0])),
    "meshgrid ij": (
        lambda x, y, z: tj.meshgrid(x, y, z, indexing="ij")[2], lambda x, y, z: np.meshgrid(x, y, z, indexing="ij")[2],
        (ROW, X[0], Y[:, 0]),
    ),
    **{f"tril {k}": same("tril", CUBE, k=k) for k in (-2, 0, 1)},
    **{f"triu {k}": same("triu", INTEGERS, k=k) for k in (-1, 0, 2)},
    **{f"diagonal {k}": same("diagonal", X, offset=k) for k in (-3, -1, 0, 2, 4)},
    "diagonal of axes": same("diagonal", CUBE, offset=1, axis1=2, axis2=0),
    "trace": same("trace", CUBE, offset=1, axis1=1, axis2=2),
    "trace of integers": same("trace", INTEGERS.astype("int8")),
    **{f"diag {k}": (lambda x, k=k: tj.diag(x, k), lambda x, k=k: np.diag(x, k), (ROW,)) for k in (-2, 0, 1)},
    "diag of a matrix": (lambda x: tj.diag(x, 1), lambda x: np.diag(x, 1), (X,)),
    "diagflat": (tj.diagflat, np.diagflat, (X,)),
    **{
        f"pad {mode}": (*both("pad", ((1, 7), (2, 0)), mode), (X,))
        for mode in ("edge", "reflect", "symmetric", "wrap")
    },
    "pad with many parts": (*both("pad", 90, "reflect"), (ROW[:3],)),
    "repeat each of many": (*both("repeat", [1, 2] * 9), (np.arange(18.0),)),
    "pad one element": (lambda x: tj.pad(x[:1], 3, "reflect"), lambda x: np.pad(x[:1], 3, "reflect"), (ROW,)),
    "take_along_axis": (
        lambda x, i: tj.take_along_axis(x, i, axis=1), lambda x, i: np.take_along_axis(x, i, axis=1),
        (X, np.array([[0, -1], [3, 3], [1, 2]])),
    ),
    "take_along_axis that broadcasts": (
        lambda x, i: tj.take_along_axis(x, i, axis=0), lambda x, i: np.take_along_axis(x, i, axis=0),
        (CUBE, np.array([[[1], [0], [1]]])),
    ),
}  # fmt: skip
SUMMARIES: dict[str, Entry] = {
    "nansum": same("nansum", WITH_NAN, axis=1, keepdims=True),
    "nansum of integers": same("nansum", INTEGERS.astype("int16")),
    "nanprod": same("nanprod", WITH_NAN, axis=0),
    "nanmean": same("nanmean", WITH_NAN, axis=0),
    "nanvar": same("nanvar", WITH_NAN, axis=0),
    "nanstd": same("nanstd", WITH_NAN, axis=0, ddof=1, keepdims=True),
    "nanmax": same("nanmax", WITH_NAN, axis=1),
    "nanmin": same("nanmin", WITH_NAN),
    "nanmedian": same("nanmedian", WITH_NAN, axis=0),
    "nanquantile": (
        lambda x: tj.nanquantile(x, [0.1, 0.8], axis=1), lambda x: np.nanquantile(x, [0.1, 0.8], axis=1), (WITH_NAN,)
    ),
    "ptp": same("ptp", CUBE, axis=1),
    "count_nonzero": same("count_nonzero", INTEGERS, axis=0),
    "average": same("average", X, axis=1),
    "average with weights": (
        lambda x, w: tj.average(x, 1, w), lambda x, w: np.average(x, 1, w), (X, np.array([1.0, 2.0, 0.0, 3.0]))
    ),
    "average of all": (lambda x, w: tj.average(x, weights=w), lambda x, w: np.average(x, weights=w), (X, Y**2)),
    "median": same("median", X),
    "median of odd": same("median", CUBE, axis=(1, 0)),
    "median with nan": same("median", WITH_NAN, axis=0, keepdims=True),
    "percentile": (lambda x: tj.percentile(x, 30, axis=0), lambda x: np.percentile(x, 30, axis=0), (X,)),
    **{
        f"quantile {method}": (
            lambda x, m=method: tj.quantile(x, [[0.0, 0.5], [0.3, 1.0]], axis=(0, 2), method=m),
            lambda x, m=method: np.quantile(x, [[0.0, 0.5], [0.3, 1.0]], axis=(0, 2), method=m),
            (CUBE,),
        )
        for method in ("linear", "lower", "higher", "nearest", "midpoint")
    },
    **{
        f"one quantile {method}": (
            lambda x, m=method: tj.quantile(x, 0.25, method=m, keepdims=True),
            lambda x, m=method: np.quantile(x, 0.25, method=m, keepdims=True),
            (ROW[:6],),
        )
        for method in ("linear", "lower", "higher", "nearest", "midpoint")
    },
    "quantile with nan": (*both("quantile", 0.4, axis=0), (WITH_NAN[:2],)),
    "cumprod": same("cumprod", INTEGERS.astype("int8"), axis=1),
    "cumulative_sum": same("cumulative_sum", X, axis=0, include_initial=True),
    "cumulative_prod": same("cumulative_prod", ROW, include_initial=True),
    "diff": same("diff", CUBE, axis=1),
    "diff twice": same("diff", ROW, n=2, prepend=0.0, append=ROW[:2]),
    "diff of booleans": same("diff", X > 0),
    "trapezoid": (lambda y: tj.trapezoid(y, dx=0.5, axis=0), lambda y: np.trapezoid(y, dx=0.5, axis=0), (X,)),
    "trapezoid at places": (*both("trapezoid", axis=1), (CUBE, np.array([0.0, 1.0, 3.0]))),
    **{
        f"{name} {mode} {pair[0].size}": (*both(name, mode), pair)
        for name in ("convolve", "correlate")
        for mode, pair in (("full", (ROW, X[0])), ("same", (ROW, X[0])), ("valid", (X[1], ROW)), ("same", (X[2], ROW)))
    },
    "convolve with many": (tj.convolve, np.convolve, (np.sin(np.arange(90.0)), np.cos(np.arange(40.0)))),
    "dot": (tj.dot, np.dot, (CUBE, X.T)),
    "inner": (tj.inner, np.inner, (CUBE, X)),
    "vdot": (tj.vdot, np.vdot, (X, Y)),
    "cross": (lambda x, y: tj.cross(x, y, axis=1), lambda x, y: np.cross(x, y, axis=1), (CUBE, CUBE[::-1].copy())),
    "kron": (tj.kron, np.kron, (X, ROW)),
    "kron of integers": (tj.kron, np.kron, (INTEGERS, INTEGERS.T.astype("int32"))),
}  # fmt: skip
PLACES: dict[str, Entry] = {
    "searchsorted": same("searchsorted", ORDERED, X, side="right"),
    "searchsorted with a sorter": (
        lambda x, v: tj.searchsorted(x, v, sorter=tj.argsort(x)),
        lambda x, v: np.searchsorted(x, v, sorter=np.argsort(x)),
        (ROW, X),
    ),
    "searchsorted of promoted numbers": same("searchsorted", np.array([1, 2, 3]), np.array([1.5, 2.0])),
    "digitize": same("digitize", X, np.array([-1.0, 0.0, 0.5])),
    "digitize downwards": same("digitize", np.array([0.5, 0.0, 3.0]), np.array([1.0, 0.5, 0.0]), right=True),
    "bincount": (lambda x: tj.bincount(x, length=6), np.bincount, (np.array([0, 3, 3, 5, 0]),)),
    "bincount with weights": (
        lambda x, w: tj.bincount(x, w, length=4), np.bincount, (np.array([0, 3, 3, 1]), X[0])
    ),
    "histogram": (lambda x: tj.histogram(x, 5)[0], lambda x: np.histogram(x, 5)[0], (CUBE,)),
    "histogram borders": (lambda x: tj.histogram(x, 5)[1], lambda x: np.histogram(x, 5)[1], (CUBE,)),
    "histogram in a range": (
        lambda x: tj.histogram(x, 4, (-1, 1), density=True)[0],
        lambda x: np.histogram(x, 4, (-1, 1), density=True)[0],
        (CUBE,),
    ),
    "histogram by borders": (
        lambda x, w: tj.histogram(x, [-1.0, 0.0, 2.0], weights=w)[0],
        lambda x, w: np.histogram(x, [-1.0, 0.0, 2.0], weights=w)[0], (X, Y),
    ),
}  # fmt: skip
TABLES = {"elements": ELEMENTS, "arranged": ARRANGED, "summaries": SUMMARIES, "places": PLACES}
# Where NumPy makes float64 of float32, because of other arguments that are.
NARROWER = ("quantile", "nanquantile", "bincount")
EACH = [(table, name) for table, entries in TABLES.items() for name in entries]


@pytest.mark.parametrize(("table", "name"), EACH)
@pytest.mark.filterwarnings("ignore:Mean of empty|All-NaN|Degrees of freedom:RuntimeWarning")
def test_eager_is_numpy(table: str, name: str) -> None:
    function, reference, arrays = TABLES[table][name]
    for dtype in ("float64", "float32"):
        given = [each.astype(dtype) if each.dtype.kind == "f" else each for each in arrays]
        found, expected = function(*given).numpy(), np.asarray(reference(*given))
        assert found.shape == expected.shape
        assert found.dtype == (dtype if name.startswith(NARROWER) and found.dtype.kind == "f" else expected.dtype)
        tolerance = 3e-6 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("table", TABLES)
def test_compiled_is_eager(table: str) -> None:
    """One entry of each function."""
    entries = {name.split()[0]: entry for name, entry in reversed(TABLES[table].items())}.values()

    def all_of_them(*arrays: Any) -> list[Any]:
        rest = list(arrays)
        results = []
        for function, _, given in entries:
            results.append(function(*rest[: len(given)]))
            del rest[: len(given)]
        return results

    check_agreement(all_of_them, [array for _, _, given in entries for array in given], plain=False)


DIFFERENTIABLE = [
    (table, name)
    for table, name in EACH
    if all(np.isfinite(each).all() for each in TABLES[table][name][2])
    and any(each.dtype.kind == "f" for each in TABLES[table][name][2])
    and TABLES[table][name][0](*TABLES[table][name][2]).dtype.kind == "f"
    and name not in ("heaviside", "histogram borders", "histogram in a range")
]


@pytest.mark.parametrize(("table", "name"), DIFFERENTIABLE)
def test_derivatives(table: str, name: str) -> None:
    function, _, arrays = TABLES[table][name]
    floats = [each for each in arrays if each.dtype.kind == "f"]

    def of_floats(*tensors: Any) -> Any:
        rest = iter(tensors)
        return function(*[next(rest) if each.dtype.kind == "f" else each for each in arrays])

    assert_derivatives(of_floats, *floats, order=1 if name.startswith(("isclose", "nan_to_num")) else 2)
