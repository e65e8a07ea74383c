"""What random programs are made of: tables of operations, and families, each a function of the `Draft` of a program.

Operands are kept moderate (`tanh` before `exp`, sums scaled), so that rounding errors do not grow without bound. Start
reading at `FAMILIES`, at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tapejit as tj
from tapejit.aval import Aval
from tapejit.graph import Trace
from tapejit.primitive import interpreting

Draw = Callable[..., Any]
Function = Callable[..., Any]
Drawn = tuple[str, Function, tuple[int, ...]] | None
"""An operation on known values, None where there are none that fit."""


@dataclass(frozen=True)
class Instruction:
    """``values.append(function(*inputs))``; with a variable it is assigned the input, or read where there is none."""

    name: str
    function: Function | None
    inputs: tuple[int, ...]
    variable: int | None = None


class Draft:
    """A program while it is drawn."""

    def __init__(self, draw: Draw, arguments: tuple[Aval, ...], variables: tuple[Aval, ...], largest: int) -> None:
        self.draw = draw
        self.largest = largest
        self.trace = Trace(arguments)
        self.variables = [tj.Variable(np.zeros(aval.shape, aval.dtype)) for aval in variables]
        self.instructions: list[Instruction] = []
        with interpreting(self.trace):
            self.values = [self.trace.argument(i) for i in range(len(arguments))]
            self.values += [variable.read_value() for variable in self.variables]

    def one_of(self, options: Any) -> Any:
        return self.draw(st.sampled_from(sorted(options) if isinstance(options, dict) else list(options)))

    def named(self, table: dict[str, Function]) -> tuple[str, Function]:
        name = self.one_of(table)
        return name, table[name]

    def axis(self, shape: tuple[int, ...]) -> int:
        return int(self.draw(st.integers(0, len(shape) - 1)))

    def pick(self, fits: Callable[[Any], bool]) -> int | None:
        """The position of a value that fits; recent ones are wanted more often, so that programs are deep."""
        fitting = [i for i, value in enumerate(self.values) if fits(value)]
        return self.one_of([*fitting[-1:], *fitting]) if fitting else None

    def beside(self, first: int, fits: Callable[[Any], bool]) -> int | None:
        """The position of a value that fits and that broadcasts against the first."""
        shape = self.values[first].shape
        return self.pick(lambda value: fits(value) and _joint(shape, value.shape, self.largest))

    def add(self, name: str, function: Function, inputs: tuple[int, ...]) -> bool:
        """Apply an operation, unless its result is too large."""
        with interpreting(self.trace):
            result = function(*[self.values[i] for i in inputs])
        if prod(result.shape) > self.largest:
            return False
        self.values.append(result)
        self.instructions.append(Instruction(name, function, inputs))
        return True

    def touch(self) -> None:
        """Assign to a variable, or read one."""
        position = self.one_of(range(len(self.variables)))
        variable = self.variables[position]
        source = self.pick(lambda value: value.shape == variable.shape and value.dtype.kind == "f")
        with interpreting(self.trace):
            if source is None or self.draw(st.booleans()):
                self.instructions.append(Instruction(f"read {position}", None, (), position))
                self.values.append(variable.read_value())
            else:
                self.instructions.append(Instruction(f"assign {position}", None, (source,), position))
                variable.assign(self.values[source])


def _joint(x: tuple[int, ...], y: tuple[int, ...], largest: int) -> bool:
    try:
        return prod(np.broadcast_shapes(x, y)) <= largest
    except ValueError:
        return False


def floating(value: Any) -> bool:
    return bool(value.dtype.kind == "f")


def integral(value: Any) -> bool:
    return bool(value.dtype.kind == "i")


def boolean(value: Any) -> bool:
    return bool(value.dtype.kind == "b")


# Element by element

UNARY: dict[str, Function] = {
    "negative": lambda x: -x,
    "half": lambda x: x * 0.5,
    "abs": tj.abs,
    "relu": tj.relu,
    "clip": lambda x: tj.clip(x, -1.0, 1.5),
    "square": lambda x: 0.1 * x**2,
    "cube": lambda x: tj.tanh(x) ** 3,
    "inverse fourth power": lambda x: (1.5 + tj.tanh(x)) ** -4,
    "reciprocal": lambda x: tj.reciprocal(1.0 + tj.abs(x)),
    "broken power": lambda x: (1.5 + tj.tanh(x)) ** 0.7,
    "sqrt": lambda x: tj.sqrt(0.5 + tj.abs(x)),
    "exp": lambda x: tj.exp(tj.tanh(x)),
    "expm1": lambda x: tj.expm1(tj.tanh(x)),
    "log": lambda x: tj.log(0.5 + tj.abs(x)),
    "log1p": lambda x: tj.log1p(tj.abs(x)),
    "exp2": lambda x: tj.exp2(tj.tanh(x)),
    "log2": lambda x: tj.log2(0.5 + tj.abs(x)),
    "log10": lambda x: tj.log10(0.5 + tj.abs(x)),
    "cbrt": lambda x: tj.cbrt(0.5 + tj.abs(x)),
    "sin": tj.sin,
    "cos": tj.cos,
    "tan": lambda x: tj.tan(0.7 * tj.tanh(x)),
    "asin": lambda x: tj.asin(0.7 * tj.tanh(x)),
    "acos": lambda x: tj.acos(0.7 * tj.tanh(x)),
    "atan": tj.atan,
    "asinh": tj.asinh,
    "acosh": lambda x: tj.acosh(1.5 + tj.abs(x)),
    "atanh": lambda x: tj.atanh(0.7 * tj.tanh(x)),
    "rsqrt": lambda x: tj.rsqrt(0.5 + tj.abs(x)),
    "sinc": tj.sinc,
    "sinh": lambda x: tj.sinh(tj.tanh(x)),
    "cosh": lambda x: tj.cosh(tj.tanh(x)),
    "tanh": tj.tanh,
    "erf": tj.erf,
    "erfc": tj.erfc,
    "lgamma": lambda x: tj.lgamma(0.5 + tj.abs(x)),
    "digamma": lambda x: tj.digamma(0.5 + tj.abs(x)),
    "trigamma": lambda x: tj.trigamma(0.5 + tj.abs(x)),
    "sigmoid": tj.sigmoid,
    "softplus": tj.softplus,
    "stop gradient": tj.stop_gradient,
    "plus constant": lambda x: tj.positive(x) + 0.25,
    "not nan": lambda x: tj.where(tj.isnan(x) | tj.isinf(x), 0.0, x),
}
STEPPED: dict[str, Function] = {
    "floor": tj.floor,
    "ceil": tj.ceil,
    "round": tj.round,
    "trunc": tj.trunc,
    "next": lambda x: tj.nextafter(x, 0.5),
    "signbit": lambda x: tj.where(tj.signbit(x), 0.5, x),
    "sign": tj.sign,
}
BINARY: dict[str, Function] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: 0.5 * x * tj.tanh(y),
    "divide": lambda x, y: x / (1.5 + y * y),
    "maximum": tj.maximum,
    "minimum": tj.minimum,
    "where": lambda x, y: tj.where(x > y, x, 0.5 * y),
    "atan2": lambda x, y: tj.atan2(x, 1.5 + tj.abs(y)),
    "power": lambda x, y: (1.5 + tj.tanh(x)) ** tj.tanh(y),
    "hypot": lambda x, y: tj.hypot(x, 1.5 + tj.tanh(y)),
    "logaddexp": tj.logaddexp,
    "copysign": tj.copysign,
    "fmod": lambda x, y: tj.fmod(x, 1.5 + tj.tanh(y)),
    "remainder": lambda x, y: x % (1.5 + tj.tanh(y)),
    "floor divide": lambda x, y: x // (1.5 + tj.tanh(y)),
}
COMPARED: dict[str, Function] = {
    "equal": tj.equal,
    "not equal": tj.not_equal,
    "less": tj.less,
    "less equal": tj.less_equal,
    "greater": tj.greater,
    "greater equal": tj.greater_equal,
    "logical and": tj.logical_and,
    "logical or": tj.logical_or,
    "logical xor": tj.logical_xor,
}
OF_BOOLEANS: dict[str, Function] = {
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "implies": lambda x, y: ~x | tj.logical_not(tj.logical_not(y)),
}
OF_INTEGERS: dict[str, Function] = {
    "integer add": lambda x, y: x + y,
    "integer subtract": lambda x, y: x - y,
    "integer multiply": lambda x, y: x * -y,
    "integer divide": lambda x, y: x // 3 + y // -2,
    "integer remainder": lambda x, y: x % 5 - y % -4,
    "integer extremes": lambda x, y: tj.maximum(tj.abs(x), 2) - tj.minimum(y, 3),
    "integer bits": lambda x, y: (x & 12) | (y ^ ~x),
    "integer shifts": lambda x, y: (x << (y & 3)) ^ (y >> (x & 7)),
    "integer signs": lambda x, y: tj.sign(x) * tj.square(y),
}
CASTS: dict[str, Function] = {
    "float32 of float": lambda x: tj.astype(x, "float32"),
    "float64 of float": lambda x: tj.astype(x, "float64"),
    "int32 of float": lambda x: tj.astype(3 * tj.clip(x, -5.0, 5.0), "int32"),
    "int64 of float": lambda x: tj.astype(3 * tj.clip(x, -5.0, 5.0), "int64"),
    "bool of float": lambda x: tj.astype(x, "bool"),
    "finite": tj.isfinite,
}
TO_FLOAT: dict[str, Function] = {
    "float32 of integer": lambda x: 0.25 * tj.astype(x % 7, "float32"),
    "float64 of integer": lambda x: 0.1 * tj.astype(x % 7, "float64"),
    "one hot": lambda x: tj.one_hot(x % 4, 4),
    "mean of integers": lambda x: tj.mean(x % 7) * 0.25 if 0 not in x.shape else tj.sum(x) * 0.5,
}


def _unary(draft: Draft) -> Drawn:
    x = draft.pick(floating)
    return None if x is None else (*draft.named(UNARY), (x,))


def _stepped(draft: Draft) -> Drawn:
    x = draft.pick(floating)
    return None if x is None else (*draft.named(STEPPED), (x,))


def _two(draft: Draft, table: dict[str, Function], fits: Callable[[Any], bool]) -> Drawn:
    x = draft.pick(fits)
    y = None if x is None else draft.beside(x, fits)
    return None if y is None else (*draft.named(table), (x, y))  # type: ignore[return-value]


def _binary(draft: Draft) -> Drawn:
    return _two(draft, BINARY, floating)


def _compared(draft: Draft) -> Drawn:
    return _two(draft, COMPARED, lambda value: not boolean(value))


def _discrete(draft: Draft) -> Drawn:
    return _two(draft, *draft.one_of([(OF_BOOLEANS, boolean), (OF_INTEGERS, integral)]))


def _selected(draft: Draft) -> Drawn:
    condition = draft.pick(boolean)
    x = None if condition is None else draft.beside(condition, floating)
    y = None if x is None else draft.pick(lambda value: floating(value) and value.shape == draft.values[x].shape)
    return None if y is None else ("select", lambda c, x, y: tj.where(c, x, tj.sin(y)), (condition, x, y))


def _cast(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: True)
    assert x is not None
    table = {"f": CASTS, "i": TO_FLOAT, "b": {"float of bool": lambda x: 0.5 * tj.astype(x, "float32")}}
    return (*draft.named(table[draft.values[x].dtype.kind]), (x,))


# Along axes

OVER_AXES: dict[str, Function] = {
    "mean": tj.mean,
    "var": tj.var,
    "std": lambda x, **axes: tj.std(x, **axes) if _spreads(x, axes["axis"]) else tj.sum(x, **axes),
    "max": tj.max,
    "min": tj.min,
    "logsumexp": tj.logsumexp,
}
WITH_IDENTITY: dict[str, Function] = {
    "sum": lambda x, **axes: tj.sum(x, **axes) / _terms(x, axes["axis"]),
    "prod": lambda x, **axes: tj.prod(1.0 + tj.tanh(x) / _terms(x, axes["axis"]), **axes),
}
ALONG: dict[str, Function] = {
    "softmax": tj.softmax,
    "log softmax": tj.log_softmax,
    "cumsum": lambda x, axis: tj.cumsum(x, axis=axis) / (1 + x.shape[axis]),
    "cumprod": lambda x, axis: tj.cumprod(1.0 + tj.tanh(x) / (1 + x.shape[axis]), axis=axis),
    "cummax": tj.cummax,
    "cummin": tj.cummin,
    "logcumsumexp": tj.logcumsumexp,
    "smoothed": lambda x, axis: tj.linear_recurrence(0.5 * tj.tanh(x), x, axis=axis) * 0.5,
    "argmax": lambda x, axis: tj.argmax(x, axis=axis),
    "argmin": lambda x, axis: tj.argmin(x, axis=axis, keepdims=True),
    "sort": lambda x, axis: tj.sort(x, axis=axis),
    "argsort": lambda x, axis: tj.argsort(x, axis=axis),
    "add to every other": lambda x, axis: tj.scatter_add(x, (*[slice(None)] * axis, slice(None, None, 2)), 0.25),
    "places": lambda x, axis: tj.searchsorted(tj.sort(tj.ravel(x)), 0.25 * tj.ravel(x), side="left"),
    "places behind": lambda x, axis: tj.searchsorted(tj.sort(tj.ravel(x)), 0.5, side="right"),
    "set the first": lambda x, axis: tj.scatter_set(x, (*[slice(None)] * axis, [0, 0]), 0.25),
    "less at the first": lambda x, axis: tj.scatter_min(x, (*[slice(None)] * axis, [0, -1]), 0.25),
    "more at the first": lambda x, axis: tj.scatter_max(x, (*[slice(None)] * axis, [0, -1]), 0.25),
    "less the largest": lambda x, axis: x - tj.max(x, axis=axis, keepdims=True),
}
OF_DISCRETE: dict[str, Function] = {
    "any": tj.any,
    "all": tj.all,
    "count": tj.sum,
}


def _terms(x: Any, axes: tuple[int, ...]) -> int:
    """How many numbers are combined, and one more."""
    return 1 + prod(x.shape[axis] for axis in axes)


def _spreads(x: Any, axes: tuple[int, ...]) -> bool:
    """Whether a deviation along the axes is likely to be positive, so that its root has a slope."""
    return _terms(x, axes) > 2


def _reduction(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: len(value.shape) > 0)
    if x is None:
        return None
    shape = draft.values[x].shape
    axes = tuple(sorted(draft.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    keepdims = draft.draw(st.booleans())
    if not floating(draft.values[x]):
        table = OF_DISCRETE
    else:
        table = WITH_IDENTITY if prod(shape[axis] for axis in axes) == 0 else {**OVER_AXES, **WITH_IDENTITY}
    name, function = draft.named(table)
    label = f"{name} over {axes}{', kept' if keepdims else ''}"
    return label, lambda x: function(x, axis=axes, keepdims=keepdims), (x,)


def _along(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: floating(value) and len(value.shape) > 0 and 0 not in value.shape)
    if x is None:
        return None
    axis = draft.axis(draft.values[x].shape)
    name, function = draft.named(ALONG)
    return f"{name} along {axis}", lambda x: function(x, axis=axis), (x,)


# Elements moved


def _view(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: len(value.shape) > 0)
    if x is None:
        return None
    shape = draft.values[x].shape
    axis = draft.axis(shape)
    order = tuple(draft.draw(st.permutations(range(len(shape)))))
    start = draft.draw(st.integers(0, max(shape[axis] - 1, 0)))
    index = [slice(None)] * len(shape)
    index[axis] = draft.one_of([slice(None, None, -1), slice(start, None, 2), slice(start, None, -1)])
    amounts = tuple((1, 2) if i == axis else (0, 0) for i in range(len(shape)))
    new = (*shape[:axis], 1, *shape[axis:])
    views: dict[str, Function] = {
        f"permute {order}": lambda x: tj.permute_dims(x, order),
        f"move axis {axis}": lambda x: tj.moveaxis(x, axis, 0),
        f"index {index}": lambda x: x[tuple(index)],
        f"new axis {axis}": lambda x: tj.expand_dims(x, axis),
        "no axes of length 1": tj.squeeze,
        "flatten": tj.ravel,
        f"pad {axis}": lambda x: tj.pad(x, amounts),
        f"roll {axis}": lambda x: tj.roll(x, 1, axis=axis),
        f"flip {axis}": lambda x: tj.flip(x, axis=axis),
        f"broadcast {axis}": lambda x: tj.broadcast_to(tj.reshape(x, new), (*new[:axis], 2, *new[axis + 1 :])),
        f"reversed shape {shape[::-1]}": lambda x: tj.reshape(x, shape[::-1]),
        f"first part of {axis}": lambda x: tj.split(x, [start], axis=axis)[0],
        f"stacked {axis}": lambda x: tj.stack([x, tj.flip(x)], axis=axis),
    }
    if shape[axis]:
        views[f"element {start} of {axis}"] = lambda x: x[(*[slice(None)] * axis, start)]
    return (*draft.named(views), (x,))


def _joined(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: floating(value) and len(value.shape) > 0)
    if x is None:
        return None
    shape = draft.values[x].shape
    axis = draft.axis(shape)
    rest = (*shape[:axis], *shape[axis + 1 :])
    y = draft.pick(
        lambda value: (
            floating(value)
            and len(value.shape) == len(shape)
            and (*value.shape[:axis], *value.shape[axis + 1 :]) == rest
        )
    )
    assert y is not None
    return f"concat {axis}", lambda x, y: tj.concat([x, tj.sin(y), x], axis=axis), (x, y)


def _indexed(draft: Draft) -> Drawn:
    """Reads and additions at indices, written down or computed."""
    x = draft.pick(lambda value: floating(value) and len(value.shape) > 0 and 0 not in value.shape)
    if x is None:
        return None
    shape = draft.values[x].shape
    axis = draft.axis(shape)
    length = shape[axis]
    places = draft.draw(st.lists(st.integers(-length, length - 1), max_size=4))
    at = (*[slice(None)] * axis, places)
    first = [place % shape[0] for place in places]
    name = draft.one_of(["take", "index", "add at", "computed", "pairs"])
    if name == "computed":
        where = draft.pick(lambda value: integral(value) and len(value.shape) == 1)
        if where is not None:
            return f"computed index {axis}", lambda x, n: tj.take(x, n % length, axis=axis), (x, where)
    if name == "pairs" and len(shape) > 1:
        last = [place % shape[-1] for place in places]
        return f"at pairs {first} {last}", lambda x: x[first, ..., last], (x,)
    if name == "add at":
        return f"add at {first}", lambda x: tj.scatter_add(x, first, 0.5 * tj.tanh(x[first[::-1]])), (x,)
    if name == "take":
        return f"take {places} of {axis}", lambda x: tj.take(x, places, axis=axis), (x,)
    return f"index {places} of {axis}", lambda x: x[at] * 0.5, (x,)


# Products, and what is made of nothing


def _product(draft: Draft) -> Drawn:
    x = draft.pick(lambda value: floating(value) and len(value.shape) > 0)
    if x is None:
        return None
    shape = draft.values[x].shape
    scale = 1 / (1 + shape[-1])
    name = draft.one_of(["matmul", "matmul", "with itself", "outer", "dot", "tensordot"])
    if name == "matmul":
        y = draft.pick(lambda v: floating(v) and _multiplies(shape, v.shape, draft.largest))
        if y is not None:
            return "matmul", lambda x, y: tj.matmul(x, y) * scale, (x, y)
    if name == "outer":
        y = draft.pick(lambda v: floating(v) and prod(v.shape) * prod(shape) <= draft.largest)
        if y is not None:
            return "outer", lambda x, y: tj.outer(tj.tanh(x), y), (x, y)
    y = draft.pick(lambda v: floating(v) and v.shape == shape)
    assert y is not None
    if name == "dot":
        return "dot", lambda x, y: tj.vecdot(x, tj.tanh(y)) * scale, (x, y)
    if name == "tensordot":
        return "tensordot", lambda x, y: tj.tensordot(x, tj.tanh(y), axes=([-1], [-1])) * scale, (x, y)
    if len(shape) < 2:
        return "dot", lambda x, y: tj.matmul(x, tj.sin(y)) * scale, (x, y)
    return "x yᵀ", lambda x, y: tj.matmul(x, tj.matrix_transpose(tj.sin(y))) * scale, (x, y)


WITH_MATRIX: dict[str, Function] = {
    "solve": lambda a, x: tj.linalg.solve(a, x),  # noqa: PLW0108 (the same form for all)
    "inverse": lambda a, x: tj.linalg.inv(a) * x,
    "log determinant": lambda a, x: tj.linalg.slogdet(a)[1],
    "cholesky": lambda a, x: tj.linalg.cholesky(a),
    "triangular": lambda a, x: tj.linalg.triangular_solve(a, x, lower=False),
    "by factor": lambda a, x: tj.linalg.cholesky_solve(tj.linalg.cholesky(a), x),
}


def _positive_definite(x: Any) -> Any:
    return x @ x.mT / (1 + x.shape[-1]) + tj.eye(x.shape[-1], dtype=x.dtype)


def _linear_algebra(draft: Draft) -> Drawn:
    x = draft.pick(lambda v: floating(v) and len(v.shape) > 1 and v.shape[-1] == v.shape[-2] and 0 < prod(v.shape) < 50)
    if x is None:
        return None
    name, function = draft.named(WITH_MATRIX)
    return name, lambda x: function(_positive_definite(tj.tanh(x)), x), (x,)


def _multiplies(x: tuple[int, ...], y: tuple[int, ...], largest: int) -> bool:
    """Whether ``matmul`` takes the shapes."""
    if not y or x[-1] != y[-2 if len(y) > 1 else 0]:
        return False
    rows, columns = x[-2:-1], y[-1:] if len(y) > 1 else ()
    batches = x[:-2], y[:-2]
    return _joint(*batches, largest) and prod((*np.broadcast_shapes(*batches), *rows, *columns)) <= largest


def _made(draft: Draft) -> Drawn:
    x = draft.pick(floating)
    assert x is not None
    length = draft.draw(st.integers(1, 4))
    makers: dict[str, Function] = {
        "zeros like": tj.zeros_like,
        "ones like": lambda x: tj.ones_like(x) * 0.75,
        f"range {length}": lambda x: tj.arange(length),
        f"line of {length}": lambda x: tj.linspace(-1.0, 1.0, length) * tj.sum(tj.tanh(x)) / (1 + prod(x.shape)),
        f"eye {length}": lambda x: tj.eye(length) + tj.full((length, 1), 0.125),
    }
    return (*draft.named(makers), (x,))


FAMILIES: tuple[Callable[[Draft], Drawn], ...] = (
    *(_unary,) * 5, *(_binary,) * 3, *(_view,) * 3, *(_reduction,) * 3, *(_along,) * 2, *(_product,) * 2, _joined,
    *(_indexed,) * 2, _linear_algebra, _stepped, *(_compared,) * 3, *(_discrete,) * 3, _selected, _cast, _made,
)  # fmt: skip
