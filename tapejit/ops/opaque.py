"""A Python function of the user's as one operation, which the compiler leaves as it is.

Floor 4. In eager mode it is called at once; in a compiled step it runs between two kernels. Its derivative, if the user
gives one, is made where rules of the user's own are (`custom`).
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, checked_shape, parse_dtype
from ..dataclass import dataclass
from ..errors import ShapeError, at_user_line, name_of
from ..families import Case, as_array, library_call, normal
from ..lowering import Opaque
from ..primitive import BatchRule, Params, in_role, new_key
from ..pytree import LEAF, TreeDef, flatten, flatten_up_to, unflatten
from ..rooms import enter
from .annotations import ArrayLike
from .shaping import Apply

if TYPE_CHECKING:
    from ..tensor import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Function:
    """A user's function; no two calls of it are the same, since nobody knows what it does.

    Attributes
    ----------
    call : callable
        The function.
    results : TreeDef
        The nest that it returns.
    vectorized : bool
        Whether it takes a batch of inputs as well.
    number : int
        Tells it from others in the text of regions, by which these are compared.
    """

    call: Callable[..., Any]
    results: TreeDef = LEAF
    vectorized: bool = False
    number: int = field(default_factory=new_key)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return name_of(self.call)

    def __repr__(self) -> str:
        return f"{self.name} {self.number}"


def _called(*arrays: np.ndarray, function: _Function, avals: tuple[Aval, ...]) -> tuple[np.ndarray, ...]:
    """What the function makes of arrays that it can't write to."""
    views = [np.asarray(array).view() for array in arrays]
    for view in views:
        view.flags.writeable = False
    found = function.call(*views)
    leaves = [found] if function.results == LEAF else flatten_up_to(function.results, found)
    if leaves is None:
        wanted = unflatten(function.results, avals)
        raise ShapeError(
            at_user_line(
                f"numpy_function: {function.name} returned {found!r:.80}, though it was said to return {wanted}"
            )
        )
    results = tuple(map(np.asarray, leaves))
    for result, aval in zip(results, avals, strict=True):
        if result.shape != aval.shape or result.dtype != aval.dtype:
            raise ShapeError(
                at_user_line(
                    f"numpy_function: {function.name} returned {result.dtype.name}{list(result.shape)}, though it was "
                    f"said to return {aval.dtype.name}{list(aval.shape)}"
                )
            )
    # The function may return what it was given, or keep what it returns.
    return tuple(result.copy() for result in results)


