"""Every primitive of the registry against its reference, its type rule, differences and hand-written values.

What is run comes from the declarations: samples for elementwise operations, cases for the others. A primitive
without them fails `test_a_primitive_has_cases`.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from inspect import ismodule
from typing import Any

import numpy as np
import pytest

import tapejit.tensor  # noqa: F401 (installs the eager interpreter)
from tapejit import ops
from tapejit.families import Case, Sample
from tapejit.functional import vmap
from tapejit.lowering import Composite
from tapejit.primitive import REGISTRY, Primitive, add_tape, bind, remove_tape
from tapejit.tape import ForwardAccumulator, GradientTape
from tests.gradients import check_gradients, floating_outputs, weighted_sum

PRIMITIVES = tuple(REGISTRY.values())
ELEMENTWISE = tuple(p for p in PRIMITIVES if p.properties["family"] == "elementwise")
OTHERS = tuple(p for p in PRIMITIVES if p.properties["family"] != "elementwise")
SHAPES = {
    1: (((),), ((0,),), ((1,),), ((5,),), ((2, 3),), ((0, 2),)),
    2: (
        ((), ()), ((3,), (3,)), ((3,), ()), ((), (2, 2)), ((2, 1), (1, 3)), ((2, 3), (3,)), ((0,), (1,)),
        ((1,), (1,)), ((4, 1), (2, 1, 1)),
    ),
    3: (((), (), ()), ((3,), (3,), (3,)), ((2, 1), (3,), ()), ((), (2, 1), (1, 2)), ((0,), (), (1,))),
}  # fmt: skip
IMPLICIT = {"standard_gamma": (True, False, False)}
"""Derivatives of a distribution, not of the numbers computed: by which inputs (see tests/random/test_gammas.py)."""
RELATIVE = {"float32": 2e-5, "float64": 1e-12}


class Spy:
    """A tape that keeps every application, to hold the type rules against."""

    def __init__(self) -> None:
        self.applications: list[tuple[Primitive, tuple[Any, ...], Any, dict[str, Any]]] = []

    def record(self, primitive: Primitive, inputs: tuple[Any, ...], outputs: Any, params: Any) -> None:
        self.applications.append((primitive, inputs, outputs, dict(params)))

    def record_read(self, variable: Any, value: Any) -> None:
        """Reads are no applications."""


def public(primitive: Primitive) -> Callable[..., Any]:
    """The public function of that name; for a primitive without one, its application."""
    for room in (ops, *filter(ismodule, vars(ops).values())):
        if hasattr(room, primitive.name):
            return getattr(room, primitive.name)  # type: ignore[no-any-return]
    return lambda *inputs, **params: bind(primitive, tuple(map(ops.asarray, inputs)), params)


def reference(primitive: Primitive) -> Callable[..., Any]:
    """An independent implementation of the public function."""
    declared = primitive.properties["reference"]
    return declared or getattr(np, primitive.name, None) or getattr(np.linalg, primitive.name)  # type: ignore[no-any-return]


def in_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    return np.asarray(array, dtype) if array.dtype.kind == "f" else array


def filled(template: Any, dtype: str, seeds: Iterator[int]) -> Any:
    """A case's argument, with an array for each sample."""
    if isinstance(template, Sample):
        return in_dtype(template.array(next(seeds)), dtype)
    if isinstance(template, (list, tuple)):
        return type(template)(filled(each, dtype, seeds) for each in template)
    return template


