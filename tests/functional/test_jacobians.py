"""`jacobian` and `hessian`: both modes, nests, what is refused, other transforms around and inside, kernels."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError

X = np.array([0.3, -1.2, 0.7])
MODES = ["reverse", "forward", "auto"]


def curve(x: Any) -> Any:
    return tj.stack([x[0] * tj.sin(x[1]), tj.exp(x[2]) * x[0], x[1] ** 3, tj.sum(x * x)])


def curve_jacobian(x: np.ndarray) -> np.ndarray:
    return np.array(
        [
            [np.sin(x[1]), x[0] * np.cos(x[1]), 0],
            [np.exp(x[2]), 0, np.exp(x[2]) * x[0]],
            [0, 3 * x[1] ** 2, 0],
            2 * x,
        ]
    )


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk_size", [None, 1, 2, 9])
def test_a_vector_by_a_vector(mode: str, chunk_size: int | None) -> None:
    close(tj.jacobian(curve, mode=mode, chunk_size=chunk_size)(X), curve_jacobian(X))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [(), (2,), (2, 3), (0,)])
@pytest.mark.parametrize("target", [(), (3,), (1, 2), (0, 2)])
def test_shapes(mode: str, source: tuple[int, ...], target: tuple[int, ...]) -> None:
    def function(x: Any) -> Any:
        return tj.broadcast_to(tj.sum(x * 2.0), target)

    found = tj.jacobian(function, mode=mode)(np.ones(source))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.numpy(), np.full(target + source, 2.0))


@pytest.mark.parametrize("mode", MODES)
def test_nests_of_results_and_arguments(mode: str) -> None:
    def function(p: Any, scale: Any, power: int) -> Any:
        return {"line": p["w"] * scale + p["b"], "rest": (p["w"][0] ** power, scale)}

    args = {"w": np.array([1.0, 2.0]), "b": np.array(3.0)}, 5.0, 2
    found = tj.jacobian(function, argnums=(0, -2), mode=mode)(*args)
    by_p, by_scale = found["line"]
    close(by_p["w"], 5 * np.eye(2))
    close(by_p["b"], [1, 1])
    close(by_scale, [1, 2])
    by_p, by_scale = found["rest"][0]
    close(by_p["w"], [2, 0])
    close(by_p["b"], 0)
    close(by_scale, 0)
    assert found["rest"][1][1].numpy() == 1
    assert set(tj.jacobian(function, mode=mode)(*args)["line"]) == {"w", "b"}


@pytest.mark.parametrize("mode", MODES)
def test_what_is_returned_besides(mode: str) -> None:
    found, besides = tj.jacobian(lambda x: (x * x, {"n": 3, "x": x}), mode=mode, has_aux=True)(X)
    close(found, np.diag(2 * X))
    assert besides["n"] == 3
    close(besides["x"], X)


@pytest.mark.parametrize("mode", MODES)
def test_the_function_runs_once_and_sees_no_batch(mode: str) -> None:
    calls = []

    def function(x: Any) -> Any:
        calls.append(type(x) is tj.Tensor)
        return tj.stack([x[1], x[0] * x[2]]) if float(x[0]) > 0 else x

    close(tj.jacobian(function, mode=mode, chunk_size=1)(X), [[0, 1, 0], [0.7, 0, 0.3]])
    assert calls == [True]


def test_auto_takes_the_fewer_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for name in ("_by_rows", "_by_columns"):
        original = getattr(tj.functional.jacobians, name)
        monkeypatch.setattr(
            tj.functional.jacobians,
            name,
            lambda *args, name=name, original=original: taken.append(name) or original(*args),
        )
    tj.jacobian(curve)(X)
    tj.jacobian(lambda x: x[:2])(X)
    tj.jacobian(lambda x: x)(X)
    assert taken == ["_by_columns", "_by_rows", "_by_rows"]


@pytest.mark.parametrize("mode", MODES)
def test_an_array_that_is_written_while_the_function_runs(mode: str) -> None:
    buffer = np.ones(3)

    def function(x: Any) -> Any:
        y = x * buffer
        buffer[:] = 100.0
        return y

    close(tj.jacobian(function, mode=mode)(X), np.eye(3))


@pytest.mark.parametrize("mode", MODES)
def test_kinks_and_selections_are_those_of_gradients(mode: str) -> None:
    x = np.array([-1.0, 0.0, 4.0])
    close(tj.jacobian(lambda x: tj.where(x > 0, tj.sqrt(x), 0.0), mode=mode)(x), np.diag([0, 0, 0.25]))
    close(tj.jacobian(lambda x: tj.abs(x) + tj.relu(x), mode=mode)(x), np.diag([-1.0, 0, 2]))
    close(tj.jacobian(tj.stop_gradient, mode=mode)(x), np.zeros((3, 3)))


# ---- refused


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="mode must be 'auto', 'reverse' or 'forward', got 'rev'"):
        tj.jacobian(curve, mode="rev")
    with pytest.raises(ShapeError, match="chunk_size is how many rows are computed at once, got 0"):
        tj.jacobian(curve, chunk_size=0)
    with pytest.raises(ShapeError, match="chunk_size"):
        tj.GradientTape().jacobian(tj.Variable(1.0), tj.Variable(1.0), chunk_size=-1)
    with pytest.raises(TypeError, match="jacobian takes a function, got int"):
        tj.jacobian(3)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"out\['n'\] of .* is int64\[3\], which is not differentiable.*has_aux"):
        tj.jacobian(lambda x: {"x": x, "n": tj.argsort(x)})(X)
    with pytest.raises(DtypeError, match=r"jacobian: argument 0 is int64\[2\]"):
        tj.jacobian(lambda x: x)(np.array([1, 2]))
    with pytest.raises(ValueError, match="argument 1 of curve is to be differentiated by"):
        tj.jacobian(curve, argnums=1)(X)


# ---- with other transforms


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_jacobians_of_jacobians(outer: str, inner: str) -> None:
    found = tj.jacobian(tj.jacobian(curve, mode=inner), mode=outer)(X)
    step = 1e-6
    expected = np.stack(
        [(curve_jacobian(X + step * e) - curve_jacobian(X - step * e)) / (2 * step) for e in np.eye(3)], -1
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_in_a_batch_and_of_a_batch(mode: str) -> None:
    rows = np.stack([X, 2 * X])
    each = tj.vmap(tj.jacobian(curve, mode=mode))(rows)
    whole = tj.jacobian(tj.vmap(curve), mode=mode)(rows)
    for number, row in enumerate(rows):
        close(each[number], curve_jacobian(row))
        close(whole[number, :, number], curve_jacobian(row))
        close(whole[number, :, 1 - number], np.zeros((4, 3)))


@pytest.mark.parametrize("mode", MODES)
def test_tapes_and_accumulators_around_it(mode: str) -> None:
    x = tj.Variable(X)
    direction = np.array([1.0, -2.0, 0.5])
    with tj.GradientTape() as tape, tj.ForwardAccumulator(x, direction) as accumulator:
        total = tj.sum(tj.jacobian(curve, mode=mode)(x) ** 2)
    by_x = tape.gradient(total, x).numpy()
    np.testing.assert_allclose(accumulator.jvp(total).numpy(), by_x @ direction, rtol=1e-12)
    second = tj.jacobian(tj.jacobian(curve))(X).numpy()
    np.testing.assert_allclose(by_x, 2 * np.einsum("ij,ijk->k", curve_jacobian(X), second), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_of_a_compiled_function(mode: str) -> None:
    close(tj.jacobian(tj.compile(curve), mode=mode)(X), curve_jacobian(X))


# ---- compiled


def rosenbrock(x: Any) -> Any:
    return tj.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_hessian(x: np.ndarray) -> np.ndarray:
    diagonal = np.full_like(x, 200.0)
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:-1] += 200
    return np.diag(diagonal) + np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_the_kernel_does_not_grow_with_the_rows(mode: str) -> None:
    step = tj.compile(tj.jacobian(tj.grad(rosenbrock), mode=mode))
    sizes = []
    for n in (60, 90):
        x = np.linspace(-1.0, 1.0, n)
        np.testing.assert_allclose(step(x).numpy(), rosenbrock_hessian(x), rtol=1e-12, atol=1e-12)
        report = step.report()
        sizes.append((len(step.source().splitlines()), report["loop_nests"]))
        assert report["intermediate_bytes"] < 40 * n, "nothing of the size of the result is stored"
    assert sizes[0] == sizes[1]
    assert sizes[0][1] <= 2


# ---- hessian


def test_hessian_of_rosenbrock() -> None:
    x = np.linspace(-1.0, 2.0, 7)
    found = tj.hessian(rosenbrock)(x).numpy()
    np.testing.assert_allclose(found, rosenbrock_hessian(x), rtol=1e-13, atol=1e-12)
    np.testing.assert_array_equal(tj.hessian(rosenbrock, chunk_size=3)(x).numpy(), found)
    np.testing.assert_allclose(found, found.T, rtol=1e-14)


def test_hessian_of_nests() -> None:
    def function(p: Any, y: Any) -> Any:
        return tj.sum(p["a"] ** 2 * p["b"]) + p["b"] * y

    found = tj.hessian(function)({"a": np.array([1.0, 2.0]), "b": np.array(3.0)}, 2.0)
    close(found["a"]["a"], 6 * np.eye(2))
    close(found["a"]["b"], [2, 4])
    close(found["b"]["a"], [2, 4])
    close(found["b"]["b"], 0)
    both = tj.hessian(lambda x, y: x * x * y, argnums=(0, 1))(2.0, 3.0)
    assert [[float(each) for each in row] for row in both] == [[6, 4], [4, 0]]


def test_hessian_with_more_results_and_something_besides() -> None:
    found, besides = tj.hessian(lambda x: (x**3, "besides"), has_aux=True)(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 6 * X
    close(found, expected)
    assert besides == "besides"


# ---- memory


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_tangents_and_cotangents_go_when_they_have_served(mode: str) -> None:
    x = np.linspace(0.0, 1.0, 200)

    def function(y: Any) -> Any:
        for _ in range(60):
            y = tj.sin(y) + y
        return y

    def peak(chunk_size: int | None) -> int:
        tracemalloc.start()
        try:
            tj.jacobian(function, mode=mode, chunk_size=chunk_size)(x)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    matrix = x.size**2 * x.itemsize
    assert peak(None) < 8 * matrix, "120 of them are computed"
    assert peak(20) < 4 * matrix
