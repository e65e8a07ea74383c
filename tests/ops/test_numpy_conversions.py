"""What NumPy makes of tensors where it asks nobody: nothing leaves a tape without a word."""

import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj

X = np.array([[0.5, 0.25, 0.75], [0.125, 0.9, 0.3], [0.2, 0.3, 0.1]])
ROW = X[0]

MODULES: dict[str, Any] = {
    "np": np,
    "np.linalg": np.linalg,
    "np.fft": np.fft,
    "np.emath": np.emath,
    "np.ma": np.ma,
    "np.lib.stride_tricks": np.lib.stride_tricks,
    "np.polynomial": np.polynomial,
    **{
        f"np.polynomial.{name}": getattr(np.polynomial, name)
        for name in ("chebyshev", "hermite", "hermite_e", "laguerre", "legendre", "polynomial")
    },
}
# They read files, print, change settings, or give memory as it happens to be.
OTHERS = re.compile(r"test|info|show|set|load|from(file|regex|string)|genfrom|memmap|save|.*empty|ndarray|rec|masked_")

CALLS: tuple[Callable[..., tuple[Any, ...]], ...] = (
    lambda t, v, s, x: (t,),
    lambda t, v, s, x: (v,),
    lambda t, v, s, x: (s,),
    lambda t, v, s, x: (v, v),
    lambda t, v, s, x: (t, t),
    lambda t, v, s, x: (x, t),
    lambda t, v, s, x: (x[0], v),
    lambda t, v, s, x: (v, x[0]),
    lambda t, v, s, x: (t, 1),
    lambda t, v, s, x: (1, v),
    lambda t, v, s, x: ((2,), s),
    lambda t, v, s, x: (x[0], x[0], v),
    lambda t, v, s, x: (x > 0.2, t, t),
    lambda t, v, s, x: ([x[0], v],),
    lambda t, v, s, x: (s, s, 3),
    lambda t, v, s, x: (0, s, 0.5),
)


def functions() -> Iterator[tuple[str, Any]]:
    """All that can be called in NumPy's namespaces."""
    seen = set()
    for module, owner in MODULES.items():
        for name in sorted(getattr(owner, "__all__", dir(owner))):
            function = getattr(owner, name, None)
            if not callable(function) or id(function) in seen or name.startswith("_") or OTHERS.match(name):
                continue
            seen.add(id(function))
            yield f"{module}.{name}", function


def outcome(function: Any, arguments: Any, scale: float) -> tuple[str, Any]:
    """What a function gives for tensors that a tape follows, and whether it said that it leaves the tape."""
    tensors = [tj.constant(value) for value in (X * scale, ROW * scale, np.float64(2.0 * scale))]
    with tj.GradientTape() as tape, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tape.watch(tensors)
        try:
            result = function(*arguments(*tensors, X.copy()))
        except Exception:  # noqa: BLE001 (patterns that are none of this function's)
            return "refused", None
    told = any(issubclass(each.category, tj.errors.TapejitWarning) for each in said)
    return ("told" if told else "silent"), result


def has_left(result: Any) -> bool:
    """Whether there are numbers in a result, besides integers, that are no tensors."""
    if isinstance(result, (tuple, list)):
        return any(map(has_left, result))
    if isinstance(result, np.ndarray):
        return result.dtype.kind in "fcO"
    return isinstance(result, (float, complex, np.inexact))


def differ(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)):
        return any(map(differ, one, other))
    if isinstance(one, tj.Tensor) or np.asarray(one).dtype.kind not in "fc":
        return False
    return not np.array_equal(one, other, equal_nan=True)


