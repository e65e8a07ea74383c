"""What a transform does with the arguments and results of a user's function: nests, and what is differentiable.

An argument that is differentiated by becomes a value of its own for each transform, connected to the one it was made
of. So a function may close over the very array that it is called with, and no two transforms mistake each other's
derivatives.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..aval import is_floating
from ..dataclass import dataclass
from ..errors import DtypeError, at_user_line, name_of
from ..families import as_array
from ..primitive import Value, in_role
from ..pytree import TreeDef, flatten, leaf_paths, unflatten

Function = Callable[..., Any]


def checked_function(transform: str, function: Any) -> Function:
    """`function`, which can be called.

    Raises
    ------
    TypeError
        If it can't.
    """
    if not callable(function):
        raise TypeError(at_user_line(f"{transform} takes a function, got {type(function).__name__}"))
    return function  # type: ignore[no-any-return]


def derived(function: Function) -> Callable[[Function], Function]:
    """Give what a transform makes of `function` the name, docstring and signature of that."""
    # Not its attributes: those of a compiled step are its own.
    return functools.wraps(function, updated=())


@dataclass(frozen=True, slots=True)
class Leaves:
    """Values of a nest.

    Attributes
    ----------
    values : list of Value
        Its leaves.
    treedef : TreeDef
        The nest.
    paths : list of str
        What the user would call the leaves.
    """

    values: list[Any]
    treedef: TreeDef
    paths: list[str]

    def nest(self, leaves: Sequence[Any]) -> Any:
        """The nest with other leaves."""
        return unflatten(self.treedef, leaves)


def differentiable(transform: str, nest: Any, name: str) -> Leaves:
    """The arrays and numbers of an argument as values of their own.

    Raises
    ------
    DtypeError
        If one is not floating.
    """
    leaves, treedef = flatten(nest)
    paths = leaf_paths(nest, name)
    values = []
    for leaf, path in zip(leaves, paths, strict=True):
        value: Any = as_array(leaf)
        if not is_floating(value.dtype):
            raise DtypeError(
                at_user_line(
                    f"{transform}: {path} is {value.aval}, which is not differentiable; pass floating numbers, or "
                    "leave the argument out of those to differentiate by"
                )
            )
        values.append(in_role("reshape")(value, value.shape))
    return Leaves(values, treedef, paths)


def results(nest: Any, name: str) -> Leaves:
    """What a function returned, as values."""
    leaves, treedef = flatten(nest)
    return Leaves([as_array(leaf) for leaf in leaves], treedef, leaf_paths(nest, name))


def with_auxiliary(transform: str, function: Function, returned: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a function returned, and what it returned besides.

    Raises
    ------
    TypeError
        If there should be a pair and there is none.
    """
    if not has_aux:
        return returned, None
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(
            at_user_line(
                f"{transform}: with has_aux=True {name_of(function)} must return a pair (result, auxiliary), got "
                f"{type(returned).__name__}"
            )
        )
    return returned[0], returned[1]


def zeros_of(value: Value) -> Any:
    """The derivative where there is no connection."""
    return in_role("zeros")(value.shape, value.dtype)
