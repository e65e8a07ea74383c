"""NumPy's functions on tensors: on the tape where there is a counterpart, else a clear error."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.graph import evaluate
from tapejit.ops import numpy_names
from tapejit.pytree import flatten
from tests import agreement

X = np.array([[0.5, 0.25, 0.75], [0.125, 0.9, 0.3]])
SQUARE = np.array([[2.0, 0.5], [0.5, 1.0]])

CALLS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "exp": (np.exp, X),
    "arctan2": (lambda a: np.arctan2(a, X), X),
    "array times tensor": (lambda a: X * a, X),
    "scalar minus tensor": (lambda a: np.float64(2) - a, X),
    "array @ tensor": (lambda a: X.T @ a, X),
    "maximum": (lambda a: np.maximum(0.4, a), X),
    "square": (np.square, X),
    "abs": (np.abs, X),
    "rint": (np.rint, X),
    "divmod": (lambda a: np.divmod(a, 0.3), X),
    "add with dtype": (lambda a: np.add(a, 1, dtype=np.float32), X),
    "add.reduce": (np.add.reduce, X),
    "add.reduce of all": (lambda a: np.add.reduce(a, axis=None), X),
    "maximum.reduce": (lambda a: np.maximum.reduce(a, axis=1, keepdims=True), X),
    "add.accumulate": (np.add.accumulate, X),
    "multiply.outer": (lambda a: np.multiply.outer(a, np.ones(2)), X),
    "sum": (lambda a: np.sum(a, axis=1, keepdims=True), X),
    "sum by position": (lambda a: np.sum(a, 0, np.float32), X),
    "sum of all": (lambda a: np.sum(a, None), X),
    "prod": (np.prod, X),
    "mean": (lambda a: np.mean(a, 0), X),
    "var": (lambda a: np.var(a, axis=1, ddof=1), X),
    "std": (lambda a: np.std(a, axis=0, keepdims=True), X),
    "max": (lambda a: np.max(a, axis=0), X),
    "amax": (np.amax, X),
    "min": (lambda a: np.min(a, 1), X),
    "any": (lambda a: np.any(a > 0.5, axis=0), X),
    "all": (np.all, X),
    "argmax": (lambda a: np.argmax(a, axis=1), X),
    "argmin": (np.argmin, X),
    "cumsum": (np.cumsum, X),
    "cumsum along": (lambda a: np.cumsum(a, 1), X),
    "concatenate": (lambda a: np.concatenate([a, X], axis=1), X),
    "concatenate flat": (lambda a: np.concatenate((a, X), axis=None), X),
    "stack": (lambda a: np.stack([X, a], axis=-1), X),
    "where": (lambda a: np.where(a > 0.5, a, 0.0), X),
    "clip": (lambda a: np.clip(a, 0.3, 0.6), X),
    "clip below": (lambda a: np.clip(a, None, 0.6), X),
    "dot": (lambda a: np.dot(X, a.T), X),
    "dot with a vector": (lambda a: np.dot(a, np.ones(3)), X),
    "dot with a number": (lambda a: np.dot(a, 3.0), X),
    "matmul": (lambda a: np.matmul(a, X.T), X),
    "tensordot": (lambda a: np.tensordot(a, X, axes=([0, 1], [0, 1])), X),
    "outer": (lambda a: np.outer(a, X), X),
    "einsum": (lambda a: np.einsum("ij,kj->ik", a, X, optimize="greedy"), X),
    "reshape": (lambda a: np.reshape(a, (3, -1)), X),
    "ravel": (np.ravel, X),
    "transpose": (np.transpose, X),
    "transpose axes": (lambda a: np.transpose(a, (1, 0)), X),
    "swapaxes": (lambda a: np.swapaxes(a, 0, -1), X),
    "moveaxis": (lambda a: np.moveaxis(a, 0, 1), X),
    "expand_dims": (lambda a: np.expand_dims(a, (0, -1)), X),
    "squeeze": (lambda a: np.squeeze(np.expand_dims(a, 0), axis=0), X),
    "broadcast_to": (lambda a: np.broadcast_to(a, (2, 2, 3)), X),
    "flip": (lambda a: np.flip(a, axis=1), X),
    "roll": (lambda a: np.roll(a, 1, axis=0), X),
    "pad": (lambda a: np.pad(a, ((1, 0), (0, 2)), constant_values=3), X),
    "take": (lambda a: np.take(a, [0, 2, 0], axis=1), X),
    "split": (lambda a: np.split(a, 3, axis=1), X),
    "round": (lambda a: np.round(a, 1), X),
    "cholesky": (np.linalg.cholesky, SQUARE),
    "solve": (lambda a: np.linalg.solve(a, np.ones((2, 1))), SQUARE),
    "inv": (np.linalg.inv, SQUARE),
    "det": (np.linalg.det, SQUARE),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a, "U"), SQUARE),
    "eigh": (lambda a: [abs(part) for part in np.linalg.eigh(a)], SQUARE),
    "svd": (lambda a: [abs(part) for part in np.linalg.svd(a, full_matrices=False)], X),
    "svd of squares": (lambda a: [abs(part) for part in np.linalg.svd(a)], SQUARE),
    "svd without vectors": (lambda a: np.linalg.svd(a, compute_uv=False), X),
    "svdvals": (np.linalg.svdvals, X),
    "qr": (lambda a: [abs(part) for part in np.linalg.qr(a)], X),
    "qr without q": (lambda a: abs(np.linalg.qr(a, mode="r")), X),
    "pinv": (lambda a: np.linalg.pinv(a, rcond=1e-9), X),
    "lstsq": (lambda a: np.linalg.lstsq(a, np.ones(3))[0], X.T),
    "matrix_rank": (np.linalg.matrix_rank, X),
    "matrix_power": (lambda a: np.linalg.matrix_power(a, 3), SQUARE),
    "multi_dot": (lambda a: np.linalg.multi_dot([a, X.T, a]), X),
    "cond": (lambda a: np.linalg.cond(a, 1), SQUARE),
    "norm": (lambda a: np.linalg.norm(a, axis=1), X),
    "norm of a matrix": (lambda a: np.linalg.norm(a, "nuc", keepdims=True), X),
    "vector_norm": (lambda a: np.linalg.vector_norm(a, axis=0, ord=1), X),
    "matrix_norm": (lambda a: np.linalg.matrix_norm(a, ord=2), X),
    "slogdet": (np.linalg.slogdet, SQUARE),
    "zeros_like": (np.zeros_like, X),
    "ones_like": (lambda a: np.ones_like(a, dtype=np.int8), X),
    "full_like": (lambda a: np.full_like(a, 7), X),
    "copy": (np.copy, X),
    "isnan": (np.isnan, X),
    "arcsinh": (np.arcsinh, X),
    "hypot": (lambda a: np.hypot(a, X), X),
    "radians": (np.radians, X),
    "multiply.accumulate": (lambda a: np.multiply.accumulate(a, axis=1), X),
    "maximum.accumulate": (np.maximum.accumulate, X),
    "cumprod": (np.cumprod, X),
    "median": (lambda a: np.median(a, axis=1, keepdims=True), X),
    "quantile": (lambda a: np.quantile(a, [0.2, 0.7], axis=0), X),
    "nanstd": (lambda a: np.nanstd(a, axis=0, ddof=1), X),
    "nanmax": (lambda a: np.nanmax(a, 1), X),
    "nansum": (lambda a: np.nansum(a, 0, np.float32), X),
    "ptp": (lambda a: np.ptp(a, axis=1), X),
    "average": (lambda a: np.average(a, axis=0, weights=[1.0, 3.0]), X),
    "count_nonzero": (lambda a: np.count_nonzero(a, axis=0), X),
    "trace": (np.trace, X),
    "diff": (lambda a: np.diff(a, axis=0), X),
    "trapezoid": (np.trapezoid, X),
    "tile": (lambda a: np.tile(a, (2, 1)), X),
    "repeat": (lambda a: np.repeat(a, 2, axis=1), X),
    "array_split": (lambda a: np.array_split(a, 2, axis=1), X),
    "array_split at places": (lambda a: np.array_split(a, [1, 2], axis=1), X),
    "rot90": (np.rot90, X),
    "fliplr": (np.fliplr, X),
    "tril": (lambda a: np.tril(a, -1), X),
    "diag": (np.diag, X),
    "diagonal": (lambda a: np.diagonal(a, 1), X),
    "meshgrid": (lambda a: np.meshgrid(a[0], a[1]), X),
    "hstack": (lambda a: np.hstack([a, X]), X),
    "vstack": (lambda a: np.vstack((a, X)), X),
    "append": (lambda a: np.append(a, X), X),
    "append along": (lambda a: np.append(X, a, axis=1), X),
    "column_stack": (lambda a: np.column_stack([a[0], X[1], np.ones((3, 2))]), X),
    "dstack": (lambda a: np.dstack([a, X]), X),
    "dstack of vectors": (lambda a: np.dstack([a[0], X[1]]), X),
    "hsplit": (lambda a: np.hsplit(a, 3), X),
    "hsplit of a vector": (lambda a: np.hsplit(a[0], [1]), X),
    "vsplit": (lambda a: np.vsplit(a, 2), X),
    "dsplit": (lambda a: np.dsplit(a[None], 3), X),
    "fix": (lambda a: np.fix(a * 10 - 4), X),
    "real": (np.real, X),
    "select": (lambda a: np.select([X > 0.5, X > 0.2], [a, a**2], 9.0), X),
    "select of float32": (lambda a: np.select([X > 0.5], [a]), X.astype(np.float32)),
    "polyval": (lambda a: np.polyval([1.0, 2.0, 3.0], a), X),
    "polyval by coefficients": (lambda a: np.polyval(a[0], X), X),
    "where of places": (lambda a: np.where(a > 0.5), X),
    "linalg.cross": (lambda a: np.linalg.cross(a, X), X),
    "linalg.diagonal": (lambda a: np.linalg.diagonal(a, offset=1), X),
    "linalg.trace": (np.linalg.trace, SQUARE),
    "atleast_3d": (np.atleast_3d, X),
    "take_along_axis": (lambda a: np.take_along_axis(a, np.array([[1], [0]]), axis=1), X),
    "searchsorted": (lambda a: np.searchsorted([0.1, 0.5], a, side="right"), X),
    "digitize": (lambda a: np.digitize(a, [0.1, 0.5]), X),
    "bincount": (lambda a: np.bincount([0, 2], weights=a[:, 0], minlength=4), X),
    "histogram": (lambda a: np.histogram(a, bins=3, range=(0, 1)), X),
    "nonzero": (lambda a: np.nonzero(a > 0.5), X),
    "argwhere": (np.argwhere, X),
    "isclose": (lambda a: np.isclose(a, X + 1e-9), X),
    "nan_to_num": (np.nan_to_num, X),
    "inner": (lambda a: np.inner(a, X), X),
    "kron": (lambda a: np.kron(a, X), X),
    "cross": (lambda a: np.cross(a, X), X),
    "convolve": (lambda a: np.convolve(a[0], X[1], "same"), X),
    "pad reflect": (lambda a: np.pad(a, 1, "reflect"), X),
    "unique_values": (np.unique_values, X),
    "sinc": (np.sinc, X),
    "logical_not": (np.logical_not, X),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpys_functions_give_tensors_with_numpys_values(name: str) -> None:
    function, value = CALLS[name]
    found, expected = function(tj.constant(value)), function(value)
    parts = zip(found, expected, strict=True) if isinstance(expected, (tuple, list)) else [(found, expected)]
    for one, other in parts:
        assert isinstance(one, tj.Tensor)
        assert (one.shape, one.dtype) == (np.shape(other), np.asarray(other).dtype)
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)


SHAPED_BY_VALUES = {"nonzero", "where of places", "argwhere", "unique_values"}


@pytest.mark.parametrize("name", [name for name in CALLS if name not in SHAPED_BY_VALUES])
def test_they_are_traced(name: str) -> None:
    function, value = CALLS[name]
    traced = agreement.trace(lambda t: flatten(function(t))[0], [value])
    outputs, _ = evaluate(traced.raw, traced.inputs([value]))
    for one, other in zip(outputs, flatten(function(value))[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("make", [tj.constant, tj.Variable])
def test_they_stay_on_the_tape(make: Callable[[Any], Any]) -> None:
    x = make(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = np.sum(np.concatenate([np.exp(x), X * x]))
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), np.exp(X) + X)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.add(t, 1, out=np.zeros(X.shape)),
        lambda t: np.sum(t, out=np.zeros(())),
        lambda t: np.sum(t, 0, None, np.zeros(3)),
        lambda t: np.add(t, 1, where=X > 0.5),
        lambda t: np.add.reduce(t, where=X > 0.5),
        lambda t: np.sum(t, where=X > 0.5),
        lambda t: np.zeros(X.shape).__iadd__(t),
    ],
)
def test_out_and_where_are_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"does not take (out|where)=.*\.numpy\(\)"):
        call(tj.constant(X))


@pytest.mark.parametrize("method", ["reduce", "accumulate", "reduceat", "at", "outer"])
def test_every_method_of_every_ufunc_stays_or_says_that_it_does_not(method: str) -> None:
    known = {each for each in vars(np).values() if isinstance(each, np.ufunc)}
    ufuncs = {each for each in known if (each.nin, each.nout, each.signature) == (2, 1, None)}
    assert len(ufuncs) > 30
    refusals: list[tuple[str, str]] = []
    for ufunc in ufuncs:
        t = tj.constant([1, 2, 3] if "shift" in ufunc.__name__ or "bit" in ufunc.__name__ else X[0])
        more = {"reduceat": ([0, 1],), "at": (0, 1.0), "outer": (t,)}.get(method, ())
        try:
            found = getattr(ufunc, method)(t, *more)
        except TypeError as error:
            refusals.append((f"np.{ufunc.__name__}.{method}", str(error)))
            continue
        except (RuntimeError, ValueError):  # NumPy has no such method of this ufunc
            continue
        expected = getattr(ufunc, method)(t.numpy(), *(each.numpy() if each is t else each for each in more))
        for one, other in zip(flatten(found)[0], flatten(expected)[0], strict=True):
            assert isinstance(one, tj.Tensor)
            np.testing.assert_allclose(one.numpy(), other, err_msg=ufunc.__name__)
    for name, message in refusals:
        assert name in message
        assert "t.numpy()" in message


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.partition(t, 1), "np.partition"),
        (lambda t: np.average(t, returned=True), "np.average"),
        (lambda t: np.meshgrid(t[0], sparse=True), "np.meshgrid"),
        (lambda t: np.gcd(t, 2), "np.gcd"),
        (np.subtract.reduce, "np.subtract.reduce"),
        (np.linalg.svd, "np.linalg.svd of a tensor takes full_matrices=False"),
        (lambda t: np.linalg.qr(t, "complete"), "np.linalg.qr of a tensor takes mode='reduced'"),
        (lambda t: np.linalg.pinv(t, hermitian=True), "np.linalg.pinv of a tensor takes no hermitian"),
        (np.linalg.eigvals, "np.linalg.eigvals"),
        (np.fft.fft, "np.fft.fft"),
        (lambda t: np.sum(t, initial=3.0), "np.sum"),
    ],
)
def test_what_cannot_stay_on_the_tape_names_the_way(call: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}.*t\.numpy\(\)"):
        call(tj.constant(X))


def test_inspection_takes_the_numbers() -> None:
    t = tj.constant(X)
    assert np.shape(t) == (2, 3)
    assert np.ndim(t) == 2
    assert np.size(t) == 6
    assert np.size(t, 1) == 3
    assert np.allclose(t, X)
    assert np.array_equal(t, tj.Variable(X))
    assert np.array2string(t) == np.array2string(X)
    np.testing.assert_allclose(t, X)
    np.testing.assert_array_equal(np.nonzero(t), np.nonzero(X))
    np.testing.assert_array_equal(np.asarray(t), X)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32


def test_a_tensor_is_saved_and_read_back(tmp_path: Any) -> None:
    np.save(tmp_path / "t.npy", tj.constant(X))
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), X)


def test_numpy_arrays_defer_to_tensors_in_comparisons_too() -> None:
    found = tj.constant(0.5) < X
    assert isinstance(found, tj.Tensor)
    np.testing.assert_array_equal(found.numpy(), X > 0.5)


def test_the_array_api_namespace_has_its_functions() -> None:
    xp = tj.constant(X).__array_namespace__()
    assert xp.matmul is tj.matmul
    assert xp.linalg.inv is tj.linalg.inv


def test_every_ufunc_in_the_table_is_a_ufunc() -> None:
    assert all(isinstance(ufunc, np.ufunc) for ufunc in numpy_names._UFUNCS)
    assert all(callable(function) for function in numpy_names._FUNCTIONS)


def overridable() -> dict[str, Any]:
    """NumPy's functions that ask their arguments first, by name."""
    modules = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft}
    return {
        f"{module}.{name}": function
        for module, owner in modules.items()
        for name, function in vars(owner).items()
        if not name.startswith("_") and hasattr(function, "_implementation")
    }


