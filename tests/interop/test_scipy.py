"""What SciPy's optimizers and integrators get: values and derivatives of flat vectors."""

import copy
import pickle
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
    weight, data = tj.Variable(np.float64(1.0)), np.array([1.0, 1.0])
    settings = {"shift": 0.0}
    o = tj.scipy.objective(lambda v: weight * tj.sum(data * v * v) + settings["shift"], np.array([1.0, 2.0]))
    for ask in (o.value, lambda x: o(x)[0]):
        before = ask(o.x0)
        weight.assign(2 * weight)
        assert ask(o.x0) == 2 * before
        data *= 3.0
        assert ask(o.x0) == 6 * before
        settings["shift"] += 1.0
        assert ask(o.x0) == 6 * before + 1.0
        settings["shift"] = 0.0
        assert ask(o.x0 + 0.5) == float(weight) * data[0] * (1.5**2 + 2.5**2)
    count = o.evaluations
    o.gradient(o.x0 + 0.5)
    assert o.evaluations == count


def test_large_arrays_that_are_read_are_looked_through_only_where_parts_are_asked_for() -> None:
    data = np.ones(20_000)
    o = tj.scipy.objective(lambda v: tj.sum((data - v[0]) ** 2), np.array([0.0]))
    o.value(o.x0), o.gradient(o.x0), o(o.x0)
    assert o.evaluations == 1
    data += 1.0
    assert o(o.x0)[0] == 80_000.0
    assert o.value(o.x0) == 80_000.0


def test_a_function_that_runs_eagerly_is_asked_each_time() -> None:
    scale = [1.0]
    o = tj.scipy.objective(lambda v: v[0] ** 2 * (scale[0] if float(v[0]) > 0 else 0.0), np.array([2.0]))
    with pytest.warns(tj.errors.TapejitWarning, match="runs eagerly"):
        assert o.value(o.x0) == 4.0
    scale[0] = 2.0
    assert o(o.x0) == (8.0, np.array([8.0]))


