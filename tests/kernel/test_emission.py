"""What kernels compute: every lowerable primitive, the programs that break careless compilers, random programs.

Each goes five ways that have to agree; see `tests.agreement`.
"""

import ast
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import tapejit as tj
from tapejit.kernel.emission import emit
from tapejit.kernel.text import Text
from tapejit.lowering import LOWERED, Composite
from tapejit.passes import lanes, statements
from tapejit.passes.prepare import prepare
from tapejit.primitive import REGISTRY, Primitive
from tests.agreement import check_agreement, trace
from tests.kernel.oracle import is_steady
from tests.kernel.random_programs import RandomProgram, examples, random_programs
from tests.ops.test_registry import arrays_in, case_arguments, draws, public
from tests.programs import PROGRAMS, STEPS, Program

GOLDEN = Path(__file__).parent / "golden"
SHAPES: dict[int, tuple[tuple[tuple[int, ...], ...], ...]] = {
    1: (((),), ((0,),), ((2, 3),)),
    2: (((), ()), ((0,), (1,)), ((4, 1), (2, 1, 1)), ((2, 1), (1, 3))),
    3: (((), (), ()), ((0,), (), (1,)), ((2, 1), (3,), ())),
}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
Function = Callable[..., Any]


def together(calls: list[tuple[int, Function]]) -> Function:
    """One function of the arguments of all: one large kernel compiles faster than ten small ones."""

    def function(*arguments: Any) -> list[Any]:
        results: list[Any] = []
        rest = list(arguments)
        for count, each in calls:
            out = each(*rest[:count])
            del rest[:count]
            results += out if isinstance(out, (tuple, list)) else [out]
        return results

    return function


# Programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_and_its_gradients(name: str) -> None:
    program = PROGRAMS[name]
    calls = [(len(program.arguments), program.bound("float64"))]
    draws = [program.draw(seed, "float64") for seed in (0, 1)]
    if program.differentiable:
        calls.append((len(program.arguments), program.gradient("float64")))
        draws = [[*drawn, *drawn] for drawn in draws]
    check_agreement(together(calls), *draws)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_assigns(name: str) -> None:
    program = STEPS[name]
    check_agreement(program.bound(), program.draw(0), program.draw(1))


@examples(25)
@given(random_programs())
def test_random_programs(program: RandomProgram) -> None:
    assume(is_steady(program.function(), program.draw(0), program.draw(1)))
    check_agreement(program.function(), program.draw(0), program.draw(1), scale=100)


