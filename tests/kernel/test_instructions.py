"""Operations on vectors: in each lane what they do to scalars, to the bit."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from llvmlite import ir

from tapejit.kernel import assembly, objects
from tapejit.kernel.instructions import I8, I32, I64, OPERATIONS, Operation, convert, for_, kind, type_of
from tapejit.kernel.mathlib.lanes import widened

LANES = 4
COUNT = 256
NARROW = ("bool", "int8", "uint8", "int32", "uint32", "int64", "uint64", "float32", "float64")
Write = Callable[..., ir.Value]


def values(dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind(dtype) == "f":
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.5, 1e-310, 1e30])
        numbers = np.concatenate([special, rng.normal(size=COUNT - special.size) * 5])
        with np.errstate(all="ignore"):
            return rng.permutation(numbers).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, COUNT).astype(bool)
    info = np.iinfo(dtype)
    ends = np.array([info.min, info.max, 1], dtype)
    return rng.permutation(np.concatenate([rng.integers(-3 * (info.min < 0), 12, COUNT - 3).astype(dtype), ends]))


def function(operands: list[str], result: str, write: Write, lanes: int) -> np.ndarray:
    """`write` applied to COUNT elements, so many lanes at a time; arrays are table entries, booleans are bytes."""
    module = ir.Module()
    number, table = I64, I64.as_pointer()
    body = ir.Function(module, ir.FunctionType(I32, [table, I8.as_pointer(), table, number, number, number]), "body")
    b = ir.IRBuilder(body.append_basic_block())

    def cell(slot: int, dtype: str, index: ir.Value) -> ir.Value:
        stored = I8 if dtype == "bool" else type_of(dtype)
        start = b.inttoptr(b.load(b.gep(body.args[2], [number(slot)])), stored.as_pointer())
        return b.gep(start, [index])

    def loaded(slot: int, dtype: str, index: ir.Value) -> ir.Value:
        value = b.load(cell(slot, dtype, index))
        return b.trunc(value, ir.IntType(1)) if dtype == "bool" else value

    def some(group: ir.Value) -> None:
        places = [b.add(b.mul(group, number(lanes)), number(lane)) for lane in range(lanes)]
        given = []
        for slot, dtype in enumerate(operands):
            vector = ir.Constant(widened(type_of(dtype), lanes), ir.Undefined)
            for lane, place in enumerate(places):
                part = loaded(slot, dtype, place)
                vector = b.insert_element(vector, part, I32(lane)) if lanes > 1 else part
            given.append(vector)
        made = write(b, *given)
        for lane, place in enumerate(places):
            value = b.extract_element(made, I32(lane)) if lanes > 1 else made
            b.store(b.zext(value, I8) if result == "bool" else value, cell(len(operands), result, place))

    for_(b, number(COUNT // lanes), some)
    b.store(number(0), body.args[0])
    b.ret(I32(0))
    built = assembly.assemble([str(module)], "kernel", "body", time.perf_counter())
    kernel = objects.load(built.code, "kernel", built.symbols)
    arrays = [values(dtype, seed) for seed, dtype in enumerate(operands)] + [np.zeros(COUNT, result)]
    slots = np.array([array.ctypes.data for array in arrays])
    assert kernel.call(slots.ctypes.data, -1, 0, 0) == 0
    return arrays[-1]


def assert_the_same(operands: list[str], result: str, write: Write) -> None:
    scalar, vector = (function(operands, result, write, lanes) for lanes in (1, LANES))
    np.testing.assert_array_equal(scalar.view(f"u{scalar.itemsize}"), vector.view(f"u{vector.itemsize}"))


CASES = [
    (name, operation, dtype)
    for name, operation in OPERATIONS.items()
    for dtype in ("bool", "int32", "uint64", "float32", "float64")
    if kind(dtype) in operation.kinds
]


@pytest.mark.parametrize(("name", "operation", "dtype"), CASES, ids=[f"{name}-{dtype}" for name, _, dtype in CASES])
def test_operations_do_in_each_lane_what_they_do_to_scalars(name: str, operation: Operation, dtype: str) -> None:
    operands, result = [dtype] * operation.arity, operation.result or dtype
    assert_the_same(operands, result, lambda b, *given: operation.lower(b, dtype, *given))


@pytest.mark.parametrize("target", NARROW)
@pytest.mark.parametrize("source", NARROW)
def test_casts_do_in_each_lane_what_they_do_to_scalars(source: str, target: str) -> None:
    if source != target:
        assert_the_same([source], target, lambda b, x: convert(b, source, target, x))
