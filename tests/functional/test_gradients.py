"""`grad`, `value_and_grad`, `vjp`, `jvp`, `linearize`, `hvp`: alone, in each other, beside tapes, under `compile`."""

import functools
import inspect
import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.primitive import add_tape, current, remove_tape

Point = namedtuple("Point", "x y")
Function = Callable[..., Any]


def square_sum(x: Any) -> Any:
    return tj.sum(x**2)


def cubes(x: Any) -> Any:
    return tj.sum(tj.sin(x) * x**3)


@pytest.fixture(autouse=True)
def _no_state_is_left() -> Any:
    yield
    assert current().tapes == ()


# grad and value_and_grad


def test_arguments_and_gradients_are_nests() -> None:
    def loss(model: Any, point: Any, scale: float, kind: str, *, offset: Any) -> Any:
        assert kind == "plain"
        assert isinstance(offset, np.ndarray)  # what is not differentiated by is passed on as it is
        return tj.sum(model["w"][0] * point.x * scale + model["b"] * point.y + offset)

    model = {"w": [np.array([1.0, 2.0])], "b": 3.0, "nothing": None}
    point = Point(np.array([4.0, 5.0], np.float32), tj.constant(6.0))
    value, (by_model, by_point) = tj.value_and_grad(loss, argnums=(0, 1))(model, point, 2.0, "plain", offset=np.ones(2))
    assert value.item() == 8.0 + 20.0 + 36.0 + 2.0
    assert by_model["w"][0].tolist() == [8.0, 10.0]
    assert by_model["w"][0].dtype == np.float64
    assert (by_model["b"].item(), by_model["b"].dtype, by_model["nothing"]) == (12.0, np.float32, None)
    assert isinstance(by_point, Point)
    assert (by_point.x.tolist(), by_point.x.dtype) == ([2.0, 4.0], np.float32)
    assert by_point.y.item() == 6.0


def test_argnums() -> None:
    def function(x: Any, y: Any, z: Any) -> Any:
        return x * y**2 * z**3

    assert tj.grad(function)(2.0, 3.0, 1.0).item() == 9.0
    assert tj.grad(function, 1)(2.0, 3.0, 1.0).item() == 12.0
    assert tj.grad(function, -1)(2.0, 3.0, 1.0).item() == 54.0
    assert [each.item() for each in tj.grad(function, (2, 0))(2.0, 3.0, 1.0)] == [54.0, 9.0]
    assert [each.item() for each in tj.grad(function, [1])(2.0, 3.0, 1.0)] == [12.0]
    with pytest.raises(ValueError, match="argument 0 is named twice"):
        tj.grad(function, (0, -3))(2.0, 3.0, 1.0)
    with pytest.raises(ValueError, match="argument 3 of function is to be differentiated by, but the call has 3"):
        tj.grad(function, 3)(2.0, 3.0, 1.0)
    for wrong in ("x", 1.0, (), True, None):
        with pytest.raises(TypeError, match="argnums are an int or a sequence of ints"):
            tj.grad(function, wrong)


def test_an_auxiliary_result_is_passed_on() -> None:
    def function(x: Any) -> Any:
        return x**2, {"x": x, "word": "yes"}

    gradient, auxiliary = tj.grad(function, has_aux=True)(3.0)
    assert (gradient.item(), auxiliary["x"].item(), auxiliary["word"]) == (6.0, 3.0, "yes")
    (value, auxiliary), gradient = tj.value_and_grad(function, has_aux=True)(3.0)
    assert (value.item(), gradient.item(), auxiliary["word"]) == (9.0, 6.0, "yes")
    out, pull, auxiliary = tj.vjp(function, 3.0, has_aux=True)
    assert (out.item(), pull(1.0)[0].item(), auxiliary["word"]) == (9.0, 6.0, "yes")
    out, tangent, auxiliary = tj.jvp(function, (3.0,), (2.0,), has_aux=True)
    assert (out.item(), tangent.item(), auxiliary["word"]) == (9.0, 12.0, "yes")
    with pytest.raises(TypeError, match=r"must return a pair \(result, auxiliary\), got Tensor"):
        tj.grad(square_sum, has_aux=True)(3.0)


