"""What a compiled step was called with: which values vary from call to call, and what is fixed for a trace.

Floor 12, below `step`. Arrays, tensors and Python numbers vary; booleans, strings, None, tuples of ints and other
hashable objects are part of the call signature; variables are taken by reference; a nested list of numbers becomes an
array.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .aval import PYTHON_NUMBERS, Aval, checked_shape, parse_dtype
from .config import floatx
from .errors import DtypeError, at_user_line
from .primitive import Value
from .pytree import TreeDef, flatten, leaf_paths, unflatten
from .tensor import Tensor, array_of_numbers
from .variable import Variable


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Stands for an array in `CompiledStep.lower`.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()`.
    """

    shape: tuple[int, ...]
    dtype: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a step.

    Attributes
    ----------
    key : hashable
        The call signature.
    leaves : tuple
        All leaves of the arguments; those that vary are described by `avals`.
    varying : tuple of int
        Which leaves vary.
    values : tuple
        Their values: arrays or Python numbers.
    paths : tuple of str
        How a user would write each varying leaf.
    """

    key: Any
    tree: TreeDef
    leaves: tuple[Any, ...]
    varying: tuple[int, ...]
    values: tuple[Any, ...]
    avals: tuple[Aval, ...]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    parameters: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """How a user would write each varying leaf, by position and keyword."""
        everything = _all_paths(self.args, dict(self.kwargs), self.parameters)
        return tuple(everything[position] for position in self.varying)

    def arguments(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for the function, with `values` in the places of what varies."""
        leaves = list(self.leaves)
        for position, value in zip(self.varying, values, strict=True):
            leaves[position] = value
        args, kwargs = unflatten(self.tree, leaves)
        return args, kwargs

    def varying_leaves(self) -> list[Any]:
        """What varies as it was passed, tensors themselves included; nested lists of numbers as arrays."""
        return [
            value if isinstance(self.leaves[position], list) else self.leaves[position]
            for position, value in zip(self.varying, self.values, strict=True)
        ]

    def eager_values(self) -> list[Any]:
        """What varies, for an eager call: as it was passed, but nested lists of numbers as tensors."""
        return [
            Tensor(value) if isinstance(self.leaves[position], list) else self.leaves[position]
            for position, value in zip(self.varying, self.values, strict=True)
        ]

    def again(self, specialized: frozenset[str]) -> "Call":
        """The same call with more integers fixed."""
        return describe(self.args, dict(self.kwargs), specialized, self.parameters)

    def __str__(self) -> str:
        shown = [f"{path}: {aval}" for path, aval in zip(self.paths, self.avals, strict=True)]
        fixed = [repr(leaf) for position, leaf in enumerate(self.leaves) if position not in self.varying]
        return ", ".join([*shown, *fixed]) or "no arguments"


def describe(
    args: tuple[Any, ...], kwargs: dict[str, Any], specialized: frozenset[str], parameters: tuple[str, ...]
) -> Call:
    """The description of a call.

    Parameters
    ----------
    args, kwargs
        What the step was called with.
    specialized : frozenset of str
        Paths of integers whose values are part of the signature.
    parameters : tuple of str
        Names of the function's positional parameters, as far as they have any.

    Raises
    ------
    DtypeError
        If an argument is neither an array nor hashable.
    """
    leaves, tree = flatten((args, kwargs), _is_leaf)
    paths = _all_paths(args, kwargs, parameters) if specialized else None
    varying, values, avals, fixed = [], [], [], []
    for position, leaf in enumerate(leaves):
        if paths is not None and paths[position] in specialized:
            fixed.append((position, type(leaf), leaf))
            continue
        value, aval = _varying(leaf)
        if aval is None:
            fixed.append((position, *_fixed(leaf)))
            continue
        varying.append(position)
        values.append(value)
        avals.append(aval)
    key = (tree, tuple(avals), tuple(fixed))
    return Call(
        key, tree, tuple(leaves), tuple(varying), tuple(values), tuple(avals), args, tuple(kwargs.items()), parameters
    )