def test_no_function_of_numpys_leaves_a_tape_silently() -> None:
    silent, told, tried = set(), set(), 0
    for name, function in functions():
        for arguments in CALLS:
            said, result = outcome(function, arguments, 1.0)
            if said == "refused" or not has_left(result):
                continue
            tried += 1
            again, other = outcome(function, arguments, 1.2)
            if again == said and differ(result, other):  # else the tensor was a size, or a dtype
                (told if said == "told" else silent).add(name)
    assert tried > 40
    # Who calls these asks for numbers.
    assert silent <= {"np.double", "np.float64", "np.from_dlpack", "np.fromiter"}
    asking = {"np.array", "np.asarray", "np.asanyarray", "np.ascontiguousarray", "np.asfortranarray", "np.arange"}
    assert asking <= told
    # Lists of tensors are none of NumPy's protocols; but types of numbers, which are conversions too.
    ufuncs = {name for name in told if isinstance(getattr(np, name[3:], None), np.ufunc)}
    types = {name for name in told if isinstance(getattr(np, name[3:], None), type)}
    assert told <= asking | ufuncs | types


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.vectorize(lambda x: 2 * x)(t), "vectorize"),
        (lambda t: np.vectorize(lambda x: x * t[0])(np.ones(2)), "vectorize"),
        (lambda t: np.full(3, t[0]), "full"),
        (lambda t: np.pad(ROW, 1, constant_values=t[0]), "pad"),
        (lambda t: np.fill_diagonal(X.copy(), t[0]), "fill_diagonal"),
        (lambda t: np.piecewise(ROW, [ROW > 0.3], [t[0], 0.0]), "piecewise"),
        (lambda t: np.apply_along_axis(lambda row: row * t[0], 0, X), "apply_along_axis"),
        (lambda t: np.r_[t, 1.0], "AxisConcatenator"),
        (lambda t: np.polynomial.Polynomial([1.0, 2.0])(t), "ABCPolyBase"),
        (lambda t: np.ma.masked_invalid(t), "masked_invalid"),
        (lambda t: np.asarray_chkfinite(t), "asarray_chkfinite"),
    ],
)
@pytest.mark.parametrize("make", [tj.constant, tj.Variable])
def test_functions_that_make_arrays_by_themselves_are_refused(call: Any, name: str, make: Any) -> None:
    t = make(ROW)
    with tj.GradientTape() as tape:
        tape.watch(t)
        with pytest.raises(TypeError, match=rf"NumPy's {name}.*a tape follows.*t\.numpy\(\)"):
            call(t)
    call(t)  # no tape, nothing to lose


@pytest.mark.parametrize(
    "call",
    [
        lambda t: X.dot(t),
        lambda t: X.copy().__setitem__(0, t),
        lambda t: np.array([t[0], t[1]]),
        lambda t: np.asarray(t),
        lambda t: np.sin([t, t]),
        lambda t: np.random.default_rng(0).normal(t),
    ],
)
def test_what_only_numpys_c_code_sees_is_warned_about(call: Any) -> None:
    w = tj.Variable(ROW)
    with tj.GradientTape(), pytest.warns(tj.errors.TapejitWarning, match=r"has no gradient.*array @ t") as said:
        call(w)
    assert Path(said[0].filename).name == Path(__file__).name
    call(w)


def test_who_asks_for_numbers_gets_them() -> None:
    w, loss = tj.Variable(ROW), tj.Variable(2.0, dtype="float64")
    with tj.GradientTape() as tape:
        squared = loss * loss
        assert float(squared) == squared.item() == squared.tolist() == complex(squared).real == int(squared) == 4.0
        assert f"{squared:.1f} {w.numpy()[0]}" == "4.0 0.5"
        np.testing.assert_allclose(w, ROW)
        assert np.array2string(w * 1.0) == np.array2string(ROW)
        assert math.isfinite(squared)
        np.asarray(tj.constant(ROW))  # followed by no tape
        np.asarray(tj.constant([1, 2]))
        with tape.stop_recording():
            np.asarray(w)
    assert float(tape.gradient(squared, loss)) == 4.0


def test_forward_mode_and_transforms_say_it_too() -> None:
    x = tj.constant(ROW)
    with tj.ForwardAccumulator(x, x), pytest.raises(TypeError, match="NumPy's full"):
        np.full(2, x[0])
    with pytest.warns(tj.errors.TapejitWarning, match="has no gradient"):
        tj.grad(lambda x: tj.sum(x) + X.dot(x)[0])(ROW)