def test_what_is_not_connected_has_the_gradient_0() -> None:
    gradients = tj.grad(lambda x, y: tj.sum(x), (0, 1))(np.ones(2), np.ones((2, 1), np.float32))
    assert [each.tolist() for each in gradients] == [[1.0, 1.0], [[0.0], [0.0]]]
    assert gradients[1].dtype == np.float32
    assert tj.grad(lambda x: 3.0)(1.0).item() == 0.0
    assert tj.grad(tj.floor)(1.5).item() == 0.0
    _, tangent = tj.jvp(lambda x: (x, tj.ones(2), tj.argmax(x)), (np.ones(2),), (np.ones(2),))
    assert tangent[1].tolist() == [0.0, 0.0]
    assert tangent[2] is None
    assert tj.vjp(lambda x: tj.ones(2), 1.0)[1]([1.0, 1.0])[0].item() == 0.0


def test_the_value_is_an_argument_itself() -> None:
    value, gradient = tj.value_and_grad(lambda x: x)(2.0)
    assert (value.item(), gradient.item()) == (2.0, 1.0)
    assert tj.jvp(lambda x: x, (2.0,), (5.0,))[1].item() == 5.0
    assert tj.linearize(lambda x: [x, x], 2.0)[1](5.0)[1].item() == 5.0
    assert tj.vjp(lambda x: [x, x], 2.0)[1]([3.0, 4.0])[0].item() == 7.0


def test_what_grad_refuses() -> None:
    with pytest.raises(ShapeError, match=r"square returned float64\[2\]; .*jacobian .*vjp"):
        tj.grad(tj.square)(np.ones(2))
    with pytest.raises(ShapeError, match=r"returned a tuple; see jacobian and vjp .* and has_aux"):
        tj.grad(lambda x: (x, x))(1.0)
    with pytest.raises(ShapeError, match="returned a NoneType"):
        tj.grad(lambda x: None)(1.0)
    with pytest.raises(DtypeError, match=r"returned int64\[\], which is not differentiable"):
        tj.grad(tj.argmax)(np.ones(2))
    for integer in (1, np.arange(3), True, {"x": [1.0, 2]}):
        with pytest.raises(DtypeError, match=r"grad: argument 0.* is (int64|bool).*not differentiable"):
            tj.grad(lambda x: tj.constant(0.0))(integer)
    with pytest.raises(DtypeError, match=r"argument 0\['x'\]\[1\] is int64"):
        tj.grad(lambda x: tj.constant(0.0))({"x": [1.0, 2]})
    for transform in (tj.grad, tj.value_and_grad, tj.vjp, tj.linearize):
        with pytest.raises(TypeError, match=f"{transform.__name__} takes a function, got float"):
            transform(1.0)
    for transform in (tj.jvp, tj.hvp):
        with pytest.raises(TypeError, match=f"{transform.__name__} takes a function, got float"):
            transform(1.0, (1.0,), (1.0,))


def test_an_error_in_the_function_leaves_no_state() -> None:
    def failing(x: Any) -> Any:
        raise ArithmeticError(x)

    for call in (
        lambda: tj.grad(failing)(1.0),
        lambda: tj.jvp(failing, (1.0,), (1.0,)),
        lambda: tj.hvp(failing, (1.0,), (1.0,)),
    ):
        with pytest.raises(ArithmeticError):
            call()
        assert current().tapes == ()


