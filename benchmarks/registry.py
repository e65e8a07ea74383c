"""All workloads, in the order of the report. A new one is a module in `workloads/` and a line here."""

from types import ModuleType

from benchmarks.workload import Limit, Workload
from benchmarks.workloads import (
    black_scholes,
    bundle_adjustment,
    chains,
    convolution,
    diagonal_lstm,
    functions,
    gaussian_mixture,
    hmc_step,
    layer_norm_sine,
    line_fit,
    line_fit_loop,
    logistic_posterior,
    mlp_adam,
    mlp_epoch,
    njit_loops,
    pendulum,
    products,
    rosenbrock,
    runge_kutta,
    scans,
    softmax_regression,
    sum_of_squares,
)


def _named(*modules: ModuleType) -> dict[str, Workload]:
    return {workload.name: workload for module in modules for workload in module.WORKLOADS}


STEPS = _named(
    line_fit,
    line_fit_loop,
    mlp_adam,
    mlp_epoch,
    convolution,
    softmax_regression,
    black_scholes,
    layer_norm_sine,
    logistic_posterior,
    njit_loops,
    products,
    sum_of_squares,
    gaussian_mixture,
    diagonal_lstm,
    runge_kutta,
    rosenbrock,
)
"""What one step costs, once it is compiled."""

FUNCTIONS = _named(functions)
"""What one element of an elementwise function costs; small workloads that share their processes."""

AGREEMENT = _named(gaussian_mixture, diagonal_lstm, bundle_adjustment, rosenbrock, pendulum, hmc_step)
"""What is held against the peer's numbers in float64."""

FIRST_CALLS = _named(chains, mlp_adam, scans)
"""What comes before the first step: tracing, compiling, loading."""

LIMITS = (
    Limit("chain_300", "tapejit_compiled", "ready", seconds=0.8),
    Limit("chain_1000", "tapejit_compiled", "ready", seconds=3.0),
    Limit("chain_3000", "tapejit_compiled", "ready", times=4.0, of="chain_1000"),
    Limit("mlp_adam", "tapejit_compiled", "ready", seconds=0.4),
    Limit("scan_100000", "tapejit_compiled", "ready", part="compile_seconds", times=1.2, of="scan_100"),
    Limit("scan_100000", "tapejit_compiled", "ready", part="source_lines", times=1.0, of="scan_100"),
    Limit(
        "scan_100000",
        "tapejit_keeping_every_root",
        "ready",
        part="intermediate_bytes",
        times=0.03,
        peer="tapejit_keeping_all",
    ),
    # Of first calls that load only the loading is limited: tracing is the same in each.
    *[Limit(name, "tapejit_compiled", "loaded", part="load_seconds", seconds=0.02) for name in FIRST_CALLS],
    Limit("mlp_adam", "tapejit_compiled", "process", times=0.8, peer="jax_jit"),
    Limit("mlp_adam", "tapejit_compiled", "process_stored", times=0.25, peer="jax_jit", peer_figure="process"),
)
"""What first calls may cost; the figures are those of `first_calls`."""

WORKLOADS = STEPS | FUNCTIONS | AGREEMENT | FIRST_CALLS
