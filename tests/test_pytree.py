"""Nests: flattened to leaves and put together again, with the same containers."""

from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapejit.pytree import LEAF, flatten, flatten_up_to, leaf_paths, unflatten

Pair = namedtuple("Pair", "first second")


class Point(tuple):
    """A tuple of somebody's own."""


NESTS = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner),
        st.builds(Pair, inner, inner),
        st.dictionaries(st.sampled_from("abc"), inner).map(OrderedDict),
    ),
    max_leaves=8,
)


def kinds(tree: Any) -> Any:
    """The containers of a nest."""
    if isinstance(tree, dict):
        return type(tree), {key: kinds(value) for key, value in tree.items()}
    return (type(tree), [kinds(each) for each in tree]) if isinstance(tree, (list, tuple)) else type(tree)


@given(NESTS)
def test_unflatten_undoes_flatten(tree: Any) -> None:
    leaves, treedef = flatten(tree)
    again = unflatten(treedef, leaves)
    assert again == tree
    assert kinds(again) == kinds(tree)
    assert None not in leaves
    assert len(leaf_paths(tree, "x")) == len(leaves)
    assert flatten_up_to(treedef, tree) == leaves


@given(NESTS, NESTS)
def test_equal_structures_are_equal_and_hashable(first: Any, second: Any) -> None:
    same = kinds(first) == kinds(second)
    one, other = flatten(first)[1], flatten(second)[1]
    if same:
        assert one == other
        assert hash(one) == hash(other)


def test_leaves_come_from_left_to_right() -> None:
    tree = {"b": [1, (2, 3)], "a": Pair(4, {"z": 5, "y": 6}), "n": None}
    leaves, treedef = flatten(tree)
    assert leaves == [1, 2, 3, 4, 5, 6]
    assert unflatten(treedef, "abcdef") == {"b": ["a", ("b", "c")], "a": Pair("d", {"z": "e", "y": "f"}), "n": None}


def test_what_is_no_container_is_a_leaf() -> None:
    for leaf in (1, "text", {1, 2}, object(), b"x", range(3)):
        assert flatten(leaf) == ([leaf], LEAF)


def test_containers_of_somebodys_own_come_back() -> None:
    counts: defaultdict[str, int] = defaultdict(int, {"x": 1})
    for tree in (Point((1, 2)), counts):
        again = unflatten(flatten(tree)[1], flatten(tree)[0])
        assert type(again) is type(tree)
        assert again == tree


def test_is_leaf_stops_the_descent() -> None:
    leaves, treedef = flatten([[1, 2], [3]], is_leaf=lambda value: value == [1, 2])
    assert leaves == [[1, 2], 3]
    assert unflatten(treedef, leaves) == [[1, 2], [3]]


def test_paths_are_written_as_a_user_would() -> None:
    tree = {"x": [1, Pair(2, None)], 3: (4,)}
    assert leaf_paths(tree, "batch") == ["batch['x'][0]", "batch['x'][1].first", "batch[3][0]"]
    assert leaf_paths(5, "x") == ["x"]
    assert leaf_paths([[1, 2]], "x", is_leaf=lambda value: value == [1, 2]) == ["x[0]"]


@pytest.mark.parametrize(
    ("structure", "tree", "expected"),
    [
        (0, [1, 2], [[1, 2]]),
        ([0, 0], [[1, 2], 3], [[1, 2], 3]),
        ([0, 0], (1, None), [1, None]),
        ({"a": 0, "b": [0]}, {"b": [[1]], "a": 2}, [2, [1]]),
        ([0, None], [1, "anything"], [1]),
        ([], (), []),
        ([0, 0], [1], None),
        ([0, 0], 1, None),
        ([0, [0, 0]], [1, [2]], None),
        ({"a": 0}, {"b": 0}, None),
        ({"a": 0}, [1], None),
        ([0], {"a": 1}, None),
    ],
)
def test_flatten_up_to(structure: Any, tree: Any, expected: Any) -> None:
    assert flatten_up_to(flatten(structure)[1], tree) == expected
