"""Linear algebra inside kernels: agreement with eager mode, gradients, failures that assign nothing, the store."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import faulty_matrix
from tapejit.kernel import blas
from tapejit.kernel.routines import ROUTINES
from tests.agreement import check_agreement, trace

ROOT = Path(__file__).resolve().parents[2]
SIZES = [0, 1, 2, 50]
BATCHES: list[tuple[int, ...]] = [(), (3,), (2, 1, 2), (0,)]


def regular(*shape: int, dtype: str = "float64") -> np.ndarray:
    """Matrices far from singular, which need rows exchanged."""
    drawn = np.random.default_rng(sum(shape)).standard_normal(shape)
    return np.asarray(drawn + 2 * shape[-1] ** 0.5 * np.eye(shape[-1])[::-1], dtype)


def positive(*shape: int, dtype: str = "float64") -> np.ndarray:
    drawn = np.random.default_rng(sum(shape)).standard_normal(shape)
    return np.asarray(drawn @ np.swapaxes(drawn, -1, -2) + shape[-1] * np.eye(shape[-1]), dtype)


def symmetric(x: Any) -> Any:
    return (x + tj.matrix_transpose(x)) / 2


def everything(x: Any, y: Any, z: Any) -> Any:
    """All of `tj.linalg`: `x` positive definite, `y` regular, `z` right-hand sides."""
    sign, logarithm = tj.linalg.slogdet(y)
    return [tj.linalg.cholesky(x), tj.linalg.solve(y, z), tj.linalg.inv(y), sign, logarithm]


def to_a_number(results: Any) -> Any:
    return sum(tj.sum(result * tj.cos(result)) for result in results)


def first_order(function: Callable[..., Any]) -> Callable[..., Any]:
    def gradients(*inputs: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(inputs)
            number = to_a_number(function(*inputs))
        return tape.gradient(number, list(inputs), unconnected_gradients="zero")

    return gradients


def second_order(function: Callable[..., Any]) -> Callable[..., Any]:
    return first_order(first_order(function))


def of_symmetric(x: Any, y: Any, z: Any) -> Any:
    return everything(symmetric(x), y, z)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", SIZES)
def test_values(n: int, batch: tuple[int, ...], dtype: str) -> None:
    if n == 50 and batch not in ((), (3,)):
        return
    x, y = positive(*batch, n, n, dtype=dtype), regular(*batch, n, n, dtype=dtype)
    z = np.random.default_rng(n).standard_normal((*batch, n, 3)).astype(dtype)
    _, executable = check_agreement(everything, [x, y, z], plain=n < 50, scale=n + 1)
    assert executable.kernel.layout.report["library_calls"] == 4
    assert executable.kernel.layout.report["matrix_products"] == 0


@pytest.mark.parametrize("columns", [0, 1, 5])
def test_right_hand_sides(columns: int) -> None:
    y = np.random.default_rng(0).standard_normal((2, 4, columns))
    check_agreement(tj.linalg.solve, [regular(2, 4, 4), y])
    check_agreement(lambda a, b: tj.linalg.solve(a, b[0, :, 0] if columns else b[0]), [regular(2, 4, 4), y])


@pytest.mark.parametrize(
    "view",
    [
        tj.matrix_transpose,
        lambda t: tj.permute_dims(t, (2, 0, 1)),
        lambda t: tj.flip(t, axis=-1)[::2],
        lambda t: tj.flip(t[:, ::-1, ::-1], axis=0),
        lambda t: tj.broadcast_to(t[1], t.shape),
        lambda t: tj.exp(t) + 5 * tj.eye(4),
        lambda t: tj.matrix_transpose(tj.sin(t)) + 5 * tj.eye(4),
        lambda t: tj.concat([t, t], axis=0),
        lambda t: tj.roll(t, 1, axis=0),
        lambda t: tj.reshape(t, (2, 2, 4, 4)),
        lambda t: tj.reshape(tj.permute_dims(t, (1, 0, 2)), (4, 4, 4)),
    ],
)
def test_operands_that_are_views(view: Callable[[Any], Any]) -> None:
    x = regular(4, 4, 4)
    right = np.random.default_rng(1).standard_normal((4, 4))

    def program(t: Any, b: Any) -> Any:
        matrices = view(t)
        solved = tj.linalg.solve(matrices, tj.matrix_transpose(b))
        return [solved, tj.linalg.inv(matrices), *tj.linalg.slogdet(matrices)]

    check_agreement(program, [x, right], scale=100)


def test_only_the_lower_triangle_counts() -> None:
    x = positive(3, 3)
    x[np.triu_indices(3, 1)] = np.nan
    _, executable = check_agreement(tj.linalg.cholesky, [x])
    np.testing.assert_allclose(executable([x])[0].numpy(), np.linalg.cholesky(positive(3, 3)))
    check_agreement(lambda t: tj.linalg.cholesky(tj.matrix_transpose(t)), [x.T.copy()])


def test_matrices_of_numbers() -> None:
    number = 3.0

    def program(x: Any) -> Any:
        single = tj.full((1, 1), number) * x
        return [tj.linalg.inv(tj.full((1, 1), number)), tj.linalg.slogdet(single)[1], tj.linalg.solve(single, x)]

    check_agreement(program, [np.array([[2.0]])])
    check_agreement(lambda x: tj.linalg.solve(tj.eye(3, dtype="float64"), x), [regular(3, 3)])


@pytest.mark.parametrize("derived", [first_order, second_order])
@pytest.mark.parametrize(("n", "batch"), [(0, ()), (1, (2,)), (2, ()), (2, (0,)), (4, (2,))])
def test_gradients(derived: Callable[..., Any], batch: tuple[int, ...], n: int) -> None:
    x, y = positive(*batch, n, n), regular(*batch, n, n)
    z = np.random.default_rng(0).standard_normal((*batch, n, 2))
    check_agreement(derived(of_symmetric), [x, y, z], plain=n < 4, scale=1000)


@pytest.mark.parametrize("derived", [first_order, second_order])
def test_gradients_of_large_matrices_and_of_float32(derived: Callable[..., Any]) -> None:
    z = np.random.default_rng(0).standard_normal((2, 50, 2))
    check_agreement(derived(of_symmetric), [positive(2, 50, 50), regular(2, 50, 50), z], plain=False, scale=1000)
    single = [positive(3, 3), regular(3, 3), z[0, :3]]
    check_agreement(derived(of_symmetric), [array.astype(np.float32) for array in single], scale=1000)


def test_one_loop_for_all_that_happens_to_a_matrix() -> None:
    def log_density(x: Any, covariances: Any) -> Any:
        factors = tj.linalg.cholesky(covariances)
        white = tj.linalg.solve(factors, x[:, :, None])
        return -0.5 * tj.sum(white[:, :, 0] ** 2, axis=1)

    x = np.random.default_rng(0).standard_normal((5, 3))
    traced, executable = check_agreement(log_density, [x, positive(5, 3, 3)])
    report = executable.kernel.layout.report
    assert (report["loop_nests"], report["library_calls"], report["matrix_products"]) == (1, 2, 0)
    # One factor, one solution, the scratch of the LU factorisation: each once, not for each of the five.
    assert report["intermediate_bytes"] <= 5 * 128
    assert traced.emitted().source.count("for ") == 2


def test_scratch_is_shared_by_the_calls() -> None:
    def inverses(x: Any, y: Any) -> Any:
        return [tj.linalg.inv(x), tj.linalg.inv(y), tj.linalg.inv(x + 1)]

    source = trace(inverses, [regular(3, 3), regular(8, 8)]).emitted().source
    assert len(re.findall(r"^    factors.* = ", source, re.MULTILINE)) == 1
    check_agreement(inverses, [regular(3, 3), regular(8, 8)])


def test_the_report_counts_what_linear_algebra_costs() -> None:
    def flops(function: Callable[..., Any], *arrays: np.ndarray) -> int:
        return int(check_agreement(function, arrays, plain=False)[1].kernel.layout.report["flops"])

    assert flops(tj.linalg.cholesky, positive(30, 30)) == 9000
    assert flops(tj.linalg.cholesky, positive(4, 30, 30)) == 36000
    assert flops(tj.linalg.solve, regular(30, 30), np.ones((30, 10))) == 18000 + 18000
    assert flops(lambda x: tj.linalg.slogdet(x)[1], regular(30, 30)) == 18000
    assert flops(tj.linalg.inv, regular(30, 30)) == 72000


def test_the_determinant_of_a_singular_matrix_is_no_failure() -> None:
    x = np.stack([np.eye(2), np.ones((2, 2)), np.zeros((2, 2)), -np.eye(2)[::-1]])
    _, executable = check_agreement(lambda t: list(tj.linalg.slogdet(t)), [x])
    sign, logarithm = executable([x])
    assert sign.tolist() == [1.0, 0.0, 0.0, -1.0]
    assert logarithm.tolist() == [0.0, -np.inf, -np.inf, 0.0]


def test_nan_stays() -> None:
    x = regular(3, 3)
    x[1, 1] = np.nan
    for function in (tj.linalg.inv, tj.linalg.cholesky, lambda t: tj.linalg.solve(t, t[:, :1])):
        eager, compiled = function(tj.constant(x)).numpy(), tj.compile(function, strict=True, cache=False)(x).numpy()
        np.testing.assert_array_equal(np.isnan(compiled), np.isnan(eager))


# Decompositions


def decompositions(x: Any, y: Any, z: Any) -> Any:
    """Of `x` symmetric, `y` square or tall, and of its transpose; `z` are right-hand sides."""
    wide = tj.matrix_transpose(y)
    square = y[..., : y.shape[-1], :]
    upper = tj.linalg.triangular_solve(square, z, lower=False)
    parts = [*tj.linalg.svd(y), *tj.linalg.svd(wide), *tj.linalg.qr(y), *tj.linalg.qr(wide), *tj.linalg.eigh(x)]
    return [*parts, tj.linalg.triangular_solve(square, z), upper, tj.linalg.det(square), tj.linalg.expm(x / 50)]


def tall(*shape: int, dtype: str = "float64") -> np.ndarray:
    """Matrices whose singular values are far apart, and so are those of their first rows."""
    drawn = np.random.default_rng(sum(shape)).standard_normal(shape)
    n = shape[-1]
    drawn[..., :n, :] += np.diag(np.arange(2.0, 2 * n + 1, 2)) * 2 * n**0.5
    return drawn.astype(dtype)


@pytest.mark.parametrize(
    ("m", "n", "batch", "dtype"),
    [(0, 0, (), "float64"), (3, 0, (2,), "float64"), (5, 3, (2,), "float32"), (40, 20, (2,), "float64")],
)
def test_decompositions(m: int, n: int, batch: tuple[int, ...], dtype: str) -> None:
    y = tall(*batch, m, n, dtype=dtype)
    x = y[..., :n, :] + np.swapaxes(y[..., :n, :], -1, -2)
    z = np.random.default_rng(n).standard_normal((*batch, n, 2)).astype(dtype)
    check_agreement(decompositions, [x, y, z], plain=n < 20, scale=100)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: tj.permute_dims(t, (2, 0, 1)),
        lambda t: tj.flip(t[:, ::-1, ::-1], axis=0)[::2],
        lambda t: tj.broadcast_to(t[1], t.shape),
        lambda t: tj.exp(t / 9),
    ],
)
def test_decompositions_of_views(view: Callable[[Any], Any]) -> None:
    def program(x: Any) -> Any:
        y = view(x)
        return [*tj.linalg.svd(y), *tj.linalg.qr(y), *tj.linalg.eigh(y), tj.linalg.triangular_solve(y, y)]

    check_agreement(program, [tall(4, 4, 4)], scale=100)


def test_gradients_of_decompositions() -> None:
    def program(x: Any, y: Any) -> Any:
        parts = [*tj.linalg.svd(y), *tj.linalg.qr(y), *tj.linalg.eigh(symmetric(x)), tj.linalg.det(x)]
        return [*parts, tj.linalg.pinv(y), tj.linalg.lstsq(y, y[:, :1])[0]]

    check_agreement(first_order(program), [tall(3, 3), tall(4, 3)], plain=False, scale=1000)


def test_second_derivatives_of_values() -> None:
    def program(x: Any) -> Any:
        return [tj.linalg.svdvals(x), tj.linalg.eigvalsh(symmetric(x)), tj.linalg.matrix_norm(x, ord="nuc")]

    check_agreement(second_order(program), [tall(3, 3)], plain=False, scale=1000)


def test_what_is_not_finite_gives_nan() -> None:
    x = np.stack([tall(3, 3), np.full((3, 3), np.nan)])
    x[1, 2] = np.inf

    def program(t: Any) -> Any:
        parts = [*tj.linalg.svd(t), *tj.linalg.eigh(t), tj.linalg.expm(t)]
        return [*parts, *tj.linalg.qr(t), tj.linalg.slogdet(t)[1], tj.linalg.det(t)]

    _, executable = check_agreement(program, [x], scale=100)
    assert all(np.isnan(out.numpy()[1]).any() for out in executable([x]))
    one = np.array([[np.nan, 1.0], [1.0, 1.0]])  # which LAPACK takes for singular
    check_agreement(lambda t: [*tj.linalg.slogdet(t), tj.linalg.det(t)], [one])


# Failures


BAD = {
    "solve": np.ones((2, 2)),
    "inv": np.ones((2, 2)),
    "cholesky": -np.eye(2),
    "triangular_solve": np.array([[0.0, 1.0], [1.0, 1.0]]),
}


def called(name: str, x: Any) -> Any:
    return getattr(tj.linalg, name)(x, *([x[..., :1]] if name.endswith("solve") else []))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("exposed", [False, True])
def test_a_bad_matrix_leaves_everything_as_it_was(name: str, exposed: bool) -> None:
    before, after, stack = tj.Variable(1.0), tj.Variable(np.zeros(5)), tj.Variable(np.zeros((5, 2, 2)))
    generator = tj.random.Generator(3)

    @tj.compile(strict=True, cache=False)
    def step(x: Any) -> None:  # a result would be computed before anything is assigned
        before.assign_add(1.0)
        noise = generator.normal((5,))
        result = called(name, x)
        stack.assign_add(tj.broadcast_to(result, (5, 2, 2)))
        after.assign(tj.sum(result, axis=(1, 2)) + 0.0 * noise)

    def state() -> list[Any]:
        # Not `numpy()`: a buffer that someone may hold is never written.
        return [variable.buffer.copy() for variable in (before, after, stack, generator.state)]

    good = np.tile(4 * np.eye(2), (5, 1, 1))
    bad = good.copy()
    bad[1] = BAD[name]
    step(good)  # after which nobody but the variables has their buffers
    held = (before.read_value(), after.read_value(), stack.read_value()) if exposed else ()
    start = state()
    with pytest.raises(np.linalg.LinAlgError) as caught:
        step(bad)
    fault = "not positive definite" if name == "cholesky" else "singular"
    assert faulty_matrix(name, (5, 2, 2), 1, fault) in str(caught.value)
    assert "(1,)" in str(caught.value)
    assert "test_lapack.py" in str(caught.value)
    for found, wanted in zip(state(), start, strict=True):
        np.testing.assert_array_equal(found, wanted)
    expected = called(name, tj.constant(good)).numpy()
    step(good)
    assert before.numpy() == 3.0
    np.testing.assert_allclose(stack.numpy(), 2 * np.broadcast_to(expected, (5, 2, 2)))
    assert not np.array_equal(generator.state.numpy(), start[3])
    for value, wanted in zip(held, start, strict=False):
        np.testing.assert_array_equal(value.numpy(), wanted)


def test_eager_and_compiled_say_the_same() -> None:
    x = np.stack([np.eye(3), np.zeros((3, 3))])[None]

    def fails(t: Any) -> Any:
        return tj.linalg.inv(t)

    def message(function: Callable[..., Any], *arguments: Any) -> str:
        with pytest.raises(np.linalg.LinAlgError) as caught:
            function(*arguments)
        return str(caught.value)

    eager, compiled = message(fails, x), message(tj.compile(fails, strict=True, cache=False), x)
    wanted = "inv: the matrix at index (0, 1) of an array of shape (1, 2, 3, 3) is singular"
    assert eager.startswith(wanted)
    assert compiled.startswith(f"{wanted}; nothing was assigned")
    single = message(tj.compile(fails, strict=True, cache=False), np.zeros((2, 2)))
    assert single.startswith("inv: the matrix of an array of shape (2, 2) is singular")


def test_the_gradient_of_a_determinant_fails_at_a_singular_matrix() -> None:
    @tj.compile(strict=True, cache=False)
    def step(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.linalg.slogdet(x)[1]
        return y, tape.gradient(y, x)

    with pytest.raises(np.linalg.LinAlgError, match="inv: the matrix of an array of shape"):
        step(np.ones((2, 2)))
    np.testing.assert_allclose(step(2 * np.eye(2))[1].numpy(), np.eye(2) / 2)


def test_several_results_are_returned_and_assigned() -> None:
    sign, logarithm, first = tj.Variable(np.zeros(3)), tj.Variable(np.zeros(3)), tj.Variable(np.float64(0.0))

    def step(x: Any) -> Any:
        found = tj.linalg.slogdet(x)
        sign.assign(found[0])
        logarithm.assign(found[1])
        first.assign(found[0][0])
        return [*found, found[0] * found[1]]

    check_agreement(step, [-regular(3, 4, 4)])


def test_a_variable_that_is_solved_for_itself() -> None:
    w = tj.Variable(regular(3, 3))
    stack = tj.Variable(regular(4, 3, 3))

    def step(x: Any) -> Any:
        w.assign(tj.linalg.solve(w, x))
        stack.assign(tj.linalg.inv(tj.matrix_transpose(stack)))

    check_agreement(step, [regular(3, 3)], [positive(3, 3)])


def test_a_batched_product_that_is_assigned_to_its_operand() -> None:
    w = tj.Variable(regular(3, 20, 20) / 20)

    def step(x: Any) -> None:
        w.assign(w @ x)

    check_agreement(step, [regular(3, 20, 20) / 20], plain=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted({name for routine in ROUTINES.values() for name in routine.library}))
def test_library_functions_have_addresses(name: str, dtype: str) -> None:
    assert blas.address(blas.function_name(name, dtype)) != 0


# The store

PROGRAM = """
import json, sys
import numpy as np
import tapejit as tj

@tj.compile(strict=True)
def step(x, y):
    with tj.GradientTape() as tape:
        tape.watch(x)
        z = tj.sum(tj.linalg.solve(x, y)) + tj.linalg.slogdet(x)[1] + tj.sum(tj.linalg.cholesky(x))
    return tj.sort(tape.gradient(z, x), axis=0)

good = [[4.0, 1.0], [1.0, 3.0]]
value = step(good, [[1.0], [2.0]])
try:
    step([[1.0, 1.0], [1.0, 1.0]], [[1.0], [2.0]])
except np.linalg.LinAlgError as error:
    message = str(error)
print(json.dumps([value.numpy().tobytes().hex(), message, "numba" in sys.modules, step.report()["from_cache"]]))
"""


def test_the_next_process_needs_no_numba(tmp_path: Path) -> None:
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    printed = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    first, second = printed
    assert first.replace("true, 0", "false, 1") == second
    assert "true, 0]" in first
    assert "(2, 2) is not positive definite; nothing was assigned" in first