@pytest.mark.parametrize("make", [tj.constant, tj.Variable])
def test_every_other_function_of_numpys_says_that_it_leaves_the_tape(make: Callable[[Any], Any]) -> None:
    known, t = {*numpy_names._FUNCTIONS, *numpy_names._INSPECTING}, make(X)
    others = {name: function for name, function in overridable().items() if function not in known}
    assert len(others) > 80
    for name, function in others.items():
        with pytest.raises(TypeError, match=r"t\.numpy\(\)") as raised:
            t.__array_function__(function, (type(t),), (t,), {})
        assert name.rpartition(".")[2] in str(raised.value) or function.__name__ in str(raised.value)
    ufuncs = [each for each in vars(np).values() if isinstance(each, np.ufunc) and each not in numpy_names._UFUNCS]
    assert ufuncs
    for ufunc in ufuncs:
        with pytest.raises(TypeError, match=rf"np\.{ufunc.__name__}.*t\.numpy\(\)"):
            ufunc(*[t] * ufunc.nin)


def test_the_readme_lists_what_stays_on_the_tape() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    table = text.partition("\n## NumPy's functions\n")[2].partition("\n## ")[0]
    listed = {
        kind.strip(): re.findall(r"`([\w.]+)`", names)
        for kind, names in re.findall(r"^\| (.*?) \| (`.*) \|$", table, re.MULTILINE)
    }
    functions = numpy_names._FUNCTIONS
    assert listed == {
        "elementwise": sorted({ufunc.__name__ for ufunc in numpy_names._UFUNCS}),
        "of ufuncs": sorted(f"{ufunc.__name__}.{method}" for ufunc, method in numpy_names._METHODS),
        "other functions": sorted({each.__name__ for each in functions if "linalg" not in each.__module__}),
        "`np.linalg`": sorted({each.__name__ for each in functions if "linalg" in each.__module__}),
        "`scipy.special`": sorted(numpy_names._SPECIAL),
    }


