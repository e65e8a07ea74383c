"""Random programs over the operations that kernels hold, for hypothesis: expressions, views, reductions, effects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tapejit as tj

LARGEST = 240
"""No value has more elements."""

Draw = Callable[..., Any]

UNARY = {
    "negative": lambda x: -x,
    "tanh": tj.tanh,
    "sin": tj.sin,
    "exp of tanh": lambda x: tj.exp(tj.tanh(x)),
    "square": lambda x: 0.1 * x * x,
    "abs": tj.abs,
    "relu": tj.relu,
    "log1p": lambda x: tj.log1p(tj.abs(x)),
    "half": lambda x: x * 0.5,
}
BINARY = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: 0.5 * x * tj.tanh(y),
    "maximum": tj.maximum,
    "where": lambda x, y: tj.where(x > y, x, 0.5 * y),
}
REDUCTIONS = {"sum": lambda *a, **k: 0.2 * tj.sum(*a, **k), "mean": tj.mean, "max": tj.max, "logsumexp": tj.logsumexp}


@dataclass(frozen=True)
class RandomProgram:
    """What to run: instructions over a growing list of values, of which the first are arguments and variables."""

    arguments: tuple[tuple[int, ...], ...]
    variables: tuple[tuple[int, ...], ...]
    instructions: tuple[tuple[str, Callable[..., Any], tuple[int, ...]], ...]
    outputs: tuple[int, ...]
    assigned: tuple[tuple[int, int], ...]
    gradient: bool

    def __repr__(self) -> str:
        lines = [f"arguments {self.arguments}, variables {self.variables}"]
        first = len(self.arguments) + len(self.variables)
        lines += [f"{first + i} = {name} of {inputs}" for i, (name, _, inputs) in enumerate(self.instructions)]
        lines.append(f"outputs {self.outputs}, assigned {self.assigned}, gradient {self.gradient}")
        return "\n" + "\n".join(lines)

    def draw(self, seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [np.asarray(rng.uniform(-2, 2, shape)) for shape in self.arguments]

    def function(self) -> Callable[..., Any]:
        """The program over fresh variables."""
        rng = np.random.default_rng(1)
        variables = [tj.Variable(np.asarray(rng.uniform(-2, 2, shape))) for shape in self.variables]

        def run(*arguments: Any) -> list[Any]:
            with tj.GradientTape() as tape:
                tape.watch(arguments)
                values = [*arguments, *[variable.read_value() for variable in variables]]
                for _, function, inputs in self.instructions:
                    values.append(function(*[values[i] for i in inputs]))
                outputs = [values[i] for i in self.outputs]
                target = tj.sum(tj.sin(values[-1]))
            if self.gradient:
                outputs += [ct for ct in tape.gradient(target, [*arguments, *variables]) if ct is not None]
            for variable, source in self.assigned:
                variables[variable].assign(values[source])
            return outputs

        return run


@st.composite
def random_programs(draw: Draw) -> RandomProgram:
    side = st.sampled_from([1, 2, 3, 5])
    shapes = st.lists(side, max_size=3).map(tuple)
    arguments = tuple(draw(st.lists(shapes, min_size=1, max_size=2)))
    variables = tuple(draw(st.lists(shapes, max_size=2)))
    known = [*arguments, *variables]
    instructions = []
    for _ in range(draw(st.integers(1, 9))):
        instruction, shape = draw(_instruction(known))
        instructions.append(instruction)
        known.append(shape)
    count = len(known)
    outputs = draw(st.lists(st.integers(0, count - 1), max_size=3))
    assigned = []
    for position, shape in enumerate(variables):
        fitting = [i for i in range(count) if known[i] == shape]
        assigned.append((position, draw(st.sampled_from(fitting))))
    return RandomProgram(
        arguments, variables, tuple(instructions), (*outputs, count - 1), tuple(assigned), draw(st.booleans())
    )


@st.composite
def _instruction(draw: Draw, known: list[tuple[int, ...]]) -> Any:
    """An instruction over known values, and the shape of its result."""
    kind = draw(st.sampled_from(["unary", "binary", "binary", "reduction", "view", "view", "product", "join"]))
    # Recent values are wanted more often, so that programs are deep.
    first = draw(st.sampled_from([len(known) - 1, *range(len(known))]))
    shape = known[first]
    if kind == "binary":
        fitting = [i for i, other in enumerate(known) if _joint(shape, other) is not None]
        second = draw(st.sampled_from(fitting))
        name = draw(st.sampled_from(sorted(BINARY)))
        return (name, BINARY[name], (first, second)), _joint(shape, known[second])
    if kind == "reduction" and shape:
        return draw(_reduction(first, shape))
    if kind == "view" and shape:
        return draw(_view(first, shape))
    if kind == "product" and len(shape) >= 2:
        return draw(_product(known, first))
    if kind == "join" and shape and np.prod(shape) * 2 <= LARGEST:
        axis = draw(st.integers(0, len(shape) - 1))
        second = draw(st.sampled_from([i for i, other in enumerate(known) if other == shape]))
        joined = tuple(2 * n if i == axis else n for i, n in enumerate(shape))
        return (f"concat {axis}", lambda x, y: tj.concat([x, tj.sin(y)], axis=axis), (first, second)), joined
    name = draw(st.sampled_from(sorted(UNARY)))
    return (name, UNARY[name], (first,)), shape


def _joint(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        joint = np.broadcast_shapes(x, y)
    except ValueError:
        return None
    return joint if np.prod(joint) <= LARGEST else None


@st.composite
def _reduction(draw: Draw, first: int, shape: tuple[int, ...]) -> Any:
    axes = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    keepdims = draw(st.booleans())
    name = draw(st.sampled_from(sorted(REDUCTIONS)))
    function = REDUCTIONS[name]
    result = np.sum(np.empty(shape), axis=axes, keepdims=keepdims).shape
    label = f"{name} over {axes}, keepdims={keepdims}"
    return (label, lambda x: function(x, axis=axes, keepdims=keepdims), (first,)), result


@st.composite
def _view(draw: Draw, first: int, shape: tuple[int, ...]) -> Any:
    axis = draw(st.integers(0, len(shape) - 1))
    order = tuple(draw(st.permutations(range(len(shape)))))
    start = draw(st.integers(0, shape[axis] - 1))
    index = [slice(None)] * len(shape)
    index[axis] = draw(st.sampled_from([slice(None, None, -1), slice(start, None, 2), slice(start, None, -1)]))
    amounts = tuple((1, 2) if i == axis else (0, 0) for i in range(len(shape)))
    new = (*shape[:axis], 1, *shape[axis:])
    views = {
        f"permute {order}": lambda x: tj.permute_dims(x, order),
        f"index {index}": lambda x: x[tuple(index)],
        f"new axis {axis}": lambda x: tj.reshape(x, new),
        "flatten": lambda x: tj.reshape(x, (-1,)),
        f"pad {axis}": lambda x: tj.pad(x, amounts),
        f"roll {axis}": lambda x: tj.roll(x, 1, axis=axis),
        f"flip {axis}": lambda x: tj.flip(x, axis=axis),
        f"reversed shape {shape[::-1]}": lambda x: tj.reshape(x, shape[::-1]),
        f"element {start} of {axis}": lambda x: x[(*[slice(None)] * axis, start)],
    }
    name = draw(st.sampled_from(sorted(views)))
    result = views[name](tj.asarray(np.empty(shape))).shape
    if np.prod(result) > LARGEST:
        return ("negative", UNARY["negative"], (first,)), shape
    return (name, views[name], (first,)), result


@st.composite
def _product(draw: Draw, known: list[tuple[int, ...]], first: int) -> Any:
    shape = known[first]
    fitting = [i for i, other in enumerate(known) if len(other) == 2 and other[0] == shape[-1]]
    if fitting:
        second = draw(st.sampled_from(fitting))
        result = (*shape[:-1], known[second][1])
        if np.prod(result) <= LARGEST:
            return ("matmul", lambda x, y: tj.matmul(x, y) * 0.2, (first, second)), result
    result = (*shape[:-1], shape[-2])
    return ("x xᵀ", lambda x: tj.matmul(x, x.mT) * 0.2, (first,)), result