def _batch(apply: Callable[..., Any]) -> BatchRule:
    """One call for the whole batch: of a function that takes it, or one which calls it for one after the other."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        function, avals = params["function"], params["avals"]
        whole = tuple([Aval((size, *aval.shape), aval.dtype) for aval in avals])
        if function.vectorized:
            repeated = [
                value if has else in_role("broadcast")(value, (size, *value.shape))
                for value, has in zip(inputs, batched, strict=True)
            ]
            return apply(*repeated, function=function, avals=whole)

        def one_by_one(*arrays: np.ndarray) -> Any:
            out = [np.empty(aval.shape, aval.dtype) for aval in whole]
            for place in range(size):
                example = [x[place] if has else x for x, has in zip(arrays, batched, strict=True)]
                for array, result in zip(out, _called(*example, **params), strict=True):
                    array[place] = result
            return unflatten(function.results, out)

        one_by_one.__name__ = function.name
        return apply(*inputs, function=_Function(one_by_one, function.results), avals=whole)

    return rule


call_opaque: Apply = library_call(
    "numpy_function",
    inputs=("*values",),
    impl=_called,
    rule=lambda *_, function, avals: avals,
    vjp={},
    multiple=True,
    cases=(
        Case(np.argsort, normal(4), shape=4, dtype="int64"),
        Case(np.greater, normal(2, 3), normal(3), shape=(2, 3), dtype="bool"),
        Case(lambda x: [np.argsort(x), x > 0], normal(4), shape=[4, (4,)], dtype=["int64", "bool"]),
    ),
    reference=lambda function, *arrays, shape, dtype: function(*arrays),
    lowering=Opaque(),
    batch=_batch,
)


def numpy_function(
    function: Callable[..., Any],
    /,
    *inputs: ArrayLike,
    shape: Any,
    dtype: Any,
    gradient: Callable[..., Any] | None = None,
    numpy_gradient: Callable[..., Any] | None = None,
    vectorized: bool = False,
) -> "Tensor":
    """Call a Python function of NumPy arrays as one operation, in compiled steps as well.

    Parameters
    ----------
    function : callable
        ``function(*arrays) -> array_like``; it may use anything (SciPy, a table, a simulator). Its arguments are NumPy
        arrays that can't be written to. It should depend on nothing but them.
    *inputs : array_like
        Its arguments.
    shape : int or tuple of int, or a list or dict of them
        Shape of its result, known before it is called; a list or dict where it returns such a nest of arrays.
    dtype : dtype, or a nest of dtypes
        Dtype of its result, or of its results.
    gradient : callable, optional
        ``gradient(*inputs, out, ct)``, written with tapejit's operations: from its arguments, its result and the
        cotangent of that, as tensors, to a tuple of one gradient for each input (alone where there is one; None: not
        connected). Then derivatives of any order are those of this function.
    numpy_gradient : callable, optional
        The same with NumPy, another function that is called as it is. It has no derivative itself: asking for a second
        one, or for one in forward mode, is an error.
    vectorized : bool
        Whether the function also takes arrays with one more axis in front, the same for all, and gives results with
        it. Then `vmap` calls it once for a batch, not once for each example.

    Returns
    -------
    Tensor or nest of Tensor
        Of these shapes and dtypes; copies of what the function returned.

    Raises
    ------
    ShapeError
        If the function returns another shape, dtype or nest, or a gradient has another shape.
    RuleError
        If a gradient function returns another number of gradients, or is differentiated though it can't be.

    Notes
    -----
    Without a gradient none flows through it: a source that a tape reaches only through it is not connected (``None``),
    and `grad`, `jvp` and the other transforms of functions, which have no None, say so in an error. A compiled step is
    split there: a kernel up to the call, the call, a kernel after it; variables are assigned when all of them have
    succeeded, and a call whose result nobody uses is left out. The source of the name is TensorFlow's
    ``tf.numpy_function``.

    Examples
    --------
    >>> tj.numpy_function(np.sort, tj.constant([3.0, 1.0, 2.0]), shape=3, dtype="float32").tolist()
    [1.0, 2.0, 3.0]
    >>> x = tj.constant(2.0)
    >>> with tj.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = tj.numpy_function(np.sinh, x, shape=(), dtype="float32", gradient=lambda x, out, ct: ct * tj.cosh(x))
    >>> tape.gradient(y, x).item() == tj.cosh(x).item()
    True
    """
    for each in (function, gradient, numpy_gradient):
        if each is not None and not callable(each):
            raise TypeError(at_user_line(f"numpy_function: {each!r} can't be called"))
    if gradient is not None and numpy_gradient is not None:
        raise TypeError(at_user_line("numpy_function: give one of gradient and numpy_gradient"))
    shapes, results = flatten(shape, _is_shape)
    dtypes = [dtype] * len(shapes) if flatten(dtype)[1] == LEAF else flatten_up_to(results, dtype)
    if dtypes is None:
        raise ShapeError(at_user_line(f"numpy_function: the dtypes {dtype} have not the nest of the shapes {shape}"))
    avals = tuple(
        Aval(checked_shape("numpy_function", one), parse_dtype("numpy_function", other))
        for one, other in zip(shapes, dtypes, strict=True)
    )
    called = _Function(function, results, vectorized)
    values = tuple(map(as_array, inputs))

    def call(*values: Any) -> Any:
        return unflatten(results, call_opaque(*values, function=called, avals=avals))

    if gradient is None and numpy_gradient is None:
        return call(*values)  # type: ignore[no-any-return]
    enter("custom")
    return in_role("opaque_gradient")(called, values, call, gradient, numpy_gradient)  # type: ignore[no-any-return]


def opaque_function(call: Callable[..., Any], results: TreeDef, vectorized: bool) -> Any:
    """A function as `call_opaque` takes it."""
    return _Function(call, results, vectorized)


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(length, (int, np.integer)) for length in value)
