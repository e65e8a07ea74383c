"""Kernels are as accurate as NumPy: random programs against extended precision.

A kernel's error is at most 4 times that of NumPy, which runs the same graph node by node, plus 8 units in the last
place of the largest number on the way. Integers and booleans are exact. For a long run with new programs::

    TAPEJIT_EXAMPLES=20000 python -m pytest -q tests/kernel -k random_programs
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import NoneType
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings

import tapejit as tj
from tapejit.graph import evaluate
from tapejit.kernel.executable import Executable
from tapejit.kernel.kernels import kernel_for
from tapejit.lowering import Opaque
from tapejit.primitive import REGISTRY
from tests.agreement import Traced, trace
from tests.kernel import random_operations as tables
from tests.kernel import wide_linalg
from tests.kernel.oracle import WIDE, WIDE_EPS, Exact, exactly
from tests.kernel.random_programs import FLOATS, RandomProgram, examples, random_programs

TIMES, ULPS = 4, 8
CALLS = 3
# Where `longdouble` is double precision, there is no oracle for float64.
TYPES = FLOATS if np.finfo("float64").eps > 1000 * WIDE_EPS else ("float32",)

Arrays = list[np.ndarray]
Function = Callable[..., Any]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest error; infinite where one is not finite and the other is, or is something else."""
    if not np.array_equal(np.isfinite(found), np.isfinite(exact)):
        return np.inf
    special = ~np.isfinite(exact)
    if not np.array_equal(found[special], exact[special], equal_nan=True):
        return np.inf
    return float(np.max(np.abs(found[~special] - exact[~special]), initial=0.0))


def check_bound(traced: Traced, exact: Exact, evaluated: Arrays, kernel: Arrays) -> None:
    for node, wanted, ulp, other, found in zip(
        traced.raw.roots, exact.results, exact.ulps, evaluated, kernel, strict=True
    ):
        assert (found.shape, found.dtype) == (node.aval.shape, node.aval.dtype)
        if node.aval.dtype.kind != "f":
            np.testing.assert_array_equal(found, wanted)
            continue
        allowed = TIMES * error(other, wanted) + ULPS * ulp
        assert error(found, wanted) <= allowed, f"{node}: kernel {found}, evaluator {other}, exact {wanted}, ulp {ulp}"


def kernel_results(traced: Traced, executable: Executable, arguments: Sequence[np.ndarray]) -> Arrays:
    outputs = [tensor.numpy() for tensor in executable(list(arguments))]
    positions = [variable.op.position for variable, _ in traced.raw.updates]  # type: ignore[union-attr]
    return [*outputs, *[traced.variables[position].numpy() for position in positions]]


def check_program(program: RandomProgram) -> None:
    """Several calls of one kernel, each with new arguments and with the variables that the last one left."""
    traced = trace(program.function(), program.draw(0))
    inputs = traced.inputs(program.draw(0))
    assume(exactly(traced.raw, inputs).steady)
    kernel = kernel_for(traced.graph, "program", traced.names(), cache=False)
    executable = Executable(kernel, traced.graph, traced.variables, traced.captures, traced.numbers)
    for seed in range(CALLS):
        arguments = program.draw(seed)
        inputs = [np.array(value) for value in traced.inputs(arguments)]
        exact = exactly(traced.raw, inputs)
        if not exact.steady:
            break
        outputs, updates = evaluate(traced.raw, inputs)
        check_bound(traced, exact, [*outputs, *updates], kernel_results(traced, executable, arguments))


@examples(25)
@given(random_programs(floats=TYPES))
def test_small_random_programs(program: RandomProgram) -> None:
    check_program(program)


@examples(15)
@given(random_programs(largest=6000, floats=TYPES))
def test_random_programs_with_long_axes_and_large_products(program: RandomProgram) -> None:
    check_program(program)


# The programs and the oracle themselves


TABLES: tuple[tuple[dict[str, Function], str], ...] = (
    (tables.UNARY, "f"),
    (tables.STEPPED, "f"),
    (tables.BINARY, "ff"),
    (tables.COMPARED, "ff"),
    (tables.OF_BOOLEANS, "bb"),
    (tables.OF_INTEGERS, "ii"),
    (tables.CASTS, "f"),
    (tables.TO_FLOAT, "i"),
    ({name: partial(each, axis=(0,)) for name, each in {**tables.OVER_AXES, **tables.WITH_IDENTITY}.items()}, "f"),
    ({name: partial(each, axis=(0,)) for name, each in tables.OF_DISCRETE.items()}, "b"),
    ({name: partial(each, axis=0) for name, each in tables.ALONG.items()}, "f"),
    (tables.WITH_MATRIX, "mm"),
)


ELSEWHERE = {
    "step/test_random_steps.py": ("random_bits", "box_muller"),
    "kernel/test_convolutions.py": ("conv", "windows"),
    "losses": ("class_of", "pick_along_axis"),
    "random": ("lane_bits", "normal_quantile", "poisson_counts", "standard_gamma"),
    "kernel/test_pooling.py": ("average_pool", "depthwise_conv", "max_pool"),
    "kernel/test_winograd.py": ("winograd_by_kernel", "winograd_conv", "winograd_kernel"),
    "kernel/test_lapack.py": ("cofactors", "det", "eigh", "expm", "pinv", "qr", "svd"),
    "control, kernel/test_regions.py": ("after", "checkpoint", "scan", "switch", "while_loop", "within_steps"),
}
"""Where operations are tested that have no bound for the errors of their elements, or hold regions."""


