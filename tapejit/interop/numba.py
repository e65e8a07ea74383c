"""`to_numba`: functions of tapejit's, with their gradients, for other people's compiled code."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import TapejitError, at_user_line
from ..kernel import blas, door
from ..kernel.layout import Slot
from ..kernel.memory import address_of, side_by_side
from .tracing import Function, traced

HELD: list[Any] = []
"""What machine code refers to that may be in anybody's compiled code: it lives as long as the process."""


def to_numba(function: Callable[..., Any], /, *examples: Any, out: bool = False, freeze: bool = False) -> Any:
    """A function that runs inside your own ``@njit`` code.

    Parameters
    ----------
    function : callable
        Written with tapejit's operations, such as ``tj.value_and_grad(f)``. Its results, in order, are what the new
        function returns, nests flattened.
    *examples : array_like, TensorSpec, or nests of them
        Arguments like those that it will get: of their shapes and dtypes; Python floats stand for float64 numbers, ints
        for int64. A nest is as many parameters as it has leaves.
    out : bool
        Whether results that are arrays are written into arrays of the caller's, which follow the arguments, instead of
        new ones. Then a call allocates nothing.
    freeze : bool
        Whether Variables that the function reads, such as the weights of a model, keep the values that they have now.

    Returns
    -------
    numba dispatcher
        It takes C-contiguous arrays and numbers, and returns numbers and arrays: a single result as itself, several as
        a tuple; with `out` only the numbers. It doesn't take the GIL, and any number of threads may be in it.

    Raises
    ------
    CompileError
        If a part of the function can't be compiled.
    TapejitError
        If the function assigns a Variable, or reads one without `freeze`.

    Notes
    -----
    What the function captures is read when `to_numba` is called, as Numba freezes globals: numbers keep their values,
    arrays are read where they are (of one that is not contiguous, a copy). Wrong dtypes, ranks or layouts are typing
    errors of Numba's that name what was expected. Wrong shapes are a ValueError, as are arrays that overlap where one
    of them is written. A failed check is an IndexError or a LinAlgError, both of them ValueErrors, which says which
    index or matrix it was. Machine code is never freed. It refers to memory of this process: Numba doesn't put callers
    with ``cache=True`` on disk, and says so; what is pickled can't be loaded.

    Examples
    --------
    >>> import numba
    >>> slope = tj.to_numba(tj.value_and_grad(lambda x: tj.sum(tj.sin(x))), np.zeros(3))
    >>> @numba.njit
    ... def climb(x, steps):
    ...     for _ in range(steps):
    ...         value, gradient = slope(x)
    ...         x = x + 0.5 * gradient
    ...     return value
    >>> round(climb(np.zeros(3), 50), 6)
    3.0
    """
    return made_for("to_numba", function, examples, out=out, freeze=freeze)[0]


def made_for(
    caller: str, function: Callable[..., Any], examples: Sequence[Any], *, out: bool, freeze: bool
) -> tuple[Any, Function]:
    """What `to_numba` returns, and what it was made from; messages name the `caller`."""
    found = traced(caller, function, examples)
    if found.executable.variables and not freeze:
        name = found.executable.variables[0].name or "a Variable"
        raise TapejitError(
            at_user_line(
                f"{caller}: {found.title} uses {name}, which compiled code can't follow; pass its value as an "
                "argument, or freeze=True to keep the value that it has now"
            )
        )
    HELD.append(found)
    return door.numba_calls().function_for(_plan(found), out=out), found


def _plan(found: Function) -> Any:
    calls, layout = door.numba_calls(), found.layout
    table = found.executable.table()
    arguments = [
        calls.Operand(each.name, each.example.shape, each.example.dtype, found.place("argument", position))
        for position, each in enumerate(found.arguments)
    ]
    results = [
        calls.Operand(name, *_typed(output), found.place("output", number))
        for number, (name, output) in enumerate(zip(found.result_names(), layout.outputs, strict=True))
    ]
    fixed = {}
    for index, slot in enumerate(layout.slots):
        if slot.kind == "library":
            fixed[index] = blas.address(slot.name)
        elif slot.kind in ("numbers", "capture"):
            fixed[index] = int(table[index]) or _address_of_copy(found, slot)
        elif slot.kind == "variable":
            fixed[index] = _address_of_copy(found, slot)
    memory = found.memory()
    _, size = side_by_side([count for _, count in memory])
    pool = None
    if size > calls.STACK_BYTES:
        pool = calls.Pool(size)
        HELD.append(pool)
    return calls.Plan(
        found.title,
        found.executable.kernel.loaded.address,
        fixed,
        len(layout.slots),
        arguments,
        results,
        found.details(),
        memory,
        layout.failures,
        pool,
    )


def _address_of_copy(found: Function, slot: Slot) -> int:
    """Where a copy is of a captured array that is not contiguous, or of a variable."""
    array = found.executable.contents(slot)
    assert array is not None
    HELD.append(np.array(array, array.dtype.newbyteorder("="), order="C"))
    return address_of(HELD[-1])


def _typed(output: tuple[tuple[int, ...], str]) -> tuple[tuple[int, ...], np.dtype]:
    shape, dtype = output
    return tuple(shape), np.dtype(dtype)
