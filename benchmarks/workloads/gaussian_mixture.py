"""ADBench's Gaussian mixture: log-likelihood with a Wishart prior, and its gradient, 1,000 points, 10 × 25, float64.

Each component has a weight, a mean, and the triangular factor Q of its inverse covariance QᵀQ, whose diagonal is given
by logarithms: F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of selected algorithmic differentiation tools,
Optimization Methods and Software 33 (2018), section 4.1. The work is a batch of skinny products and a softmax.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

POINTS, AXES, COMPONENTS = 1000, 10, 25
PRIOR, DEGREES = 1.0, 0  # of the Wishart prior: its scale γ, and its degrees of freedom beyond d + 1
RESULTS = ("log_likelihood", "by_weights", "by_means", "by_factors")

# Where the entries of a factor stand: the diagonal, then what is below it, column by column.
ROWS, COLUMNS = (np.concatenate([np.arange(AXES), place]) for place in np.triu_indices(AXES, 1)[::-1])


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "weights": draw.normal(size=COMPONENTS),
        "means": draw.uniform(size=(COMPONENTS, AXES)),
        "factors": draw.normal(size=(COMPONENTS, AXES * (AXES + 1) // 2)),
        "x": draw.normal(size=(POINTS, AXES)),
    }


def constant() -> float:
    """What depends on the sizes alone: the densities' normalisation, and the prior's."""
    freedom = AXES + DEGREES + 1
    gammas = sum(math.lgamma(0.5 * (freedom - axis)) for axis in range(AXES))
    log_gamma = 0.25 * AXES * (AXES - 1) * math.log(math.pi) + gammas
    prior = freedom * AXES * (math.log(PRIOR) - 0.5 * math.log(2)) - log_gamma
    return -0.5 * POINTS * AXES * math.log(2 * math.pi) - COMPONENTS * prior


def log_likelihood(library: Any, logsumexp: Callable[..., Any], placed: Callable[..., Any]) -> Callable[..., Any]:
    """The objective of (weights, means, factors, x); `placed` puts a factor's entries where they stand."""

    def objective(weights, means, factors, x):
        logs = factors[:, :AXES]
        entries = library.concat([library.exp(logs), factors[:, AXES:]], axis=1)
        scaled = (x - means[:, None]) @ library.matrix_transpose(placed(entries))  # (components, points, axes)
        distances = library.sum(scaled**2, axis=2)
        log_determinants = library.sum(logs, axis=1)
        inner = (weights + log_determinants)[:, None] - 0.5 * distances
        likelihood = library.sum(logsumexp(inner, axis=0)) - POINTS * logsumexp(weights)
        prior = 0.5 * PRIOR**2 * library.sum(entries**2) - DEGREES * library.sum(log_determinants)
        return constant() + likelihood + prior

    return objective


def numpy_by_hand(data: Arrays) -> Session:
    weights, means, factors, x = (data[name] for name in ("weights", "means", "factors", "x"))
    always = constant()

    def softmax(z):
        largest = z.max(axis=0)
        e = np.exp(z - largest)
        total = e.sum(axis=0)
        return e / total, np.log(total) + largest

    def step():
        logs = factors[:, :AXES]
        entries = np.concatenate([np.exp(logs), factors[:, AXES:]], axis=1)
        q = np.zeros((COMPONENTS, AXES, AXES))
        q[:, ROWS, COLUMNS] = entries
        centred = x - means[:, None]
        scaled = centred @ q.transpose(0, 2, 1)
        inner = (weights + logs.sum(axis=1))[:, None] - 0.5 * (scaled * scaled).sum(axis=2)
        shares, by_point = softmax(inner)
        mixing, of_weights = softmax(weights)
        value = always + by_point.sum() - POINTS * of_weights
        value += 0.5 * PRIOR**2 * (entries * entries).sum() - DEGREES * logs.sum()
        counts = shares.sum(axis=1)
        scaled *= shares[:, :, None]  # minus the cotangent of `scaled`
        by_entries = PRIOR**2 * entries - (scaled.transpose(0, 2, 1) @ centred)[:, ROWS, COLUMNS]
        by_entries[:, :AXES] = by_entries[:, :AXES] * entries[:, :AXES] + counts[:, None] - DEGREES
        by_means = (scaled.sum(axis=1)[:, None] @ q)[:, 0]
        return value, counts - POINTS * mixing, by_means, by_entries

    return returning(RESULTS, step)


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    def placed(entries):
        return tj.scatter_add(tj.zeros((COMPONENTS, AXES, AXES), "float64"), (slice(None), ROWS, COLUMNS), entries)

    objective = log_likelihood(tj, tj.logsumexp, placed)

    @wrap
    def value_and_gradient(weights, means, factors, x):
        parameters = [tj.asarray(each) for each in (weights, means, factors)]
        with tj.GradientTape() as tape:
            tape.watch(parameters)
            value = objective(*parameters, x)
        return value, *tape.gradient(value, parameters)

    arguments = [data[name] for name in ("weights", "means", "factors", "x")]
    return returning(RESULTS, lambda: value_and_gradient(*arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)

    def placed(entries):
        return jnp.zeros((COMPONENTS, AXES, AXES)).at[:, ROWS, COLUMNS].set(entries)

    objective = log_likelihood(jnp, jax.nn.logsumexp, placed)
    compiled = jax.jit(jax.value_and_grad(objective, argnums=(0, 1, 2)))
    arguments = [jnp.asarray(data[name]) for name in ("weights", "means", "factors", "x")]

    def step():
        value, gradients = compiled(*arguments)
        return value, *gradients

    return returning(RESULTS, step, jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    def placed(entries):
        return torch.zeros((COMPONENTS, AXES, AXES), dtype=torch.float64).index_put((every, rows, columns), entries)

    rows, columns = torch.from_numpy(ROWS), torch.from_numpy(COLUMNS)
    every = torch.arange(COMPONENTS)[:, None]
    weights, means, factors = (torch.tensor(data[name], requires_grad=True) for name in ("weights", "means", "factors"))
    x, always = torch.from_numpy(data["x"]), constant()

    def step():
        logs = factors[:, :AXES]
        entries = torch.cat([torch.exp(logs), factors[:, AXES:]], dim=1)
        scaled = (x - means[:, None]) @ placed(entries).mT
        log_determinants = logs.sum(dim=1)
        inner = (weights + log_determinants)[:, None] - 0.5 * (scaled**2).sum(dim=2)
        value = always + torch.logsumexp(inner, dim=0).sum() - POINTS * torch.logsumexp(weights, dim=0)
        value = value + 0.5 * PRIOR**2 * (entries**2).sum() - DEGREES * log_determinants.sum()
        return value.detach(), *torch.autograd.grad(value, [weights, means, factors])

    return returning(RESULTS, step)


WORKLOADS = (
    Workload(
        name="gaussian_mixture",
        summary=(
            f"log-likelihood of a mixture of {COMPONENTS} Gaussians in {AXES} dimensions and its gradient, "
            f"{POINTS:,} points, float64"
        ),
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments"),
            Engine("tapejit_eager", "tapejit", tapejit_eager),
            Engine("jax_jit", "jax", jax_jit),
            Engine("torch_eager", "torch", torch_eager),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-9),
        targets=(
            Target(
                "tapejit_compiled",
                "jax_jit",
                0.5,
                limit="the centred points and their images of all components, 2 MB each, go to memory and back",
            ),
        ),
    ),
)
