"""New arrays: filled with one value, or counted.

Floor 4, above `values`. Under a trace nothing here puts memory into the graph: `zeros` is a broadcast number,
and `arange`, `linspace`, `eye` and `one_hot` are arithmetic on `iota`, an element's own index.
"""

from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Aval, Shape, broadcast_shapes, checked_shape, normalize_axis, parse_dtype
from ..config import floatx
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import Case, as_array, pointwise
from ..families.operands import number_dtype
from ..primitive import Typed, Value, claim, current
from .annotations import ArrayLike, DtypeLike, ShapeLike
from .comparison import equal
from .conversion import astype
from .shaping import broadcast_to, reshape
from .values import asarray

if TYPE_CHECKING:
    from ..tensor import Tensor

_INT64 = np.dtype(np.int64)


# ---- filled


def full(shape: ShapeLike, fill_value: ArrayLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor filled with one value.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    fill_value : array_like
        Broadcasts to `shape`.
    dtype : dtype, optional
        By default that of `fill_value`: `tapejit.floatx()` for a Python float, int64 for an int.

    Returns
    -------
    Tensor
        Connected to `fill_value`. It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative or `fill_value` does not broadcast.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.full((2, 2), 7.0).numpy()
    array([[7., 7.],
           [7., 7.]], dtype=float32)
    """
    wanted = checked_shape("full", shape)
    if type(fill_value) in PYTHON_NUMBERS:
        chosen = number_dtype(type(fill_value)) if dtype is None else parse_dtype("full", dtype)
        return _filled(wanted, fill_value, chosen)
    return broadcast_to(asarray(fill_value, dtype), wanted)


def _filled(shape: Shape, number: Any, dtype: np.dtype) -> "Tensor":
    """`number` everywhere, in the memory of one element."""
    return current().interpreter.filled(number, shape, dtype).settled()  # type: ignore[return-value]


claim("zeros", lambda shape, dtype: _filled(shape, 0, dtype))
claim("ones", lambda shape, dtype: _filled(shape, 1, dtype))


def zeros(shape: ShapeLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.zeros((2, 3)).numpy()
    array([[0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    return _filled(checked_shape("zeros", shape), 0, floatx() if dtype is None else parse_dtype("zeros", dtype))


def ones(shape: ShapeLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor of ones.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.ones(3, dtype="int64").numpy()
    array([1, 1, 1])
    """
    return _filled(checked_shape("ones", shape), 1, floatx() if dtype is None else parse_dtype("ones", dtype))


def zeros_like(x: ArrayLike, /, dtype: DtypeLike = None) -> "Tensor":
    """Zeros in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Not connected to `x`.

    Examples
    --------
    >>> tj.zeros_like([1.0, 2.0]).numpy()
    array([0., 0.], dtype=float32)
    """
    return _like("zeros_like", x, 0, dtype)


def ones_like(x: ArrayLike, /, dtype: DtypeLike = None) -> "Tensor":
    """Ones in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Not connected to `x`.

    Examples
    --------
    >>> tj.ones_like([1.0, 2.0]).numpy()
    array([1., 1.], dtype=float32)
    """
    return _like("ones_like", x, 1, dtype)


def full_like(x: ArrayLike, /, fill_value: ArrayLike, dtype: DtypeLike = None) -> "Tensor":
    """One value in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    fill_value : array_like
        Broadcasts to the shape of `x`.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Connected to `fill_value`, not to `x`.

    Examples
    --------
    >>> tj.full_like([1.0, 2.0], 5).numpy()
    array([5., 5.], dtype=float32)
    """
    return _like("full_like", x, fill_value, dtype)


def _like(operation: str, x: Any, fill_value: Any, dtype: Any) -> "Tensor":
    array = as_array(x, borrow=True)
    return full(array.shape, fill_value, array.dtype if dtype is None else parse_dtype(operation, dtype))


# ---- counted


_iota = pointwise(
    "iota",
    inputs=(),
    impl=lambda *, length: np.arange(length, dtype=np.int64),
    rule=lambda *, length: Aval((length,), _INT64),
    vjp={},
    kernel="axis0",
    cases=(Case(4), Case(1), Case(0)),
    reference=np.arange,
    role="iota",
)


def iota(length: int, /) -> "Tensor":
    """The integers from 0 to `length`, exclusive.

    Parameters
    ----------
    length : int
        How many; not negative.

    Returns
    -------
    Tensor
        int64, of shape (length,). Inside a kernel it takes no memory.

    Raises
    ------
    ShapeError
        If `length` is negative.

    Examples
    --------
    >>> tj.iota(3).numpy()
    array([0, 1, 2])
    """
    (count,) = checked_shape("iota", (length,))
    return _iota(length=count)  # type: ignore[no-any-return]


def arange(start: float, /, stop: float | None = None, step: float = 1, dtype: DtypeLike = None) -> "Tensor":
    """Evenly spaced numbers from `start` to `stop`, exclusive.

    Parameters
    ----------
    start, stop, step : int or float
        With one argument: from 0 to it.
    dtype : dtype, optional
        By default int64 if all are ints, else `tapejit.floatx()`.

    Returns
    -------
    Tensor
        Of shape (ceil((stop - start) / step),), empty where `step` leads away from `stop`.

    Raises
    ------
    ValueError
        If `step` is 0.
    DtypeError
        If the dtype is unknown.

    Notes
    -----
    Element i is ``start + i * step``, rounded twice. With a fractional step prefer `linspace`: the number of
    elements depends on the last bit.

    Examples
    --------
    >>> tj.arange(2, 8, 2).numpy()
    array([2, 4, 6])
    """
    first, last = (0, start) if stop is None else (start, stop)
    for name, number in (("start", first), ("stop", last), ("step", step)):
        if not isinstance(number, (int, float, np.number, Typed)):
            raise DtypeError(at_user_line(f"arange: {name} is a number, got {number!r:.80}"))
    if step == 0:
        raise ValueError(at_user_line("arange: the step is 0"))
    count = _steps(first, last, step)
    whole = all(hasattr(number, "__index__") for number in (first, last, step))
    usual = _INT64 if whole else floatx()
    chosen = usual if dtype is None else parse_dtype("arange", dtype)
    positions: Any = iota(count)
    if not whole and chosen.kind != "f":
        return astype(first + positions * step, chosen)
    positions = astype(positions, chosen)
    if step != 1:
        positions = positions * step
    return positions if first == 0 else positions + first  # type: ignore[no-any-return]


def _steps(first: float, last: float, step: float) -> int:
    """How many numbers there are from `first` up to, but without, `last`."""
    exact = (last - first) / step
    if not isfinite(exact):
        raise ShapeError(at_user_line(f"arange: there are {exact} numbers from {first} to {last} by {step}"))
    return max(ceil(exact), 0)


def linspace(
    start: ArrayLike, stop: ArrayLike, /, num: int = 50, *, endpoint: bool = True, dtype: DtypeLike = None
) -> "Tensor":
    """`num` evenly spaced numbers from `start` to `stop`.

    Parameters
    ----------
    start, stop : array_like, floating
        Ends of the interval. Arrays give one line of numbers for each pair, along axis 0.
    num : int
        How many.
    endpoint : bool
        Whether `stop` is the last one.
    dtype : dtype, optional
        By default that of the ends, `tapejit.floatx()` for Python numbers.

    Returns
    -------
    Tensor
        Of shape (num, ...), connected to both ends. The first and the last number are the ends to the bit.

    Raises
    ------
    ShapeError
        If `num` is negative.
    DtypeError
        If the dtype is unknown.

    Notes
    -----
    Element i is ``start * (1 - t) + stop * t`` with ``t = i / (num - 1)``.

    Examples
    --------
    >>> tj.linspace(0, 1, 5).numpy()
    array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    (count,) = checked_shape("linspace", (num,))
    wanted = None if dtype is None else parse_dtype("linspace", dtype)
    low, high = (_end(value, wanted) for value in (start, stop))
    computed = np.result_type(low.dtype, high.dtype)
    rank = len(broadcast_shapes("linspace", [low.shape, high.shape]))
    divisor = max(count - 1 if endpoint else count, 1)
    t: Any = reshape(astype(iota(count), computed) / divisor, (count, *(1,) * rank))
    line = low * (1 - t) + high * t
    return line if wanted is None else astype(line, wanted)


def _end(value: Any, dtype: np.dtype | None) -> Any:
    """An end of an interval as a floating tensor."""
    if type(value) in PYTHON_NUMBERS:
        return current().interpreter.number(value, dtype if dtype is not None and dtype.kind == "f" else floatx())
    if isinstance(value, Value) and value.aval.weak:
        return astype(value, dtype if dtype is not None and dtype.kind == "f" else floatx())
    array = as_array(value, borrow=True)
    return array if array.dtype.kind == "f" else astype(array, np.float64)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DtypeLike = None) -> "Tensor":
    """Ones on a diagonal, zeros elsewhere.

    Parameters
    ----------
    n_rows, n_cols : int
        Shape of the matrix; `n_cols` is by default equal to `n_rows`.
    k : int
        Which diagonal: positive ones lie above the main diagonal.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        Of shape (n_rows, n_cols).

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.eye(2).numpy()
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    rows, columns = checked_shape("eye", (n_rows, n_rows if n_cols is None else n_cols))
    across: Any = iota(columns)
    down = reshape(iota(rows), (rows, 1))
    return astype(equal(across - k if k else across, down), floatx() if dtype is None else parse_dtype("eye", dtype))


def one_hot(indices: ArrayLike, /, depth: int, *, axis: int = -1, dtype: DtypeLike = None) -> "Tensor":
    """1 at the place that an index names, 0 elsewhere.

    Parameters
    ----------
    indices : array_like, integer
        Any shape. One that is not in [0, depth) gives zeros only.
    depth : int
        Length of the new axis.
    axis : int
        Where the result has the new axis.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        The shape of `indices` with `depth` put in at `axis`. Not connected.

    Raises
    ------
    DtypeError
        If `indices` are not integers or the dtype is unknown.
    ShapeError
        If there is no such axis or `depth` is negative.

    Examples
    --------
    >>> tj.one_hot([0, 2, 7], 3).numpy()
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    array = as_array(indices, borrow=True)
    if array.dtype.kind not in "iu":
        raise DtypeError(at_user_line(f"one_hot: indices are integers, got {array.aval}"))
    (count,) = checked_shape("one_hot", (depth,))
    place = normalize_axis("one_hot", axis, len(array.shape) + 1)
    before, after = array.shape[:place], array.shape[place:]
    classes = reshape(iota(count), (count, *(1,) * len(after)))
    hits = equal(reshape(array, (*before, 1, *after)), classes)
    return astype(hits, floatx() if dtype is None else parse_dtype("one_hot", dtype))
