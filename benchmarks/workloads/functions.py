"""Elementwise functions, one after the other: what an element costs in a compiled step, in JAX and in NumPy.

Arrays of 100,000 elements, so that calls don't count and what is read and written stays near the core. Expected results
are SciPy's in float64. A function that a library hasn't (or hasn't yet) is missing in its column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Missing, Session, Target, Workload, returning

SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Function:
    """An elementwise function and the range that its arguments are drawn from."""

    name: str
    low: float
    high: float
    numpy: str = ""
    """Its name there; empty where NumPy hasn't got it as one function."""
    special: str = ""
    """Its name in scipy.special, where NumPy hasn't got it."""
    jax: str = ""
    """Its path below `jax`; `numpy.` and the name if not said."""
    second: tuple[float, float] | None = None
    """The range of a second argument."""


ELEMENTWISE = (
    Function("exp", -10, 10, "exp"),
    Function("exp2", -10, 10, "exp2"),
    Function("expm1", -2, 2, "expm1"),
    Function("log", 1e-3, 1e3, "log"),
    Function("log1p", -0.9, 10, "log1p"),
    Function("log2", 1e-3, 1e3, "log2"),
    Function("log10", 1e-3, 1e3, "log10"),
    Function("sin", -10, 10, "sin"),
    Function("cos", -10, 10, "cos"),
    Function("tan", -10, 10, "tan"),
    Function("tanh", -4, 4, "tanh"),
    Function("sinh", -5, 5, "sinh"),
    Function("cosh", -5, 5, "cosh"),
    Function("asin", -1, 1, "arcsin", jax="numpy.arcsin"),
    Function("acos", -1, 1, "arccos", jax="numpy.arccos"),
    Function("atan", -10, 10, "arctan", jax="numpy.arctan"),
    Function("atan2", -10, 10, "arctan2", jax="numpy.arctan2", second=(-10, 10)),
    Function("erf", -3, 3, special="erf", jax="lax.erf"),
    Function("erfc", -3, 3, special="erfc", jax="lax.erfc"),
    Function("sigmoid", -10, 10, special="expit", jax="nn.sigmoid"),
    Function("softplus", -10, 10, jax="nn.softplus"),
    Function("power", 0.1, 10, "power", second=(-3, 3)),
    Function("cbrt", -100, 100, "cbrt"),
    Function("lgamma", 0.1, 20, special="gammaln", jax="lax.lgamma"),
    Function("digamma", 0.1, 20, special="digamma", jax="lax.digamma"),
)


def inputs(function: Function, dtype: type) -> Callable[[], Arrays]:
    def drawn() -> Arrays:
        draw = np.random.default_rng(0)
        found = {"x": draw.uniform(function.low, function.high, SIZE).astype(dtype)}
        if function.second:
            found["y"] = draw.uniform(*function.second, SIZE).astype(dtype)
        return found

    return drawn


def exact(function: Function) -> Callable[[Arrays], Arrays]:
    """The function in float64, of the same arguments."""

    def expected(data: Arrays) -> Arrays:
        arguments = [array.astype(np.float64) for array in data.values()]
        if function.numpy:
            value = getattr(np, function.numpy)(*arguments)
        elif function.special:
            from scipy import special

            value = getattr(special, function.special)(*arguments)
        else:
            value = np.logaddexp(*arguments, 0.0)  # softplus
        return {"value": value.astype(data["x"].dtype)}

    return expected


def numpy_alone(function: Function) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        if not function.numpy:
            raise Missing(f"NumPy has no {function.name}")
        call, arguments = getattr(np, function.numpy), tuple(data.values())
        out = np.empty_like(data["x"])
        return returning(("value",), lambda: (call(*arguments, out=out),))

    return prepare


def tapejit_compiled(function: Function) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import tapejit as tj

        call = getattr(tj, function.name, None)
        if call is None:
            raise Missing(f"tapejit has no {function.name}")

        @tj.compile(strict=True)
        def step(*x):
            return call(*x)

        arguments = tuple(data.values())
        return returning(("value",), lambda: (step(*arguments),))

    return prepare


def jax_jit(function: Function) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import jax

        jax.config.update("jax_enable_x64", val=True)
        call: Any = jax
        for part in (function.jax or f"numpy.{function.name}").split("."):
            call = getattr(call, part)
        step, arguments = jax.jit(call), tuple(map(jax.numpy.asarray, data.values()))
        return returning(("value",), lambda: (step(*arguments),), jax.block_until_ready)

    return prepare


def workload_of(function: Function, dtype: type) -> Workload:
    # The range of what users accept; the last digits are held by the tests of the functions.
    check = Check(1, 1e-4, 1e-5, exact(function)) if dtype is np.float32 else Check(1, 1e-10, 1e-11, exact(function))
    return Workload(
        name=f"{function.name}_{np.dtype(dtype).name}",
        summary=f"{function.name} of {SIZE:,} {np.dtype(dtype).name}",
        inputs=inputs(function, dtype),
        engines=(
            Engine("numpy", "numpy", numpy_alone(function), "into an array that is there already"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled(function), "NumPy arguments"),
            Engine("jax_jit", "jax", jax_jit(function)),
        ),
        check=check,
        targets=(
            Target("tapejit_compiled", "jax_jit", 1.0),
            Target(
                "tapejit_compiled", "numpy", 1.0, "NumPy looks logarithms and powers up in tables held in registers"
            ),
        ),
    )


WORKLOADS = tuple(workload_of(function, dtype) for function in ELEMENTWISE for dtype in (np.float32, np.float64))
