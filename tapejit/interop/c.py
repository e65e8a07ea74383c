"""`to_cfunc`: pointers to C functions, for `scipy.LowLevelCallable` and for C code in the process."""

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

import numpy as np

from ..aval import Shape
from ..dataclass import dataclass
from ..errors import TapejitError, at_user_line, name_of
from ..kernel import door
from .numba import HELD, made_for
from .tracing import Argument, Function

_ANSWER = "answer"


class CFunction:
    """A C function; made by `to_cfunc`.

    Attributes
    ----------
    address : int
        Of the function, for `ctypes`, Numba or C. It stays valid as long as the process lives.
    ctypes : ctypes function
        The same, to be called from Python; it takes no GIL.
    native_name : str
        Its name in machine code.
    signature : str
        As it was given to `to_cfunc`.
    """

    def __init__(self, made: Any, signature: str) -> None:
        self.signature = signature
        self.address: int = made.address
        self.ctypes = made.ctypes
        self.native_name: str = made.native_name

    def __repr__(self) -> str:
        return f"<C function {self.signature} at {self.address:#x}>"


def to_cfunc(function: Callable[..., Any], signature: Any, /, *examples: Any, freeze: bool = False) -> CFunction:
    """A C function of a function of tapejit's.

    Parameters
    ----------
    function : callable
        ``function(*examples)``, written with tapejit's operations, such as ``tj.value_and_grad(f)``. It may have
        several results, nests flattened.
    signature : str, or signature of Numba's
        Of the C function, as `numba.cfunc` takes it: ``"float64(float64)"``, ``types.float64(types.float64)``. First
        come the arguments; an array is a ``CPointer(float64)`` to its contiguous elements. Then come ``CPointer``s that
        results are written to: all but the first one, which is returned, or all of them. In the latter case an integer
        that is returned is 1, or 0 if a check failed, as SciPy wants it. Integers besides are the lengths of the
        arrays, in order, as SciPy passes them. Numbers may come together, as `scipy.integrate.quad` and `nquad` pass
        them: ``"float64(intc, CPointer(float64))"``. A last ``CPointer(void)`` is ignored.
    *examples : array_like
        Arguments like those that it will get, of their shapes; left out, all are numbers.
    freeze : bool
        Whether Variables that the function reads keep the values that they have now.

    Returns
    -------
    CFunction
        With `address`, and `ctypes` to call it from Python, or for `scipy.LowLevelCallable`.

    Raises
    ------
    TapejitError
        If the signature does not fit the function, or that reads a Variable without `freeze`, or assigns one.
    CompileError
        If a part of the function can't be compiled.

    Notes
    -----
    It needs neither Python nor the GIL. A C function has no exceptions: where a check fails (an index out of range, a
    singular matrix, another length of an array) it gives NaN, -1 for an integer, or the status 0. `export` has more to
    say of what failed. What the function captures is read as in `to_numba`.

    Examples
    --------
    >>> bell = tj.to_cfunc(lambda x: tj.exp(-x * x), "float64(float64)")
    >>> bell.ctypes(0.0)
    1.0

    For `scipy.ndimage.generic_filter`, `geometric_transform` and `generic_filter1d`:

    >>> spread = tj.to_cfunc(tj.std, "intc(CPointer(float64), intp, CPointer(float64), voidptr)", np.zeros(9))
    >>> turn = tj.to_cfunc(
    ...     lambda at: at[::-1] + 0.5, "intc(CPointer(intp), CPointer(float64), intc, intc, voidptr)", np.zeros(2, int)
    ... )
    >>> steps = tj.to_cfunc(
    ...     lambda line: line[1:] - line[:-1],
    ...     "intc(CPointer(float64), intp, CPointer(float64), intp, voidptr)",
    ...     np.zeros(6),
    ... )
    """
    calls = door.numba_calls()
    text = signature if isinstance(signature, str) else str(signature)
    try:
        result, parameters = calls.parsed_signature(signature)
    except ValueError as error:
        raise TapejitError(
            at_user_line(f"to_cfunc: {text!r} is no signature such as 'float64(float64, CPointer(float64))': {error}")
        ) from None
    if not examples:
        examples = _numbers(text, function, parameters)
    compiled, found = made_for("to_cfunc", function, examples, out=True, freeze=freeze)
    fit = _Fit.found(text, result, parameters, found)
    made = calls.c_function(compiled, signature, fit.entry())
    HELD.append(made)
    return CFunction(made, text)