@pytest.mark.parametrize("tiles", [True, False])
@examples(10)
@given(program=random_programs())
def test_random_programs_with_products(program: RandomProgram, tiles: bool) -> None:
    assume(is_steady(program.function(), program.draw(0), program.draw(1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[prepare.__module__], "LOOP_PRODUCT", 4)
        patch.setattr(statements, "in_tiles", lambda *_, **__: tiles)
        check_agreement(program.function(), program.draw(0), program.draw(1), scale=100)


@examples(15)
@given(random_programs())
def test_random_programs_in_lanes(program: RandomProgram) -> None:
    assume(is_steady(program.function(), program.draw(0), program.draw(1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "FEWEST", 2)
        check_agreement(program.function(), program.draw(0), program.draw(1), scale=100)


# The registry


def lowerable(primitive: Primitive) -> bool:
    """Whether graphs with this primitive compile, as far as its declaration says."""
    return isinstance(primitive.lowering, (*LOWERED, Composite))


ELEMENTWISE = [p for p in REGISTRY.values() if lowerable(p) and p.properties["family"] == "elementwise"]
OTHERS = [p for p in REGISTRY.values() if lowerable(p) and p.properties["family"] != "elementwise"]


def accepts(primitive: Primitive, dtype: str) -> bool:
    return np.dtype(dtype).kind in primitive.properties["dtypes"]


def floating_operands(primitive: Primitive) -> Iterator[list[np.ndarray]]:
    for shapes in SHAPES[len(primitive.inputs)]:
        yield draws(primitive, shapes, "float64")
    yield draws(primitive, SHAPES[len(primitive.inputs)][-1], "float32")
    rows = [row[:-1] for row in primitive.properties["special"]]
    for dtype in ("float32", "float64") if rows else ():
        columns = [np.array(column, dtype) for column in zip(*rows, strict=True)]
        yield [columns[0].astype(bool), *columns[1:]] if len(columns) == 3 else columns


def integer_operands(primitive: Primitive) -> Iterator[list[np.ndarray]]:
    rng = np.random.default_rng(3)
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        low, high = max(info.min, -4), info.max
        small = [rng.integers(low, 4, 6, dtype, endpoint=True) for _ in primitive.inputs]
        large = [rng.integers(info.min, high, 6, dtype, endpoint=True) for _ in primitive.inputs]
        drawn = [np.concatenate(pair) for pair in zip(small, large, strict=True)]
        if primitive.name == "power":
            drawn[1] = drawn[1] % 5  # NumPy refuses negative exponents
        yield drawn


def boolean_operands(primitive: Primitive) -> list[np.ndarray]:
    corners = np.array([[False, False, True, True], [False, True, False, True], [True, True, False, True]])
    return list(corners[: len(primitive.inputs)])


@pytest.mark.parametrize("primitive", ELEMENTWISE, ids=lambda p: p.name)
def test_an_elementwise_primitive(primitive: Primitive) -> None:
    operands: list[list[np.ndarray]] = []
    if accepts(primitive, "float64"):
        operands += floating_operands(primitive)
    if accepts(primitive, "int32"):
        operands += integer_operands(primitive)
    if accepts(primitive, "bool"):
        operands.append(boolean_operands(primitive))
    assert operands
    calls = [(len(each), public(primitive)) for each in operands]
    check_agreement(together(calls), [array for each in operands for array in each])


def with_tensors(nest: Any, tensors: Iterator[Any]) -> Any:
    """`nest` with its arrays replaced, in order."""
    if isinstance(nest, np.ndarray):
        return next(tensors)
    if isinstance(nest, dict):
        return {key: with_tensors(value, tensors) for key, value in nest.items()}
    return type(nest)(with_tensors(value, tensors) for value in nest) if isinstance(nest, (tuple, list)) else nest


def case_function(primitive: Primitive, args: Any, kwargs: Any) -> Function:
    def function(*tensors: Any) -> Any:
        rest = iter(tensors)
        return public(primitive)(*with_tensors(args, rest), **with_tensors(kwargs, rest))

    return function


@pytest.mark.parametrize("primitive", OTHERS, ids=lambda p: p.name)
def test_another_primitive(primitive: Primitive) -> None:
    arguments: list[np.ndarray] = []
    calls = []
    for case in primitive.cases:
        args, kwargs = case_arguments(case, "float32")
        arrays = arrays_in((args, kwargs))
        arguments += arrays
        calls.append((len(arrays), case_function(primitive, args, kwargs)))
    check_agreement(together(calls), arguments)


@pytest.mark.parametrize("combine", ["sum", "prod", "max", "min"])
def test_reductions_of_narrow_integers_wrap_as_numpy_does(combine: str) -> None:
    rng = np.random.default_rng(5)
    arrays = [rng.integers(np.iinfo(d).min, np.iinfo(d).max, (4, 3), d, endpoint=True) for d in INTEGERS]
    function = getattr(tj, combine)
    check_agreement(lambda *xs: [function(x, axis=axis) for x in xs for axis in (0, None)], arrays)


# Names


def test_a_users_names_never_hide_what_a_kernel_calls() -> None:
    names = ["exp", "table", "stage", "i", "range", "select", "accumulate", "class", "float32_at", "1st", "a.b[0]"]
    arguments = [np.full(3, 0.5, np.float32)] * len(names)
    traced = trace(lambda *xs: tj.softmax(tj.exp(sum(xs[1:], xs[0]))), arguments)
    source = emit(traced.plan(), "exp-step", dict(zip(traced.graph.inputs, names, strict=False))).source
    tree = ast.parse(source)
    names_in = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assigned = {node.id for node in names_in if isinstance(node.ctx, ast.Store)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {function.id for function in calls if isinstance(function, ast.Name)}
    assert not assigned & called
    assert source.startswith("def exp_step(table, stage, lo, hi):")


@pytest.mark.parametrize("called", ["sqrt", "exp", "erf", "select"])
def test_a_function_that_is_named_as_what_a_kernel_calls_hides_none_of_it(called: str) -> None:
    traced = trace(lambda x: tj.sqrt(tj.where(x > 0, tj.exp(tj.erf(x)), x)), [np.full(3, 0.5)])
    emitted = emit(traced.plan(), called, {})
    calls = [node.func for node in ast.walk(ast.parse(emitted.source)) if isinstance(node, ast.Call)]
    assert emitted.name not in {function.id for function in calls if isinstance(function, ast.Name)}


@pytest.mark.parametrize("name", [*PROGRAMS, *STEPS])
def test_no_name_is_left_unused(name: str) -> None:
    program = {**PROGRAMS, **STEPS}[name]
    tree = ast.parse(trace(program.bound(), program.draw(0)).emitted().source)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    loops = {ast.unparse(node.target) for node in ast.walk(tree) if isinstance(node, ast.For)}
    assert {node.id for node in names} - read - loops == set()


def test_an_operand_that_an_expression_names_twice_is_computed_once() -> None:
    x = np.ones(5)
    source = trace(lambda x, y: (tj.sum((y - tj.exp(x)) ** 2), tj.sigmoid(x + y) ** 2), [x, x]).emitted().source
    assert source.count("exp(") == 1
    assert source.count("sigmoid(") == 1


# Golden files: what people read; regenerated only by TAPEJIT_UPDATE_GOLDEN=1, and reviewed as differences


GOLDEN_PROGRAMS = [
    "line_fit", "softmax_regression", "logistic_regression", "perceptron", "layer_norm", "black_scholes",
    "outer_of_exp", "padded", "reductions_of_three_axes", "update_by_own_rows", "larger_batched_product", "swap",
]  # fmt: skip


def golden_text(program: Program) -> str:
    traced = trace(program.bound(), program.draw(0))
    parameters = [name for name in inspect.signature(program.function).parameters if name != "_"]
    arguments = len(program.arguments)
    labels = {}
    for node in traced.graph.inputs:
        kind, position = node.op.kind, node.op.position  # type: ignore[union-attr]
        if kind == "argument":
            labels[node] = list(inspect.signature(program.function).parameters)[position]
        elif kind == "variable":
            labels[node] = traced.variables[position].name or "variable"
    assert len(parameters) >= arguments - 1
    return emit(traced.plan(), program.name, labels).source


@pytest.mark.parametrize("name", GOLDEN_PROGRAMS)
def test_golden_file(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    text = golden_text({**PROGRAMS, **STEPS}[name])
    if os.environ.get("TAPEJIT_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, f"run with TAPEJIT_UPDATE_GOLDEN=1 and review the difference of {path}"


def test_golden_files_are_all_tested() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(GOLDEN_PROGRAMS)


def test_no_value_has_the_name_of_a_loops_variable() -> None:
    text = Text()
    with text.counting("k", "3") as first, text.counting("k", "3") as second:
        pass
    assert text.fresh("k") not in {first, second}, "it might be a float, where the variable is an int"
    with text.counting("k", "3") as again:
        assert again == first
