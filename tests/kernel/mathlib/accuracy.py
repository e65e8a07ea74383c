"""Functions of `kernel.mathlib` held against exact ones: how kernels of them are made, sampled and measured.

`compiled` makes the kernel that a user's program has, a loop that LLVM vectorises; `in_lanes` one that calls the form
for so many lanes. `Exact` says what a function is in exact arithmetic. Start reading at `worst`, which gives the
largest error in units in the last place. With ``TAPEJIT_LONG_TESTS=1`` a thousand times as many points are computed.
"""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from llvmlite import ir

from tapejit.kernel import assembly, build, objects, targets
from tapejit.kernel.mathlib import linking
from tapejit.kernel.mathlib.functions import FUNCTIONS

Array = np.ndarray

LONG = os.environ.get("TAPEJIT_LONG_TESTS", "0") == "1"
POINTS = 1_000_000 if LONG else 1_000
"""Points for which mpmath is asked, about; NumPy in a wider dtype is asked for a hundred times as many, if not long."""

DTYPES = ("float32", "float64")
WIDER = {"float32": np.float64, "float64": np.longdouble}
IS_WIDE = np.finfo(np.longdouble).nmant > 60
"""Whether NumPy has anything wider than float64 here."""


# --- kernels ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compiled:
    """A function of arrays of one dtype, as machine code."""

    built: assembly.BuiltObject
    kernel: objects.LoadedKernel

    def __call__(self, *operands: Array) -> Array:
        """The result, a new array."""
        result = np.full_like(operands[0], 7)
        table = np.array([array.ctypes.data for array in (result, *operands)], np.int64)
        assert self.kernel.call(table.ctypes.data, -1, 0, result.size) == 0
        return result


def _loaded(built: assembly.BuiltObject) -> Compiled:
    return Compiled(built, objects.load(built.code, "kernel", built.symbols))


@functools.cache
def compiled(name: str, dtype: str) -> Compiled:
    """The function as a loop of a kernel."""
    operands = "xy"[: FUNCTIONS[name].arity]
    lines = ["def apply(table, stage, lo, hi):", f"    result = {dtype}_at(table, 0)"]
    lines += [f"    {operand} = {dtype}_at(table, {slot})" for slot, operand in enumerate(operands, 1)]
    called = ", ".join(f"{operand}[i]" for operand in operands)
    lines += ["    for i in range(lo, hi):", f"        result[i] = {name}({called})", "    return OK", ""]
    return _loaded(build.build("\n".join(lines), "apply", "kernel", {}))


@functools.cache
def in_lanes(name: str, dtype: str, lanes: int) -> Compiled:
    """The function as a loop of calls for `lanes` numbers each; arrays must have a multiple of that."""
    element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    type_ = ir.VectorType(element, lanes) if lanes > 1 else element
    module, number, pointer = ir.Module(), ir.IntType(64), ir.IntType(64).as_pointer()
    signature = ir.FunctionType(ir.IntType(32), [pointer, pointer, pointer, number, number, number])
    function = ir.Function(module, signature, "body")
    status, _, table, _, lo, hi = function.args
    b = ir.IRBuilder(function.append_basic_block())
    addresses = [b.load(b.gep(table, [number(slot)])) for slot in range(FUNCTIONS[name].arity + 1)]
    result, *operands = [b.inttoptr(address, element.as_pointer()) for address in addresses]
    start, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
    b.store(number(0), status)
    b.cbranch(b.icmp_signed("<", lo, hi), loop, after)
    b.position_at_end(loop)
    index = b.phi(number)

    def at(base: Any) -> Any:
        return b.bitcast(b.gep(base, [index]), type_.as_pointer())

    values = [b.load(at(operand)) for operand in operands]
    for value in values:
        value.align = element.get_abi_size(_layout())
    b.store(linking.call(b, name, *values), at(result), align=element.get_abi_size(_layout()))
    following = b.add(index, number(lanes))
    index.add_incoming(lo, start)
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, hi), loop, after)
    b.position_at_end(after)
    b.ret(ir.IntType(32)(0))
    return _loaded(assembly.assemble([str(module)], "kernel", "body", 0.0))


@functools.cache
def _layout() -> Any:
    return targets.target_machine().target_data


