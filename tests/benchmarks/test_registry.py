import numpy as np
import pytest

from benchmarks.peers import PEERS
from benchmarks.registry import FIRST_CALLS, FUNCTIONS, LIMITS, STEPS, WORKLOADS

# The engines that are held against each other where they aren't "numpy" and "tapejit_compiled".
HELD = {
    "line_fit_loop": ("numpy", "tapejit_calls"),
    "mlp_epoch": ("numpy", "tapejit_epochs"),
    "njit_gradient_loop": ("njit_by_hand", "tapejit_to_numba"),
    "njit_hmc_sampler": ("njit_by_hand", "tapejit_to_numba"),
    "njit_newton": ("njit_by_hand", "tapejit_to_numba"),
}
HERE = {"numpy", "scipy", "numba", "tapejit"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_targets_name_engines_of_their_workload(name) -> None:
    workload = WORKLOADS[name]
    engines = [engine.name for engine in workload.engines]
    assert len(set(engines)) == len(engines)
    assert {each for target in workload.targets for each in (target.engine, target.peer)} <= set(engines)
    assert {engine.needs for engine in workload.engines} <= HERE | set(PEERS)


def test_limits_name_first_calls() -> None:
    for limit in LIMITS:
        for workload, engine, _ in ((limit.workload, limit.engine, limit.figure), limit.other):
            assert FIRST_CALLS[workload].engine(engine).compiles


def test_no_two_workloads_have_one_name() -> None:
    assert not STEPS.keys() & FUNCTIONS.keys()
    assert all(WORKLOADS[name] is FIRST_CALLS[name] for name in FIRST_CALLS)


@pytest.mark.parametrize("name", [name for name in STEPS if name not in {"sum_of_squares", "black_scholes"}])
def test_a_compiled_step_and_numpy_by_hand_agree(name) -> None:
    workload = STEPS[name]
    data = workload.inputs()
    results = []
    for engine in HELD.get(name, ("numpy", "tapejit_compiled")):
        session = workload.engine(engine).prepare(data)
        for _ in range(workload.check.steps):
            session.step()
        session.wait()
        results.append({key: np.array(value) for key, value in session.result().items()})
    assert workload.check.differences(*results) == []