def _numbers(text: str, function: Callable[..., Any], parameters: Sequence[Any]) -> tuple[Any, ...]:
    """Examples for a function of numbers.

    Raises
    ------
    TapejitError
        If the function takes more arguments than there are numbers.
    """
    numbers = [np.zeros((), each.dtype) for each in parameters if each.kind == "number"]
    together = _together(parameters)
    try:
        wanted = [each for each in inspect.signature(function).parameters.values() if each.default is Parameter.empty]
    except (TypeError, ValueError):  # a built-in function without a signature
        wanted = []
    plain = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(each.kind in plain for each in wanted)
    if together is not None and count > 1:
        return (np.zeros((), together.dtype),) * count
    if together is not None or count > len(numbers):
        raise TapejitError(
            at_user_line(
                f"to_cfunc: {name_of(function)} takes {count} arguments, of which {text!r} has {len(numbers)} as "
                "numbers; pass an example of each argument, as a signature has no shapes"
            )
        )
    return tuple(numbers)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How the parameters of a C function belong to arguments and results.

    Attributes
    ----------
    result : CType
        What is returned.
    names : sequence of str
        Of all parameters.
    arguments : sequence of (str, Argument)
        Which parameters are arguments.
    targets : sequence of (str, shape)
        Where each result goes: to a parameter, or to ``answer``, which is returned.
    lengths : sequence of (str, int)
        Which parameters are lengths of arrays, and what they must be.
    """

    result: Any
    names: Sequence[str]
    arguments: Sequence[tuple[str, Argument]]
    targets: Sequence[tuple[str, Shape]]
    lengths: Sequence[tuple[str, int]]

    @classmethod
    def found(cls, text: str, result: Any, parameters: Sequence[Any], function: Function) -> "_Fit":
        """The one way in which a signature fits a function.

        Raises
        ------
        TapejitError
            If there is none.
        """
        named = [(f"x{place}", each) for place, each in enumerate(parameters)]
        ignored = [named.pop()[0]] if named and named[-1][1].kind == "void" else []
        given = ", ".join(f"{each.example.dtype}{list(each.example.shape)}" for each in function.arguments)
        problem = f"to_cfunc: the signature {text!r} does not fit the arguments {given or '(none)'}"
        lengths: list[tuple[str, int]] = []
        together = _together(parameters)
        if together is not None and all(each.example.shape == () for each in function.arguments):
            arguments, left = [(f"x1[{place}]", each) for place, each in enumerate(function.arguments)], named[2:]
            lengths.append(("x0", len(arguments)))
        else:
            arguments, left = _matched(problem, named, function.arguments)
        pointers = [(name, each) for name, each in left if each.kind == "pointer"]
        counts = [name for name, each in left if each.kind == "number" and each.dtype.kind in "iu"]
        if len(pointers) + len(counts) < len(left):
            raise TapejitError(at_user_line(f"{problem}: it has more numbers than the function"))
        targets = _targets(text, result, pointers, function)
        sizes = [each.example.size for _, each in arguments if each.example.shape]
        sizes += [int(np.prod(shape, dtype=np.int64)) for name, shape in targets if name != _ANSWER]
        if len(counts) > len(sizes):
            raise TapejitError(at_user_line(f"{problem}: it has more lengths than arrays"))
        lengths += zip(counts, sizes, strict=False)
        return cls(result, [*(name for name, _ in named), *ignored], arguments, targets, lengths)

    def entry(self) -> str:
        """The function that C calls, in Python that Numba compiles."""
        values = [
            f"carray({name}, {each.example.shape})" if each.example.shape else name for name, each in self.arguments
        ]
        arrays = [f"carray({name}, {shape})" for name, shape in self.targets if shape]
        scalars = [name for name, shape in self.targets if not shape]
        kind = None if self.result.dtype is None else f"np.{self.result.dtype}"
        failed, done = ("np.nan", _ANSWER) if kind and self.result.dtype.kind == "f" else ("-1", _ANSWER)
        if all(name != _ANSWER for name, _ in self.targets):
            failed, done = "0", "1"
        fail = f"return {kind}({failed})" if kind else "return"
        lines = [f"def entry({', '.join(self.names)}):"]
        for name, length in self.lengths:
            lines += [f"    if {name} != {length}:", f"        {fail}"]
        lines += ["    try:", f"        found = function({', '.join([*values, *arrays])})"]
        lines += ["    except Exception:", f"        {fail}"]
        for place, name in enumerate(scalars):
            value = "found" if len(scalars) == 1 else f"found[{place}]"
            lines.append(f"    {name} = {value}" if name == _ANSWER else f"    {name}[0] = {value}")
        lines.append(f"    return {kind}({done})" if kind else "    return")
        return "\n".join(lines) + "\n"


def _together(parameters: Sequence[Any]) -> Any:
    """The array in which numbers come together, behind their count; None if they may not."""
    first, second = (*parameters, None, None)[:2]
    counted = first is not None and first.kind == "number" and first.dtype.kind in "iu"
    alone = not any(each.kind == "number" for each in parameters[1:])
    return second if counted and alone and second is not None and second.kind == "pointer" else None


def _matched(
    problem: str, parameters: Sequence[tuple[str, Any]], arguments: Sequence[Argument]
) -> tuple[list[tuple[str, Argument]], list[tuple[str, Any]]]:
    """Which parameters are the arguments, in order, and those that are left: pointers to results, and lengths."""
    found: list[tuple[str, Argument]] = []
    left: list[tuple[str, Any]] = []
    numbers = sum(each.kind == "number" for _, each in parameters)
    more = numbers - sum(not each.example.shape for each in arguments)  # lengths, if all is well
    for name, each in parameters:
        wanted = arguments[len(found)] if len(found) < len(arguments) else None
        is_length = each.kind == "number" and more > 0 and _may_be_length(each, wanted, found)
        if wanted is None or is_length:
            more -= is_length
            left.append((name, each))
            continue
        dtype = wanted.example.dtype
        fits = each.dtype == dtype if wanted.example.shape else np.can_cast(each.dtype, dtype, "same_kind")
        if each.kind != ("pointer" if wanted.example.shape else "number") or not fits:
            example = f"CPointer({dtype})" if wanted.example.shape else str(dtype)
            raise TapejitError(at_user_line(f"{problem}: {wanted.name} is {example}, and the signature has {each}"))
        found.append((name, wanted))
    if len(found) < len(arguments):
        raise TapejitError(at_user_line(f"{problem}: there is none for {arguments[len(found)].name}"))
    return found, left


def _may_be_length(given: Any, wanted: Argument | None, found: Sequence[tuple[str, Argument]]) -> bool:
    """Whether a number is the length of an array, and not the argument that would be next."""
    if given.dtype.kind not in "iu":
        return False
    if wanted is None or wanted.example.shape or wanted.example.dtype != given.dtype:
        return True
    return bool(found) and bool(found[-1][1].example.shape)


def _targets(
    text: str, result: Any, pointers: Sequence[tuple[str, Any]], function: Function
) -> list[tuple[str, Shape]]:
    """Where each result goes."""
    outputs = [(tuple(shape), np.dtype(dtype)) for shape, dtype in function.layout.outputs]
    problem = f"to_cfunc: the signature {text!r} does not fit the results of {function.title}"
    returned = len(pointers) == len(outputs) - 1
    if len(pointers) != len(outputs) - returned:
        raise TapejitError(
            at_user_line(
                f"{problem}: there are {len(outputs)}, and pointers for {len(pointers)}; pointers are for all but the "
                "first one, which is returned, or for all"
            )
        )
    if not returned and result.kind == "number" and result.dtype.kind not in "iu":
        raise TapejitError(
            at_user_line(f"{problem}: all are written to pointers, so it returns a status: intc, or void")
        )
    if returned and (outputs[0][0] or result.kind != "number"):
        raise TapejitError(
            at_user_line(f"{problem}: the first one, {_shown(outputs[0])}, can't be returned as {result}")
        )
    places = [(_ANSWER, result), *pointers] if returned else list(pointers)
    for (_, each), output in zip(places, outputs, strict=True):
        fits = each.dtype == output[1] if output[0] else np.can_cast(output[1], each.dtype, "same_kind")
        if not fits:
            raise TapejitError(
                at_user_line(f"{problem}: {_shown(output)} does not go to {each}; cast it with tj.astype")
            )
    return [(name, shape) for (name, _), (shape, _) in zip(places, outputs, strict=True)]


def _shown(output: tuple[Shape, np.dtype]) -> str:
    return f"{output[1]}{list(output[0])}"
