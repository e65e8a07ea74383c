"""NumPy's functions that arrange, search and summarise arrays, with NumPy's parameters, in terms of public operations.

Floor 4, below `numpy_names`, which has the rest and hands NumPy's protocol to both tables. `out` is there to keep the
positions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import ops
from ..errors import DtypeError, at_user_line

Function = Callable[..., Any]


# ---- reductions


def dtyped(a: Any, dtype: Any) -> Any:
    """An operand, converted if a dtype was named."""
    return a if dtype is None else ops.astype(a, dtype)


def _cumulative(function: Function) -> Function:
    def cumulative(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
        return function(a, axis, dtype=dtype)

    return cumulative


def _nan_total(function: Function) -> Function:
    def total(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False) -> Any:
        return function(a, axis, keepdims=keepdims, dtype=dtype)

    return total


def extreme_of(function: Function) -> Function:
    """A reduction without a dtype, with NumPy's parameters."""

    def extreme(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
        return function(a, axis, keepdims=keepdims)

    return extreme


def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False) -> Any:
    return ops.nanmean(dtyped(a, dtype), axis, keepdims=keepdims)


def moment_of(function: Function) -> Function:
    """A variance or standard deviation, with NumPy's parameters."""

    def moment(
        a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: Any = False,
        *, correction: float | None = None,
    ) -> Any:  # fmt: skip
        chosen = ddof if correction is None else correction
        return function(dtyped(a, dtype), axis, correction=chosen, keepdims=keepdims)

    return moment


def _quantile(function: Function) -> Function:
    def quantile(  # noqa: PLR0917 (NumPy's parameters)
        a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
        keepdims: Any = False,
    ) -> Any:  # fmt: skip
        return function(a, q, axis, method=method, keepdims=keepdims)

    return quantile


def _median(function: Function) -> Function:
    def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
        return function(a, axis, keepdims=keepdims)

    return median


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    if returned:
        raise DtypeError(
            at_user_line(
                "np.average of a tensor does not take returned=True; sum the weights with tj.sum, or use "
                "np.average(t.numpy(), ...) on the numbers"
            )
        )
    return ops.average(a, axis, weights, keepdims=keepdims)


def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return ops.count_nonzero(a, axis, keepdims=keepdims)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    return ops.trace(a, offset=offset, axis1=axis1, axis2=axis2, dtype=dtype)


def _trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    return ops.trapezoid(y, x, dx, axis=axis)


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    return ops.diff(a, n=n, axis=axis, prepend=prepend, append=append)


# ---- arrangement


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return ops.swapaxes(a, axis1, axis2)


def _tile(A: Any, reps: Any) -> Any:  # noqa: N803 (NumPy's name)
    return ops.tile(A, reps)


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    return ops.repeat(a, repeats, axis=axis)


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)):
        return ops.split(ary, list(indices_or_sections), axis)
    return ops.array_split(ary, indices_or_sections, axis)


def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    return ops.rot90(m, k, axes)


def _triangle(function: Function) -> Function:
    def triangle(m: Any, k: int = 0) -> Any:
        return function(m, k=k)

    return triangle


def _diag(v: Any, k: int = 0) -> Any:
    return ops.diag(v, k)


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return ops.diagonal(a, offset=offset, axis1=axis1, axis2=axis2)


def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if sparse:
        raise DtypeError(
            at_user_line(
                "np.meshgrid of tensors does not take sparse=True; use tj.reshape, or np.meshgrid(t.numpy(), ...) on "
                "the numbers"
            )
        )
    return tuple(ops.meshgrid(*xi, indexing=indexing))


def _stacked(function: Function) -> Function:
    def stacked(tup: Any, *, dtype: Any = None) -> Any:
        return dtyped(function(tup), dtype)

    return stacked


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    return ops.concat([arr, values], axis=axis)


def _column_stack(tup: Any) -> Any:
    return ops.concat([ops.reshape(each, (-1, 1)) if each.ndim < 2 else each for each in map(ops.asarray, tup)], axis=1)


def _dstack(tup: Any) -> Any:
    return ops.concat([_with_axes(ops.asarray(each), 3) for each in tup], axis=2)


def _split_along(axis: int) -> Function:
    def split(ary: Any, indices_or_sections: Any) -> Any:
        return ops.split(ary, indices_or_sections, axis)

    return split


def _hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return ops.split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


def _at_least(rank: int) -> Function:
    def at_least(*arrays: Any) -> Any:
        found = tuple(_with_axes(ops.asarray(each), rank) for each in arrays)
        return found[0] if len(found) == 1 else found

    return at_least


def _with_axes(x: Any, rank: int) -> Any:
    """With axes of length 1 where NumPy's ``atleast_1d``, ``atleast_2d`` and ``atleast_3d`` put them."""
    if x.ndim >= rank:
        return x
    shape = {0: (1,) * rank, 1: (1, *x.shape, 1)[:rank], 2: (*x.shape, 1)}[x.ndim]
    return ops.reshape(x, shape)


# ---- places


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    return ops.take_along_axis(arr, indices, axis)


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return ops.searchsorted(a, v, side=side, sorter=sorter)


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    return ops.digitize(x, bins, right=right)


def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    return ops.bincount(x, weights, minlength)


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    return ops.histogram(a, bins, range, weights=weights, density=bool(density))


def _flatnonzero(a: Any) -> Any:
    return ops.nonzero(ops.ravel(a))[0]


def _argwhere(a: Any) -> Any:
    return ops.argwhere(a)


def _nonzero(a: Any) -> Any:
    return ops.nonzero(a)