METHODS = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"]
WITH_HESSIANS = ["Newton-CG", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr"]
WITH_PRODUCTS = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"]


def test_every_method_that_takes_derivatives() -> None:
    o = tj.scipy.objective(lambda x: rosenbrock(x) / 10.0, np.array([1.2, 1.3]))
    given = [(method, {}) for method in METHODS]
    given += [(method, {"hess": o.hess}) for method in WITH_HESSIANS]
    given += [(method, {"hessp": o.hessp}) for method in WITH_PRODUCTS]
    for method, more in given:
        before = o.evaluations
        found = minimize(o, o.x0, jac=True, method=method, tol=1e-8, **more)  # type: ignore[call-overload]
        np.testing.assert_allclose(found.x, 1.0, atol=1e-3, err_msg=f"{method} {list(more)}")
        assert o.evaluations - before <= found.nfev  # one kernel call each


def test_roots_and_least_squares_by_every_method() -> None:
    o = tj.scipy.objective(lambda v: (v[0] ** 2 + v[1] - 3.0, {"line": v[:1] - v[1:] + 1.0}), [1.5, 1.0])
    assert o.jacobian(o.x0).tolist() == [[3.0, 1.0], [1.0, -1.0]]
    for method in ("hybr", "lm"):
        before = o.evaluations
        np.testing.assert_allclose(root(o.residuals, o.x0, jac=o.jacobian, method=method).x, [1.0, 2.0], rtol=1e-7)
        assert o.evaluations - before <= 20
    for way in ("trf", "dogbox", "lm"):
        np.testing.assert_allclose(least_squares(o.residuals, o.x0, jac=o.jac, method=way).x, [1.0, 2.0], rtol=1e-7)


def test_arguments_bounds_and_constraints() -> None:
    def distance(p: Any, centre: Any, scale: float) -> Any:
        return scale * tj.sum((p["x"] - centre) ** 2)

    o = tj.scipy.objective(distance, {"x": np.zeros(2)})
    centre = np.array([3.0, 1.0])
    for more in ({"jac": True}, {"jac": True, "hess": o.hess, "method": "trust-exact"}):
        np.testing.assert_allclose(minimize(o, o.x0, args=(centre, 2.0), **more).x, centre, rtol=1e-6)
    parts = minimize(o.value, o.x0, args=(centre, 2.0), jac=o.gradient, hessp=o.hessp, method="trust-ncg")
    np.testing.assert_allclose(parts.x, centre, rtol=1e-6)
    assert o.value(o.x0, centre, 2.0) == 20.0
    centre += 1.0
    assert o.value(o.x0, centre, 2.0) == 40.0
    bounded = minimize(o, o.x0, args=(centre, 1.0), jac=True, bounds=[(None, 2.0), (0, None)])
    np.testing.assert_allclose(bounded.x, [2.0, 2.0])
    line = tj.scipy.objective(lambda x: x[0] + x[1] - 1.0, np.zeros(2))
    equation = {"type": "eq", "fun": line.residuals, "jac": line.jacobian}
    on_line = minimize(o, o.x0, args=(centre, 1.0), jac=True, method="SLSQP", constraints=equation)
    np.testing.assert_allclose(on_line.x, [1.5, -0.5], atol=1e-6)


def test_everything_is_float64() -> None:
    w = tj.Variable(np.float32([1.0, 2.0]))
    o = tj.scipy.objective(lambda p: tj.sum((p * w - 1 / 3) ** 2), [0.5, 1])
    value, gradient = o(np.float32([0.5, 1]))
    assert (type(value), gradient.dtype, o.x0.dtype, o.hess(o.x0).dtype) == (float, *3 * [np.float64])
    assert value == (0.5 - 1 / 3) ** 2 + (2 - 1 / 3) ** 2
    gradient[:] = 0.0  # the caller's own
    assert o.gradient(o.x0).all()


def test_lists_of_numbers_are_arrays_and_what_is_empty_is_refused() -> None:
    o = tj.scipy.objective(lambda x: tj.sum(x**2), [np.float64(1.0), 2.0])
    assert o.unflatten(o.x0).tolist() == [1.0, 2.0]
    assert tj.scipy.objective(lambda x: x[0] ** 2 + x[1], (1.0, 2.0))([3.0, 4.0])[0] == 13.0
    nest = {"b": [[1.0], [2.0]], "a": (3.0, [4.0, 5.0])}
    assert tj.scipy.objective(squares, nest).x0.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_nan_and_infinity_are_given_on() -> None:
    o = tj.scipy.objective(lambda x: tj.sum(tj.log(x)), [1.0])
    assert np.isnan(o([-1.0])[0])
    assert o([0.0]) == (-np.inf, np.array([np.inf]))


def cube(x: Any) -> Any:
    return tj.sum(x**3)


def falls(t: Any, y: Any, rate: float = 1.0) -> Any:
    return -rate * y


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_objectives_and_right_hand_sides_are_copied_with_their_functions(again: Any) -> None:
    o = tj.scipy.objective(cube, [1.0, 2.0])
    o(o.x0)
    other = again(o)
    assert (other(other.x0)[0], other.evaluations, o.evaluations) == (9.0, 2, 1)
    f = again(tj.scipy.right_hand_side(falls, [1.0, 2.0]))
    assert f(0.0, f.y0).tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Radau", "BDF", "LSODA"])
def test_equations_with_arguments_by_every_kind_of_method(method: str) -> None:
    f = tj.scipy.right_hand_side(falls, [1.0, 2.0])
    more = {"jac": f.jac} if method in {"Radau", "BDF", "LSODA"} else {}
    found = solve_ivp(f, (0.0, 1.0), f.y0, method=method, args=(2.0,), rtol=1e-8, atol=1e-10, **more)
    np.testing.assert_allclose(found.y[:, -1], np.array([1.0, 2.0]) * np.exp(-2.0), rtol=1e-6)


def test_a_state_may_come_back_in_another_order() -> None:
    f = tj.scipy.right_hand_side(lambda t, y: {"v": -y["x"], "x": y["v"]}, {"x": 1.0, "v": 0.5})
    assert f(0.0, f.y0).tolist() == [0.5, -1.0]


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
        (lambda: tj.scipy.objective(rosenbrock, [[1.0], [2.0, 3.0]]), ShapeError, "ragged"),
        (lambda: tj.scipy.objective(rosenbrock, {}), ShapeError, "nothing to vary"),
        (lambda: tj.scipy.objective(3, [1.0]), TypeError, "takes a function, got int"),
        (lambda: tj.scipy.right_hand_side(3, [1.0]), TypeError, "takes a function, got int"),
        (lambda: tj.scipy.objective(rosenbrock, [1j]), DtypeError, "must be floating, got complex128"),
        (lambda: tj.scipy.objective(rosenbrock, [1.0, 2.0])([1j, 2.0]), DtypeError, "complex128, where real numbers"),
        (lambda: tj.scipy.objective(rosenbrock, [1.0, 2.0])("ab"), DtypeError, "where real numbers"),
        (
            lambda: tj.scipy.objective(rosenbrock, [1.0, 2.0]).hessp([1.0, 2.0], [1.0]),
            ShapeError,
            r"\(1,\), not \(2,\)",
        ),
        (lambda: tj.scipy.objective(model, [1.0, 2.0]).unflatten([1.0]), ShapeError, r"\(1,\), not \(2,\)"),
        (
            lambda: tj.scipy.objective(lambda v: v, [1.0, 2.0])([1.0, 2.0]),
            ShapeError,
            "one number.*returned float64.2.",
        ),
        (lambda: tj.scipy.objective(lambda v: (v, v), [1.0])([1.0]), DtypeError, "returned a tuple; one number"),
        (lambda: tj.scipy.objective(lambda v: None, [1.0])([1.0]), DtypeError, "returned a NoneType"),
        (lambda: tj.scipy.objective(lambda v: None, [1.0]).residuals([1.0]), DtypeError, "returned no residuals"),
        (lambda: tj.scipy.right_hand_side(falls, [1.0, 2.0])(0.0, [1j, 0]), DtypeError, "where real numbers"),
        (
            lambda: tj.scipy.right_hand_side(falls, [1.0, 2.0])(0.0, np.ones((2, 3))),
            ShapeError,
            r"\(2, 3\), not \(2,\)",
        ),
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
