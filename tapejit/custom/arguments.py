"""What a function with a rule of the user's own is called with, what it gives, and what its rule has to give.

Arguments are nests. Their floating arrays are what derivatives are by; Python numbers, strings, None and functions in
them are handed to the function as they are.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..aval import Aval, is_floating
from ..dataclass import dataclass
from ..errors import DtypeError, RuleError, ShapeError, at_user_line, name_of
from ..families import as_array
from ..primitive import BASE, READERS, Value, current
from ..pytree import LEAF, TreeDef, flatten, flatten_up_to, unflatten
from ..variable import Variable


def described(function: Callable[..., Any]) -> str:
    """A function's name, and where it stands."""
    name = name_of(function)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call.

    Attributes
    ----------
    given : tuple
        As the function gets them: arrays and variables as tensors.
    leaves : list
        Their leaves.
    treedef : TreeDef
        Of the tuple.
    by : tuple of int
        Which leaves are floating tensors.
    variables : frozenset of int
        Keys of the variables among them.
    """

    given: tuple[Any, ...]
    leaves: list[Any]
    treedef: TreeDef
    by: tuple[int, ...]
    variables: frozenset[int]

    @property
    def values(self) -> tuple[Value, ...]:
        """The floating tensors."""
        return tuple([self.leaves[place] for place in self.by])

    @property
    def tensors(self) -> tuple[Value, ...]:
        """All tensors."""
        return tuple([leaf for leaf in self.leaves if isinstance(leaf, Value)])

    def replaced(self, tensors: Sequence[Value]) -> "Arguments":
        """The same arguments with other values for their `tensors`."""
        others = iter(tensors)
        leaves = [next(others) if isinstance(leaf, Value) else leaf for leaf in self.leaves]
        return replace(self, given=unflatten(self.treedef, leaves), leaves=leaves)


def arguments_of(given: Sequence[Any]) -> Arguments:
    """The arguments of a call, read and converted."""
    leaves, treedef = flatten(tuple(given))
    variables = frozenset(leaf.key for leaf in leaves if isinstance(leaf, Variable))
    leaves = [_as_value(leaf) for leaf in leaves]
    by = tuple(place for place, leaf in enumerate(leaves) if _is_followed(leaf))
    return Arguments(unflatten(treedef, leaves), leaves, treedef, by, variables)


def _as_value(leaf: Any) -> Any:
    if type(leaf) is BASE[1] or isinstance(leaf, Value):
        return leaf
    if type(leaf) in READERS or isinstance(leaf, (np.ndarray, np.generic)) or hasattr(type(leaf), "__tensor__"):
        return as_array(leaf)
    return leaf


def _is_followed(leaf: Any) -> bool:
    # A traced Python number is a number still.
    return isinstance(leaf, Value) and is_floating(leaf.dtype) and not leaf.aval.weak


def bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Positional arguments, with those passed by keyword in their places and defaults filled in.

    Raises
    ------
    RuleError
        If there are arguments that only a keyword can name.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None
    if signature is None:
        if kwargs:
            raise RuleError(at_user_line(f"{described(function)}: pass its arguments by position"))
        return args
    given = signature.bind(*args, **kwargs)
    given.apply_defaults()
    if given.kwargs:
        names = ", ".join(given.kwargs)
        raise RuleError(
            at_user_line(
                f"{described(function)}: {names} can be passed by keyword only; a rule needs a position for it"
            )
        )
    return given.args


# --- what it gives ------------------------------------------------------------------------------------------


def results_of(label: str, result: Any) -> tuple[list[Value], TreeDef]:
    """A function's results as tensors, and their nest.

    Raises
    ------
    RuleError
        If none of them is floating: nothing has a derivative then.
    """
    leaves, treedef = flatten(result)
    values = [as_array(leaf) for leaf in leaves]
    if not any(is_floating(value.dtype) for value in values):
        types = ", ".join(str(value.aval) for value in values) or "nothing"
        raise RuleError(at_user_line(f"{label} returned {types}; a derivative needs a floating result"))
    return values, treedef


# --- what a rule gives --------------------------------------------------------------------------------------


def aligned(label: str, what: str, treedef: TreeDef, given: Any) -> list[Any]:
    """What a rule gave, leaf by leaf for a nest; None stands for all of the leaves below it.

    Parameters
    ----------
    label : str
        The rule, for messages.
    what : str
        What is given: "gradient", "tangent".
    treedef : TreeDef
        Of a tuple with an entry for each of the members that it is for.
    given : nest
        A tuple or list with as many entries; alone where there is one.

    Raises
    ------
    RuleError
        If the nests differ.
    """
    members = treedef.children
    if members == (LEAF,) and isinstance(given, Value):
        return [given]
    found = _matched(treedef, given)
    if found is None and len(members) == 1:
        found = _matched(members[0], given)
    if found is None:
        raise RuleError(at_user_line(f"{label} is {type_in_words(given)}, not {_counted(members, what)}"))
    return found


def _matched(treedef: TreeDef, given: Any) -> list[Any] | None:
    """The leaves of `given` as `treedef` has them; None where it is another nest."""
    if given is None:
        return [None] * _count(treedef)
    if treedef == LEAF:
        return None if isinstance(given, (list, tuple, dict)) else [given]
    parts = flatten_up_to(TreeDef(treedef.kind, treedef.keys, (LEAF,) * len(treedef.children)), given)
    if parts is None:
        return None
    found = [_matched(child, part) for child, part in zip(treedef.children, parts, strict=True)]
    return None if None in found else [leaf for leaves in found for leaf in leaves or ()]


def _count(treedef: TreeDef) -> int:
    return 1 if treedef == LEAF else sum(map(_count, treedef.children))


def _counted(members: Sequence[TreeDef], what: str) -> str:
    nests = "" if all(member == LEAF for member in members) else ", each with the nest of its own"
    return f"{len(members)} {what}{'' if len(members) == 1 else 's'}{nests}"


def type_in_words(given: Any) -> str:
    """What kind of thing a function returned."""
    if isinstance(given, (tuple, list)):
        members = ", ".join(type(each).__name__ for each in given)
        return f"a {type(given).__name__} of {len(given)} ({members})" if given else f"an empty {type(given).__name__}"
    return "None" if given is None else f"one {type(given).__name__}"


def fitting(label: str, what: str, given: Any, aval: Aval) -> Value | None:
    """One gradient or tangent, which has to have the shape and dtype of what it belongs to; a number takes them.

    Raises
    ------
    ShapeError, DtypeError
        If it has others.
    """
    if given is None:
        return None
    if type(given) is BASE[1] and given.array.shape == aval.shape and given.array.dtype is aval.dtype:
        return given  # type: ignore[no-any-return]
    if isinstance(given, (bool, int, float)) and aval.shape == () and not isinstance(given, Value):
        return current().interpreter.number(given, aval.dtype)
    value = as_array(given)
    if value.aval.weak:
        value = value.settled()
    if value.shape != aval.shape:
        raise ShapeError(
            at_user_line(f"{label}: {what} has shape {value.shape}, not {aval.shape} as what it belongs to")
        )
    if value.dtype != aval.dtype:
        raise DtypeError(
            at_user_line(
                f"{label}: {what} is {value.dtype.name}{list(value.shape)}, not {aval.dtype.name}; convert it with "
                f"tj.astype(…, '{aval.dtype.name}')"
            )
        )
    return value