def _varying(leaf: Any) -> tuple[Any, Aval | None]:
    """The run-time value of a leaf and its type; no type for what is fixed."""
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "biuf":
            raise DtypeError(at_user_line(f"an argument of dtype {leaf.dtype} can't be compiled or differentiated"))
        return leaf, Aval(leaf.shape, leaf.dtype.newbyteorder("="))
    if isinstance(leaf, Value):
        return leaf.numpy(), leaf.aval
    if isinstance(leaf, TensorSpec):
        dtype = floatx() if leaf.dtype is None else parse_dtype("TensorSpec", leaf.dtype)
        return None, Aval(checked_shape("TensorSpec", leaf.shape), dtype)
    if isinstance(leaf, (bool, np.bool_)) and not isinstance(leaf, np.generic):
        return leaf, None
    kind = type(leaf)
    if kind in PYTHON_NUMBERS:
        return leaf, Aval((), PYTHON_NUMBERS[kind], weak=True)
    if isinstance(leaf, np.generic) and leaf.dtype.kind in "biuf":
        return leaf, Aval((), leaf.dtype)
    if isinstance(leaf, list):
        array = array_of_numbers(leaf)
        return array, Aval(array.shape, array.dtype)
    return leaf, None


class _Same:
    """Stands for an object by identity, and keeps it, so that no other object can get its address."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    def __repr__(self) -> str:
        return repr(self.thing)


def _fixed(leaf: Any) -> tuple[Any, Any]:
    """How a fixed leaf is part of the signature: variables and what can't be hashed by identity, else by value."""
    if isinstance(leaf, Variable):
        return Variable, _Same(leaf)
    try:
        hash(leaf)
    except TypeError:
        return type(leaf), _Same(leaf)
    return type(leaf), leaf


Match = Callable[[tuple[Any, ...]], "list[Any] | None"]


def matcher(call: Call) -> Match | None:
    """A short way to recognise the next call like this one.

    Parameters
    ----------
    call : Call
        A call with positional arguments that are no nests; for another one there is no short way, and None.

    Returns
    -------
    callable
        ``match(args)`` gives the values that vary, or None if the call differs (or might).
    """
    if call.kwargs or len(call.leaves) != len(call.args) or any(map(_is_nest, call.args)):
        return None
    tests = [_test(leaf, position in call.varying) for position, leaf in enumerate(call.leaves)]
    count = len(tests)

    def match(args: tuple[Any, ...]) -> list[Any] | None:
        if len(args) != count:
            return None
        values = []
        for test, argument in zip(tests, args):  # noqa: B905 (as many; `strict` takes time)
            value = test(argument)
            if value is None:
                return None
            if value is not _FIXED:
                values.append(value)
        return values

    return match


_FIXED = object()


def _is_nest(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple, dict)) and not _is_leaf(value))


def _test(leaf: Any, varies: bool) -> Callable[[Any], Any]:
    """A function that returns the value of an argument like `leaf`, and None for another one."""
    kind = type(leaf)
    if not varies:
        return lambda value: (
            _FIXED if value is leaf or (type(value) is kind and kind in _PLAIN and value == leaf) else None
        )
    if kind in PYTHON_NUMBERS or isinstance(leaf, np.generic):
        return lambda value: value if type(value) is kind else None
    array = array_of_numbers(leaf) if kind is list else leaf.numpy() if isinstance(leaf, Value) else leaf
    shape, dtype = array.shape, array.dtype
    if kind is np.ndarray:
        return lambda value: value if type(value) is kind and value.dtype is dtype and value.shape == shape else None
    if kind is Tensor:
        return lambda value: (
            value.array if type(value) is kind and value.array.dtype is dtype and value.array.shape == shape else None
        )
    if kind is list:

        def from_list(value: Any) -> Any:
            if type(value) is not kind or not (set(map(type, value)) == _ONLY_FLOATS or _all_numbers(value)):
                return None
            converted = array_of_numbers(value)
            return converted if converted.dtype == dtype and converted.shape == shape else None

        return from_list
    return lambda value: None


_ONLY_FLOATS = {float}
_PLAIN = (bool, str, bytes, tuple, int)


def _is_leaf(tree: Any) -> bool:
    """Lists of numbers are arrays, tuples of ints are fixed; other containers are nests."""
    if isinstance(tree, list):
        return bool(tree) and _all_numbers(tree)
    if isinstance(tree, tuple) and not hasattr(tree, "_fields"):
        return bool(tree) and all(type(item) is int for item in tree)
    return False


def _all_numbers(tree: list[Any]) -> bool:
    return all(type(item) in PYTHON_NUMBERS or (isinstance(item, list) and _all_numbers(item)) for item in tree)


def _all_paths(args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]) -> list[str]:
    paths = []
    for position, value in enumerate(args):
        name = parameters[position] if position < len(parameters) else f"argument{position}"
        paths += leaf_paths(value, name, _is_leaf)
    for name, value in kwargs.items():
        paths += leaf_paths(value, name, _is_leaf)
    return paths