# --- exact values -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """What a function is.

    Attributes
    ----------
    exact : callable
        In mpmath, for finite arguments.
    wide : callable, optional
        For NumPy's arrays, to more bits in a wider dtype than the function is meant to have.
    where : sequence of (low, high)
        Where the arguments for `exact` are drawn, evenly; also by their logarithms on each side of 0 in there. The
        result may overflow at the ends, not by far.
    hard : sequence of float
        Places at whose neighbours it is looked.
    """

    exact: Callable[..., Any]
    wide: Callable[..., Array] | None
    where: Sequence[tuple[float, float]]
    hard: Sequence[float] = ()


def every_exponent(dtype: str, count: int, rng: np.random.Generator) -> Array:
    """Random bits: numbers of all sizes, some NaN."""
    kind = np.uint32 if dtype == "float32" else np.uint64
    return rng.integers(0, np.iinfo(kind).max, count, kind, endpoint=True).view(dtype)


def neighbours(places: Sequence[float], dtype: str, count: int = 40) -> Array:
    """The numbers next to each place, on both sides."""
    centre = np.array([*places, *(-np.array(places))], dtype)
    bits = centre.view(np.int32 if dtype == "float32" else np.int64)
    return (bits[:, None] + np.arange(-count, count + 1, dtype=bits.dtype)).view(dtype).ravel()


def special_numbers(dtype: str) -> Array:
    """Zeros, infinities, NaN, the smallest and largest numbers, and small whole ones, of both signs."""
    info = np.finfo(dtype)
    sizes = [0, 0.25, 1 / 3, 0.5, 1, 1.5, 2, 3, 7, 8, 1e30, np.inf, info.max, info.tiny, info.smallest_subnormal]
    sizes += [info.tiny / 2, 1 - info.epsneg, 1 + info.eps, 2.0**info.nmant, 2.0**info.nmant + 1, 2.0**40]
    return np.array([*sizes, *(-np.array(sizes)), np.nan], dtype)


def drawn(exact: Exact, dtype: str, count: int, rng: np.random.Generator) -> Array:
    """Arguments in `exact.where`."""
    info = np.finfo(dtype)
    parts = []
    for low, high in exact.where:
        parts.append(rng.uniform(low, high, count))
        for end in (low, high):
            if end:
                smallest, largest = np.log2(float(info.smallest_subnormal)), np.log2(abs(end))
                parts.append(np.sign(end) * 2.0 ** rng.uniform(max(smallest, largest - 120), largest, count // 2))
                parts.append(np.sign(end) * 2.0 ** rng.uniform(smallest, largest, count // 4))
    found = np.concatenate([np.concatenate(parts).astype(dtype), neighbours(exact.hard, dtype)])
    inside = [(found >= np.array(low, dtype)) & (found <= np.array(high, dtype)) for low, high in exact.where]
    return found[np.logical_or.reduce(inside)]


# --- errors -------------------------------------------------------------------------------------------------


def _ulp(size: Array, dtype: str) -> Array:
    """One unit in the last place of numbers of this size."""
    info = np.finfo(dtype)
    exponent = np.maximum(np.frexp(size)[1] - 1, info.minexp)
    return np.ldexp(np.ones_like(size), exponent - info.nmant)


def errors_against_wide(found: Array, expected: Array) -> Array:
    """Errors in ulp against numbers of a wider dtype; a zero's wrong sign, or NaN for a number, is infinitely wrong."""
    dtype = found.dtype.name
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype)
        error = np.abs(found - expected) / _ulp(expected, dtype)
        same = (found == rounded) | (np.isinf(found) & (expected == np.copysign(np.inf, found)))
        overflows = np.isinf(rounded) | np.isinf(found)
        nearly = np.abs(expected) >= np.finfo(dtype).max
        error = np.where(overflows, np.where(same | (nearly & (np.sign(found) == np.sign(expected))), 0, np.inf), error)
        both_zero = (found == 0) & (expected == 0)
        error = np.where(both_zero, np.where(np.signbit(found) == np.signbit(expected), 0, np.inf), error)
        nan = np.isnan(expected) | np.isnan(found)
        return np.where(nan, np.where(np.isnan(expected) == np.isnan(found), 0, np.inf), error).astype(float)


def error_against_exact(found: Any, exact: Any) -> float:
    """One error in ulp against mpmath's number."""
    info = np.finfo(type(found))
    largest = mpmath.mpf(float(info.max))
    if abs(exact) > largest:  # no number of this dtype
        return 0.0 if abs(found) >= info.max and (found > 0) == (exact > 0) else np.inf
    if not np.isfinite(found):
        return np.inf
    exponent = max(int(mpmath.frexp(exact)[1]) - 1, info.minexp) if exact else info.minexp
    return float(abs(mpmath.mpf(float(found)) - exact) / mpmath.ldexp(1, exponent - info.nmant))


def worst(name: str, exact: Exact, dtype: str) -> tuple[float, tuple[float, ...]]:
    """The largest error of a function of one operand, in ulp, and where it is.

    Parameters
    ----------
    name : str
        As in `FUNCTIONS`.
    exact : Exact
    dtype : str
    """
    rng = np.random.default_rng(len(name))
    function = compiled(name, dtype)
    candidates = []
    if exact.wide is not None and (dtype == "float32" or IS_WIDE):
        count = POINTS if LONG else 100 * POINTS
        x = np.concatenate([
            every_exponent(dtype, count, rng), special_numbers(dtype), drawn(exact, dtype, count, rng)
        ])  # fmt: skip
        with np.errstate(all="ignore"):
            error = errors_against_wide(function(x), exact.wide(x.astype(WIDER[dtype])))
        at = int(np.argmax(error))
        candidates.append((float(error[at]), (float(x[at]),)))
    x = drawn(exact, dtype, POINTS // 3, rng)
    found = function(x)
    with mpmath.workprec(150):
        for one, result in zip(x, found, strict=True):
            candidates.append((error_against_exact(result, exact.exact(mpmath.mpf(float(one)))), (float(one),)))
    return max(candidates)