def _unary(function: Function) -> Function:
    def unary(x: Any) -> Any:
        return function(x)

    return unary


# ---- elements


def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    return ops.isclose(a, b, rtol, atol, equal_nan=equal_nan)


def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    return ops.allclose(a, b, rtol, atol, equal_nan=equal_nan)


def _nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    return ops.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


def _real(val: Any) -> Any:
    return ops.positive(val)


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    chosen = default  # a number takes the dtype of the choices
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        chosen = ops.where(condition, choice, chosen)
    return chosen


def _polyval(p: Any, x: Any) -> Any:
    coefficients, value = ops.asarray(p), ops.zeros_like(x)
    for place in range(coefficients.shape[0]):  # Horner
        value = value * x + coefficients[place]
    return value


def _two(function: Function) -> Function:
    def two(a: Any, b: Any) -> Any:
        return function(a, b)

    return two


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    if axis is None and (axisa, axisb, axisc) != (-1, -1, -1):
        raise DtypeError(at_user_line("np.cross of tensors takes one axis=; move the others with tj.moveaxis"))
    return ops.cross(a, b, axis=-1 if axis is None else axis)


def _sliding(function: Function, usual: str) -> Function:
    def sliding(a: Any, v: Any, mode: str = usual) -> Any:
        return function(a, v, mode)

    return sliding


UFUNCS: Mapping[str, Function] = {
    "arccosh": ops.acosh,
    "arcsinh": ops.asinh,
    "arctanh": ops.atanh,
    "degrees": ops.rad2deg,
    "left_shift": ops.bitwise_left_shift,
    "radians": ops.deg2rad,
    "right_shift": ops.bitwise_right_shift,
}
"""The ufuncs with another name here."""

METHODS: Mapping[tuple[np.ufunc, str], Function] = {
    (np.multiply, "accumulate"): _cumulative(ops.cumprod),
    (np.maximum, "accumulate"): lambda a, axis=None, dtype=None, out=None: ops.cummax(dtyped(a, dtype), axis),
    (np.minimum, "accumulate"): lambda a, axis=None, dtype=None, out=None: ops.cummin(dtyped(a, dtype), axis),
    (np.logaddexp, "accumulate"): lambda a, axis=None, dtype=None, out=None: ops.logcumsumexp(dtyped(a, dtype), axis),
}
"""The methods of ufuncs."""

FUNCTIONS: Mapping[str, Function] = {
    "allclose": _allclose,
    "append": _append,
    "argwhere": _argwhere,
    "array_split": _array_split,
    "atleast_1d": _at_least(1),
    "atleast_2d": _at_least(2),
    "atleast_3d": _at_least(3),
    "average": _average,
    "bincount": _bincount,
    "broadcast_arrays": lambda *args: tuple(ops.broadcast_arrays(*args)),
    "column_stack": _column_stack,
    "convolve": _sliding(ops.convolve, "full"),
    "correlate": _sliding(ops.correlate, "valid"),
    "count_nonzero": _count_nonzero,
    "cross": _cross,
    "cumprod": _cumulative(ops.cumprod),
    "cumulative_prod": ops.cumulative_prod,
    "cumulative_sum": ops.cumulative_sum,
    "diag": _diag,
    "diagflat": lambda v, k=0: ops.diagflat(v, k),
    "diagonal": _diagonal,
    "diff": _diff,
    "digitize": _digitize,
    "dot": lambda a, b, out=None: ops.dot(a, b),
    "dsplit": _split_along(2),
    "dstack": _dstack,
    "fix": lambda x, out=None: ops.trunc(x),
    "flatnonzero": _flatnonzero,
    "fliplr": lambda m: ops.flip(m, 1),
    "flipud": lambda m: ops.flip(m, 0),
    "histogram": _histogram,
    "hsplit": _hsplit,
    "hstack": _stacked(ops.hstack),
    "inner": _two(ops.inner),
    "isclose": _isclose,
    "kron": _two(ops.kron),
    "median": _median(ops.median),
    "meshgrid": _meshgrid,
    "nan_to_num": _nan_to_num,
    "nanmax": extreme_of(ops.nanmax),
    "nanmean": _nanmean,
    "nanmedian": _median(ops.nanmedian),
    "nanmin": extreme_of(ops.nanmin),
    "nanprod": _nan_total(ops.nanprod),
    "nanquantile": _quantile(ops.nanquantile),
    "nanstd": moment_of(ops.nanstd),
    "nansum": _nan_total(ops.nansum),
    "nanvar": moment_of(ops.nanvar),
    "nonzero": _nonzero,
    "percentile": _quantile(ops.percentile),
    "polyval": _polyval,
    "ptp": extreme_of(ops.ptp),
    "quantile": _quantile(ops.quantile),
    "real": _real,
    "repeat": _repeat,
    "rot90": _rot90,
    "searchsorted": _searchsorted,
    "select": _select,
    "sinc": _unary(ops.sinc),
    "swapaxes": _swapaxes,
    "take_along_axis": _take_along_axis,
    "tile": _tile,
    "trace": _trace,
    "trapezoid": _trapezoid,
    "tril": _triangle(ops.tril),
    "triu": _triangle(ops.triu),
    "unique_all": _unary(ops.unique_all),
    "unique_counts": _unary(ops.unique_counts),
    "unique_inverse": _unary(ops.unique_inverse),
    "unique_values": _unary(ops.unique_values),
    "unstack": lambda x, /, *, axis=0: ops.unstack(x, axis=axis),
    "vdot": _two(ops.vdot),
    "vsplit": _split_along(0),
    "vstack": _stacked(ops.vstack),
}
"""The functions, by NumPy's names."""
