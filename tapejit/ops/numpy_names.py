"""NumPy's ufuncs and functions applied to tensors, in terms of the public operations.

Floor 4, top of the room: `operators` hands NumPy's two protocols to `numpy_ufunc` and `numpy_function`. A
function with a counterpart stays on the tape (`_UFUNCS`, `_FUNCTIONS`); one that only looks at numbers gets
them as arrays (`_INSPECTING`); any other is a TypeError that names the way.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from inspect import Signature, signature
from typing import Any

import numpy as np

from .. import ops
from ..errors import DtypeError, at_user_line
from ..primitive import Typed
from . import numpy_arrays, numpy_linalg
from .numpy_arrays import dtyped, extreme_of, moment_of
from .numpy_linalg import of_a

Function = Callable[..., Any]


def numpy_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What ``ufunc(*inputs, **kwargs)``, or one of its methods, is for tensors.

    Parameters
    ----------
    ufunc : numpy.ufunc
        Such as ``np.exp``.
    method : str
        ``"__call__"``, ``"reduce"``, ``"accumulate"``, ``"outer"``, …
    inputs : tuple
        At least one of them is a tensor or a variable.
    kwargs : mapping
        NumPy's keywords.

    Returns
    -------
    Tensor
        On the tape.

    Raises
    ------
    DtypeError
        If there is no such operation, or for ``out=`` and ``where=``.
    """
    label = f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}"
    if getattr(np, ufunc.__name__, None) is not ufunc:
        return _of_another(ufunc, label.removeprefix("np."), inputs, kwargs)
    options = _given(label, kwargs)
    if method == "__call__":
        function = _UFUNCS.get(ufunc)
        if function is None:
            raise _no_counterpart(label)
        return _called(label, function, inputs, options)
    if method == "outer" and ufunc in _UFUNCS and not options:
        x, y = map(ops.asarray, inputs)
        return _UFUNCS[ufunc](ops.reshape(x, (*x.shape, *(1,) * y.ndim)), y)
    function = _METHODS.get((ufunc, method))
    if function is None:
        raise _no_counterpart(label)
    options.setdefault("axis", 0)
    return _bound(label, function, inputs, options)


