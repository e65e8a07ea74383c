"""The operations by themselves: scans that keep no history, evaluation, and what their rules say of connections."""

from typing import Any

import numpy as np

import tapejit as tj
from tapejit.aval import Aval
from tapejit.control.applied import apply_scan
from tapejit.control.primitives import SCAN
from tapejit.graph import trace_region
from tests.control.ways import assert_same, check, gradients

X, XS, K = np.array([0.5, -1.0, 2.0]), np.linspace(-1, 1, 12).reshape(4, 3), np.array([0.2, 0.1, -0.3])
NUMBERS = Aval((3,), np.dtype(np.float64))
INDEX = Aval((), np.dtype(np.int64))


def bare(x: Any, xs: Any, k: Any) -> Any:
    """A scan as no user's function makes it: nothing is kept of what it carries."""

    def body(index: Any, carry: Any, each: Any) -> list[Any]:
        following = tj.sin(carry * each) + k * tj.astype(index, "float64")
        return [following, following * each]

    region, captures = trace_region(body, (INDEX, NUMBERS, NUMBERS), "a body")
    last, ys = apply_scan((x, xs, *captures), body=region, carries=1, slices=1, length=4, reverse=False)
    return tj.sum(last**2) + tj.sum(ys**3)


def written_out(x: Any, xs: Any, k: Any) -> Any:
    total: Any = 0.0
    for place in range(4):
        x = tj.sin(x * xs[place]) + k * float(place)
        total = total + tj.sum((x * xs[place]) ** 3)
    return tj.sum(x**2) + total


def test_a_scan_without_history() -> None:
    sources = [tj.constant(each) for each in (X, XS, K)]
    for order in (1, 2):
        expected = gradients(written_out, order)(*sources)
        assert_same(check(gradients(bare, order), X, XS, K), expected)

    def pushed(function: Any) -> Any:
        def push(x: Any, xs: Any, k: Any) -> Any:
            primals = [x * 1, xs * 1, k * 1]
            with tj.ForwardAccumulator(primals, [x, xs, k]) as accumulator:
                y = function(*primals)
            return accumulator.jvp(y)

        return push

    assert_same(check(pushed(bare), X, XS, K), pushed(written_out)(*sources))
    rows = tj.stack([bare(x, sources[1], sources[2]) for x in (sources[0], sources[2])])
    assert_same(
        check(
            lambda both: tj.vmap(bare, in_axes=(0, None, None))(both, tj.constant(XS), tj.constant(K)), np.stack([X, K])
        ),
        rows,
    )


def test_what_depends_on_what() -> None:
    def body(index: Any, first: Any, second: Any, each: Any) -> list[Any]:
        return [second * second, tj.sin(each), tj.floor(first)]

    region, _ = trace_region(body, (INDEX, NUMBERS, NUMBERS, NUMBERS), "a body")
    params = {"body": region, "carries": 2, "slices": 1, "reverse": False}
    assert SCAN.joint is not None
    for length, depends in ((0, (1, 2, 0)), (1, (2, 4, 0)), (2, (4, 4, 0)), (9, (4, 4, 0))):
        plan = SCAN.joint(0b111, 3, {**params, "length": length})
        assert plan.depends == depends
        assert plan.inputs == tuple(place for place in range(3) if any(bits >> place & 1 for bits in depends))


def test_nan_in_is_nan_out() -> None:
    for function in (bare, lambda x, xs, k: tj.sum(tj.fori_loop(0, 3, lambda i, c: c * x + k, xs[0]))):
        found = check(gradients(function, 1), np.array([np.nan, 1.0, 1.0]), XS, K)
        assert all(np.isnan(each.numpy()).any() for each in found)
