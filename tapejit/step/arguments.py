"""What a compiled step was called with: which values vary from call to call, and what is fixed for a trace.

Below `compiled`. Arrays, tensors and Python numbers vary; booleans, strings, None, tuples of ints and other
hashable objects are part of the call signature; variables are taken by reference; a nested list of numbers becomes an
array.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Aval, checked_shape, parse_dtype
from ..config import floatx
from ..dataclass import dataclass
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array
from ..primitive import Value
from ..pytree import TreeDef, flatten, leaf_paths, unflatten
from ..tensor import Tensor, array_of_numbers, plain_array
from ..variable import Variable


@dataclass(frozen=True, slots=True, init=False)
class TensorSpec:
    """Stands for an array in `CompiledStep.lower`.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()` at the time of `CompiledStep.lower`.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If a length is no int, or the dtype is none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype | None

    def __init__(self, shape: int | Sequence[int], dtype: Any = None) -> None:
        object.__setattr__(self, "shape", checked_shape("TensorSpec", shape))
        object.__setattr__(self, "dtype", None if dtype is None else parse_dtype("TensorSpec", dtype))


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

    def again(self, specialized: frozenset[str]) -> "Call":
        """The same call with more integers fixed."""
        return describe(self.args, dict(self.kwargs), specialized, self.parameters)

    def described(self) -> dict[str, str]:
        """What the signature has of each argument: the type of what varies, the value of the rest."""
        avals = dict(zip(self.varying, self.avals, strict=True))
        paths = _all_paths(self.args, dict(self.kwargs), self.parameters)
        return {
            path: str(avals[position]) if position in avals else repr(leaf)
            for position, (path, leaf) in enumerate(zip(paths, self.leaves, strict=True))
        }

    def __str__(self) -> str:
        return ", ".join(f"{path}: {text}" for path, text in self.described().items()) or "no arguments"

    def refuse_specs(self) -> None:
        """Hold that there is a value for everything.

        Raises
        ------
        DtypeError
            For an argument that only says what an array would be like.
        """
        _refuse_specs(self.leaves, self.args, dict(self.kwargs), self.parameters)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Which arguments differ between two descriptions of calls, from what to what."""
    return [
        f"{path}: {old.get(path, 'not passed')} → {new.get(path, 'not passed')}"
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    ]


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
        If an argument is an array of something else than real numbers and booleans.
    ShapeError
        If an argument is a ragged list.
    """
    leaves, tree = _flattened(args, kwargs)
    paths = _all_paths(args, kwargs, parameters) if specialized else None
    varying, values, avals, fixed = [], [], [], []
    for position, leaf in enumerate(leaves):
        if paths is not None and type(leaf) in PYTHON_NUMBERS and paths[position] in specialized:
            fixed.append((position, *_fixed(leaf)))
            continue
        value, aval = _varying_at(position, leaf, args, kwargs, parameters)
        if aval is None:
            fixed.append((position, *_fixed(leaf)))
            continue
        varying.append(position)
        values.append(value)
        avals.append(aval)
    key = (tree, tuple(avals), tuple(fixed), floatx())
    return Call(
        key, tree, tuple(leaves), tuple(varying), tuple(values), tuple(avals), args, tuple(kwargs.items()), parameters
    )


def eager_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an eager call gets: arrays and nested lists of numbers are tensors, as in a compiled one.

    Parameters and exceptions are those of `describe`.
    """
    leaves, tree = _flattened(args, kwargs)
    _refuse_specs(leaves, args, kwargs, parameters)
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, (list, np.ndarray)):
            leaves[position] = as_array(_varying_at(position, leaf, args, kwargs, parameters)[0])
    args, kwargs = unflatten(tree, leaves)
    return args, kwargs


def argument_leaves(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], TreeDef]:
    """All leaves of a call's arguments, in the order of `Call.leaves`, and the nest ``(args, kwargs)`` of them."""
    return _flattened(args, kwargs)


def argument_paths(args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]) -> list[str]:
    """How a user would write each leaf of a call's arguments."""
    return _all_paths(args, kwargs, parameters)


def _refuse_specs(
    leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]
) -> None:
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, TensorSpec):
            path = _all_paths(args, kwargs, parameters)[position]
            raise DtypeError(
                at_user_line(f"argument {path}: a TensorSpec stands for an array in step.lower(…) only; pass an array")
            )


def _flattened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], TreeDef]:
    """The leaves of the arguments, which are a nest even where they are all ints."""
    return flatten((args, kwargs), lambda nest: nest is not args and _is_leaf(nest))


def _varying_at(
    position: int, leaf: Any, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]
) -> tuple[Any, Aval | None]:
    """`_varying`, with the argument's name in exceptions."""
    try:
        return _varying(leaf)
    except (DtypeError, ShapeError) as error:
        path = _all_paths(args, kwargs, parameters)[position]
        raise type(error)(f"argument {path}: {error}") from None


def _varying(leaf: Any) -> tuple[Any, Aval | None]:
    """The run-time value of a leaf and its type; no type for what is fixed."""
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "biuf":
            raise DtypeError(at_user_line(f"an array of dtype {leaf.dtype} can't be compiled or differentiated"))
        return plain_array(leaf), Aval(leaf.shape, leaf.dtype.newbyteorder("="))
    if isinstance(leaf, Value):
        return leaf.numpy(), leaf.aval
    if isinstance(leaf, TensorSpec):
        return None, Aval(leaf.shape, leaf.dtype or floatx())
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
    """How a fixed leaf is part of the signature: variables and what can't be hashed by identity, else by value.

    Equal is not enough: ``1``, ``1.0`` and ``True`` are equal, and so are dataclasses that hold them.
    """
    kind = type(leaf)
    if isinstance(leaf, Variable):
        return Variable, _Same(leaf)
    if kind is float:
        return kind, leaf.hex()
    if kind in (set, frozenset):
        return kind, frozenset(map(_fixed, leaf))
    try:
        hash(leaf)
    except (TypeError, ValueError):  # the latter from a memoryview that may be written
        return kind, _Same(leaf)
    if is_dataclass(kind):
        return kind, (leaf, tuple(_fixed(getattr(leaf, each.name)) for each in fields(leaf)))
    return kind, tuple(map(_fixed, leaf)) if kind is tuple else leaf


Match = Callable[[tuple[Any, ...], dict[str, Any]], "list[Any] | None"]
# Whether a value is like the one it was made for; what varies is put into the list.
_Test = Callable[[Any, list[Any]], bool]


def matcher(call: Call) -> Match:
    """A short way to recognise the next call like this one.

    Parameters
    ----------
    call : Call
        A call.

    Returns
    -------
    callable
        ``match(args, kwargs)`` gives the values that vary, or None if the call differs (or might).
    """
    leaves = iter(enumerate(call.leaves))
    tests = [_test(value, leaves, call) for value in call.args]
    named = [_test(value, leaves, call) for _, value in call.kwargs]
    count, names = len(tests), tuple(name for name, _ in call.kwargs)
    numbers = floatx()

    def match(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        if len(args) != count or floatx() is not numbers or ((kwargs or names) and tuple(kwargs) != names):
            return None
        values: list[Any] = []
        for test, argument in zip(tests, args):  # noqa: B905 (as many; `strict` takes time)
            if not test(argument, values):
                return None
        if names:
            for test, argument in zip(named, kwargs.values()):  # noqa: B905
                if not test(argument, values):
                    return None
        return values

    return match


def _test(tree: Any, leaves: Iterator[tuple[int, Any]], call: Call) -> _Test:
    """The test of an argument, which may be a nest."""
    if tree is None:
        return lambda value, _: value is None
    if isinstance(tree, (list, tuple, dict)) and not _is_leaf(tree):
        return _nest_test(tree, leaves, call)
    position, leaf = next(leaves)
    if position not in call.varying:
        return _fixed_test(leaf)
    kind = type(leaf)
    if kind in PYTHON_NUMBERS or isinstance(leaf, np.generic):
        return _number_test(kind)
    array = array_of_numbers(leaf) if kind is list else leaf.numpy() if isinstance(leaf, Value) else leaf
    same = _array_test(array)
    if kind is np.ndarray:
        return same
    if kind is Tensor:
        return lambda value, values: type(value) is kind and same(value.array, values)
    if kind is list:
        return lambda value, values: (
            type(value) is kind
            and (set(map(type, value)) == _ONLY_FLOATS or _all_numbers(value))
            and same(array_of_numbers(value), values)
        )
    return lambda _, values: False


def _number_test(kind: type) -> _Test:
    def test(value: Any, values: list[Any]) -> bool:
        values.append(value)
        return type(value) is kind

    return test


def _array_test(example: np.ndarray) -> _Test:
    shape, dtype = example.shape, example.dtype

    def test(array: Any, values: list[Any]) -> bool:
        # An array out of a pickle has a dtype of its own, which is equal.
        if type(array) is np.ndarray and array.shape == shape and (array.dtype is dtype or array.dtype == dtype):
            values.append(array)
            return True
        return False

    return test


def _fixed_test(leaf: Any) -> _Test:
    kind = type(leaf)
    if kind is set:  # it may have changed
        wanted = _fixed(leaf)
        return lambda value, _: type(value) is kind and _fixed(value) == wanted
    if kind not in _PLAIN:
        return lambda value, _: value is leaf
    if kind is tuple:  # (1, 2) == (1.0, 2.0)
        return lambda value, _: value is leaf or (type(value) is kind and value == leaf and _is_leaf(value))
    return lambda value, _: value is leaf or (type(value) is kind and value == leaf)


def _nest_test(tree: Any, leaves: Iterator[tuple[int, Any]], call: Call) -> _Test:
    """The test of a container: its type, its length or keys, and each of its elements."""
    kind = type(tree)
    if isinstance(tree, dict):
        keys = tuple(tree)
        named = [_test(value, leaves, call) for value in tree.values()]

        def test_dict(value: Any, values: list[Any]) -> bool:
            return (
                type(value) is kind
                and tuple(value) == keys
                and all(test(item, values) for test, item in zip(named, value.values(), strict=True))
            )

        return test_dict
    tests = [_test(item, leaves, call) for item in tree]
    count = len(tests)

    def test_sequence(value: Any, values: list[Any]) -> bool:
        return (
            type(value) is kind
            and len(value) == count
            and not _is_leaf(value)
            and all(test(item, values) for test, item in zip(tests, value, strict=True))
        )

    return test_sequence


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