def _of_another(ufunc: np.ufunc, label: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a ufunc that isn't NumPy's is for tensors: SciPy's special functions have counterparts."""
    if getattr(sys.modules.get("scipy.special"), ufunc.__name__, None) is not ufunc:
        raise _no_counterpart(label)
    function = _SPECIAL.get(label)
    if function is None:
        raise _no_counterpart(f"scipy.special.{label}")
    return _called(f"scipy.special.{label}", function, inputs, _given(f"scipy.special.{label}", kwargs))


def numpy_function(function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What ``function(*args, **kwargs)``, one of NumPy's, is for tensors.

    Parameters
    ----------
    function : callable
        Such as ``np.sum``.
    args, kwargs
        As NumPy has them; somewhere in them is a tensor or a variable.

    Returns
    -------
    Tensor or object
        A tensor on the tape; what `function` returns if it only inspects numbers.

    Raises
    ------
    DtypeError
        If there is no such operation, or for arguments that it does not take.
    """
    label = _label(function)
    counterpart = _FUNCTIONS.get(function)
    if counterpart is not None:
        return _bound(label, counterpart, args, _given(label, kwargs))
    if function in _INSPECTING:
        return function(*_numbers(args), **_numbers(kwargs))
    raise _no_counterpart(label)


def _label(function: Function) -> str:
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{function.__name__}"


def _no_counterpart(label: str) -> DtypeError:
    return DtypeError(
        at_user_line(
            f"{label} is no operation of tapejit, so a tape can't follow it; use tapejit's operations, or "
            f"{label}(t.numpy()) on the numbers where no gradient is wanted"
        )
    )


def _given(label: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that say something; ``out=`` and ``where=`` are refused."""
    given = {key: value for key, value in kwargs.items() if value is not _NO_VALUE}
    for key in ("out", "where"):
        if given.pop(key, None) is not None:
            raise _refused(label, key)
    return given


def _refused(label: str, key: str) -> DtypeError:
    return DtypeError(
        at_user_line(
            f"{label} of a tensor does not take {key}=; use the result (array = array + t, not array += t), "
            f"tj.where to choose elements, or {label}(t.numpy(), {key}=...) on the numbers"
        )
    )


def _called(label: str, function: Function, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    dtype = options.pop("dtype", None)
    for key in options:
        if (function, key) != (ops.vecdot, "axis"):
            raise _refused(label, key)
    if dtype is None:
        return function(*inputs, **options)
    return ops.astype(function(*[ops.astype(value, dtype) for value in inputs], **options), dtype)


@cache
def _signature(function: Function) -> Signature:
    return signature(function)


def _bound(label: str, function: Function, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """The counterpart's result, once its signature takes the arguments."""
    try:
        bound = _signature(function).bind(*args, **options)
    except TypeError as error:
        raise DtypeError(
            at_user_line(f"{label} of a tensor: {error}; use {label}(t.numpy(), ...) on the numbers for it")
        ) from None
    for key in ("out", "where"):
        if bound.arguments.get(key) is not None:
            raise _refused(label, key)
    return function(*bound.args, **bound.kwargs)


def _numbers(nest: Any) -> Any:
    """`nest` with NumPy arrays in the place of tensors and variables."""
    if isinstance(nest, Typed):
        return nest.numpy()
    if isinstance(nest, Mapping):
        return {key: _numbers(value) for key, value in nest.items()}
    return type(nest)(map(_numbers, nest)) if type(nest) in (list, tuple) else nest


# ---- counterparts with NumPy's parameters; `out` is there to keep the positions


def _sum(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    return ops.sum(a, axis, keepdims=keepdims, dtype=dtype)


def _prod(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    return ops.prod(a, axis, keepdims=keepdims, dtype=dtype)


def _mean(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    return ops.mean(dtyped(a, dtype), axis, keepdims=keepdims)


def _cumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    return ops.cumsum(a, axis, dtype=dtype)


def _sorting(function: Function) -> Function:
    def ordered(a: Any, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Any:
        return function(ops.ravel(a), axis=0) if axis is None else function(a, axis=axis)

    return ordered


def _concatenate(arrays: Any, /, axis: Any = 0, out: None = None, *, dtype: Any = None) -> Any:
    return dtyped(ops.concat(arrays, axis=axis), dtype)


def _stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None) -> Any:
    return dtyped(ops.stack(arrays, axis=axis), dtype)


def _where(condition: Any, *given: Any) -> Any:
    return ops.where(condition, *given) if given else ops.nonzero(condition)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: None = None, *, min: Any = None, max: Any = None) -> Any:
    return ops.clip(a, a_min if min is None else min, a_max if max is None else max)


def _einsum(*operands: Any, out: None = None, optimize: Any = False) -> Any:
    return ops.einsum(*operands)


def _reshape(a: Any, shape: Any, order: str = "C") -> Any:
    if order != "C":
        raise DtypeError(
            at_user_line(f"np.reshape of a tensor takes order='C', got {order!r}; use tj.permute_dims first")
        )
    return ops.reshape(a, shape)


def _take(a: Any, indices: Any, axis: Any = None, out: None = None) -> Any:
    return ops.take(a, indices, axis)


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    return ops.pad(array, pad_width, mode, constant_values=constant_values)


def _round(a: Any, decimals: int = 0, out: None = None) -> Any:
    if not decimals:
        return ops.round(a)
    scale = 10.0**decimals
    return ops.round(ops.multiply(a, scale)) / scale


def _like(function: Function) -> Function:
    def like(a: Any, dtype: Any = None) -> Any:
        return function(a, dtype)

    return like


def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    return ops.full_like(a, fill_value, dtype)


def _linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, dtype: Any = None) -> Any:
    return ops.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)


def _size(a: Any, axis: int | None = None) -> int:
    return int(a.size if axis is None else a.shape[axis])


def _broadcast_to(array: Any, shape: Any) -> Any:
    return ops.broadcast_to(array, shape)


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return ops.moveaxis(a, source, destination)


def _expand_dims(a: Any, axis: Any) -> Any:
    return ops.expand_dims(a, axis)


def _divmod(x: Any, y: Any) -> Any:
    return ops.floor_divide(x, y), ops.remainder(x, y)


# ---- the tables


def _by_function(module: Any, names: Mapping[str, Function]) -> dict[Any, Function]:
    """`names` by NumPy's functions, as far as this NumPy has them."""
    return {getattr(module, name): function for name, function in names.items() if hasattr(module, name)}


_NO_VALUE = getattr(np, "_NoValue", None)

_UFUNCS: dict[Any, Function] = _by_function(
    np,
    {
        **{name: getattr(ops, name) for name in ops.__all__ if isinstance(getattr(np, name, None), np.ufunc)},
        **numpy_arrays.UFUNCS,
        "absolute": ops.abs,
        "fabs": ops.abs,
        "arccos": ops.acos,
        "arcsin": ops.asin,
        "arctan": ops.atan,
        "arctan2": ops.atan2,
        "conjugate": ops.positive,
        "divmod": _divmod,
        "invert": ops.bitwise_invert,
        "rint": ops.round,
    },
)

# By the names in `scipy.special`, which only those have imported who call one.
_SPECIAL: dict[str, Function] = {
    **{name: getattr(ops, name) for name in ("cbrt", "erf", "erfc", "exp2", "expm1", "log1p")},
    "expit": ops.sigmoid,
    "gammaln": ops.lgamma,
    "log_expit": ops.log_sigmoid,
    "psi": ops.digamma,
}

_METHODS: dict[Any, Function] = {
    (np.add, "reduce"): _sum,
    (np.multiply, "reduce"): _prod,
    (np.maximum, "reduce"): extreme_of(ops.max),
    (np.minimum, "reduce"): extreme_of(ops.min),
    (np.logical_or, "reduce"): extreme_of(ops.any),
    (np.logical_and, "reduce"): extreme_of(ops.all),
    (np.add, "accumulate"): _cumsum,
    **numpy_arrays.METHODS,
}

_FUNCTIONS: dict[Any, Function] = {
    **_by_function(np, numpy_arrays.FUNCTIONS),
    **_by_function(
        np,
        {
            "sum": _sum,
            "prod": _prod,
            "mean": _mean,
            "var": moment_of(ops.var),
            "std": moment_of(ops.std),
            "max": extreme_of(ops.max),
            "min": extreme_of(ops.min),
            "amax": extreme_of(ops.max),
            "amin": extreme_of(ops.min),
            "any": extreme_of(ops.any),
            "all": extreme_of(ops.all),
            "argmax": extreme_of(ops.argmax),
            "argmin": extreme_of(ops.argmin),
            "cumsum": _cumsum,
            "sort": _sorting(ops.sort),
            "argsort": _sorting(ops.argsort),
            "concatenate": _concatenate,
            "stack": _stack,
            "where": _where,
            "clip": _clip,
            "outer": lambda a, b, out=None: ops.outer(ops.ravel(a), ops.ravel(b)),
            "tensordot": lambda a, b, axes=2: ops.tensordot(a, b, axes=axes),
            "einsum": _einsum,
            "reshape": _reshape,
            "ravel": of_a(ops.ravel),
            "transpose": lambda a, axes=None: ops.permute_dims(a, axes),
            "matrix_transpose": ops.matrix_transpose,
            "moveaxis": _moveaxis,
            "expand_dims": _expand_dims,
            "squeeze": lambda a, axis=None: ops.squeeze(a, axis),
            "broadcast_to": _broadcast_to,
            "flip": lambda m, axis=None: ops.flip(m, axis),
            "roll": lambda a, shift, axis=None: ops.roll(a, shift, axis),
            "pad": _pad,
            "take": _take,
            "split": lambda ary, indices_or_sections, axis=0: ops.split(ary, indices_or_sections, axis),
            "round": _round,
            "around": _round,
            "astype": ops.astype,
            "copy": of_a(ops.asarray),
            "zeros_like": _like(ops.zeros_like),
            "ones_like": _like(ops.ones_like),
            "full_like": _full_like,
            "linspace": _linspace,
            "shape": lambda a: a.shape,
            "ndim": lambda a: a.ndim,
            "size": _size,
        },
    ),
    **_by_function(np.linalg, numpy_linalg.FUNCTIONS),
}

_INSPECTING = frozenset(
    getattr(np, name)
    for name in (
        "array2string", "array_equal", "array_equiv", "array_repr", "array_str", "can_cast", "iscomplexobj",
        "isrealobj", "lexsort", "may_share_memory", "result_type", "save", "savetxt", "savez", "savez_compressed",
        "shares_memory",
    )
)  # fmt: skip
