"""What a compiled call returns: a nest in which some leaves are computed by the kernel and the rest are as traced.

Floor 12, below `step`.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from .primitive import Typed, Value
from .pytree import TreeDef, unflatten
from .variable import Variable


class _Fresh(Enum):
    """What stands in a result for what the kernel computes."""

    TENSOR = "a tensor"
    NUMBER = "a Python number, made of Python numbers"


_TENSOR, _NUMBER = _Fresh


def is_output(leaf: Any) -> bool:
    """Whether a leaf is a value that the kernel computes; a variable is returned as itself."""
    return isinstance(leaf, (Typed, np.ndarray)) and not isinstance(leaf, Variable)


class Results:
    """The nest.

    Parameters
    ----------
    leaves : sequence
        What the function returned when it was traced.
    tree : TreeDef
        The nest of these.

    Attributes
    ----------
    placed : callable
        From the kernel's outputs, a list of tensors, to what the call returns.
    constant : object
        What the call returns if `is_constant`: the same at each call.
    """

    __slots__ = ("_leaves", "_tree", "constant", "is_constant", "placed")

    def __init__(self, leaves: Sequence[Any], tree: TreeDef) -> None:
        self._leaves = [_placeholder(leaf) if is_output(leaf) else leaf for leaf in leaves]
        self._tree = tree
        fresh = any(isinstance(leaf, _Fresh) for leaf in self._leaves)
        self.is_constant = not fresh and tree.kind in (None, type(None))
        self.constant = unflatten(tree, self._leaves) if self.is_constant else None
        self.placed: Callable[[list[Any]], Any] = self._short() or self._placed

    def _short(self) -> Callable[[list[Any]], Any] | None:
        """A short way for the nests that are most frequent: nothing, one tensor, a tuple or list of tensors."""
        tree = self._tree
        if self.is_constant:
            constant = self.constant
            return lambda outputs: constant
        if any(leaf is not _TENSOR for leaf in self._leaves) or any(child.kind is not None for child in tree.children):
            return None
        if tree.kind is None:
            return lambda outputs: outputs[0]
        return {list: list, tuple: tuple}.get(tree.kind)  # type: ignore[call-overload,no-any-return]

    def _placed(self, outputs: list[Any]) -> Any:
        fresh = iter(outputs)
        # By identity: the hash of an Enum is computed in Python.
        placed = [
            next(fresh) if leaf is _TENSOR else next(fresh).item() if leaf is _NUMBER else leaf for leaf in self._leaves
        ]
        return unflatten(self._tree, placed)


def _placeholder(leaf: Any) -> _Fresh:
    return _NUMBER if isinstance(leaf, Value) and leaf.aval.weak else _TENSOR
