"""`primitive`: an operation of the user's own, made of a function of numbers and its partial derivatives."""

import re
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np

from ..aval import parse_dtype
from ..errors import RuleError, ShapeError, at_user_line
from ..families.elementwise import FLOATING, NUMERIC, elementwise_primitive
from ..kernel.each import each_element
from ..kernel.scalar_functions import ScalarFunction, scalar_function
from ..kernel.text import is_reserved

# What names mean in the rules of tapes and in kernels.
_RULES = re.compile(r"out|ct|index|axis\d+|.*_(shapes?|dtype)")
_DTYPES = {"floating": FLOATING, "numeric": NUMERIC}


def primitive(
    function: Callable[..., Any] | None = None,
    /,
    *,
    partials: Mapping[str, Callable[..., Any] | float] | None = None,
    name: str | None = None,
    numpy: Callable[..., Any] | None = None,
    dtypes: str = "floating",
    result: Any = None,
    cost: int = 20,
) -> Any:
    """Make an elementwise operation of a function of numbers; also as a decorator.

    Parameters
    ----------
    function : callable
        A Python function of one number or several, which Numba can compile; it may be one that ``numba.njit`` has
        compiled, and call others. It must give a number, and nothing else: no exception, no Python object, no side
        effect.
    partials : mapping of str to callable or float
        For a parameter of the function its partial derivative: a function of what it names, which are parameters and
        ``out`` (the result), written with tapejit's operations, or a number. There is no derivative by others.
    name : str, optional
        Of the operation; by default the function's.
    numpy : callable, optional
        The same with NumPy, for eager mode. Without it eager mode runs a small compiled loop.
    dtypes : {"floating", "numeric"}
        What it takes: float32 and float64, to which other operands are converted, or integers as well.
    result : dtype, optional
        Of the result; by default that of the operands.
    cost : int
        What one element is worth, in additions. A cheap one is computed again rather than stored.

    Returns
    -------
    callable
        The operation, of as many array_likes as the function has parameters: it broadcasts and promotes as NumPy does
        and has derivatives of any order, if the partials have. In a compiled step it is a call within the fused loop.

    Raises
    ------
    RuleError
        If the function can't be one, or `partials` names something that is no parameter.
    CompileError
        When it is first used: if Numba does not compile the function, or it does more than give a number.

    Notes
    -----
    The function is compiled for the operands' dtype, by Numba's rules: ``x * 0.5`` of a float32 is a float64 there, and
    rounded at the end. Division by zero gives inf or nan. Global and closure values that it reads, also in functions
    that it calls, are those of the moment when the operation is made. Machine code is kept in the kernel store under
    the function's own code and these values, so that an edited function is compiled anew.

    Examples
    --------
    >>> import math
    >>> def square_plus(x, b):
    ...     return (x + math.sqrt(x * x + b)) / 2
    >>> square_plus = tj.primitive(
    ...     square_plus,
    ...     partials={
    ...         "x": lambda x, b: (1 + x / tj.sqrt(x * x + b)) / 2,
    ...         "b": lambda x, b: 0.25 / tj.sqrt(x * x + b),
    ...     },
    ... )
    >>> square_plus(tj.constant([0.0, 1.5]), 4.0).tolist()
    [1.0, 2.0]
    """
    if function is None:
        return lambda given: primitive(
            given, partials=partials, name=name, numpy=numpy, dtypes=dtypes, result=result, cost=cost
        )
    if dtypes not in _DTYPES:
        raise RuleError(at_user_line(f"primitive: dtypes is 'floating' or 'numeric', got {dtypes!r}"))
    own = name or str(getattr(function, "__name__", ""))
    if not re.fullmatch(r"[A-Za-z]\w*", own):
        raise RuleError(at_user_line(f"primitive: give it a name, an identifier; {own!r} is none"))
    given = None if result is None else parse_dtype("primitive", result)
    scalar = scalar_function(function, own, is_reserved, given)
    if others := [each for each in scalar.inputs if _RULES.fullmatch(each)]:
        raise RuleError(
            at_user_line(f"primitive: {own} must name its parameters other than {', '.join(map(repr, others))}")
        )
    for each, partial in (partials or {}).items():
        _check_partial(scalar, each, partial)
    public = elementwise_primitive(
        own,
        scalar.inputs,
        impl=_computed(scalar) if numpy is None else _computed_by(numpy, scalar),
        kernel=f"{scalar.name}({', '.join(scalar.inputs)})",
        dtypes=_DTYPES[dtypes],
        partials=dict(partials or {}),
        result=given,
        cost=cost,
        signature=f"{own} {scalar.digest}",
    )
    public.__name__ = public.__qualname__ = own
    public.__doc__ = getattr(function, "__doc__", None)
    public.__module__ = getattr(function, "__module__", __name__)
    return public


def _check_partial(scalar: ScalarFunction, name: str, partial: Any) -> None:
    known = (*scalar.inputs, "out")
    if name not in scalar.inputs:
        raise RuleError(
            at_user_line(f"primitive: {scalar.name} has no parameter {name}; it has {', '.join(scalar.inputs)}")
        )
    unknown = [each for each in signature(partial).parameters if each not in known] if callable(partial) else []
    if unknown:
        raise RuleError(
            at_user_line(
                f"primitive: the partial derivative of {scalar.name} by {name} asks for {', '.join(unknown)}; there is "
                f"{', '.join(known)}"
            )
        )


def _computed_by(function: Callable[..., Any], scalar: ScalarFunction) -> Callable[..., np.ndarray]:
    def impl(*arrays: np.ndarray) -> np.ndarray:
        result, shape = np.asarray(function(*arrays)), np.broadcast_shapes(*[array.shape for array in arrays])
        if result.shape != shape:
            raise ShapeError(
                at_user_line(f"primitive: {scalar.name}: its NumPy function gave the shape {result.shape}, not {shape}")
            )
        return result.astype(arrays[0].dtype if scalar.result is None else scalar.result, copy=False)

    return impl


def _computed(scalar: ScalarFunction) -> Callable[..., np.ndarray]:
    def impl(*arrays: np.ndarray) -> np.ndarray:
        result = arrays[0].dtype if scalar.result is None else scalar.result
        return each_element(scalar, arrays, result)

    return impl