def test_the_programs_use_all_operations_that_compile() -> None:
    wanted = {name for name, each in REGISTRY.items() if not isinstance(each.lowering, (Opaque, NoneType))}
    wanted -= {name for names in ELSEWHERE.values() for name in names}
    arrays = {"f": np.ones((2, 3)), "i": np.ones((2, 3), int), "b": np.ones((2, 3), bool), "m": np.ones((3, 3))}

    def all_entries(*values: Any) -> list[Any]:
        operands = dict(zip(arrays, values, strict=True))
        return [each(*[operands[kind] for kind in kinds]) for table, kinds in TABLES for each in table.values()]

    graphs = [trace(all_entries, list(arrays.values())).raw]

    @settings(examples(250), max_examples=250)
    @given(random_programs())
    def collect(program: RandomProgram) -> None:
        graphs.append(trace(program.function(), program.draw(0)).raw)

    collect()
    used = {node.primitive.name for graph in graphs for node in graph.nodes() if node.primitive is not None}
    assert wanted - used == set()


def exact_of(function: Callable[..., Any], *arguments: np.ndarray) -> Exact:
    traced = trace(function, arguments)
    return exactly(traced.raw, traced.inputs(arguments))


def test_the_oracle_is_more_precise_than_float64() -> None:
    x = np.linspace(-3, 3, 13)
    for function, by_mpmath in (
        (tj.exp, mpmath.exp),
        (tj.tanh, mpmath.tanh),
        (tj.erf, mpmath.erf),
        (tj.sin, mpmath.sin),
    ):
        for number, found in zip(x, exact_of(function, x).results[0], strict=True):
            with mpmath.workprec(120):
                high = mpmath.mpf(float(found))
                error = high + mpmath.mpf(float(found - WIDE(float(found)))) - by_mpmath(mpmath.mpf(float(number)))
            assert abs(float(error)) <= 4 * WIDE_EPS * max(abs(float(found)), 1e-300)


def test_the_oracles_linear_algebra_is_numpys() -> None:
    x = np.random.default_rng(8).standard_normal((2, 4, 4)) + 3 * np.eye(4)
    cases = {"solve": (x, x[:, :, :2]), "inv": (x,), "slogdet": (-x[:, :3, :3],), "cholesky": (x @ x.swapaxes(1, 2),)}
    for name, operands in cases.items():
        found = getattr(wide_linalg, name)(*[operand.astype(WIDE) for operand in operands])
        expected = getattr(np.linalg, name)(*operands)
        pairs = zip(found, expected, strict=True) if name == "slogdet" else [(found, expected)]
        for one, other in pairs:
            assert one.dtype == WIDE
            np.testing.assert_allclose(one.astype(float), other, rtol=1e-12, atol=1e-13)


STEADY: dict[str, Function] = {
    "numbers apart": lambda x: x > 0.3,
    "a tie of equal numbers": lambda x: tj.sin(x) >= tj.sin(x[::-1])[::-1],
    "the zeros of relu": lambda x: tj.relu(x) > 0,
    "a maximum and its elements": lambda x: tj.exp(x) == tj.max(tj.exp(x)),
    "a root of what is not small": lambda x: tj.sqrt(x * x + 1),
    "one of several results": lambda x: tj.linalg.slogdet(tj.outer(x, x) + tj.eye(5, dtype=x.dtype))[1] * x,
    "conversion of what is between": lambda x: tj.astype(x * 3.1, "int32"),
}
UNSTEADY: dict[str, Function] = {
    "a tie but for rounding": lambda x: tj.sin(x) ** 2 + tj.cos(x) ** 2 > 1,
    "a floor of an integer but for rounding": lambda x: tj.floor(tj.exp(tj.log(tj.abs(x) * 0 + 3))),
    "a root of a rounding error": lambda x: tj.sqrt(tj.abs(tj.sin(x) ** 2 + tj.cos(x) ** 2 - 1)),
    "the place of a tie but for rounding": lambda x: tj.argmax(tj.stack([tj.exp(x), tj.exp(x / 2) ** 2]), axis=0),
}


@pytest.mark.parametrize("name", [*STEADY, *UNSTEADY])
@pytest.mark.parametrize("dtype", TYPES)
def test_what_has_an_answer(name: str, dtype: str) -> None:
    x = np.array([0.7, -1.3, 1.9, 0.2, -0.6], dtype)
    assert exact_of({**STEADY, **UNSTEADY}[name], x).steady == (name in STEADY)


def test_the_bound_is_that_of_the_least_precise_number_on_the_way() -> None:
    x = np.array([1.5, -100.0])
    ulps = exact_of(lambda x: (x, x * 2, tj.astype(tj.astype(x, "float32"), "float64"), tj.argmax(x)), x).ulps
    assert ulps == [64 * 2.0**-52, 128 * 2.0**-52, 64 * 2.0**-23, 0.0]


@pytest.mark.parametrize("fault", [lambda x: x * (1 + 2**-19), lambda x: x + np.nan, lambda x: x * 0, lambda x: -x])
def test_a_wrong_result_is_noticed(fault: Function) -> None:
    x = np.array([0.7, -1.3, 1.9], np.float32)
    traced = trace(tj.exp, [x])
    exact, evaluated = exactly(traced.raw, [x]), evaluate(traced.raw, [x])[0]
    check_bound(traced, exact, evaluated, evaluated)
    with pytest.raises(AssertionError):
        check_bound(traced, exact, evaluated, [fault(evaluated[0]).astype(np.float32)])
