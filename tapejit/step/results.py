"""What a compiled call returns: a nest in which some leaves are computed by the kernel and the rest are as traced.

Below `compiled`.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from ..primitive import Typed, Value
from ..pytree import TreeDef, leaf_paths, unflatten
from ..tensor import Tensor
from ..variable import Variable


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
        From the kernel's outputs, a sequence of tensors, to what the call returns.
    is_constant : bool
        Whether it returns the same object at each call, `constant`.
    is_one, is_tuple : bool
        Whether it returns the kernel's one output itself, or a tuple of all of them.
    """

    __slots__ = ("_leaves", "_tree", "constant", "is_constant", "is_one", "is_tuple", "placed")

    def __init__(self, leaves: Sequence[Any], tree: TreeDef) -> None:
        self._leaves = [_placeholder(leaf) if is_output(leaf) else leaf for leaf in leaves]
        self._tree = tree
        fresh = any(isinstance(leaf, _Fresh) for leaf in self._leaves)
        tensors = fresh and all(leaf is _TENSOR for leaf in self._leaves)
        flat = all(child.kind is None for child in tree.children)
        self.is_constant = not fresh and tree.kind in (None, type(None))
        self.is_one = tensors and tree.kind is None
        self.is_tuple = tensors and tree.kind is tuple and flat
        self.constant = unflatten(tree, self._leaves) if self.is_constant else None
        self.placed: Callable[[Sequence[Any]], Any] = self._placed
        # Short ways for the nests that are most frequent.
        if self.is_one:
            self.placed = _first
        elif tensors and tree.kind in (tuple, list) and flat:
            self.placed = tree.kind

    def _placed(self, outputs: Sequence[Any]) -> Any:
        if self.is_constant:
            return self.constant
        fresh = iter(outputs)
        # By identity: the hash of an Enum is computed in Python.
        placed = [
            next(fresh) if leaf is _TENSOR else next(fresh).item() if leaf is _NUMBER else leaf for leaf in self._leaves
        ]
        return unflatten(self._tree, placed)

    def paths(self) -> list[str]:
        """How a user would write each leaf that the kernel computes, behind the name of the whole."""
        paths = leaf_paths(unflatten(self._tree, self._leaves), "")
        return [path for path, leaf in zip(paths, self._leaves, strict=True) if isinstance(leaf, _Fresh)]

    def fixed(self) -> list[Any]:
        """The leaves that no kernel computes."""
        return [leaf for leaf in self._leaves if not isinstance(leaf, _Fresh)]

    def stacked(self, outputs: Sequence[np.ndarray]) -> Any:
        """The outputs of many calls in their places; a Python number, which is the same in all of them, once."""
        fresh = iter(outputs)
        placed = []
        for leaf in self._leaves:
            array = next(fresh) if isinstance(leaf, _Fresh) else None
            number = leaf is _NUMBER and array is not None and len(array) > 0
            placed.append(leaf if array is None else array[0].item() if number else Tensor(array))
        return unflatten(self._tree, placed)


def _first(outputs: Sequence[Any]) -> Any:
    return outputs[0]


def _placeholder(leaf: Any) -> _Fresh:
    return _NUMBER if isinstance(leaf, Value) and leaf.aval.weak else _TENSOR