def test_the_derivative_bears_the_name_of_the_function() -> None:
    def energy(x: Any, mass: float = 1.0) -> Any:
        """How much of it there is."""
        return mass * x**2 / 2

    for derived in (tj.grad(energy), tj.value_and_grad(energy)):
        assert (derived.__name__, derived.__doc__) == ("energy", energy.__doc__)
        assert list(inspect.signature(derived).parameters) == ["x", "mass"]
    assert tj.grad(functools.partial(energy, mass=2.0))(3.0).item() == 6.0
    step = tj.compile(energy)
    assert tj.grad(step).__name__ == "energy"
    assert "_traces" not in vars(tj.grad(step))


# vjp, jvp, linearize, hvp


def test_vjp_pulls_back_any_number_of_times() -> None:
    a = np.arange(6.0).reshape(2, 3)
    out, pull = tj.vjp(lambda x: {"product": a @ x, "place": tj.argmax(x)}, np.ones(3))
    assert out["product"].tolist() == [3.0, 12.0]
    for row in (0, 1):
        (by_x,) = pull({"product": np.eye(2)[row], "place": None})
        assert by_x.tolist() == a[row].tolist()
    assert pull({"product": None, "place": None})[0].tolist() == [0.0] * 3
    assert pull({"product": [1.0, 1.0], "place": None})[0].tolist() == a.sum(0).tolist()
    with pytest.raises(ShapeError, match=r"out\['product'\] has shape \(2,\), what is given for it \(3,\)"):
        pull({"product": np.ones(3), "place": None})
    with pytest.raises(DtypeError, match=r"out\['product'\] is float64, what is given for it float32"):
        pull({"product": np.ones(2, np.float32), "place": None})
    with pytest.raises(DtypeError, match=r"out\['place'\] is int64\[\], which is not differentiable"):
        pull({"product": np.ones(2), "place": 1})
    with pytest.raises(ShapeError, match="the cotangents must have the nest"):
        pull(np.ones(2))


def test_jvp_takes_all_arguments_and_their_tangents() -> None:
    out, tangent = tj.jvp(lambda w, x: w["a"] * x, ({"a": 2.0}, np.array([1.0, 3.0])), ({"a": 1.0}, [0.0, 1.0]))
    assert (out.tolist(), tangent.tolist()) == ([2.0, 6.0], [1.0, 5.0])
    with pytest.raises(TypeError, match="the primals are a tuple of all arguments, got float"):
        tj.jvp(tj.sin, 1.0, 1.0)
    with pytest.raises(ShapeError, match="one for each of the 1 arguments, got 2"):
        tj.jvp(tj.sin, (1.0,), (1.0, 2.0))
    with pytest.raises(ShapeError, match="one for each of the 1 arguments, got float"):
        tj.jvp(tj.sin, (1.0,), 1.0)
    with pytest.raises(ShapeError, match=r"argument 0 has shape \(2,\), what is given for it \(\)"):
        tj.jvp(tj.sin, (np.ones(2),), (1.0,))
    with pytest.raises(DtypeError, match="argument 0 is float32, what is given for it float64"):
        tj.jvp(tj.sin, (1.0,), (np.array(1.0),))
    with pytest.raises(DtypeError, match="jvp: argument 0 is int64"):
        tj.jvp(tj.sin, (1,), (1.0,))


def test_linearize_runs_the_function_once() -> None:
    count = 0

    def function(x: Any, y: Any) -> Any:
        nonlocal count
        count += 1
        return [tj.sin(x) * y, tj.where(x > 0, tj.sqrt(x), 0), tj.argmax(x)]

    x, y = np.array([-1.0, 0.0, 2.0]), np.array(3.0)
    out, along = tj.linearize(function, x, y)
    for v, w in ((np.array([1.0, 0.0, 0.0]), np.array(0.0)), (np.array([1.0, 2.0, 3.0]), np.array(4.0))):
        found, (_, expected) = along(v, w), tj.jvp(function, (x, y), (v, w))
        for one, other in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        assert found[2] is expected[2] is None
    assert count == 3
    assert out[2].item() == 2
    with pytest.raises(ShapeError, match="one for each of the 2 arguments, got 1"):
        along(x)


