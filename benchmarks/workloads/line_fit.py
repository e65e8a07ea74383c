"""The line fit: six points, |real − predicted|, the gradients of its sum by w and b, one descent step each.

No arithmetic to speak of: what is timed is what an engine costs before it computes anything. Every engine
gets its data in the form that it likes best, made before the clock starts; tapejit's compiled step takes
NumPy arrays, in a row of its own Python lists.
"""

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload

LEARNING_RATE = 0.001


def inputs() -> Arrays:
    return {
        "x": np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0], np.float32),
        "y": np.array([-3.0, -1.0, 1.0, 3.0, 5.0, 7.0], np.float32),
        "w": np.array(0.3, np.float32),
        "b": np.array(0.1, np.float32),
    }


def recorded(_: Arrays) -> Arrays:
    """What TensorFlow 2.21 gives after 500 steps."""
    return {"w": np.array(1.9939865, np.float32), "b": np.array(-1.0019997, np.float32)}


def numpy_by_hand(data: Arrays) -> Session:
    x, y, w, b = (data[name].copy() for name in "xywb")
    rate = np.float32(LEARNING_RATE)

    def step() -> None:
        ct = -np.sign(y - (w * x + b))
        w[...] -= ct.dot(x) * rate
        b[...] -= ct.sum() * rate

    return Session(step, lambda: {"w": w, "b": b})


def njit_by_hand(data: Arrays) -> Session:
    import numba

    rate = np.float32(LEARNING_RATE)

    @numba.njit
    def fit(x, y, parameters):
        w, b = parameters
        ct_w = ct_b = np.float32(0)
        for i in range(x.size):
            ct = -np.sign(y[i] - (w * x[i] + b))
            ct_w += ct * x[i]
            ct_b += ct
        parameters[0] = w - ct_w * rate
        parameters[1] = b - ct_b * rate

    x, y, parameters = data["x"], data["y"], np.array([data["w"], data["b"]])
    return Session(
        lambda: fit(x, y, parameters),
        lambda: {"w": np.asarray(parameters[0]), "b": np.asarray(parameters[1])},
    )


def tapejit_step(data: Arrays, *, gradients_at_once: bool = False) -> tuple[Any, Any, Any]:
    """The step, to be called as it is or compiled, and its two variables."""
    import tapejit as tj

    w, b = tj.Variable(data["w"]), tj.Variable(data["b"])
    learning_rate = LEARNING_RATE

    def simple_loss(real_y, pred_y):
        return tj.abs(real_y - pred_y)

    def fit_data(real_x, real_y):
        with tj.GradientTape(persistent=True) as tape:
            reg_loss = simple_loss(real_y, w * real_x + b)
        w.assign_sub(tape.gradient(reg_loss, w) * learning_rate)
        b.assign_sub(tape.gradient(reg_loss, b) * learning_rate)

    def fit_data_at_once(real_x, real_y):
        with tj.GradientTape() as tape:
            reg_loss = simple_loss(real_y, w * real_x + b)
        ct_w, ct_b = tape.gradient(reg_loss, [w, b])
        w.assign_sub(ct_w * learning_rate)
        b.assign_sub(ct_b * learning_rate)

    return fit_data_at_once if gradients_at_once else fit_data, w, b


def _tapejit_eager(data: Arrays, *, gradients_at_once: bool) -> Session:
    import tapejit as tj

    x, y = tj.constant(data["x"]), tj.constant(data["y"])
    fit, w, b = tapejit_step(data, gradients_at_once=gradients_at_once)
    return Session(lambda: fit(x, y), lambda: {"w": w.numpy(), "b": b.numpy()})


def tapejit_eager(data: Arrays) -> Session:
    return _tapejit_eager(data, gradients_at_once=False)


def tapejit_eager_at_once(data: Arrays) -> Session:
    return _tapejit_eager(data, gradients_at_once=True)


def _tapejit_compiled(data: Arrays, x: Any, y: Any) -> Session:
    import tapejit as tj

    fit, w, b = tapejit_step(data)
    fit = tj.compile(strict=True)(fit)
    return Session(lambda: fit(x, y), lambda: {"w": w.numpy(), "b": b.numpy()})


def tapejit_compiled(data: Arrays) -> Session:
    return _tapejit_compiled(data, data["x"], data["y"])


