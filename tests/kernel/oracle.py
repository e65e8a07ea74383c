"""A graph computed in extended precision, and whether its result can be told from rounding errors at all.

Every node is computed twice: in NumPy's `longdouble` (on x86 64 bits of mantissa, elsewhere more or none more, see
`WIDE_EPS`) and in the graph's own dtypes. Functions that are no better in `longdouble` come from mpmath. A comparison
of two numbers that are equal but for rounding, or a root next to 0, has no answer to hold a kernel against: such a
graph is not steady for these inputs. Start reading at `exactly`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from tapejit.graph import Graph, Input, Literal, Node, Part
from tapejit.primitive import Primitive
from tapejit.tensor import quietly
from tests.agreement import trace
from tests.kernel import wide_linalg

WIDE = np.longdouble
WIDE_EPS = float(np.finfo(WIDE).eps)

PATTERNS = 8
"""How many times the inputs of a node are changed a little, to see whether its result is steady."""
CHANGE = 64
"""By how many ulp, beside four times the rounding error that they have."""
AMPLIFIED = 1000
"""A result that changes this many times as much is not steady."""

Array = np.ndarray


def _by_mpmath(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
    """An elementwise function of wide numbers, each being the sum of two doubles."""

    def number(x: Any) -> Any:
        with mpmath.workprec(120):
            high = float(x)
            exact = function(mpmath.mpf(high) + mpmath.mpf(float(x - WIDE(high))) if np.isfinite(high) else high)
            return WIDE(float(exact)) + WIDE(float(exact - mpmath.mpf(float(exact))))

    return lambda x: np.asarray(np.frompyfunc(number, 1, 1)(x)).astype(WIDE)


SPECIAL: dict[str, Callable[..., Any]] = {
    "erf": _by_mpmath(mpmath.erf),
    "erfc": _by_mpmath(mpmath.erfc),
    "lgamma": _by_mpmath(lambda x: mpmath.loggamma(x).real),
    "digamma": _by_mpmath(mpmath.digamma),
    "trigamma": _by_mpmath(lambda x: mpmath.zeta(2, x)),
    "solve": wide_linalg.solve,
    "inv": wide_linalg.inv,
    "slogdet": wide_linalg.slogdet,
    "cholesky": wide_linalg.cholesky,
    "triangular_solve": wide_linalg.triangular_solve,
}


@dataclass(frozen=True)
class Exact:
    """What a graph computes.

    Attributes
    ----------
    results : list of ndarray
        The outputs, then the new values of variables; floats are wide.
    ulps : list of float
        For each result one unit in the last place of the largest number that it depends on, in the least precise
        dtype that it depends on; 0 for integers and booleans.
    steady : bool
        Whether rounding errors change the results by little.
    """

    results: list[Array]
    ulps: list[float]
    steady: bool


@dataclass(frozen=True)
class _Both:
    """A value in extended precision and in the graph's own dtype."""

    wide: Any
    narrow: Any

    @property
    def tolerance(self) -> Array:
        """By how much a number may be changed; 0 for one that is exact."""
        with np.errstate(invalid="ignore"):
            error = np.abs(self.wide - self.narrow)
        return np.where(error == 0, 0, CHANGE * np.finfo(self.narrow.dtype).eps * np.abs(self.wide) + 4 * error)


def exactly(graph: Graph, values: Sequence[Any]) -> Exact:
    """Compute a graph in extended precision.

    Parameters
    ----------
    graph : Graph
        As traced.
    values : sequence of array_like
        One for each of the graph's inputs; the numbers are taken as exact.
    """
    known: dict[Node, _Both] = {}
    for node, value in zip(graph.inputs, values, strict=True):
        narrow = np.asarray(value, node.aval.dtype)
        known[node] = _Both(_widened(narrow), narrow)
    reach: dict[Node, tuple[float, float]] = {}
    steady = True
    for node in graph.nodes():
        if node not in known:
            known[node] = _computed(node, known)
            if isinstance(node.op, Primitive) and not node.op.multiple:
                steady = steady and _is_steady(node, [known[value] for value in node.inputs], known[node])
        reach[node] = _reach(node, known[node].wide, [reach[value] for value in node.inputs])
    ulps = [_ulp(*reach[node]) if node.aval.dtype.kind == "f" else 0.0 for node in graph.roots]
    return Exact([known[node].wide for node in graph.roots], ulps, steady)


