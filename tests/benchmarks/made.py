"""Runs with made-up figures, for the tests of what is written about them."""

import numpy as np

from benchmarks.agreement import Agreement
from benchmarks.first_calls import FirstCalls
from benchmarks.run import Run
from benchmarks.runner import Options, Outcome
from benchmarks.size import Size
from benchmarks.workload import Check, Engine, Session, Target, Workload


def nothing(_):
    return Session(lambda: None, dict)


def engine(name: str) -> Engine:
    return Engine(name, name.partition("_")[0], nothing, note=f"note of {name}")


def workload(name: str, *targets: Target) -> Workload:
    engines = (engine("numpy"), engine("tapejit_compiled"), engine("jax_jit"))
    return Workload(name, f"summary of {name}", lambda: {"x": np.zeros(1)}, engines, Check(1, 0.0, 0.0), targets)


def outcomes(of: Workload, **seconds: float) -> list[Outcome]:
    """Each engine with the seconds of its step; one without is missing."""
    return [
        Outcome(one, samples=[seconds[one.name]] * 3, versions={one.needs: "1.0"})
        if one.name in seconds
        else Outcome(one, status="missing", detail=f"no | in {one.name}")
        for one in of.engines
    ]


def first_calls(name: str, engine_name: str, **seconds: float) -> FirstCalls:
    samples = {
        situation: [{"seconds": value, "peak": 2**20, "report": {"load_seconds": value / 2}}]
        for situation, value in seconds.items()
    }
    return FirstCalls(workload(name), engine(engine_name), samples=samples)


def agreement(name: str, **deviations: float | None) -> Agreement:
    """A value and a gradient by each engine: the gradient is as far off as said, None is an engine that failed."""
    of = workload(name)
    outcomes = [
        Outcome(one, "failed", "died") if deviations.get(one.name, 0) is None else Outcome(one) for one in of.engines
    ]
    found = {engine: {"value": 0.0, "gradient": far} for engine, far in deviations.items() if far is not None}
    return Agreement(of, outcomes, found)


def run() -> Run:
    fast = workload("fast", Target("tapejit_compiled", "jax_jit", 0.5), Target("tapejit_compiled", "numpy", 0.1))
    alone = workload("alone", Target("tapejit_compiled", "jax_jit", 0.5))
    each = Target("tapejit_compiled", "jax_jit", 1.0), Target("tapejit_compiled", "numpy", 1.0)
    exp, tan, erf = (workload(name, *each) for name in ("exp_float32", "tan_float32", "erf_float32"))
    mlp = workload("mlp_adam")
    return Run(
        command="python -m benchmarks",
        commit="abc",
        date="today",
        machine={"processor": "a processor", "cores": "2", "system": "a system", "load": "0.10"},
        options=Options({}),
        workloads=[
            (fast, outcomes(fast, numpy=4e-6, tapejit_compiled=1e-6, jax_jit=4e-6)),
            (alone, outcomes(alone, tapejit_compiled=2e-3)),
        ],
        functions=[
            (exp, outcomes(exp, numpy=2e-4, tapejit_compiled=1e-4, jax_jit=2e-4)),
            (tan, outcomes(tan, numpy=2e-4, tapejit_compiled=1e-4, jax_jit=2e-5)),
            (erf, outcomes(erf, jax_jit=2e-5)),
        ],
        first_calls=[
            (
                mlp,
                [
                    first_calls(
                        "mlp_adam", "tapejit_compiled", ready=0.3, loaded=0.03, process=0.5, process_stored=0.4
                    ),
                    first_calls("mlp_adam", "jax_jit", ready=0.6, process=1.0),
                ],
            )
        ],
        agreements=[
            agreement("mixture", numpy=1e-15, tapejit_compiled=2e-14),
            agreement("chaos", numpy=1e-12, tapejit_compiled=3e-9),
        ],
        sizes=[Size("tapejit", {"llvmlite": 180_000_000}), Size("jax", {"jaxlib": 360_000_000})],
    )