def tapejit_lists(data: Arrays) -> Session:
    return _tapejit_compiled(data, data["x"].tolist(), data["y"].tolist())


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    x, y, w, b = (jnp.asarray(data[name]) for name in "xywb")

    def loss(params, x, y):
        w, b = params
        return jnp.sum(jnp.abs(y - (w * x + b)))

    @jax.jit
    def fit(params, x, y):
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, jax.grad(loss)(params, x, y))

    params = (w, b)

    def step() -> None:
        nonlocal params
        params = fit(params, x, y)

    return Session(
        step,
        lambda: {"w": np.asarray(params[0]), "b": np.asarray(params[1])},
        lambda: jax.block_until_ready(params),
    )


def _torch(data: Arrays, *, gradients_at_once: bool) -> Session:
    import torch

    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    w = torch.tensor(data["w"], requires_grad=True)
    b = torch.tensor(data["b"], requires_grad=True)

    def step() -> None:
        loss = (y - (w * x + b)).abs().sum()
        if gradients_at_once:
            ct_w, ct_b = torch.autograd.grad(loss, (w, b))
        else:
            (ct_w,) = torch.autograd.grad(loss, w, retain_graph=True)
            (ct_b,) = torch.autograd.grad(loss, b)
        with torch.no_grad():
            w.sub_(ct_w * LEARNING_RATE)
            b.sub_(ct_b * LEARNING_RATE)

    return Session(step, lambda: {"w": w.detach().numpy(), "b": b.detach().numpy()})


def torch_eager(data: Arrays) -> Session:
    return _torch(data, gradients_at_once=False)


def torch_eager_at_once(data: Arrays) -> Session:
    return _torch(data, gradients_at_once=True)


def _tensorflow(data: Arrays, *, compiled: bool) -> Session:
    import tensorflow as tf

    w, b = tf.Variable(data["w"]), tf.Variable(data["b"])
    x, y = tf.constant(data["x"]), tf.constant(data["y"])

    def fit_data(real_x, real_y):
        with tf.GradientTape(persistent=True) as tape:
            reg_loss = tf.abs(real_y - (w * real_x + b))
        w.assign_sub(tape.gradient(reg_loss, w) * LEARNING_RATE)
        b.assign_sub(tape.gradient(reg_loss, b) * LEARNING_RATE)

    fit = tf.function(fit_data) if compiled else fit_data
    return Session(lambda: fit(x, y), lambda: {"w": w.numpy(), "b": b.numpy()})


def tensorflow_eager(data: Arrays) -> Session:
    return _tensorflow(data, compiled=False)


def tensorflow_function(data: Arrays) -> Session:
    return _tensorflow(data, compiled=True)


def autograd(data: Arrays) -> Session:
    import autograd.numpy as np_traced
    from autograd import grad

    x, y, w, b = (data[name] for name in "xywb")
    rate = np.float32(LEARNING_RATE)
    gradients = grad(lambda parameters: np_traced.sum(np_traced.abs(y - (parameters[0] * x + parameters[1]))))

    def step() -> None:
        nonlocal w, b
        ct_w, ct_b = gradients((w, b))
        w, b = w - ct_w * rate, b - ct_b * rate

    return Session(step, lambda: {"w": np.asarray(w), "b": np.asarray(b)})


WORKLOADS = (
    Workload(
        name="line_fit",
        summary="six points, float32, |.| loss, gradients by w and b, descent with rate 0.001; one step",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine(
                "tapejit_compiled", "tapejit", tapejit_compiled, "persistent tape, gradient() twice; NumPy arguments"
            ),
            Engine("tapejit_lists", "tapejit", tapejit_lists, "the same with Python lists as arguments"),
            Engine("tapejit_eager", "tapejit", tapejit_eager, "the same function, not compiled"),
            Engine("tapejit_eager_at_once", "tapejit", tapejit_eager_at_once, "gradient() once, by both"),
            Engine("njit_by_hand", "numba", njit_by_hand, "gradient written by hand as a loop"),
            Engine("jax_jit", "jax", jax_jit),
            Engine("torch_eager", "torch", torch_eager, "graph retained, grad() twice"),
            Engine("torch_eager_at_once", "torch", torch_eager_at_once, "grad() once, by both"),
            Engine("tensorflow_eager", "tensorflow", tensorflow_eager, "persistent tape, gradient() twice"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "the same function in tf.function"),
            Engine("autograd", "autograd", autograd),
        ),
        check=Check(steps=500, rtol=0.0, atol=1e-6, expected=recorded),
        targets=(
            Target("tapejit_compiled", "jax_jit", 0.2),
            Target("tapejit_compiled", "njit_by_hand", 2.0),
            Target("tapejit_lists", "jax_jit", 0.4),
            Target("tapejit_eager", "torch_eager", 0.8),
            Target("tapejit_eager", "tensorflow_eager", 0.08),
            Target("tapejit_eager_at_once", "torch_eager_at_once", 1.0),
        ),
    ),
)
