"""One program eagerly and compiled, which have to agree, and its gradients to any order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tapejit as tj
from tapejit.graph import evaluate
from tapejit.pytree import flatten, unflatten
from tests.agreement import trace

Function = Callable[..., Any]


def leaves_of(nest: Any) -> list[Any]:
    """The leaves as arrays, None among them."""
    leaves, _ = flatten(nest, lambda leaf: leaf is None)
    return [None if leaf is None else np.asarray(leaf) for leaf in leaves]


def assert_same(found: Any, expected: Any, tolerance: float = 1e-11) -> None:
    """Hold that two nests are alike: structure, dtypes, shapes and numbers."""
    assert flatten(found)[1] == flatten(expected)[1]
    for one, other in zip(leaves_of(found), leaves_of(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def in_numpy(function: Function, *args: Any) -> list[Any]:
    """What a trace of the function computes, before and after it was prepared, by NumPy; one nest each."""
    trees = []

    def flat(*tensors: Any) -> list[Any]:
        leaves, tree = flatten(function(*tensors))
        trees.append(tree)
        return leaves

    traced = trace(flat, [np.asarray(each) for each in args])
    results = [evaluate(graph, traced.inputs(args))[0] for graph in (traced.raw, traced.graph)]
    return [unflatten(trees[0], map(tj.asarray, leaves)) for leaves in results]


def check(function: Function, *args: Any, kernel: bool = False) -> Any:
    """Hold the eager result and that of a trace against each other; returns the eager one.

    With `kernel` also that of the kernel, which costs a compilation.
    """
    eager = function(*map(tj.asarray, args))
    for found in in_numpy(function, *args):
        assert_same(found, eager)
    if kernel:
        assert_same(tj.compile(function, strict=True)(*args), eager)
    return eager


def gradients(function: Function, order: int, unconnected: str = "none") -> Function:
    """The function's gradients by all arguments, of an order; None where it is not connected."""

    def gradient(*args: Any) -> list[Any]:
        with tj.GradientTape() as tape:
            tape.watch(args)
            if order == 1:
                target = function(*args)
            else:
                found = [each for each in gradients(function, order - 1)(*args) if each is not None]
                target = sum((tj.sum(tj.sin(each)) for each in found), tj.constant(0.0, "float64"))
        return list(tape.gradient(target, list(args), unconnected_gradients=unconnected))

    return gradient


def check_gradients(
    function: Function, *args: Any, orders: Sequence[int] = (1, 2, 3), kernels: int = 1, unconnected: str = "none"
) -> None:
    """Hold traced gradients against eager ones; up to the order `kernels` those of a kernel too."""
    for order in orders:
        check(gradients(function, order, unconnected), *args, kernel=order <= kernels)


def check_gradients_outside(function: Function, *args: Any, order: int = 1) -> None:
    """Hold the gradients of a compiled step, of which tapes outside hear, against eager ones."""
    sources = [tj.constant(each) for each in args]
    step = tj.compile(function, strict=True)
    assert_same(gradients(step, order)(*sources), gradients(function, order)(*sources), 1e-9)
