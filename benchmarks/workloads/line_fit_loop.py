"""500 steps of the line fit in one call: what is left of a step once nothing returns to Python between two.

The step and its data are those of `line_fit`, and so is the recorded result.
"""

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Missing, Session, Target, Workload
from benchmarks.workloads import line_fit
from benchmarks.workloads.line_fit import LEARNING_RATE

STEPS = 500


def numpy_by_hand(data: Arrays) -> Session:
    one = line_fit.numpy_by_hand(data)

    def step() -> None:
        for _ in range(STEPS):
            one.step()

    return Session(step, one.result)


def _tapejit(data: Arrays, *, one_call: bool) -> Session:
    import tapejit as tj

    fit, w, b = line_fit.tapejit_step(data)
    fit = tj.compile(strict=True)(fit)
    x, y = data["x"], data["y"]
    if one_call and not hasattr(fit, "repeat"):
        raise Missing("compiled steps have no `repeat`")

    def calls() -> None:
        for _ in range(STEPS):
            fit(x, y)

    return Session((lambda: fit.repeat(STEPS, x, y)) if one_call else calls, lambda: {"w": w.numpy(), "b": b.numpy()})


def tapejit_repeat(data: Arrays) -> Session:
    return _tapejit(data, one_call=True)


def tapejit_calls(data: Arrays) -> Session:
    return _tapejit(data, one_call=False)


def njit_by_hand(data: Arrays) -> Session:
    import numba

    rate = np.float32(LEARNING_RATE)

    @numba.njit
    def fit(x, y, parameters, times):
        w, b = parameters
        for _ in range(times):
            ct_w = ct_b = np.float32(0)
            for i in range(x.size):
                ct = -np.sign(y[i] - (w * x[i] + b))
                ct_w += ct * x[i]
                ct_b += ct
            w -= ct_w * rate
            b -= ct_b * rate
        parameters[0] = w
        parameters[1] = b

    x, y, parameters = data["x"], data["y"], np.array([data["w"], data["b"]])
    return Session(
        lambda: fit(x, y, parameters, STEPS),
        lambda: {"w": np.asarray(parameters[0]), "b": np.asarray(parameters[1])},
    )


def jax_fori_loop(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    x, y, w, b = (jnp.asarray(data[name]) for name in "xywb")

    def loss(params, x, y):
        w, b = params
        return jnp.sum(jnp.abs(y - (w * x + b)))

    @jax.jit
    def fit(params, x, y):
        def one(_, params):
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, jax.grad(loss)(params, x, y))

        return jax.lax.fori_loop(0, STEPS, one, params)

    params = (w, b)

    def step() -> None:
        nonlocal params
        params = fit(params, x, y)

    return Session(
        step,
        lambda: {"w": np.asarray(params[0]), "b": np.asarray(params[1])},
        lambda: jax.block_until_ready(params),
    )


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    w, b = tf.Variable(data["w"]), tf.Variable(data["b"])
    x, y = tf.constant(data["x"]), tf.constant(data["y"])

    @tf.function
    def fit(real_x, real_y):
        for _ in tf.range(STEPS):
            with tf.GradientTape() as tape:
                loss = tf.abs(real_y - (w * real_x + b))
            ct_w, ct_b = tape.gradient(loss, [w, b])
            w.assign_sub(ct_w * LEARNING_RATE)
            b.assign_sub(ct_b * LEARNING_RATE)

    return Session(lambda: fit(x, y), lambda: {"w": w.numpy(), "b": b.numpy()})


WORKLOADS = (
    Workload(
        name="line_fit_loop",
        summary=f"{STEPS} steps of line_fit in one call",
        inputs=line_fit.inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "a Python loop, gradient written by hand"),
            Engine("tapejit_repeat", "tapejit", tapejit_repeat, f"`step.repeat({STEPS}, x, y)`"),
            Engine("tapejit_calls", "tapejit", tapejit_calls, f"{STEPS} calls of the compiled step"),
            Engine("njit_by_hand", "numba", njit_by_hand, "two loops, gradient written by hand"),
            Engine("jax_fori_loop", "jax", jax_fori_loop),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "`for _ in tf.range` in tf.function"),
        ),
        check=Check(steps=1, rtol=0.0, atol=1e-6, expected=line_fit.recorded),
        targets=(
            Target(
                "tapejit_repeat",
                "jax_fori_loop",
                0.25,
                "a step waits for the one before, 13 ns of latency one after the other (as the loop by hand does); "
                "another 5 µs are Python's around the 500 steps",
            ),
        ),
    ),
)
