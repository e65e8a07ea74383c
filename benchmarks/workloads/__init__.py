"""All workloads, in the order of the report. A new one is a module here and a line below."""

from benchmarks.workload import Limit, Workload
from benchmarks.workloads import (
    black_scholes,
    chains,
    functions,
    layer_norm_sine,
    line_fit,
    line_fit_loop,
    logistic_posterior,
    mlp_adam,
    products,
    softmax_regression,
    sum_of_squares,
)

STEPS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        line_fit.WORKLOAD,
        line_fit_loop.WORKLOAD,
        mlp_adam.WORKLOAD,
        softmax_regression.WORKLOAD,
        black_scholes.WORKLOAD,
        layer_norm_sine.WORKLOAD,
        logistic_posterior.WORKLOAD,
        *products.WORKLOADS,
        sum_of_squares.WORKLOAD,
    )
}
"""What one step costs, once it is compiled."""

FUNCTIONS: dict[str, Workload] = {workload.name: workload for workload in functions.WORKLOADS}
"""What one element of an elementwise function costs; small workloads that share their processes."""

FIRST_CALLS: dict[str, Workload] = {workload.name: workload for workload in (*chains.WORKLOADS, mlp_adam.WORKLOAD)}
"""What comes before the first step: tracing, compiling, loading."""

LIMITS = (
    Limit("chain_300", "tapejit_compiled", "ready", seconds=0.8),
    Limit("chain_1000", "tapejit_compiled", "ready", seconds=3.0),
    Limit("chain_3000", "tapejit_compiled", "ready", times=4.0, of="chain_1000"),
    Limit("mlp_adam", "tapejit_compiled", "ready", seconds=0.4),
    *[Limit(name, "tapejit_compiled", "loaded", seconds=0.02) for name in FIRST_CALLS],
    Limit("mlp_adam", "tapejit_compiled", "process", times=0.8, peer="jax_jit"),
    Limit("mlp_adam", "tapejit_compiled", "process_stored", times=0.25, peer="jax_jit", peer_figure="process"),
)
"""What first calls may cost; the figures are those of `first_calls`."""

WORKLOADS = STEPS | FUNCTIONS | FIRST_CALLS