def case_arguments(case: Case, dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    seeds = itertools.count()
    return filled(case.args, dtype, seeds), {key: filled(value, dtype, seeds) for key, value in case.kwargs}


def draws(primitive: Primitive, shapes: Sequence[tuple[int, ...]], dtype: str) -> list[np.ndarray]:
    """Operands of an elementwise operation."""
    return [
        in_dtype(sample.array(seed, shape), dtype)
        for seed, (sample, shape) in enumerate(zip(primitive.cases, shapes, strict=True))
    ]


def arrays_in(nest: Any) -> list[np.ndarray]:
    if isinstance(nest, np.ndarray):
        return [nest]
    if isinstance(nest, dict):
        return [array for value in nest.values() for array in arrays_in(value)]
    return [array for value in nest for array in arrays_in(value)] if isinstance(nest, (list, tuple)) else []


def replaced(nest: Any, values: Iterator[Any]) -> Any:
    """`nest` with its floating arrays replaced, in order."""
    if isinstance(nest, np.ndarray):
        return next(values) if nest.dtype.kind == "f" else nest
    if isinstance(nest, dict):
        return {key: replaced(value, values) for key, value in nest.items()}
    return type(nest)(replaced(value, values) for value in nest) if isinstance(nest, (list, tuple)) else nest


def as_tuple(out: Any) -> tuple[Any, ...]:
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def call_checked(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call it, hold each application against its type rule, and see that no input was written."""
    before = [array.copy() for array in arrays_in((args, kwargs))]
    spy = Spy()
    add_tape(spy)
    try:
        out = function(*args, **kwargs)
    finally:
        remove_tape(spy)
    for primitive, inputs, outputs, params in spy.applications:
        predicted = primitive.rule(*[value.aval for value in inputs], **params)
        found = tuple(value.aval for value in as_tuple(outputs))
        assert tuple((a.shape, a.dtype) for a in as_tuple(predicted)) == tuple((a.shape, a.dtype) for a in found), (
            f"the type rule of {primitive.name} says {predicted}"
        )
    for array, copy in zip(arrays_in((args, kwargs)), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return out


def assert_close(found: np.ndarray, expected: np.ndarray, relative: float) -> None:
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative, equal_nan=True)


def assert_gradients_fit(
    primitive: Primitive,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    connected: Sequence[bool] | None,
) -> None:
    """Gradients have their primals' shapes and dtypes, and are None where no rule is declared."""
    floats = [array for array in arrays_in((args, kwargs)) if array.dtype.kind == "f"]
    tensors = [ops.constant(array) for array in floats]
    values = iter(tensors)
    with GradientTape() as tape:
        tape.watch(tensors)
        out = function(*replaced(args, values), **replaced(kwargs, values))
    results = floating_outputs(list(as_tuple(out)))
    gradients = tape.gradient(results, tensors) if results else [None] * len(tensors)
    expected = connected if connected is not None else [bool(primitive.vjp and results)] * len(tensors)
    for ct, primal, wanted in zip(gradients, tensors, expected, strict=True):
        assert (ct is not None) == wanted, f"{primitive.name}: gradient {ct}, connected should be {wanted}"
        if ct is not None:
            assert (ct.shape, ct.dtype) == (primal.shape, primal.dtype)


IN_CONTROL = ("region", "check")
"""Families of operations that tests/control holds in loops and branches, where they belong."""


@pytest.mark.parametrize(
    "primitive", [p for p in PRIMITIVES if p.properties["family"] not in IN_CONTROL], ids=lambda p: p.name
)
def test_a_primitive_has_cases(primitive: Primitive) -> None:
    assert primitive.cases, f"{primitive.name} is declared without cases: nothing tests it"


# ---- elementwise operations


ELEMENTWISE_CASES = [
    pytest.param(primitive, shapes, id=f"{primitive.name}-{'x'.join(map(str, shapes))}")
    for primitive in ELEMENTWISE
    for shapes in SHAPES[len(primitive.inputs)]
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("primitive", "shapes"), ELEMENTWISE_CASES)
def test_elementwise_values(primitive: Primitive, shapes: Any, dtype: str) -> None:
    args = draws(primitive, shapes, dtype)
    out = call_checked(public(primitive), args, {}).numpy()
    with np.errstate(all="ignore"):
        expected = np.asarray(reference(primitive)(*args))
    assert out.shape == np.broadcast_shapes(*shapes)
    if out.dtype.kind != "f":
        np.testing.assert_array_equal(out, expected)
        return
    assert out.dtype == args[-1].dtype
    allowed = primitive.properties["tolerance"] * np.spacing(np.abs(expected).astype(dtype)) + 1e-300
    assert np.all((np.abs(out - expected) <= allowed) | (out == expected))


@pytest.mark.parametrize("primitive", [p for p in ELEMENTWISE if "i" in p.properties["dtypes"]], ids=lambda p: p.name)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_elementwise_values_of_integers(primitive: Primitive, dtype: str) -> None:
    args = [
        array if array.dtype.kind == "b" else np.abs(np.rint(3 * array)).astype(dtype)
        for array in draws(primitive, [(7,)] * len(primitive.inputs), "float64")
    ]
    with np.errstate(all="ignore"):
        try:
            expected = np.asarray(reference(primitive)(*args))
        except TypeError:
            with pytest.raises(TypeError, match=r"does not take|takes"):
                public(primitive)(*args)
            return
    out = call_checked(public(primitive), args, {}).numpy()
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == expected.dtype


@pytest.mark.parametrize(("primitive", "shapes"), ELEMENTWISE_CASES)
def test_elementwise_derivatives(primitive: Primitive, shapes: Any) -> None:
    args = draws(primitive, shapes, "float64")
    connected = [
        name in primitive.vjp for name, array in zip(primitive.inputs, args, strict=True) if array.dtype.kind == "f"
    ]
    function = public(primitive)
    for dtype in ("float64", "float32"):
        assert_gradients_fit(primitive, function, [in_dtype(a, dtype) for a in args], {}, connected)
    floats = [array for array in args if array.dtype.kind == "f"]
    if any(connected):
        check_gradients(lambda *tensors: function(*replaced(args, iter(tensors))), floats)


def hand_written(field: str) -> list[Any]:
    return [
        pytest.param(primitive, row[:-1], row[-1], id=f"{primitive.name}{row[:-1]}")
        for primitive in ELEMENTWISE
        for row in primitive.properties[field]
    ]


def assert_same_number(found: Any, expected: Any, dtype: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=0, equal_nan=True)
    assert np.isnan(expected) or np.signbit(found) == np.signbit(float(expected)) or expected != 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("primitive", "inputs", "expected"), hand_written("special"))
def test_special_values(primitive: Primitive, inputs: Any, expected: Any, dtype: str) -> None:
    args = [np.asarray(value) if isinstance(value, bool) else np.asarray(value, dtype) for value in inputs]
    found = public(primitive)(*args).numpy()
    if isinstance(expected, bool):
        assert found == expected
    else:
        assert_same_number(found, np.asarray(expected, dtype), dtype)
    padded = [np.repeat(array, 9) for array in args]  # vector loops take other paths
    np.testing.assert_array_equal(public(primitive)(*padded).numpy(), np.repeat(found, 9))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("primitive", "inputs", "expected"), hand_written("slopes"))
