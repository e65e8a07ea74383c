"""`logsumexp`, `softmax`, `log_softmax`: sums of exponentials that neither overflow nor vanish.

Floor 4, above `reductions`. Each is one step for tapes, with a stable reverse rule, and a composition of
others for the compiler. All three shift by the largest element; where that is not finite they shift by 0, so
that rows of -inf and rows with inf follow IEEE 754.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, normalize_axes, with_ones, without
from ..errors import DtypeError, at_user_line
from ..families import FLOATING, Case, as_array, composite, normal
from ..families.batching import reduced
from ..primitive import in_role
from .annotations import ArrayLike, Axis
from .comparison import isfinite, where
from .conversion import astype, stop_gradient
from .elementwise import exp, log
from .reductions import max as largest
from .reductions import sum as total

if TYPE_CHECKING:
    from ..tensor import Tensor

Axes = tuple[int, ...]


# ---- with NumPy


def _shifted_impl(x: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """``x - shift`` and the shift, whose axes are kept."""
    shift = np.maximum.reduce(x, axes, keepdims=True, initial=-np.inf)
    finite = np.isfinite(shift)
    if not finite.all():
        shift = np.where(finite, shift, x.dtype.type(0))
    return x - shift, shift


def _logsumexp_impl(x: np.ndarray, *, axes: Axes) -> Any:
    shifted, shift = _shifted_impl(x, axes)
    return np.log(np.add.reduce(np.exp(shifted), axes)) + shift.reshape(without(x.shape, axes))


def _softmax_impl(x: np.ndarray, *, axes: Axes, zero_rows: bool = False) -> Any:
    weights = np.exp(_shifted_impl(x, axes)[0])
    sums = np.add.reduce(weights, axes, keepdims=True)
    return weights / (np.where(sums == 0, 1, sums) if zero_rows else sums)


def _log_softmax_impl(x: np.ndarray, *, axes: Axes) -> Any:
    shifted, _ = _shifted_impl(x, axes)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axes, keepdims=True))


# ---- with tapejit operations


def _shift(x: Any, axes: Axes) -> Any:
    """The shift of each row, its axes kept; None where a row has no elements."""
    if 0 in x.shape:
        return None
    extreme = stop_gradient(largest(x, axes, keepdims=True))
    return where(isfinite(extreme), extreme, 0)


def _shifted(x: Any, axes: Axes) -> Any:
    shift = _shift(x, axes)
    return x if shift is None else x - shift


def _logsumexp_expand(x: Any, *, axes: Axes) -> Any:
    shift = _shift(x, axes)
    if shift is None:
        return log(total(exp(x), axes))
    return log(total(exp(x - shift), axes)) + in_role("reshape")(shift, without(x.shape, axes))


def _softmax_expand(x: Any, *, axes: Axes, zero_rows: bool = False) -> Any:
    weights = exp(_shifted(x, axes))
    sums = total(weights, axes, keepdims=True)
    return weights / (where(sums == 0, 1, sums) if zero_rows else sums)


def _log_softmax_expand(x: Any, *, axes: Axes) -> Any:
    shifted = _shifted(x, axes)
    return shifted - log(total(exp(shifted), axes, keepdims=True))


# ---- the reverse rules


def _logsumexp_vjp(ct: Any, x: Any, axes: Axes) -> Any:
    """``ct * softmax(x)``, where a row of -inf gets 0 (`zero_rows`), not NaN."""
    return in_role("reshape")(ct, with_ones(x.shape, axes)) * _softmax(x, axes=axes, zero_rows=True)


def _softmax_vjp(ct: Any, out: Any, axes: Axes, zero_rows: bool) -> Any:
    return out * (ct - total(ct * out, axes, keepdims=True))


def _log_softmax_vjp(ct: Any, out: Any, axes: Axes) -> Any:
    return ct - exp(out) * total(ct, axes, keepdims=True)


# ---- the forward rules


def _logsumexp_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    axes = params["axes"]
    return total(tangents[0] * _softmax(inputs[0], axes=axes, zero_rows=True), axes)


def _softmax_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    part = out * tangents[0]
    return part - out * total(part, params["axes"], keepdims=True)


def _log_softmax_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    return tangents[0] - total(exp(out) * tangents[0], params["axes"], keepdims=True)


# ---- declarations


def _reduced(x: Aval, *, axes: Axes) -> Aval:
    return Aval(without(x.shape, axes), x.dtype)


def _same(x: Aval, *, axes: Axes, zero_rows: bool = False) -> Aval:
    return Aval(x.shape, x.dtype)


_CASES = (
    Case(normal(3, 4), axis=-1),
    Case(normal(3, 4), axis=0),
    Case(normal(2, 3, 4), axis=(0, 2)),
    Case(normal(1, 5), axis=0),
    Case(normal(0, 3), axis=1),
    Case(normal(3, 0), axis=1),
)

_logsumexp = composite(
    "logsumexp",
    impl=_logsumexp_impl,
    rule=_reduced,
    vjp={"x": _logsumexp_vjp},
    expand=_logsumexp_expand,
    batch=reduced,
    jvp=_logsumexp_jvp,
    reference=lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    cases=(*_CASES, Case(normal(2, 3)), Case(normal()), Case(normal(2, 3), axis=1, keepdims=True)),
)
_softmax = composite(
    "softmax",
    impl=_softmax_impl,
    rule=_same,
    vjp={"x": _softmax_vjp},
    expand=_softmax_expand,
    batch=reduced,
    jvp=_softmax_jvp,
    reference=lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    cases=(*_CASES, Case(normal(2, 3))),
)
_log_softmax = composite(
    "log_softmax",
    impl=_log_softmax_impl,
    rule=_same,
    vjp={"x": _log_softmax_vjp},
    expand=_log_softmax_expand,
    batch=reduced,
    jvp=_log_softmax_jvp,
    reference=lambda x, axis=-1: x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True)),
    cases=(*_CASES, Case(normal(2, 3))),
)


def _prepared(operation: str, x: Any, axis: Any) -> tuple[Any, Axes]:
    """The operand, floating, and its axes counted from the front."""
    array = as_array(x, borrow=True)
    if array.dtype.kind not in "biuf":
        raise DtypeError(at_user_line(f"{operation} does not take {array.aval}"))
    if array.dtype.kind not in FLOATING:
        array = astype(array, np.float64)
    return array, normalize_axes(operation, axis, len(array.shape))


def logsumexp(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """``log(sum(exp(x)))`` along axes, without overflow.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    axis : int or sequence of int, optional
        What to sum along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes. The derivative is ``softmax(x)``; 0 along a row of -inf.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    -inf where all elements are -inf or there are none; inf where one is inf, with nan as that element's
    derivative.

    Examples
    --------
    >>> tj.logsumexp([1000.0, 1000.0]).numpy().round(1)
    np.float32(1000.7)
    """
    array, axes = _prepared("logsumexp", x, axis)
    out = _logsumexp(array, axes=axes)
    return in_role("reshape")(out, with_ones(array.shape, axes)) if keepdims else out  # type: ignore[no-any-return]


def softmax(x: ArrayLike, /, axis: Axis = -1) -> "Tensor":
    """``exp(x) / sum(exp(x))`` along axes: positive weights that add up to 1.

    Parameters
    ----------
    x : array_like, shape (..., n)
        Logits; integers are converted to float64.
    axis : int or sequence of int, optional
        What to add up along; by default the last axis.

    Returns
    -------
    Tensor
        Same shape, floating. The reverse rule is ``out * (ct - sum(ct * out))``.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    An element -inf has weight 0. A row of -inf, or with an inf, has no weights: nan.

    Examples
    --------
    >>> tj.softmax([1000.0, 1000.0, -np.inf]).numpy()
    array([0.5, 0.5, 0. ], dtype=float32)
    """
    array, axes = _prepared("softmax", x, axis)
    return _softmax(array, axes=axes, zero_rows=False)  # type: ignore[no-any-return]


def log_softmax(x: ArrayLike, /, axis: Axis = -1) -> "Tensor":
    """``x - logsumexp(x)`` along axes: the logarithm of `softmax`, exact for small weights too.

    Parameters
    ----------
    x : array_like, shape (..., n)
        Logits; integers are converted to float64.
    axis : int or sequence of int, optional
        What to add up along; by default the last axis.

    Returns
    -------
    Tensor
        Same shape, floating. The reverse rule is ``ct - exp(out) * sum(ct)``.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    An element -inf stays -inf. A row of -inf, or with an inf, gives nan.

    Examples
    --------
    >>> tj.log_softmax([0.0, 200.0]).numpy()
    array([-200.,    0.], dtype=float32)
    """
    array, axes = _prepared("log_softmax", x, axis)
    return _log_softmax(array, axes=axes)  # type: ignore[no-any-return]