def is_steady(function: Callable[..., Any], *calls: Sequence[Array]) -> bool:
    """Whether the results of a function of arrays can be told from rounding errors in all of these calls."""
    traced = trace(function, calls[0])
    return all(exactly(traced.raw, traced.inputs(arguments)).steady for arguments in calls)


def _widened(array: Array) -> Array:
    return array.astype(WIDE) if array.dtype.kind == "f" else array


def _computed(node: Node, known: dict[Node, _Both]) -> _Both:
    op = node.op
    if isinstance(op, Literal):
        narrow = np.array(op.value, op.dtype)
        return _Both(_widened(narrow), narrow)
    if isinstance(op, Part):
        whole = known[node.inputs[0]]
        return _Both(whole.wide[op.index], whole.narrow[op.index])
    assert not isinstance(op, Input)
    inputs = [known[value] for value in node.inputs]
    narrow = quietly(op.impl, *[value.narrow for value in inputs], **dict(node.params))
    wide = _wide(node, [value.wide for value in inputs])
    return _Both(wide, narrow) if op.multiple else _Both(wide, np.asarray(narrow))


def _wide(node: Node, inputs: list[Any]) -> Any:
    """The operation in extended precision, conversions to narrower floats included."""
    assert isinstance(node.op, Primitive)
    params = {
        name: np.dtype(WIDE) if isinstance(value, np.dtype) and value.kind == "f" else value
        for name, value in node.params
    }
    out = quietly(SPECIAL.get(node.op.name, node.op.impl), *inputs, **params)
    return out if node.op.multiple else np.asarray(out)


def _reach(node: Node, value: Any, inputs: list[tuple[float, float]]) -> tuple[float, float]:
    """The largest finite floating number, and the coarsest precision, of a value and all that it depends on."""
    largest = max((each[0] for each in inputs), default=0.0)
    eps = max((each[1] for each in inputs), default=0.0)
    if node.aval.dtype.kind != "f" or isinstance(value, tuple):  # each part of several results counts by itself
        return largest, eps
    finite = np.abs(value[np.isfinite(value)])
    return max(largest, float(finite.max(initial=0.0))), max(eps, float(np.finfo(node.aval.dtype).eps))


def _ulp(largest: float, eps: float) -> float:
    return eps * 2.0 ** float(np.floor(np.log2(largest))) if largest else 0.0


# Steadiness


def _is_steady(node: Node, inputs: list[_Both], out: _Both) -> bool:
    """Whether small changes of a node's floating inputs change its result by little, or a discrete result not at all.

    Equal numbers are changed equally, so that ties stay ties, and exact ones (0 after a `relu`, the 0.5 of a program)
    not at all.
    """
    floats = [value for value in inputs if value.narrow.dtype.kind == "f"]
    if not floats or not out.narrow.size:
        return True
    allowed = 0.0
    if out.narrow.dtype.kind == "f":
        own = float(np.finfo(out.narrow.dtype).eps) * _largest(out.wide)
        allowed = AMPLIFIED * max(own, *(_largest(value.tolerance) for value in floats))
    elif not np.array_equal(out.wide, out.narrow):
        return False
    others = [out.narrow]
    for pattern in range(PATTERNS):
        changed = [_changed(value, pattern) if value.narrow.dtype.kind == "f" else value.wide for value in inputs]
        others.append(_wide(node, changed))
    finite = np.isfinite(out.wide)
    return all(
        np.array_equal(np.isfinite(other), finite) and _largest(_difference(other, out.wide)[finite]) <= allowed
        for other in others
    )


def _changed(value: _Both, pattern: int) -> Array:
    """The numbers, each moved up or down by its tolerance; which way depends on the number only."""
    with np.errstate(all="ignore"):
        mixed = value.wide.astype(np.float64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    up = (mixed >> np.uint64(40 + pattern)) & np.uint64(1)
    return np.where(np.isfinite(value.wide), value.wide + np.where(up == 1, 1, -1) * value.tolerance, value.wide)


def _difference(x: Array, y: Array) -> Array:
    if y.dtype.kind != "f":
        return np.where(x == y, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(x - y)


def _largest(array: Array) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max(initial=0.0))