def test_special_slopes(primitive: Primitive, inputs: Any, expected: Any, dtype: str) -> None:
    tensors = [ops.constant(np.asarray(value, dtype)) for value in inputs]
    with GradientTape() as tape:
        tape.watch(tensors[0])
        y = public(primitive)(*tensors)
    found = tape.gradient(y, tensors[0])
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_allclose(found.numpy(), np.asarray(expected, dtype), rtol=4 * np.finfo(dtype).eps)


# ---- all the others


OTHER_CASES = [
    pytest.param(primitive, case, id=f"{primitive.name}-{number}")
    for primitive in OTHERS
    for number, case in enumerate(primitive.cases)
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("primitive", "case"), OTHER_CASES)
def test_values(primitive: Primitive, case: Case, dtype: str) -> None:
    args, kwargs = case_arguments(case, dtype)
    found = as_tuple(call_checked(public(primitive), args, kwargs))
    with np.errstate(all="ignore"):
        out = reference(primitive)(*args, **kwargs)
    expected = (out,) if isinstance(out, np.ndarray) or np.isscalar(out) else as_tuple(out)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_close(one.numpy(), np.asarray(other), RELATIVE[dtype])
        assert one.dtype == np.asarray(other).dtype


@pytest.mark.parametrize(("primitive", "case"), OTHER_CASES)
def test_derivatives(primitive: Primitive, case: Case) -> None:
    function = public(primitive)
    for dtype in ("float32", "float64"):
        args, kwargs = case_arguments(case, dtype)
        floats = [array for array in arrays_in((args, kwargs)) if array.dtype.kind == "f"]
        assert_gradients_fit(primitive, function, args, kwargs, IMPLICIT.get(primitive.name))

    def of_floats(*tensors: Any) -> Any:
        values = iter(tensors)
        return function(*replaced(args, values), **replaced(kwargs, values))

    exact = all(out.dtype == np.float64 for out in floating_outputs(of_floats(*map(ops.constant, floats))))
    if any(array.size for array in floats) and primitive.vjp and exact and primitive.name not in IMPLICIT:
        check_gradients(of_floats, floats)


