"""Programs that several test files run: those that break a careless compiler, and what users write.

Each is a function of tensors with the shapes of its arguments; a `Step` also has variables that it assigns. Start
reading at the table `PROGRAMS`, which the decorator fills.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tapejit as tj

Shape = tuple[int, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Program:
    """A function, the shapes of its arguments, and those of the variables that come after them."""

    name: str
    function: Function
    arguments: tuple[Shape, ...]
    variables: tuple[Shape, ...] = ()
    differentiable: bool = True
    positive: bool = False
    dtypes: tuple[str, ...] = ()

    def draw(self, seed: int, dtype: str = "float32") -> list[np.ndarray]:
        """Arguments."""
        return self._draw(np.random.default_rng(seed), self.arguments, dtype)

    def _draw(self, rng: np.random.Generator, shapes: tuple[Shape, ...], dtype: str) -> list[np.ndarray]:
        low = 0.5 if self.positive else -2.0
        dtypes = self.dtypes or (dtype,) * len(shapes)
        return [
            np.asarray(rng.uniform(low, 2.0, shape)).astype(each)
            for shape, each in zip(shapes, dtypes, strict=False)  # variables have the first dtypes
        ]

    def bound(self, dtype: str = "float32", seed: int = 7) -> Function:
        """The function of its arguments alone, with fresh variables."""
        values = self._draw(np.random.default_rng(seed), self.variables, dtype)
        variables = [tj.Variable(value, name=f"w{i}" if i else "w") for i, value in enumerate(values)]
        return lambda *arguments: self.function(*arguments, *variables)

    def gradient(self, dtype: str = "float32") -> Function:
        """The function that gives the gradients of all floating results, weighted, by all arguments and variables."""
        values = self._draw(np.random.default_rng(7), self.variables, dtype)
        variables = [tj.Variable(value) for value in values]

        def gradient(*arguments: Any) -> list[Any]:
            with tj.GradientTape() as tape:
                tape.watch(arguments)
                results = self.function(*arguments, *variables)
                results = results if isinstance(results, (tuple, list)) else [results]
                weighted = [tj.sum(tj.sin(3 * each + 1)) for each in results if each.dtype.kind == "f"]
            sources = [*arguments, *variables]
            return [each for each in tape.gradient(weighted, sources) if each is not None]

        return gradient


PROGRAMS: dict[str, Program] = {}
STEPS: dict[str, Program] = {}


def program(*arguments: Shape, table: dict[str, Program] = PROGRAMS, **options: Any) -> Callable[[Function], Function]:
    """Add a function to a table."""

    def add(function: Function) -> Function:
        name = function.__name__
        assert name not in table
        table[name] = Program(name, function, arguments, **options)
        return function

    return add


# What breaks a careless planner


@program((7,))
def outer_of_exp(v):
    h = tj.exp(v)
    return h[:, None] * h[None, :]


@program((5, 5))
def plus_transposed(x):
    return x + x.T


@program((9,))
def differences(x):
    return x[1:] - x[:-1]


@program((6,))
def flipped_plus(x):
    return tj.flip(x) + x


@program((6, 4))
def uneven_reshape(x):
    return tj.reshape(tj.exp(x), (8, 3)) * 2.0


@program((6, 4))
def uneven_reshape_of_product(x):
    y = tj.reshape(x * x, (8, 3))
    return y + tj.sum(y, axis=1, keepdims=True), x


@program((2, 3, 4))
def merged_and_split_axes(x):
    return tj.reshape(tj.reshape(x, (6, 4)) + 1.0, (3, 2, 2, 2)), tj.reshape(x, (24,)) * 2.0


@program((4, 6))
def reshape_of_transposed(x):
    return tj.reshape(x.T, (4, 6)) - x


@program((5, 4))
def softmax_rows(x):
    return tj.softmax(x, axis=-1)


@program((5, 4))
def softmax_columns(x):
    return tj.softmax(x, axis=0)


@program((5, 4), (5, 4))
def cross_entropy(x, y):
    return -tj.mean(tj.sum(y * tj.log_softmax(x, axis=-1), axis=-1))


@program((4, 6), (6,), (6,))
def layer_norm(x, gamma, beta):
    mean = tj.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = tj.mean(centred * centred, axis=-1, keepdims=True)
    return centred / tj.sqrt(variance + 1e-5) * gamma + beta


@program((3, 5, 4))
def batch_statistics(x):
    return tj.var(x, axis=(0, 2)), tj.mean(x, axis=1), tj.std(x)


@program((4, 3))
def logsumexp_both_axes(x):
    return tj.logsumexp(x, axis=0), tj.logsumexp(x, axis=1), tj.logsumexp(x)


@program((4, 3))
def scalar_then_array(x):
    return x / tj.sum(x * x) + tj.max(x, axis=0)


@program((4, 3))
def reduction_of_reduction(x):
    rows = tj.sum(tj.exp(x), axis=1)
    return tj.sum(rows * rows), tj.max(rows), rows


@program((3, 4, 5))
def reductions_of_three_axes(x):
    axes = (0, 1, 2, (0, 1), (0, 2), (1, 2), None)
    return [tj.sum(x, axis=axis) for axis in axes]


@program((3, 4, 5))
def extremes_of_three_axes(x):
    return [tj.max(x, axis=axis) for axis in (0, 2, (0, 2), None)] + [tj.min(x, axis=axis) for axis in (1, (1, 2))]


@program((3, 2, 3), differentiable=False)
def tests_of_three_axes(x):
    axes = (0, 1, 2, (0, 1), (0, 2), (1, 2), None)
    return [function(x > -1.0, axis=axis) for axis in axes for function in (tj.any, tj.all)]


@program((3, 4, 2))
def products_of_three_axes(x):
    return [tj.prod(x, axis=axis) for axis in (0, (0, 2), None)]


@program((2, 3, 2, 3))
def reductions_of_four_axes(x):
    axes = ((0, 2), (1, 3), (0, 1, 3), (0, 3), (0, 2, 3), (1, 2))
    return [tj.sum(x * x, axis=axis) for axis in axes]


@program((4, 1, 3))
def reductions_over_ones(x):
    return tj.sum(x, axis=1), tj.sum(x, axis=(1, 2)), tj.max(x, axis=(0, 1)), tj.sum(tj.sum(x, axis=1), axis=0)


@program((0, 3))
def reductions_over_nothing(x):
    return tj.sum(x, axis=0), tj.sum(x, axis=1), tj.prod(x, axis=0), tj.sum(x), tj.max(x, axis=1)


# Moving elements


@program((3, 4), (2, 4))
def joined(x, y):
    both = tj.concat([x * 2.0, y, x], axis=0)
    return both + 1.0, tj.sum(both, axis=0), tj.concat([tj.exp(y), y], axis=1)


@program((1,))
def product_of_joined_elements(x):
    joined = tj.concat([tj.abs(x), tj.sin(x), x])
    return tj.matmul(joined, tj.sin(joined))


@program((6, 3))
def split_and_recombined(x):
    first, second, third = tj.split(x, 3, axis=0)
    return first * second + third, tj.concat([third, first], axis=1)


@program((3, 4))
def padded(x):
    return tj.pad(x, ((1, 2), (0, 1))), tj.pad(tj.exp(x), ((2, 0), (1, 1))) * 2.0


@program((5, 4))
def rolled(x):
    return tj.roll(x, 2, axis=0) - x, tj.roll(x, -1, axis=1) * tj.exp(x)


@program((7, 6))
def slices(x):
    return x[::-1, ::2] + x[:, 1::2], x[5:1:-2], x[2:3, -1] * x[0, 0], x[6, ::-3]


@program((5,))
def overlapping_slices(x):
    y = tj.exp(x)
    return y[2:] + y[1:-1] + y[:-2], tj.sum(y[::-1] * y)


@program((4, 4))
def nested_views(x):
    y = tj.flip(x.T, axis=0)[1:, ::-1]
    return tj.reshape(y, (12,)) + 1.0, tj.sum(y, axis=1)


@program((4, 3))
def stacked(x):
    return tj.stack([x, tj.exp(x)], axis=1), tj.broadcast_to(x[0], (2, 3)) * x[1:3]


@program((3, 4))
def masked_pad(x):
    return tj.where(tj.pad(x, ((0, 1), (1, 0))) > 0.0, tj.pad(x, ((1, 0), (0, 1))), -1.0)


@program((4,))
def pads_of_pads(x):
    return tj.pad(tj.pad(x, ((1, 1),)) * 2.0, ((2, 0),)), tj.pad(tj.pad(x, ((1, 1),)), ((0, 3),))


@program((4, 3))
def sum_of_joined(x):
    return tj.sum(tj.concat([x, x * x], axis=1), axis=1), tj.sum(tj.pad(x, ((1, 1), (1, 1))), axis=0)


# Products


@program((3, 4), (4, 5))
def small_product(x, y):
    return tj.matmul(x, y) + 1.0


@program((20, 18), (18, 19))
def larger_product(x, y):
    return tj.matmul(x, y), tj.matmul(tj.exp(x), y) * 2.0


@program((18, 20), (19, 18))
def product_of_transposed(x, y):
    return tj.matmul(x.T, y.T), tj.matmul(x.T, y.T * 2.0)


@program((18, 20), (18, 19))
def product_with_one_transposed(x, y):
    return tj.matmul(x.T, y)


@program((2, 3, 4), (2, 4, 2))
def batched_product(x, y):
    return tj.matmul(x, y)


@program((2, 17, 18), (2, 18, 16))
def larger_batched_product(x, y):
    return tj.matmul(x, y) + 1.0, tj.sum(tj.matmul(x, y), axis=0)


@program((3, 17, 18), (18, 16))
def product_broadcast_over_batch(x, y):
    return tj.matmul(x, y)


@program((40, 36), (18, 19))
def product_of_strided(x, y):
    return tj.matmul(x[::2, ::2], y), tj.matmul(x[:20, 18:], y), tj.matmul(x[19::-1, :18], y)


@program((20, 18), (18,), (20,))
def products_with_vectors(x, v, u):
    return tj.matmul(x, v), tj.matmul(u, x), tj.matmul(v, v), tj.outer(u, v)


@program((17, 1), (1, 17))
def product_of_column_and_row(x, y):
    return tj.matmul(x, y), tj.matmul(y, x)


@program((5, 5), (5, 5), (5, 5), (5, 5), (5, 5), (1, 1))
def products_that_go_through_their_axes_in_other_orders(a, b, c, d, e, s):
    weights = tj.matrix_transpose(tj.broadcast_to(s, (5, 5)) / 3.0)
    return tj.matrix_transpose(a) @ b, weights @ (a * b + c * d + e)


@program((20, 20))
def product_with_itself(x):
    y = tj.matmul(x, x)
    return tj.matmul(y, x.T), y + y.T


@program((0, 3), (3, 4))
def empty_product(x, y):
    return tj.matmul(x, y), tj.matmul(y.T, x.T)


@program((3, 0), (0, 4))
def product_over_nothing(x, y):
    return tj.matmul(x, y) + 1.0


# Dtypes and results


@program((4, 3), (3,), (4, 1), dtypes=("float32", "float64", "int32"), differentiable=False)
def mixed_dtypes(x, y, n):
    return x * y + n, tj.astype(x, "int16") + n, tj.sum(n), tj.mean(n), tj.astype(y, "float32") * x


@program((5,), (5,), dtypes=("int8", "uint8"), differentiable=False)
def narrow_integers(x, y):
    big = x * x * x * x * x + x
    return big, y * y - 7, -y, tj.sum(x), tj.sum(big[1:] * big[:-1]), x + y, big > 0


@program((4, 3), (4, 3), differentiable=False)
def comparisons(x, y):
    return x > y, (x == y) | (y < 0), ~(x > 0), tj.where(x > y, x, y), tj.astype(x > 0, "float32") * y


@program((3,), ())
def scalars(x, s):
    return s * 2.0, x * s, tj.sum(x) * s, s


@program((3, 4))
def results_that_are_inputs(x):
    return x, x, x.T, tj.exp(x), tj.exp(x), x[1:2]


@program((3,))
def results_that_are_literals(x):
    return tj.zeros((2, 3)), tj.ones(()), x * 0.0, tj.broadcast_to(tj.constant(2.0), (2, 2))


@program((6,), positive=True)
def expensive_and_reused(x):
    y = tj.log(tj.exp(x) + tj.sqrt(x))
    return y, y * y, tj.sum(y), y[::-1] * y, y[:, None] + y


@program((4, 5), positive=True)
def expensive_broadcast(x):
    y = tj.tanh(tj.sum(tj.log(x), axis=0))
    return tj.exp(x) * y, tj.exp(y) + x


@program((100, 1), (100,))
def column_and_vector(x, y):
    return tj.sum(x[:, 0] * y), tj.sum(x * y[:, None], axis=0)


@program((8,), (8,), (8,), (8,), (8,), positive=True)
def black_scholes(s, k, t, r, v):
    root = v * tj.sqrt(t)
    d1 = (tj.log(s / k) + (r + v * v / 2) * t) / root

    def normal(z):
        return 0.5 * (1 + tj.erf(z / 2**0.5))

    return s * normal(d1) - k * tj.exp(-r * t) * normal(d1 - root)


# Steps, which assign variables


@program((), variables=((4,), (4,)), table=STEPS)
def swap(_, v, w):
    old = v.read_value()
    v.assign(w)
    w.assign(old)


@program((), variables=((4,), (4,), (4,)), table=STEPS)
def rotate(s, u, v, w):
    first = u * s
    u.assign(v)
    v.assign(w)
    w.assign(first)


@program((), variables=((5,),), table=STEPS)
def reverse(_, w):
    w.assign(w[::-1])


@program((), variables=((4, 4),), table=STEPS)
def add_transposed(_, w):
    w.assign(w + w.T)


@program((), variables=((4, 4),), table=STEPS)
def transpose(_, w):
    w.assign(w.T)


@program((6,), variables=((6,),), table=STEPS)
def update_and_result(x, w):
    w.assign_sub(x * w)
    return w.read_value(), w * 2.0


@program((6,), variables=((6,),), table=STEPS)
def value_before_update(x, w):
    before = w.read_value()
    w.assign(x)
    return before, w.read_value(), before + w


@program((6, 3), variables=((3,), ()), table=STEPS)
def update_from_reductions(x, w, b):
    w.assign(tj.sum(x * w, axis=0))
    b.assign(tj.sum(x))


@program((20, 18), (18, 20), variables=((20, 20), (18, 18)), table=STEPS)
def update_from_products(x, y, v, w):
    v.assign(tj.matmul(x, y))
    w.assign(tj.matmul(y, tj.matmul(v, x)))


@program((), variables=((20, 20),), table=STEPS)
def update_from_own_product(s, w):
    w.assign(tj.matmul(w, w) * s * 0.1)


@program((), variables=((5,),), table=STEPS)
def update_by_own_total(_, w):
    w.assign(w / tj.sum(w * w))


@program((), variables=((4, 5),), table=STEPS)
def update_by_own_rows(_, w):
    w.assign(w - tj.sum(w, axis=1, keepdims=True))


@program((), variables=((4, 5),), table=STEPS)
def update_by_own_columns(_, w):
    w.assign(w - tj.sum(w, axis=0))


@program((), variables=((6,), (6,)), table=STEPS)
def two_updates_of_one_value(s, v, w):
    value = tj.exp(v) * s
    v.assign(value)
    w.assign(value)
    return value


@program((), variables=((6,),), table=STEPS)
def shifted_update(_, w):
    w.assign(tj.concat([w[1:], w[:1]]))
    return w[0] * 2.0


@program((), variables=((6,), (6,)), table=STEPS)
def update_that_other_updates_read(s, v, w):
    v.assign_add(s * w)
    w.assign_add(v)
    v.assign_sub(w[::-1])


@program((), variables=((3, 4),), table=STEPS)
def assign_literal(_, w):
    w.assign(tj.zeros((3, 4)))


@program((), variables=((4,), (4,)), table=STEPS)
def assign_nothing_new(_, v, w):
    v.assign(v + 0.0)
    w.assign(w)


@program((6,), (6,), variables=((), ()), table=STEPS)
def line_fit(x, y, w, b):
    with tj.GradientTape(persistent=True) as tape:
        loss = tj.abs(y - (w * x + b))
    w.assign_sub(tape.gradient(loss, w) * 0.001)
    b.assign_sub(tape.gradient(loss, b) * 0.001)


@program((10, 6), (10, 4), variables=((6, 4), (4,)), table=STEPS)
def softmax_regression(x, y, w, b):
    with tj.GradientTape() as tape:
        loss = -tj.mean(tj.sum(y * tj.log_softmax(tj.matmul(x, w) + b, axis=-1), axis=-1))
    for variable, gradient in zip((w, b), tape.gradient(loss, [w, b]), strict=True):
        variable.assign_sub(0.1 * gradient)
    return loss


@program((9, 4), (9,), variables=((4,),), table=STEPS)
def logistic_regression(x, y, w):
    with tj.GradientTape() as tape:
        z = tj.matmul(x, w)
        loss = tj.mean(tj.softplus(z) - y * z)
    w.assign_sub(0.1 * tape.gradient(loss, w))
    return loss


@program((12, 9), (12, 4), variables=((9, 17), (17,), (17, 4), (4,)), table=STEPS)
def perceptron(x, y, w1, b1, w2, b2):
    with tj.GradientTape() as tape:
        hidden = tj.tanh(tj.matmul(x, w1) + b1)
        loss = tj.mean((tj.matmul(hidden, w2) + b2 - y) ** 2)
    variables = [w1, b1, w2, b2]
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.1 * gradient)
    return loss


@program((5,), variables=((5,), (5,), (5,)), table=STEPS)
def momentum_and_scale(x, w, m, v):
    with tj.GradientTape() as tape:
        loss = tj.sum((w - x) ** 2)
    g = tape.gradient(loss, w)
    m.assign(0.9 * m + 0.1 * g)
    v.assign(0.99 * v * v + 0.01 * g * g)
    w.assign_sub(0.1 * m / (tj.sqrt(v) + 1e-3))
