"""Nests of values: lists, tuples, dicts and named tuples, flattened to their leaves and put together again.

Floor 1. Gradients, compiled arguments and results are nests; everything else sees flat tuples.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from .dataclass import dataclass


@dataclass(frozen=True, slots=True)
class TreeDef:
    """The shape of a nest without its leaves: hashable, so it can be part of a call signature."""

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple["TreeDef", ...] = ()


LEAF = TreeDef(None)
_NOTHING = TreeDef(type(None))


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeDef]:
    """Leaves of `tree` from left to right, and what `unflatten` needs.

    Parameters
    ----------
    tree : nest
        Lists, tuples, named tuples and dicts (by insertion order) are nodes; None is a node without leaves; all
        else is a leaf.
    is_leaf : callable, optional
        Values for which it returns True are leaves even if they are containers.
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeDef:
    if tree is None:
        return _NOTHING
    if is_leaf is None or not is_leaf(tree):
        if isinstance(tree, dict):
            children = tuple([_flatten(value, leaves, is_leaf) for value in tree.values()])
            return TreeDef(type(tree), tuple(tree), children)
        if isinstance(tree, (list, tuple)):
            children = tuple([_flatten(value, leaves, is_leaf) for value in tree])
            count = len(children)
            flat = children.count(LEAF) == count
            return _flat_nest(type(tree), count) if flat else TreeDef(type(tree), (), children)
    leaves.append(tree)
    return LEAF


@lru_cache(maxsize=512)
def _flat_nest(kind: type, count: int) -> TreeDef:
    """A list or a tuple of leaves."""
    return TreeDef(kind, (), (LEAF,) * count)


def flatten_up_to(treedef: TreeDef, tree: Any) -> list[Any] | None:
    """What `tree` has at the leaves of `treedef`, which may be nests again; None where it has another structure."""
    kind = treedef.kind
    if kind is None:
        return [tree]
    if kind is type(None):
        return []
    if issubclass(kind, dict):
        matches = isinstance(tree, dict) and tree.keys() == set(treedef.keys)
        parts = [tree[key] for key in treedef.keys] if matches else []
    else:
        matches = isinstance(tree, (list, tuple)) and len(tree) == len(treedef.children)
        parts = list(tree) if matches else []
    if not matches:
        return None
    found = [flatten_up_to(child, part) for child, part in zip(treedef.children, parts, strict=True)]
    return None if None in found else [leaf for leaves in found for leaf in leaves or ()]


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """The nest that `treedef` describes, filled with `leaves`."""
    return _unflatten(treedef, iter(leaves))


def _unflatten(treedef: TreeDef, leaves: Any) -> Any:
    kind = treedef.kind
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    values = [next(leaves) if child is LEAF else _unflatten(child, leaves) for child in treedef.children]
    if kind is list:
        return values
    if issubclass(kind, dict):
        return _refill(kind, treedef.keys, values)
    made: Any = kind
    return made(*values) if hasattr(kind, "_fields") else made(values)


def _refill(kind: type[dict[Any, Any]], keys: tuple[Any, ...], values: list[Any]) -> Any:
    """A dict, or a subclass such as OrderedDict or defaultdict, made empty and filled."""
    result = kind()
    for key, value in zip(keys, values, strict=True):
        result[key] = value
    return result


def leaf_paths(tree: Any, name: str, is_leaf: Callable[[Any], bool] | None = None) -> list[str]:
    """For each leaf how a user would write it, such as ``batch["x"][0]``; for messages."""
    if tree is None:
        return []
    if is_leaf is None or not is_leaf(tree):
        items: Iterable[tuple[str, Any]] | None = None
        if isinstance(tree, dict):
            items = [(f"[{key!r}]", value) for key, value in tree.items()]
        elif hasattr(type(tree), "_fields"):
            items = [(f".{field}", getattr(tree, field)) for field in type(tree)._fields]
        elif isinstance(tree, (list, tuple)):
            items = [(f"[{index}]", value) for index, value in enumerate(tree)]
        if items is not None:
            return [path for suffix, value in items for path in leaf_paths(value, name + suffix, is_leaf)]
    return [name]