# ---- forward mode


def tangents_of(function: Callable[..., Any], tensors: list[Any], directions: list[Any]) -> list[Any]:
    """The tangents of the floating results; a direction is None for an input that is not differentiated by."""
    chosen = [(x, v) for x, v in zip(tensors, directions, strict=True) if v is not None]
    with ForwardAccumulator([x for x, _ in chosen], [v for _, v in chosen]) as accumulator:
        out = as_tuple(function(*tensors))
    for each in out:
        tangent = accumulator.jvp(each)
        assert tangent is None or (tangent.shape, tangent.dtype) == (each.shape, each.dtype)
    return accumulator.jvp(floating_outputs(list(out)))  # type: ignore[no-any-return]


def cotangents_of(function: Callable[..., Any], tensors: list[Any], weights: list[Any]) -> list[Any]:
    with GradientTape() as tape:
        tape.watch(tensors)
        out = floating_outputs(list(as_tuple(function(*tensors))))
    return tape.gradient(out, tensors, weights)  # type: ignore[no-any-return]


def inner(left: Sequence[Any], right: Sequence[Any]) -> Any:
    """The inner product, in which None counts as zeros."""
    total: Any = ops.constant(0.0, "float64")
    for one, other in zip(left, right, strict=True):
        if one is not None and other is not None:
            total = total + ops.sum(ops.astype(one, "float64") * ops.astype(other, "float64"))
    return total


def assert_tangents_fit(function: Callable[..., Any], floats: Sequence[np.ndarray]) -> None:
    """Forward mode is the transpose of reverse mode, also in derivatives of each other."""
    rng = np.random.default_rng(5)
    tensors = [ops.constant(array) for array in floats]
    directions = [ops.constant(rng.uniform(-1, 1, x.shape), x.dtype) for x in tensors]
    results = floating_outputs(list(as_tuple(function(*tensors))))
    weights = [ops.constant(rng.uniform(-1, 1, y.shape), y.dtype) for y in results]
    if not results:
        return
    found, pulled = tangents_of(function, tensors, directions), cotangents_of(function, tensors, weights)
    close = {"rtol": 1e-9, "atol": 1e-9}
    if any(each.dtype != np.float64 for each in results):
        close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(inner(weights, found).numpy(), inner(pulled, directions).numpy(), **close)
    for place, ct in enumerate(pulled):
        alone = [v if place == number else None for number, v in enumerate(directions)]
        connected = any(tangent is not None for tangent in tangents_of(function, tensors, alone))
        assert connected == (ct is not None), f"input {place}"
    if all(ct is None for ct in pulled):
        return
    over_reverse = tangents_of(
        lambda *at: [ct for ct in cotangents_of(function, list(at), weights) if ct is not None], tensors, directions
    )
    over_forward = cotangents_of(
        lambda *at: [v for v in tangents_of(function, list(at), directions) if v is not None],
        tensors,
        [w for w, v in zip(weights, found, strict=True) if v is not None],
    )
    other = [ops.constant(rng.uniform(-1, 1, x.shape), x.dtype) for x in tensors]
    reached = [v for v, ct in zip(other, pulled, strict=True) if ct is not None]
    np.testing.assert_allclose(inner(over_reverse, reached).numpy(), inner(over_forward, other).numpy(), **close)


@pytest.mark.parametrize(("primitive", "shapes"), ELEMENTWISE_CASES)
def test_elementwise_tangents(primitive: Primitive, shapes: Any) -> None:
    args, function = draws(primitive, shapes, "float64"), public(primitive)
    floats = [array for array in args if array.dtype.kind == "f"]
    assert_tangents_fit(lambda *tensors: function(*replaced(args, iter(tensors))), floats)