def test_the_map_of_linearize_costs_what_is_linear_in_the_tangents() -> None:
    class Names:
        def __init__(self) -> None:
            self.found: list[str] = []

        def record(self, primitive: Any, *_: Any) -> None:
            self.found.append(primitive.name)

    def function(x: Any) -> Any:
        tj.cosh(tj.cos(x))  # no result needs it
        return tj.exp(tj.sin(tj.tanh(x))) + tj.log(x)

    _, along = tj.linearize(function, 0.5)
    names: Any = Names()
    add_tape(names)
    try:
        along(1.0)
    finally:
        remove_tape(names)
    assert sorted(names.found) == ["add", "divide", "multiply", "multiply", "multiply"]


def test_what_was_linearized_outside_is_called_in_a_compiled_step() -> None:
    rows = np.linspace(0.1, 1.2, 6).reshape(2, 3)
    _, along = tj.linearize(lambda x: tj.scan(lambda c, row: (c * row, tj.sin(c)), x, rows), np.ones(3))
    direction = np.array([1.0, -2.0, 0.5])
    for found, expected in zip(tj.compile(along, strict=True)(direction), along(direction), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_linearize_of_compiled_functions() -> None:
    step = tj.compile(lambda x, y: (tj.sin(x) * y, tj.exp(y)))
    x, y, v, w = np.array([0.5, 1.0]), np.array(2.0), np.array([1.0, -1.0]), np.array(0.5)
    out, along = tj.linearize(lambda x, y: [step(x, y)[0] * 2.0, step(x * y, 1.0 * y)[1]], x, y)
    np.testing.assert_allclose(out[0].numpy(), 4 * np.sin(x))
    for by_x, by_y in ((v, w), (-v, 3 * w)):
        first, second = along(by_x, by_y)
        np.testing.assert_allclose(first.numpy(), 2 * (np.cos(x) * by_x * y + np.sin(x) * by_y), rtol=1e-14)
        np.testing.assert_allclose(second.numpy(), np.exp(y) * by_y, rtol=1e-14)
    found = tj.grad(lambda v: tj.sum(along(v, w)[0]))(v)
    np.testing.assert_allclose(found.numpy(), 4 * np.cos(x))
    inside = tj.compile(lambda x, v: tj.linearize(tj.compile(lambda x: tj.sin(x)), x)[1](v), strict=True)
    np.testing.assert_allclose(inside(x, v).numpy(), np.cos(x) * v)
    assert inside.report()["loop_nests"] == 1


def test_hvp_of_nests() -> None:
    def function(w: Any, x: Any) -> Any:
        return tj.sum(w["a"] ** 2 * x) + w["b"] * tj.prod(x)

    w, x = {"a": np.array([1.0, 2.0]), "b": np.array(3.0)}, np.array([4.0, 5.0])
    v, u = {"a": np.array([1.0, -1.0]), "b": np.array(2.0)}, np.array([0.5, 0.0])
    by_w, by_x = tj.hvp(function, (w, x), (v, u))
    np.testing.assert_allclose(by_w["a"].numpy(), 2 * x * v["a"] + 2 * w["a"] * u)
    np.testing.assert_allclose(by_w["b"].numpy(), 0.5 * 5.0)
    np.testing.assert_allclose(by_x.numpy(), 2 * w["a"] * v["a"] + 2.0 * x[::-1] + 3.0 * u[::-1])
    alone = tj.hvp(lambda w: function(w, x), (w,), (v,))
    np.testing.assert_allclose(alone["a"].numpy(), 2 * x * v["a"])
    with pytest.raises(ShapeError, match="returned float64"):
        tj.hvp(tj.sin, (np.ones(2),), (np.ones(2),))


# One in another


def along_1(f: Function) -> Function:
    return lambda x: tj.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("outer", [tj.grad, along_1])
@pytest.mark.parametrize("inner", [tj.grad, along_1])
def test_perturbations_are_not_confused(outer: Function, inner: Function) -> None:
    """The classic: the inner derivative is 1 for every x, so the outer one is 1, not 2."""
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0).item() == 1.0
    # The inner argument is the very value that the function closes over.
    assert outer(lambda x: x * inner(lambda y: x * y)(x))(3.0).item() == 6.0
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(3.0).item() == 12.0


