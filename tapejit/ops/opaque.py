"""A Python function of the user's as one operation, which the compiler leaves as it is.

Floor 4. In eager mode it is called at once; in a compiled step it runs between two kernels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, checked_shape, parse_dtype
from ..errors import ShapeError, at_user_line
from ..families import Case, as_array, library_call, normal
from ..lowering import Opaque
from ..primitive import BatchRule, Params
from .annotations import ArrayLike, DtypeLike, ShapeLike
from .shaping import Apply

if TYPE_CHECKING:
    from ..tensor import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Function:
    """A user's function; no two calls of it are the same, since nobody knows what it does."""

    call: Callable[..., Any]

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(getattr(self.call, "__name__", type(self.call).__name__))

    def __repr__(self) -> str:
        return self.name


def _called(*arrays: np.ndarray, function: _Function, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """What the function makes of arrays that it can't write to."""
    views = [array.view() for array in arrays]
    for view in views:
        view.flags.writeable = False
    result = np.asarray(function.call(*views))
    if result.shape != shape or result.dtype != dtype:
        raise ShapeError(
            at_user_line(
                f"numpy_function: {function.name} returned {result.dtype.name}{list(result.shape)}, though it was said "
                f"to return {dtype.name}{list(shape)}"
            )
        )
    # The function may return what it was given, or keep what it returns.
    return result.copy()


def _batch(apply: Callable[..., Any]) -> BatchRule:
    """One call for the whole batch, which calls the function for one after the other."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        def one_by_one(*arrays: np.ndarray) -> np.ndarray:
            out = np.empty((size, *params["shape"]), params["dtype"])
            for place in range(size):
                out[place] = _called(
                    *[x[place] if has else x for x, has in zip(arrays, batched, strict=True)], **params
                )
            return out

        one_by_one.__name__ = params["function"].name
        shape = (size, *params["shape"])
        return apply(*inputs, function=_Function(one_by_one), shape=shape, dtype=params["dtype"])

    return rule


_numpy_function: Apply = library_call(
    "numpy_function",
    inputs=("*values",),
    impl=_called,
    rule=lambda *_, function, shape, dtype: Aval(shape, dtype),
    vjp={},
    cases=(
        Case(np.argsort, normal(4), shape=4, dtype="int64"),
        Case(np.greater, normal(2, 3), normal(3), shape=(2, 3), dtype="bool"),
    ),
    reference=lambda function, *arrays, shape, dtype: function(*arrays),
    lowering=Opaque(),
    batch=_batch,
)


def numpy_function(function: Callable[..., Any], /, *inputs: ArrayLike, shape: ShapeLike, dtype: DtypeLike) -> "Tensor":
    """Call a Python function of NumPy arrays as one operation, in compiled steps as well.

    Parameters
    ----------
    function : callable
        ``function(*arrays) -> array_like``; it may use anything (SciPy, a table, a simulator). Its arguments are NumPy
        arrays that can't be written to. It should depend on nothing but them.
    *inputs : array_like
        Its arguments.
    shape : int or tuple of int
        Shape of its result, known before it is called.
    dtype : dtype
        Dtype of its result.

    Returns
    -------
    Tensor, shape `shape`, dtype `dtype`
        A copy of what the function returned.

    Raises
    ------
    ShapeError
        If the function returns another shape or dtype.

    Notes
    -----
    No gradient flows through it: a source that is reached only through it is not connected (``None``). A compiled step
    is split there: a kernel up to the call, the call, a kernel after it; variables are assigned when all of them have
    succeeded, and a call whose result nobody uses is left out. The source of the name is TensorFlow's
    ``tf.numpy_function``.

    Examples
    --------
    >>> tj.numpy_function(np.sort, tj.constant([3.0, 1.0, 2.0]), shape=3, dtype="float32").tolist()
    [1.0, 2.0, 3.0]
    """
    if not callable(function):
        raise TypeError(at_user_line(f"numpy_function: {function!r} can't be called"))
    return _numpy_function(
        *map(as_array, inputs),
        function=_Function(function),
        shape=checked_shape("numpy_function", shape),
        dtype=parse_dtype("numpy_function", dtype),
    )
