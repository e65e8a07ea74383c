"""`check_grads`: it passes what is right, and finds what is wrong, and where."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.primitive import Primitive, Rule, bind
from tapejit.testing import check_grads

Function = Callable[..., Any]


def energy(model: Any, x: Any, power: int, kind: str) -> Any:
    assert kind == "plain"
    return {"a": tj.sum(tj.tanh(x @ model["w"]) ** power), "b": [model["b"] * x], "place": tj.argmax(x)}


MODEL = {"w": np.array([[1.0, -0.5], [0.3, 0.8]]), "b": 2.0}
X = np.array([0.4, -0.9])


def test_it_passes_what_is_right() -> None:
    check_grads(energy, (MODEL, X, 3, "plain"))
    check_grads(energy, (MODEL, X, 3, "plain"), order=3, modes=("forward",))
    check_grads(tj.exp, (1.5,), order=4, modes=["reverse"])
    check_grads(lambda x: tj.sum(x**2) * 1e8, (X,))
    check_grads(tj.compile(lambda x: tj.sin(x) * x), (X,), order=1)
    check_grads(tj.matmul, [tj.constant(np.eye(2)), tj.Variable(X)])
    check_grads(lambda x: tj.ones(2), (X,))  # not connected, and constant


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [tj.sin, tj.logsumexp, tj.softmax, lambda x: x * 1000.0, lambda x: x + 1000.0])
def test_it_passes_what_is_right_in_either_dtype(function: Function, dtype: str) -> None:
    check_grads(function, (np.array([0.3, -1.2, 0.9], dtype),))


def rule_of(name: str, right: Function, vjp: Function, jvp: Any = None) -> Function:
    """`right` as an operation with another derivative, which is not in the registry."""
    primitive = Primitive(
        name=name,
        inputs=("x",),
        impl=right,
        rule=lambda x: x,
        vjp={"x": Rule.of(vjp)},
        lowering=None,
        cases=(),
        properties={"family": "library_call"},
        jvp=jvp,
    )
    return lambda x: bind(primitive, (tj.asarray(x),))


def failure(function: Function, args: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check_grads(function, args, **options)
    return str(caught.value)


def test_a_wrong_reverse_rule_is_found_with_the_element_where_it_is_worst() -> None:
    @tj.custom_gradient
    def square(x: Any) -> Any:
        return x * x, lambda upstream: upstream * x * tj.constant(np.array([2.0, 2.0, 2.5]))

    message = failure(lambda p: tj.sum(square(p["x"][0])), ({"x": [np.array([1.0, 2.0, 3.0])]},), modes=["reverse"])
    first, second = message.split("\n")
    assert first.startswith("check_grads: the reverse derivative of <lambda> is wrong along a random direction: ")
    assert "test_testing.py" in first
    assert second.startswith("  worst at args[0]['x'][0][2]: ")
    found, expected = (float(word.rstrip(",")) for word in (second.split()[3], second.split()[-1]))
    assert found / expected == pytest.approx(7.5 / 6)


def test_a_wrong_forward_rule_is_found_with_the_elements_where_it_is_worst() -> None:
    wrong = rule_of(
        "cumulated",
        np.cumsum,
        lambda ct: tj.flip(tj.cumsum(tj.flip(ct))),
        lambda inputs, tangents, out, params: tj.cumsum(tangents[0] * np.array([1.0, 1.0, 3.0])),
    )
    check_grads(wrong, (np.ones(3),), modes=["reverse"])
    first, second = failure(lambda x: [1.0 * x, wrong(x)], (np.ones(3),), modes=["forward"]).split("\n")
    assert "the forward derivative of <lambda> is wrong" in first
    assert ", at result[1][2]" in first
    assert second == "  worst at args[0][2]: 3, differences give 1"
    assert "forward derivative" in failure(wrong, (np.ones(3),))


def test_a_derivative_that_is_right_but_not_differentiable_is_found_at_the_second_order() -> None:
    wrong = rule_of("cubed", lambda x: x**3, lambda ct, x: ct * tj.stop_gradient(3 * x**2))
    check_grads(wrong, (X,), order=1)
    message = failure(wrong, (X,))
    assert "derivative of order 2 of <lambda> is wrong" in message
    for modes in (["reverse"], ["forward"]):
        assert f"the {modes[0]} over {modes[0]} derivative of order 2" in failure(wrong, (X,), modes=modes)


@pytest.mark.parametrize("modes", [["reverse"], ["forward"]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_faults_of_any_kind_are_found(modes: list[str], dtype: str) -> None:
    x = np.array([0.5, 1.5], dtype)
    relative = 0.02 if dtype == "float32" else 1e-5
    faults = {
        "a factor": lambda ct, x: ct * tj.cos(x) * (1 + relative),
        "a sign": lambda ct, x: -ct * tj.cos(x),
        "nothing": lambda ct, x: 0 * ct * x,
        "nan": lambda ct, x: ct * tj.cos(x) * np.array([1.0, np.nan], dtype),
        "the other element": lambda ct, x: tj.flip(ct * tj.cos(x)),
    }
    check_grads(rule_of("sine", np.sin, lambda ct, x: ct * tj.cos(x)), (x,), modes=modes)
    for fault in faults.values():
        message = failure(rule_of("sine", np.sin, fault), (x,), modes=modes, order=1)
        assert "worst at args[0][" in message


def test_tolerances_and_steps() -> None:
    wrong = rule_of("sine", np.sin, lambda ct, x: ct * tj.cos(x) * 1.01)
    check_grads(wrong, (X,), order=1, rtol=0.05)
    check_grads(wrong, (X,), order=1, atol=0.05)
    failure(wrong, (X,), order=1, rtol=1e-3, atol=0.0)
    check_grads(tj.abs, (np.array([0.01]),))
    failure(tj.abs, (np.array([0.01]),), eps=0.02)


def test_what_can_not_be_checked() -> None:
    count = 0

    def counting(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    for function, args, message in (
        (tj.sum, (np.arange(3),), "sum has no floating argument"),
        (tj.argmax, (X,), "argmax returns nothing floating"),
        (tj.log, (np.array([-1.0]),), "log is not finite"),
        (counting, (X,), "gives other values each time"),
    ):
        with pytest.raises(ValueError, match=message):
            check_grads(function, args)
    for modes in ("reverse", ["backward"]):
        with pytest.raises(ValueError, match="modes are a sequence of 'reverse' and 'forward'"):
            check_grads(tj.sin, (X,), modes=modes)
    with pytest.raises(TypeError, match="args are a tuple of all arguments, got ndarray"):
        check_grads(tj.sin, X)