def test_a_function_may_close_over_its_argument() -> None:
    x = tj.constant(3.0)
    assert tj.grad(lambda y: x * y)(x).item() == 3.0
    assert tj.jvp(lambda y: x * y, (x,), (1.0,))[1].item() == 3.0
    assert tj.linearize(lambda y: x * y, x)[1](1.0).item() == 3.0
    assert tj.vjp(lambda y: x * y, x)[1](1.0)[0].item() == 3.0
    assert [each.item() for each in tj.grad(lambda y, z: y * z * z, (0, 1))(x, x)] == [9.0, 18.0]


FIRST: dict[str, Function] = {
    "grad": tj.grad,
    "jvp": lambda f: lambda x: tj.jvp(f, (x,), (np.array(1.0),))[1],
    "vjp": lambda f: lambda x: tj.vjp(f, x)[1](np.array(1.0))[0],
    "linearize": lambda f: lambda x: tj.linearize(f, x)[1](np.array(1.0)),
    "compiled": lambda f: tj.compile(tj.grad(f), strict=True),
}


def derivatives(x: float) -> list[float]:
    """Those of sin(x) exp(x)."""
    sine, cosine, exp = np.sin(x), np.cos(x), np.exp(x)
    return [sine * exp, (sine + cosine) * exp, 2 * cosine * exp, 2 * (cosine - sine) * exp]


@pytest.mark.parametrize("outer", ["grad", "jvp", "vjp", "linearize"])
@pytest.mark.parametrize("middle", ["grad", "jvp", "vjp", "linearize"])
@pytest.mark.parametrize("inner", FIRST)
def test_transforms_nest_in_any_order(outer: str, middle: str, inner: str) -> None:
    derivative = FIRST[outer](FIRST[middle](FIRST[inner](lambda x: tj.sin(x) * tj.exp(x))))
    np.testing.assert_allclose(derivative(np.array(0.4)).numpy(), derivatives(0.4)[3], rtol=1e-13)


def test_the_gradient_of_a_hessian_vector_product() -> None:
    x, v = np.array([0.3, 1.1]), np.array([1.0, 2.0])
    found = tj.grad(lambda x: tj.sum(tj.hvp(cubes, (x,), (v,)) * v))(x)
    third = np.array([each.numpy() for each in (tj.grad(tj.grad(tj.grad(lambda x: tj.sin(x) * x**3)))(t) for t in x)])
    np.testing.assert_allclose(found.numpy(), third * v**2, rtol=1e-13)


