"""Black–Scholes: the price of 10⁶ calls and its derivatives by spot, strike, time, rate and volatility, float64.

Five arrays in, six out. The price formula is all that an engine with gradients is given; by hand the derivatives are
those of textbooks. Compiled, everything is one loop: transcendental functions and the way to memory decide.
"""

import math

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

COUNT = 1_000_000
ARGUMENTS = ("spot", "strike", "years", "rate", "volatility")
RESULTS = ("price", *[f"by_{name}" for name in ARGUMENTS])


def inputs() -> Arrays:
    draw = np.random.default_rng(7)
    spot = draw.uniform(80, 120, COUNT)
    return {
        "spot": spot,
        "strike": spot * draw.uniform(0.7, 1.3, COUNT),
        "years": draw.uniform(1 / 12, 3, COUNT),
        "rate": draw.uniform(0.0, 0.05, COUNT),
        "volatility": draw.uniform(0.1, 0.5, COUNT),
    }


def price(log, exp, sqrt, erf, option):
    """The formula; its functions are those of the engine."""
    spot, strike, years, rate, volatility = option
    deviation = volatility * sqrt(years)
    d1 = (log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / deviation
    d2 = d1 - deviation
    below1 = 0.5 * (1.0 + erf(d1 * math.sqrt(0.5)))
    below2 = 0.5 * (1.0 + erf(d2 * math.sqrt(0.5)))
    return spot * below1 - strike * exp(-rate * years) * below2


def by_hand(log, exp, sqrt, erf, option):
    """Price and derivatives, in the order of RESULTS."""
    spot, strike, years, rate, volatility = option
    root = sqrt(years)
    deviation = volatility * root
    d1 = (log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / deviation
    d2 = d1 - deviation
    below1 = 0.5 * (1.0 + erf(d1 * math.sqrt(0.5)))
    discount_below2 = 0.5 * (1.0 + erf(d2 * math.sqrt(0.5))) * exp(-rate * years)
    discounted = strike * discount_below2
    vega = spot * root * exp(-0.5 * d1 * d1) * math.sqrt(0.5 / math.pi)
    by_years = 0.5 * vega * volatility / years + rate * discounted
    return spot * below1 - discounted, below1, -discount_below2, by_years, years * discounted, vega


def numpy_by_hand(data: Arrays) -> Session:
    from scipy.special import erf

    arguments = tuple(data[name] for name in ARGUMENTS)
    return returning(RESULTS, lambda: by_hand(np.log, np.exp, np.sqrt, erf, arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    @tj.compile(strict=True)
    def book(*options):
        with tj.GradientTape() as tape:
            tape.watch(list(options))
            value = price(tj.log, tj.exp, tj.sqrt, tj.erf, options)
        # Each price depends on its own option only, so the gradient of their sum has the slope of each.
        return value, *tape.gradient(value, list(options))

    arguments = tuple(data[name] for name in ARGUMENTS)
    return returning(RESULTS, lambda: book(*arguments))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    log, exp, sqrt, erf = math.log, math.exp, math.sqrt, math.erf
    greeks = numba.njit(by_hand)

    @numba.njit
    def book(spot, strike, years, rate, volatility):
        value, by_spot, by_strike = np.empty_like(spot), np.empty_like(spot), np.empty_like(spot)
        by_years, by_rate, by_volatility = np.empty_like(spot), np.empty_like(spot), np.empty_like(spot)
        for i in range(spot.size):
            option = spot[i], strike[i], years[i], rate[i], volatility[i]
            value[i], by_spot[i], by_strike[i], by_years[i], by_rate[i], by_volatility[i] = greeks(
                log, exp, sqrt, erf, option
            )
        return value, by_spot, by_strike, by_years, by_rate, by_volatility

    arguments = tuple(data[name] for name in ARGUMENTS)
    return returning(RESULTS, lambda: book(*arguments))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    arguments = tuple(jnp.asarray(data[name]) for name in ARGUMENTS)

    @jax.jit
    def book(*options):
        value, pull = jax.vjp(lambda *options: price(jnp.log, jnp.exp, jnp.sqrt, jax.lax.erf, options), *options)
        return value, *pull(jnp.ones_like(value))

    return returning(RESULTS, lambda: book(*arguments), jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    arguments = tuple(torch.tensor(data[name], requires_grad=True) for name in ARGUMENTS)
    ones = torch.ones(COUNT, dtype=torch.float64)

    def book():
        value = price(torch.log, torch.exp, torch.sqrt, torch.erf, arguments)
        return value.detach(), *torch.autograd.grad(value, arguments, ones)

    return returning(RESULTS, book)


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    arguments = tuple(tf.constant(data[name]) for name in ARGUMENTS)

    @tf.function(jit_compile=True)
    def book(*options):
        with tf.GradientTape() as tape:
            tape.watch(options)
            value = price(tf.math.log, tf.exp, tf.sqrt, tf.math.erf, options)
        return value, *tape.gradient(value, options)

    return returning(RESULTS, lambda: book(*arguments))


def autograd(data: Arrays) -> Session:
    import autograd.numpy as np_traced
    from autograd import make_vjp
    from autograd.scipy.special import erf

    arguments = tuple(data[name] for name in ARGUMENTS)
    ones = np.ones(COUNT)

    @make_vjp
    def priced(options):
        return price(np_traced.log, np_traced.exp, np_traced.sqrt, erf, options)

    def book():
        pull, value = priced(arguments)
        return value, *pull(ones)

    return returning(RESULTS, book)


WORKLOADS = (
    Workload(
        name="black_scholes",
        summary="price of 10⁶ options and the derivatives by S, K, T, r, σ, float64, six arrays out",
        inputs=inputs,
        engines=(
            Engine("numpy", "scipy", numpy_by_hand, "derivatives written by hand, erf of SciPy"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "price on a tape, one gradient; NumPy arguments"),
            Engine(
                "tapejit_two_threads",
                "tapejit",
                tapejit_compiled,
                "the same, 2 threads on 2 cores",
                cores=2,
                environment={"TAPEJIT_NUM_THREADS": "2"},
            ),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in one loop"),
            Engine("jax_jit", "jax", jax_jit, "vjp"),
            Engine("torch_eager", "torch", torch_eager),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "jit_compile=True: by XLA"),
            Engine("autograd", "autograd", autograd),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-9),
        targets=(
            Target(
                "tapejit_compiled",
                "jax_jit",
                0.15,
                "half of the time are 19 divisions an option, each rounded as NumPy rounds it",
            ),
            Target(
                "tapejit_two_threads",
                "tapejit_compiled",
                0.55,
                "0.3 ms to wake the threads; the two share the way to memory, over which 136 MB go",
            ),
        ),
    ),
)