@pytest.mark.parametrize(("primitive", "case"), OTHER_CASES)
def test_tangents(primitive: Primitive, case: Case) -> None:
    (args, kwargs), function = case_arguments(case, "float64"), public(primitive)
    floats = [array for array in arrays_in((args, kwargs)) if array.dtype.kind == "f"]

    def of_floats(*tensors: Any) -> Any:
        values = iter(tensors)
        return function(*replaced(args, values), **replaced(kwargs, values))

    if floats:
        assert_tangents_fit(of_floats, floats)


# ---- batches: a function mapped over any of its arrays gives what it gives for each example


LANES = 3


def all_replaced(nest: Any, values: Iterator[Any]) -> Any:
    """`nest` with all of its arrays replaced, in order."""
    if isinstance(nest, np.ndarray):
        return next(values)
    if isinstance(nest, dict):
        return {key: all_replaced(value, values) for key, value in nest.items()}
    return type(nest)(all_replaced(value, values) for value in nest) if isinstance(nest, (list, tuple)) else nest


def gradients_in(function: Callable[..., Any], arrays: Sequence[Any]) -> list[Any]:
    """The results, and the gradients by the floating arrays, of one example."""
    arrays = [ops.asarray(array) for array in arrays]
    floats = [array for array in arrays if array.dtype.kind == "f"]
    with GradientTape() as tape:
        tape.watch(floats)
        out = as_tuple(function(*arrays))
        results = floating_outputs(list(out))
        total = weighted_sum(results, 0) if results else None
    gradients = tape.gradient(total, floats, unconnected_gradients="zero") if results else []
    return [*out, *gradients]


def assert_batches_fit(primitive: Primitive, function: Callable[..., Any], lanes: list[list[np.ndarray]]) -> None:
    """`function`, mapped over each choice of its arrays, against a loop; `lanes` has the arrays of each example."""
    count = len(lanes[0])
    for chosen in itertools.product((0, None), repeat=count):
        if count and all(axis is None for axis in chosen):
            continue
        args = [
            np.stack([lane[place] for lane in lanes]) if axis == 0 else lanes[0][place]
            for place, axis in enumerate(chosen)
        ]
        found = vmap(lambda *arrays: gradients_in(function, arrays), in_axes=chosen)(*args)
        for number in range(LANES):
            each = [arg[number] if axis == 0 else arg for arg, axis in zip(args, chosen, strict=True)]
            expected = gradients_in(function, each)
            for one, other in zip(found, expected, strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_allclose(
                    one[number].numpy(), other.numpy(), rtol=1e-12, atol=1e-12, err_msg=f"{primitive.name}{chosen}"
                )


@pytest.mark.parametrize(
    "primitive", [p for p in PRIMITIVES if p.properties["family"] not in IN_CONTROL], ids=lambda p: p.name
)
def test_a_primitive_has_a_batch_rule(primitive: Primitive) -> None:
    assert primitive.batch is not None or isinstance(primitive.lowering, Composite)


@pytest.mark.parametrize(("primitive", "shapes"), ELEMENTWISE_CASES)
def test_elementwise_batches(primitive: Primitive, shapes: Any) -> None:
    lanes = [
        [sample.array(9 * lane + seed, shapes[seed]) for seed, sample in enumerate(primitive.cases)]
        for lane in range(LANES)
    ]
    assert_batches_fit(primitive, public(primitive), lanes)


@pytest.mark.parametrize(("primitive", "case"), [case for case in OTHER_CASES if case.values[0].inputs])
def test_batches(primitive: Primitive, case: Case) -> None:
    args, kwargs = case_arguments(case, "float64")
    lanes = [
        arrays_in(
            (filled(case.args, "float64", seeds), {key: filled(value, "float64", seeds) for key, value in case.kwargs})
        )
        for seeds in (itertools.count(100 * lane) for lane in range(LANES))
    ]

    def function(*arrays: Any) -> Any:
        values = iter(arrays)
        return public(primitive)(*all_replaced(args, values), **all_replaced(kwargs, values))

    assert_batches_fit(primitive, function, lanes)