def test_beside_tapes() -> None:
    w, x = tj.Variable(np.array([1.0, 2.0])), tj.constant(np.array([3.0, 4.0]))
    with tj.GradientTape() as tape:
        y = tj.sum(tj.grad(lambda x: tj.sum(w * x**2))(x) * w)  # 2 w² x
    np.testing.assert_allclose(tape.gradient(y, w).numpy(), 4 * w.numpy() * x.numpy())
    _, pull = tj.vjp(lambda x: w * x**2, x)
    with tj.GradientTape() as tape:
        ct = tj.Variable(np.ones(2))
        y = tj.sum(pull(ct)[0])
    np.testing.assert_allclose(tape.gradient(y, ct).numpy(), 2 * w.numpy() * x.numpy())
    with tj.GradientTape() as tape:
        tape.watch(x)
        _, tangent = tj.jvp(lambda x: w * x**3, (x,), (x,))  # 3 w x³
    np.testing.assert_allclose(tape.gradient(tangent, x).numpy(), 9 * w.numpy() * x.numpy() ** 2)

    def with_a_tape(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.sum(x**3)
        return tj.sum(tape.gradient(y, x) ** 2)  # 9 x⁴

    np.testing.assert_allclose(tj.grad(with_a_tape)(x).numpy(), 36 * x.numpy() ** 3)
    _, tangent = tj.jvp(with_a_tape, (x,), (np.array([1.0, 0.0]),))
    np.testing.assert_allclose(tangent.numpy(), 36 * 27.0)


def test_variables() -> None:
    w = tj.Variable(np.array([1.0, 2.0]))
    assert tj.grad(lambda x: tj.sum(w * x))(np.ones(2)).tolist() == [1.0, 2.0]
    assert tj.grad(square_sum)(w).tolist() == [2.0, 4.0]  # it stands for its value

    def assigning(x: Any) -> Any:
        w.assign(x * 2.0)
        return tj.sum(w * x)

    assert tj.grad(assigning)(np.ones(2)).tolist() == [2.0, 2.0]
    assert w.numpy().tolist() == [2.0, 2.0]


# Compiled


RATE = 2.0


def helper(x: Any) -> Any:
    return x * RATE


def uses_helper(x: Any) -> Any:
    return tj.sum(helper(x) ** 2)


COMPILED: dict[str, Function] = {
    "grad": tj.grad,
    "value_and_grad": tj.value_and_grad,
    "vjp": lambda f: lambda x: tj.vjp(f, x)[1](1.0),
    "jvp": lambda f: lambda x: tj.jvp(f, (x,), (x,)),
    "linearize": lambda f: lambda x: tj.linearize(f, x)[1](x),
    "hvp": lambda f: lambda x: tj.hvp(f, (x,), (x,)),
}


def numbers(nest: Any) -> list[Any]:
    return [leaf.numpy() for leaf in tj.pytree.flatten(nest)[0]]


@pytest.mark.parametrize("name", COMPILED)
def test_inside_a_step_it_is_one_loop(name: str) -> None:
    x = np.linspace(0.1, 2.0, 7)
    function = COMPILED[name](cubes)
    step = tj.compile(function, strict=True)
    for found, expected in zip(numbers(step(x)), numbers(function(x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert step.report()["loop_nests"] == 1
    assert step.report()["intermediate_bytes"] == 0
    assert "constant" not in step.source()  # the seed of a gradient is no number of the user's


def test_what_the_function_reads_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([1.0, 2.0])
    factor = 1.0

    def closes_over(x: Any) -> Any:
        return tj.sum(factor * x**2)

    steps = [tj.compile(tj.grad(uses_helper)), tj.compile(lambda x: tj.hvp(uses_helper, (x,), (np.ones(2),)))]
    closing = tj.compile(tj.grad(closes_over))
    assert [step(x).tolist() for step in steps] == [[8.0, 16.0], [8.0, 8.0]]
    assert closing(x).tolist() == [2.0, 4.0]
    monkeypatch.setitem(globals(), "RATE", 3.0)
    factor = 10.0
    assert [step(x).tolist() for step in steps] == [[18.0, 36.0], [18.0, 18.0]]
    assert closing(x).tolist() == [20.0, 40.0]
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    assert [step(x).tolist() for step in steps] == [[2.0, 4.0], [2.0, 2.0]]
    assert all(step.report()["eager_because"] is None for step in (*steps, closing))
    assert closing.report()["compilations"] == 1  # a number is an entry of the constant table


def test_what_computes_an_inner_gradient_hears_of_no_tangents() -> None:
    step = tj.compile(lambda x: tj.sum(tj.sin(x) * tj.exp(x)), strict=True)
    x, v = np.array([1.0, 2.0]), np.array([1.0, 0.5])
    np.testing.assert_allclose(tj.hvp(step, (x,), (v,)).numpy(), 2 * np.exp(x) * np.cos(x) * v, rtol=1e-13)
    names = [kernel.name.removeprefix("v_lambda").removeprefix("<lambda>") for kernel in step.differentiated()]
    assert names == ["_with_residuals", "_gradient_with_tangents", "_tangent"]
    # Those around it do.
    twice = tj.grad(lambda v: tj.sum(tj.hvp(step, (x,), (v,)) * v))(v)
    np.testing.assert_allclose(twice.numpy(), 4 * np.exp(x) * np.cos(x) * v, rtol=1e-13)


def test_around_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    step = tj.compile(uses_helper)
    x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    assert tj.grad(step)(x).tolist() == [8.0, 16.0]
    assert tj.jvp(step, (x,), (v,))[1].item() == 8.0
    assert tj.hvp(step, (x,), (v,)).tolist() == [8.0, 0.0]
    assert tj.linearize(step, x)[1](v).item() == 8.0
    monkeypatch.setitem(globals(), "RATE", 3.0)
    assert tj.grad(step)(x).tolist() == [18.0, 36.0]
    assert tj.jvp(step, (x,), (v,))[1].item() == 18.0


def test_python_numbers_of_a_compiled_call() -> None:
    step = tj.compile(tj.grad(lambda x, y: x * y**2, (0, 1)), strict=True)
    assert [(each.item(), each.dtype) for each in step(2.0, 3.0)] == [(9.0, np.float32), (12.0, np.float32)]
    assert [each.item() for each in step(4.0, 3.0)] == [9.0, 24.0]
    assert step.report()["traces"] == 1
    with pytest.raises(DtypeError, match="argument 0 is int64"):
        tj.compile(tj.grad(lambda x: x**2))(3)
    step = tj.compile(lambda x, v: tj.jvp(tj.square, (x,), (v,))[1], strict=True)
    assert step(np.array(3.0), 2.0).item() == step(np.array(3.0), 2).item() == 12.0  # they take the dtype


def test_a_hessian_vector_product_of_a_small_network_has_a_sensible_plan() -> None:
    rng = np.random.default_rng(0)
    w = {"a": rng.normal(size=(4, 8)), "b": np.zeros(8), "c": rng.normal(size=(8, 3)), "d": np.zeros(3)}
    v = {key: rng.normal(size=value.shape) for key, value in w.items()}
    x, labels = rng.normal(size=(16, 4)), rng.integers(0, 3, 16)

    def loss(w: Any) -> Any:
        logits = tj.tanh(x @ w["a"] + w["b"]) @ w["c"] + w["d"]
        return -tj.mean(tj.sum(tj.log_softmax(logits) * tj.one_hot(labels, 3, dtype="float64"), axis=1))

    step = tj.compile(lambda w, v: tj.hvp(loss, (w,), (v,)), strict=True)
    found = step(w, v)
    for key, array in found.items():
        distance = 1e-5
        moved = [
            tj.grad(loss)({name: w[name] + sign * distance * v[name] for name in w})[key].numpy() for sign in (1, -1)
        ]
        np.testing.assert_allclose(array.numpy(), (moved[0] - moved[1]) / (2 * distance), rtol=1e-6, atol=1e-9)
    report = step.report()
    assert report["loop_nests"] == 3, step.source()  # forward, backward with all sums over the batch, one sum of two
    assert report["intermediate_bytes"] < 8 * 1000
    assert report["not_compiled"] == []


@pytest.mark.parametrize("transform", [tj.grad, tj.value_and_grad])
def test_numbers_that_math_makes_of_a_tensor_have_no_gradient_and_that_is_said(transform: Any) -> None:
    with pytest.warns(tj.errors.TapejitWarning, match=r"took numbers out.*tj\.sin, not math\.sin"):
        found = transform(lambda x: math.sin(x))(1.0)
    assert float(found if transform is tj.grad else found[1]) == 0.0
    assert float(tj.grad(lambda x: x * float(x))(3.0)) == 3.0  # what is looked at may be a factor