@pytest.mark.parametrize("name", numpy_names._SPECIAL)
def test_special_functions_of_scipys_stay_on_the_tape(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    t, function = tj.constant(np.array([0.3, 1.5])), getattr(special, name)
    with tj.GradientTape() as tape:
        tape.watch(t)
        y = function(t)
    np.testing.assert_allclose(y.numpy(), function(t.numpy()), rtol=1e-14)
    slopes = (function(t.numpy() + 1e-6) - function(t.numpy() - 1e-6)) / 2e-6
    np.testing.assert_allclose(tape.gradient(y, t).numpy(), slopes, rtol=1e-7)
    np.testing.assert_allclose(tj.compile(function, strict=True)(t).numpy(), y.numpy(), rtol=1e-14)


def test_other_peoples_ufuncs_are_named() -> None:
    special = pytest.importorskip("scipy.special")
    with pytest.raises(
        TypeError, match=r"^scipy\.special\.ndtri is no operation .* scipy\.special\.ndtri\(t\.numpy\(\)\)"
    ):
        special.ndtri(tj.constant(0.5))
    mine = np.frompyfunc(lambda x: x, 1, 1)
    with pytest.raises(TypeError, match=r"^<lambda> \(vectorized\) is no operation"):
        mine(tj.constant(0.5))
