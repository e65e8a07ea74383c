"""What SciPy's optimizers and integrators get: values and derivatives of flat vectors."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import approx_fprime, least_squares, minimize, root

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError

X = np.linspace(0.0, 4.0, 30)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.01 * np.sin(40 * X)
START = {"scale": 1.0, "rest": [0.7, 0.2]}


def model(p: Any) -> Any:
    return p["scale"] * tj.exp(-p["rest"][0] * X) + p["rest"][1]


def squares(p: Any) -> Any:
    return tj.sum((model(p) - Y) ** 2)


def rosenbrock(x: Any) -> Any:
    return tj.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_value_gradient_and_hessian_are_those_of_the_function() -> None:
    o = tj.scipy.objective(rosenbrock, np.array([-1.2, 1.0, 0.5]))
    value, gradient = o(o.x0)
    assert value == float(rosenbrock(o.x0))
    np.testing.assert_allclose(gradient, approx_fprime(o.x0, o.value, 1e-8), rtol=1e-5, atol=1e-4)
    hessian = o.hessian(o.x0)
    np.testing.assert_allclose(hessian, approx_fprime(o.x0, o.gradient, 1e-8), rtol=1e-5, atol=1e-3)
    direction = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(o.hessian_product(o.x0, direction), hessian @ direction, rtol=1e-12)


def test_nests_are_packed_and_unpacked() -> None:
    o = tj.scipy.objective(squares, START)
    assert o.x0.tolist() == [1.0, 0.7, 0.2] if list(START) == ["scale", "rest"] else sorted(o.x0) == [0.2, 0.7, 1.0]
    nest = o.unflatten(o.x0)
    assert float(nest["scale"]) == 1.0
    np.testing.assert_array_equal(o.flatten(nest), o.x0)
    with pytest.raises(ShapeError, match="where the start has"):
        o.flatten({"scale": [1.0, 2.0], "rest": [0.0, 0.0]})


def test_one_kernel_call_serves_value_and_gradient() -> None:
    o = tj.scipy.objective(squares, START)
    o.value(o.x0), o.gradient(o.x0), o(o.x0)
    assert o.evaluations == 1
    o.value(o.x0 + 1)
    assert o.evaluations == 2


def test_a_fit_needs_fewer_evaluations_and_finds_the_same_optimum() -> None:
    o = tj.scipy.objective(squares, START)
    ours = minimize(o, o.x0, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8})
    theirs = minimize(o.value, o.x0, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8})
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-4)
    assert ours.nfev < theirs.nfev
    newton = minimize(o, o.x0, jac=True, hess=o.hessian, method="trust-exact")
    np.testing.assert_allclose(newton.x, ours.x, rtol=1e-5)
    products = minimize(o, o.x0, jac=True, hessp=o.hessian_product, method="trust-krylov")
    np.testing.assert_allclose(products.x, ours.x, rtol=1e-4)


def test_least_squares_and_roots() -> None:
    o = tj.scipy.objective(lambda p: model(p) - Y, START)
    found = least_squares(o.residuals, o.x0, jac=o.jacobian)
    np.testing.assert_allclose(o.unflatten(found.x)["rest"], [1.3, 0.5], atol=0.02)
    assert o.jacobian(o.x0).shape == (30, 3)
    equations = tj.scipy.objective(lambda v: tj.stack([v[0] ** 2 + v[1] - 3.0, v[0] - v[1] + 1.0]), [1.5, 1.0])
    solved = root(equations.residuals, equations.x0, jac=equations.jacobian)
    np.testing.assert_allclose(equations.residuals(solved.x), 0.0, atol=1e-9)


def test_what_the_function_reads_may_change() -> None:
    weight = tj.Variable(np.float64(1.0))
    o = tj.scipy.objective(lambda v: weight * tj.sum(v * v), np.array([1.0, 2.0]))
    assert o.value(o.x0) == 5.0
    weight.assign(2.0)
    assert o.value(o.x0 + 0.5) == 2.0 * (1.5**2 + 2.5**2)


def test_stiff_equations() -> None:
    def reactions(t: Any, y: Any) -> Any:
        a, b, c = y["a"], y["b"], y["c"]
        slow, fast, merge = 0.04 * a, 3e7 * b * b, 1e4 * b * c
        return {"a": merge - slow, "b": slow - merge - fast, "c": fast}

    f = tj.scipy.right_hand_side(reactions, {"a": 1.0, "b": 0.0, "c": 0.0})
    solution = solve_ivp(f, (0.0, 40.0), f.y0, method="BDF", jac=f.jac, rtol=1e-8, atol=1e-12)
    # Robertson's problem at t = 40; E. Hairer, G. Wanner, "Solving Ordinary Differential Equations II", chapter IV.10.
    np.testing.assert_allclose(solution.y[:, -1], [0.7158271, 9.185535e-6, 0.2841637], rtol=1e-5)
    assert float(f.unflatten(solution.y[:, -1])["a"]) == solution.y[0, -1]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tj.scipy.objective(rosenbrock, [1, 2]), DtypeError, "must be floating, got int64"),
        (lambda: tj.scipy.objective(rosenbrock, [1.0, 2.0])([1.0]), ShapeError, r"shape \(1,\), not \(2,\)"),
        (
            lambda: tj.scipy.right_hand_side(lambda t, y: y[:1], np.ones(2))(0.0, np.ones(2)),
            ShapeError,
            r"shapes \[\(1,\)\] for a state of shapes \[\(2,\)\]",
        ),
    ],
)
def test_what_does_not_fit(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
