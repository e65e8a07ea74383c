"""What kernels compute: every lowerable primitive, the programs that break careless compilers, random programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapejit as tj
from tapejit.lowering import Composite, Contraction, Pieces, Pointwise, Reduction, View
from tapejit.primitive import REGISTRY, Primitive
from tests.agreement import check_agreement
from tests.ops.test_registry import SHAPES, case_arguments, draws, public, arrays_in, replaced
from tests.programs import PROGRAMS, STEPS, Program

LOWERABLE = tuple(p for p in REGISTRY.values() if p.lowering is not None)
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

def together(functions):
    """One function of the arguments of all: compiling one kernel takes as long as compiling ten."""
    def function(*arguments):
        results, rest = [], list(arguments)
        for count, each in functions:
            out = each(*rest[:count]); del rest[:count]
            results += list(out) if isinstance(out, (tuple, list)) else [out]
        return results
    return function

@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    program = PROGRAMS[name]
    check_agreement(program.bound(), program.draw(0), program.draw(1))

@pytest.mark.parametrize("name", [n for n, p in PROGRAMS.items() if p.differentiable])
def test_gradient(name):
    program = PROGRAMS[name]
    check_agreement(program.gradient("float64"), program.draw(0, "float64"), program.draw(1,"float64"))

@pytest.mark.parametrize("name", STEPS)
def test_step(name):
    program = STEPS[name]
    check_agreement(program.bound(), program.draw(0), program.draw(1))

ELEMENTWISE = [p for p in LOWERABLE if p.properties["family"] == "elementwise"]
OTHERS = [p for p in LOWERABLE if p.properties["family"] != "elementwise"]

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("primitive", ELEMENTWISE, ids=lambda p: p.name)
def test_elementwise_primitive_of_all_shapes(primitive, dtype):
    function = public(primitive)
    arguments, calls = [], []
    for shapes in SHAPES[len(primitive.inputs)]:
        arguments += draws(primitive, shapes, dtype)
        calls.append((len(shapes), function))
    check_agreement(together(calls), arguments)

def accepts(primitive, dtype):
    return np.dtype(dtype).kind in primitive.properties["dtypes"]

@pytest.mark.parametrize("primitive", [p for p in ELEMENTWISE if accepts(p, "int32")], ids=lambda p: p.name)
def test_elementwise_primitive_of_integers(primitive):
    rng = np.random.default_rng(3)
    arguments, calls = [], []
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        for high in (4, info.max):
            low = -high if info.min else 0
            drawn = [rng.integers(low, high, 9, dtype, endpoint=True) for _ in primitive.inputs]
            arguments += drawn
            calls.append((len(drawn), public(primitive)))
    check_agreement(together(calls), arguments)

@pytest.mark.parametrize("primitive", [p for p in ELEMENTWISE if accepts(p, "bool")], ids=lambda p: p.name)
def test_elementwise_primitive_of_booleans(primitive):
    corners = np.array([False, False, True, True]), np.array([False, True, False, True]), np.array([True, True, False, True])
    check_agreement(public(primitive), corners[:len(primitive.inputs)])

@pytest.mark.parametrize("primitive", [p for p in ELEMENTWISE if accepts(p, "float64") and p.properties["special"]], ids=lambda p: p.name)
def test_elementwise_primitive_at_hard_points(primitive):
    rows = [row[:-1] for row in primitive.properties["special"]]
    arguments, calls = [], []
    for dtype in ("float32", "float64"):
        columns = [np.array(column, dtype) for column in zip(*rows, strict=True)]
        if len(columns) == 3: columns[0] = columns[0].astype(bool)
        arguments += columns
        calls.append((len(columns), public(primitive)))
    check_agreement(together(calls), arguments)

@pytest.mark.parametrize("primitive", OTHERS, ids=lambda p: p.name)
def test_other_primitive(primitive):
    arguments, calls = [], []
    def of(args, kwargs):
        def function(*tensors):
            rest = iter(tensors)
            a, k = all_replaced((args, kwargs), rest)
            return public(primitive)(*a, **k)
        return function
    for dtype in ("float32", "float64"):
        for case in primitive.cases:
            args, kwargs = case_arguments(case, dtype)
            arrays = arrays_in((args, kwargs))
            arguments += arrays
            calls.append((len(arrays), of(args, kwargs)))
    check_agreement(together(calls), arguments)

def all_replaced(nest, values):
    if isinstance(nest, np.ndarray): return next(values)
    if isinstance(nest, dict): return {k: all_replaced(v, values) for k, v in nest.items()}
    if isinstance(nest, (tuple, list)): return type(nest)(all_replaced(v, values) for v in nest)
    return nest
