"""`vmap`: nests, axes, what is refused, derivatives on either side of it, and one kernel under `compile`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import BatchingError, DtypeError, ShapeError

X = np.arange(1.0, 13.0).reshape(4, 3)
W = np.array([[0.5, -1.0], [2.0, 0.25], [-0.5, 1.5]])


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


# ---- axes and nests


@pytest.mark.parametrize(
    ("in_axes", "out_axes", "expected"),
    [
        (0, 0, X @ W),
        ((0,), 1, (X @ W).T),
        (-2, -1, (X @ W).T),
        ([0], -2, X @ W),
    ],
)
def test_axes(in_axes: Any, out_axes: int, expected: np.ndarray) -> None:
    same(tj.vmap(lambda row: row @ W, in_axes, out_axes)(X), expected)


def test_an_inner_axis_of_an_argument() -> None:
    same(tj.vmap(lambda column, weights: column @ weights, (1, None))(X, X[:, 0]), X.T @ X[:, 0])
    same(tj.vmap(lambda one, other: one * other, (1, -1))(X, X), (X * X).T)


class Pair(NamedTuple):
    first: Any
    second: Any


def test_nests_and_prefixes() -> None:
    def function(pair: Pair, options: dict[str, Any]) -> Any:
        total = pair.first @ pair.second["w"] + options["b"]
        return {"total": total, "both": [total * 2, Pair(options["b"], None)]}

    args = Pair(X, {"w": W}), {"b": np.arange(4.0), "unused": (X,)}
    found = tj.vmap(function, in_axes=(Pair(0, None), {"b": 0, "unused": 0}), out_axes={"total": 0, "both": (1, 0)})(
        *args
    )
    expected = X @ W + np.arange(4.0)[:, None]
    same(found["total"], expected)
    assert type(found["both"]) is list
    same(found["both"][0], 2 * expected.T)
    assert type(found["both"][1]) is Pair
    same(found["both"][1].first, np.arange(4.0))
    assert found["both"][1].second is None


def test_keywords_are_mapped_over_their_first_axis() -> None:
    same(tj.vmap(lambda x, *, scale: x * scale, None)(X[0], scale=np.arange(2.0)), np.arange(2.0)[:, None] * X[0])


def test_what_depends_on_no_example_is_repeated_or_stays() -> None:
    def function(row: Any, w: Any) -> Any:
        return tj.sum(row), tj.sum(w), 2.0

    sums, whole, number = tj.vmap(function, (0, None), (0, 0, 0))(X, W)
    same(sums, X.sum(1))
    same(whole, [W.sum()] * 4)
    same(number, [2.0] * 4)
    _, whole, number = tj.vmap(function, (0, None), (0, None, None))(X, W)
    assert (whole.shape, number.shape) == ((), ())


def test_no_examples() -> None:
    assert tj.vmap(lambda row: row @ W)(np.zeros((0, 3))).shape == (0, 2)


@pytest.mark.parametrize("make", [np.asarray, tj.constant, tj.Variable, lambda x: tj.constant(x)[:]])
def test_arrays_tensors_and_variables(make: Callable[..., Any]) -> None:
    w = tj.Variable(W)
    same(tj.vmap(lambda row: row @ w)(make(X)), X @ W)
    same(tj.vmap(lambda row, weights: row @ weights, (0, None))(make(X), make(W)), X @ W)


def test_an_array_that_changes_later_changes_no_gradient() -> None:
    rows, other = X.copy(), np.ones(3)
    x = tj.Variable(np.ones((4, 1)))
    with tj.GradientTape() as tape:
        y = tj.vmap(lambda each, row: tj.sum(each * row) + tj.sum(each * other))(x, rows)
    rows[:] = other[:] = 0
    same(tape.gradient(y, x), X.sum(1, keepdims=True) + 3)


def test_mapped_twice_and_three_times() -> None:
    outer = tj.vmap(tj.vmap(lambda a, b: a - 2 * b, (None, 0)), (0, None))
    same(outer(X[0], X[1]), X[0][:, None] - 2 * X[1])
    cube = tj.vmap(tj.vmap(tj.vmap(lambda a, b, c: a * b + c, (0, None, None)), (None, 0, None)), (None, None, 0))
    a, b, c = np.arange(2.0), np.arange(3.0), np.arange(4.0)
    same(cube(a, b, c), a * b[:, None] + c[:, None, None])
    both = tj.vmap(lambda matrix: tj.vmap(lambda row: row @ matrix)(matrix))
    same(both(np.stack([X[:3], W @ W.T])), np.stack([X[:3] @ X[:3], W @ W.T @ W @ W.T]))


def test_the_function_keeps_its_name() -> None:
    def one_row(row: Any) -> Any:
        """Say something."""
        return row

    assert tj.vmap(one_row).__name__ == "one_row"
    assert tj.vmap(one_row).__doc__ == "Say something."


# ---- what a function sees


def test_it_sees_one_example() -> None:
    seen: list[Any] = []

    def function(row: Any) -> Any:
        assert isinstance(row, tj.Tensor)
        seen.append((row.shape, row.dtype, row.ndim, row.size, len(row), repr(row), f"{row}", len(list(row))))
        return row

    tj.vmap(function)(X)
    text = "BatchedTensor(shape=(3,), dtype=float64, one of 4 in vmap)"
    assert seen == [((3,), np.dtype("float64"), 1, 3, 3, text, text, 3)]


def test_numpy_functions_work_on_it() -> None:
    found = tj.vmap(lambda row: np.exp(row) + np.sum(row) + np.concatenate([row[:1], row[1:]]) + 2.0 / row)(X)
    same(found, np.exp(X) + X.sum(1, keepdims=True) + X + 2.0 / X)


@pytest.mark.parametrize(
    "ask",
    [float, int, bool, lambda t: t.numpy(), lambda t: t.item(), np.asarray, lambda t: 1 if t > 0 else 2,
     lambda t: range(3)[t], lambda t: f"{t:.3f}", lambda t: tj.constant(X)[t > 0]],
)  # fmt: skip
def test_its_value_is_not_to_be_had(ask: Callable[..., Any]) -> None:
    for dtype in (np.float64, np.int64):
        if ask is not range or dtype is np.int64:
            with pytest.raises((BatchingError, DtypeError), match=r"vmap.*tj\.(where|cond)|only an integer"):
                tj.vmap(ask)(np.arange(3).astype(dtype))


def test_a_tensor_that_got_out_is_refused() -> None:
    kept: list[Any] = []
    tj.vmap(lambda row: kept.append(row) or row)(X)
    with pytest.raises(BatchingError, match="a vmap that is over"):
        kept[0] + 1


# ---- what is refused


def test_lengths_that_differ_are_named() -> None:
    with pytest.raises(ShapeError, match=r"number 0\['a'\] has 4, number 1 has 3.*test_vectorize\.py"):
        tj.vmap(lambda one, other: one["a"])({"a": X}, W)


def test_errors_show_the_shapes_of_one_example() -> None:
    with pytest.raises(ShapeError, match=r"shapes \(3,\) and \(2,\)"):
        tj.vmap(lambda row, other: row + other)(X, X[:, :2])
    with pytest.raises(ShapeError, match=r"matmul: shapes \(3,\) and \(2, 3\)"):
        tj.vmap(lambda row: row @ W.T)(X)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"in_axes": None}, ShapeError, "no argument is mapped"),
        ({"in_axes": (0, 0)}, ShapeError, "in_axes has 2 entries for 1 positional"),
        ({"in_axes": 2}, ShapeError, r"number 0 of shape \(4, 3\) has no axis 2"),
        ({"in_axes": ({"a": 0},)}, ShapeError, r"in_axes\[0\] is {'a': 0}, which is no prefix of the argument, one ar"),
        ({"in_axes": 0.5}, DtypeError, "in_axes is an int"),
        ({"in_axes": ("0",)}, DtypeError, r"in_axes\[0\] is an int"),
        ({"out_axes": None}, ShapeError, "out_axes is None for a result that differs"),
        ({"out_axes": 2}, ShapeError, "out_axes is 2 for a result that has 2 axes"),
        ({"out_axes": (0, 0)}, ShapeError, "no prefix of the result, one array"),
        ({"randomness": "some"}, ValueError, "randomness must be one of 'error', 'same', 'different', got 'some'"),
    ],
)
def test_axes_that_do_not_fit(kwargs: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tj.vmap(lambda row: row, **kwargs)(X)


def test_a_number_has_no_axis() -> None:
    with pytest.raises(DtypeError, match=r"number 1\[0\] is 2\.0, which has no axis to be mapped over"):
        tj.vmap(lambda x, y: x)(X, [2.0, 3.0])
    with pytest.raises(ShapeError, match=r"scale of shape \(\) has no axis 0"):
        tj.vmap(lambda x, scale: x)(X, scale=np.float64(2.0))


def test_a_variable_can_not_be_assigned_nor_made_of_one_example() -> None:
    w = tj.Variable(1.0, name="count")
    for assign in (lambda row: w.assign(row[0]), lambda row: w.assign_add(1.0)):
        with pytest.raises(
            BatchingError, match=r"'count' is assigned inside.*assign what becomes of the batch outside"
        ):
            tj.vmap(assign)(X.astype(np.float32))
    assert w.numpy() == 1.0
    with pytest.raises(BatchingError, match="make it outside"):
        tj.vmap(tj.Variable)(X)
    same(tj.vmap(lambda row: row * tj.Variable(np.ones(3)))(X), X)


# ---- derivatives


def loss(row: Any, w: Any) -> Any:
    return tj.sum(tj.tanh(row @ w) ** 2)


def gradient(row: Any, w: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch(w)
        y = loss(row, w)
    return tape.gradient(y, w)


def test_gradients_of_each_example() -> None:
    found = tj.vmap(gradient, (0, None))(X / 10, tj.constant(W))
    for number, row in enumerate(X / 10):
        same(found[number], gradient(row, tj.constant(W)).numpy())


def test_a_tape_around_hears_what_happens_inside() -> None:
    w, free = tj.Variable(W), tj.Variable(2.0, dtype="float64")
    with tj.GradientTape() as outer:
        with tj.GradientTape() as tape:
            y = tj.vmap(lambda row: loss(row, w) * free, 0)(X / 10)
        first = tape.gradient(y, w)
    same(first, sum(2 * gradient(row, tj.constant(W)).numpy() for row in X / 10))
    same(outer.gradient(first, free), first.numpy().sum() / 2)


def test_second_derivatives_through_a_batch_of_gradients() -> None:
    w = tj.Variable(W)
    with tj.GradientTape() as tape:
        total = tj.sum(tj.vmap(lambda row: gradient(row, w.read_value()))(X / 10))
    found = tape.gradient(total, w)
    with tj.GradientTape() as tape:
        total = sum(tj.sum(gradient(row, w.read_value())) for row in X / 10)
    same(found, tape.gradient(total, w).numpy())


def height(row: Any) -> Any:
    return tj.sum(tj.sin(row) * row[::-1]) + tj.prod(row)


HESSIAN_PRODUCTS: dict[str, Callable[..., Any]] = {
    "vmap of hvp": tj.vmap(lambda row, v: tj.hvp(height, (row,), (v,))),
    "vmap of vjp of grad": tj.vmap(lambda row, v: tj.vjp(tj.grad(height), row)[1](v)[0]),
    "vmap of linearize": tj.vmap(lambda row, v: tj.linearize(tj.grad(height), row)[1](v)),
    "jvp of vmap of grad": lambda x, v: tj.jvp(tj.vmap(tj.grad(height)), (x,), (v,))[1],
    "vjp of vmap of grad": lambda x, v: tj.vjp(tj.vmap(tj.grad(height)), x)[1](v)[0],
    "linearize of vmap": lambda x, v: tj.linearize(tj.vmap(tj.grad(height)), x)[1](v),
    "hvp of vmap": lambda x, v: tj.hvp(lambda z: tj.sum(tj.vmap(height)(z)), (x,), (v,)),
    "grad of vmap of jvp": lambda x, v: tj.grad(
        lambda z: tj.sum(tj.vmap(lambda row, w: tj.jvp(height, (row,), (w,))[1])(z, v))
    )(x),
}


@pytest.mark.parametrize("product", HESSIAN_PRODUCTS.values(), ids=HESSIAN_PRODUCTS)
def test_transforms_nest_in_any_order(product: Callable[..., Any]) -> None:
    v = np.linspace(-1.0, 2.0, 12).reshape(4, 3)
    expected = [tj.hvp(height, (row,), (each,)).numpy() for row, each in zip(X / 10, v, strict=True)]
    np.testing.assert_allclose(product(X / 10, v).numpy(), expected, rtol=1e-12)


def test_a_variable_read_inside_is_watched_inside() -> None:
    w = tj.Variable(W)

    def function(row: Any) -> Any:
        with tj.GradientTape() as tape:
            y = loss(row, w)
        assert tape.watched_variables() == (w,)
        return tape.gradient(y, w)

    same(tj.vmap(function)(X / 10), tj.vmap(gradient, (0, None))(X / 10, tj.constant(W)).numpy())


def test_a_selection_leaks_no_nan() -> None:
    def slope(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.where(x > 0, tj.sqrt(x), 0.0)
        return tape.gradient(y, x)

    same(tj.vmap(slope)(np.array([-1.0, 0.0, 4.0])), [0.0, 0.0, 0.25])


def test_an_outer_tape_can_stop_recording_inside() -> None:
    x = tj.Variable(X)
    with tj.GradientTape() as tape:

        def function(row: Any) -> Any:
            with tape.stop_recording():
                constant = row * row
            return constant * row

        y = tj.vmap(function)(x)
        z = y * x
    same(tape.gradient(z, x), 2 * X**3)


def test_an_outer_tape_can_be_reset_inside() -> None:
    x = tj.Variable(X)
    with tj.GradientTape(persistent=True) as tape:
        y = tj.vmap(lambda row: (row * 3.0, tape.reset(), row * 2.0)[2])(x)
        z = x * 3.0
    assert tape.gradient(y, x) is None
    same(tape.gradient(z, x), np.full_like(X, 3))


def test_a_gradient_of_the_outside_can_be_asked_for_inside() -> None:
    x = tj.Variable([1.0, 2.0], dtype="float64")
    with tj.GradientTape() as tape:
        y = x * x
        found = tj.vmap(lambda row: row * tape.gradient(y, x))(X[:, :2])
    same(found, X[:, :2] * [2.0, 4.0])


# ---- compiled


def test_a_compiled_step_is_mapped() -> None:
    step = tj.compile(lambda row, w: tj.tanh(row @ w) + 1.0)
    same(tj.vmap(step, (0, None))(X, W), np.tanh(X @ W) + 1)
    w = tj.Variable(W)
    with tj.GradientTape():
        y = step(X, w)
    seeds = np.stack([np.eye(4, 2), np.ones((4, 2))])
    tape_of_rows = tj.GradientTape(persistent=True)
    with tape_of_rows:
        y = step(X, w)
    found = tj.vmap(lambda seed: tape_of_rows.gradient(y, w, seed))(seeds)
    for number in range(2):
        same(found[number], tape_of_rows.gradient(y, w, seeds[number]).numpy())


def test_all_of_it_is_one_kernel() -> None:
    w = tj.Variable(W)

    def function(x: Any, scale: Any) -> Any:
        def one(row: Any) -> Any:
            with tj.GradientTape() as tape:
                y = tj.sum(tj.exp(w * row[:, None]) * 1.5) * scale
            return tape.gradient(y, w)

        return tj.vmap(one)(x / 10)

    step = tj.compile(function, strict=True)
    same(step(X, 2.0), function(X, 2.0).numpy())
    report = step.report()
    assert (report["loop_nests"], report["intermediate_bytes"]) == (1, 0)


def several(x: Any, matrix: Any, places: Any, w: Any) -> list[Any]:
    """Operations of all families, most of them on a batch and something that is the same for all."""
    y = tj.linalg.solve(matrix, x)
    read = x[places] * w[:, 0][places]
    return [
        tj.matmul(w.T, matrix) @ w + tj.logsumexp(matrix @ w),
        tj.scatter_add(tj.zeros(3, dtype="float64"), places, read) + tj.cumsum(y),
        tj.concat([tj.pad(x, (1, 2), constant_values=0.5)[::-2], w[:, 1], tj.expand_dims(tj.max(y), 0)]),
        tj.where(x > 0, tj.roll(tj.sort(x), 1), w[:, 0]),
    ]


def test_operations_in_a_kernel_are_those_of_eager_mode() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(4, 3, 3)) + 4 * np.eye(3)
    args = rng.normal(size=(4, 3)), matrices, rng.integers(0, 3, (4, 5)), tj.constant(W)
    mapped = tj.vmap(several, (0, 0, 0, None))
    step = tj.compile(mapped, strict=True)
    singles = [several(*[tj.asarray(arg[number]) for arg in args[:3]], args[3]) for number in range(4)]
    for place, (found, eager) in enumerate(zip(step(*args), mapped(*args), strict=True)):
        np.testing.assert_allclose(found.numpy(), eager.numpy(), rtol=1e-12)
        np.testing.assert_allclose(eager.numpy(), np.stack([one[place].numpy() for one in singles]), rtol=1e-12)


def test_a_number_of_the_users_is_no_literal() -> None:
    def function(x: Any) -> Any:
        return tj.vmap(lambda row: row * rate)(x)

    rate = 2.0
    step = tj.compile(function)
    same(step(X), 2 * X)
    rate = 3.0
    same(step(X), 3 * X)
    assert "3.0" not in step.source()


def test_a_value_asked_for_inside_a_step_is_the_same_error() -> None:
    with pytest.raises(BatchingError, match="vmap"):
        tj.compile(tj.vmap(lambda row: row if row[0] > 0 else -row))(X)


# ---- rules of the user's own


@tj.custom_gradient
def with_gradient(x: Any, w: Any) -> Any:
    return tj.sin(x) * w, lambda ct: (10 * ct * tj.cos(x) * w, 10 * tj.sum(ct * tj.sin(x)))


@tj.custom_jvp
def with_tangent(x: Any, w: Any) -> Any:
    return tj.sin(x) * w


@with_tangent.defjvp  # type: ignore[untyped-decorator]
def _(primals: Any, tangents: Any) -> Any:
    (x, w), (by_x, by_w) = primals, tangents
    total = 0 * x if by_x is None else 10 * tj.cos(x) * w * by_x
    return tj.sin(x) * w, total if by_w is None else total + 10 * tj.sin(x) * by_w


@pytest.mark.parametrize("function", [with_gradient, with_tangent])
def test_a_rule_of_the_users_holds_for_each_example(function: Any) -> None:
    w = np.float64(2.0)
    by_x, by_w = 10 * np.cos(X) * w, 10 * np.sin(X).sum(1)
    inside = tj.vmap(tj.grad(lambda x, w: tj.sum(function(x, w)), argnums=(0, 1)), (0, None))
    around = tj.grad(lambda x, w: tj.sum(tj.vmap(function, (0, None))(x, w)), argnums=(0, 1))
    for each in (inside, tj.compile(inside)):
        same(each(X, w)[0], by_x)
        same(each(X, w)[1], by_w)
    for each in (around, tj.compile(around)):
        same(each(X, w)[0], by_x)
        same(each(X, w)[1], by_w.sum())
    if function is with_tangent:
        found = tj.jvp(tj.vmap(function, (0, None)), (X, w), (np.ones_like(X), w))[1]
        same(found, by_x + 10 * np.sin(X) * w)


# ---- random numbers


def test_draws_are_refused_unless_it_is_said_what_they_do() -> None:
    generator = tj.random.Generator(3)
    with pytest.raises(BatchingError, match="randomness='different'"):
        tj.vmap(lambda row: row + generator.normal((3,)))(X)
    assert generator.get_state().tolist() == [3, 0]


def test_one_draw_for_all() -> None:
    generator, other = tj.random.Generator(3), tj.random.Generator(3)
    found = tj.vmap(lambda row: row + generator.normal((3,), dtype="float64"), randomness="same")(X)
    same(found, X + other.normal((3,), dtype="float64").numpy())
    assert generator.get_state().tolist() == other.get_state().tolist()


DRAWS: dict[str, Callable[..., Any]] = {
    "normal": lambda generator, x: generator.normal((3,), mean=x, dtype="float64"),
    "uniform": lambda generator, x: generator.uniform((2,), high=x),
    "integers": lambda generator, x: generator.integers(0, tj.astype(x, "int64") + 5, (4,)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_of_its_own_for_each(draw: Callable[..., Any]) -> None:
    generator, other = tj.random.Generator(3), tj.random.Generator(3)
    x = np.arange(1.0, 5.0)
    found = tj.vmap(lambda each: draw(generator, each), randomness="different")(x)
    for number, own in enumerate(other.split(4)):
        np.testing.assert_array_equal(found[number].numpy(), draw(own, x[number]).numpy())
    assert generator.get_state().tolist() == other.get_state().tolist()


@pytest.mark.parametrize(
    "draw",
    [lambda generator, x: generator.gamma((3,), x), lambda generator, x: generator.permutation(9),
     lambda generator, x: generator.categorical(tj.zeros(50) + x, (3,))],
)  # fmt: skip
def test_draws_made_of_several(draw: Callable[..., Any]) -> None:
    x = np.ones(4, np.float32)
    apart, together = (
        tj.vmap(lambda each: draw(tj.random.Generator(3), each), randomness=how)(x).numpy()
        for how in ("different", "same")
    )
    assert len({row.tobytes() for row in apart}) == 4
    np.testing.assert_allclose(together[1], draw(tj.random.Generator(3), tj.asarray(x[1])).numpy(), rtol=1e-6)
    assert (together == together[0]).all()


def test_draws_of_nested_batches() -> None:
    generator = tj.random.Generator(3)

    def drawn(outer: str, inner: str) -> Any:
        one = tj.vmap(lambda x: generator.uniform() + 0 * x, randomness=inner)
        return tj.vmap(one, randomness=outer)(X.astype(np.float32)).numpy()

    assert [len(set(drawn(*how).ravel())) for how in (("same", "same"), ("different", "different"))] == [1, 12]
    rows = drawn("different", "same")
    assert len(set(rows[:, 0])) == 4
    assert (rows == rows[:, :1]).all()
    assert (drawn("same", "different")[0] == drawn("same", "different")[1]).sum() == 0
    with pytest.raises(BatchingError):
        drawn("error", "different")
    with pytest.raises(BatchingError):
        drawn("error", "same")


def test_draws_in_a_kernel_are_the_same() -> None:
    generator, other = tj.random.Generator(3), tj.random.Generator(3)
    function = tj.vmap(lambda x: x + generator.normal((3,), dtype="float64"), randomness="different")
    step = tj.compile(tj.vmap(lambda x: x + other.normal((3,), dtype="float64"), randomness="different"))
    for _ in range(2):
        np.testing.assert_allclose(function(X).numpy(), step(X).numpy(), rtol=1e-15)


# ---- a function of NumPy arrays


def test_a_numpy_function_is_called_for_each_example() -> None:
    calls: list[tuple[int, ...]] = []

    def ranks(row: np.ndarray, offset: np.ndarray) -> np.ndarray:
        calls.append(row.shape)
        return np.argsort(row) + offset

    def function(row: Any) -> Any:
        return tj.numpy_function(ranks, row, np.int64(7), shape=3, dtype="int64") * 2

    expected = 2 * (np.argsort(-X) + 7)
    same(tj.vmap(function)(-X), expected)
    same(tj.compile(tj.vmap(function))(-X), expected)
    assert set(calls) == {(3,)}
    with pytest.raises(ShapeError, match=r"ranks returned int64\[3\].*float64\[2\]"):
        tj.vmap(lambda row: tj.numpy_function(ranks, row, 7, shape=2, dtype="float64"))(X)
