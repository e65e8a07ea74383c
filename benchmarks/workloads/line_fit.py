"""The line fit: six points, |real − predicted|, the gradients of its sum by w and b, one descent step each.

No arithmetic to speak of: what is timed is what an engine costs before it computes anything. Every engine
gets its data in the form that it likes best, made before the clock starts; tapejit's compiled step takes
NumPy arrays.
"""

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


def _tapejit(data: Arrays, *, compiled: bool, gradients_at_once: bool = False) -> Session:
    import tapejit as tj

    w, b = tj.Variable(data["w"]), tj.Variable(data["b"])
    x, y = (data["x"], data["y"]) if compiled else (tj.constant(data["x"]), tj.constant(data["y"]))
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

    fit = fit_data_at_once if gradients_at_once else fit_data
    if compiled:
        fit = tj.compile(strict=True)(fit)
    return Session(lambda: fit(x, y), lambda: {"w": w.numpy(), "b": b.numpy()})


def tapejit_eager(data: Arrays) -> Session:
    return _tapejit(data, compiled=False)


def tapejit_eager_at_once(data: Arrays) -> Session:
    return _tapejit(data, compiled=False, gradients_at_once=True)


def tapejit_compiled(data: Arrays) -> Session:
    return _tapejit(data, compiled=True)


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


WORKLOAD = Workload(
    name="line_fit",
    summary="six points, float32, |.| loss, gradients by w and b, descent with rate 0.001; one step",
    inputs=inputs,
    engines=(
        Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
        Engine("tapejit_eager", "tapejit", tapejit_eager, "persistent tape, gradient() twice"),
        Engine("tapejit_eager_at_once", "tapejit", tapejit_eager_at_once, "gradient() once, by both"),
        Engine("tapejit_compiled", "tapejit", tapejit_compiled, "the same function, compiled; NumPy arguments"),
        Engine("jax_jit", "jax", jax_jit),
        Engine("torch_eager", "torch", torch_eager, "graph retained, grad() twice"),
        Engine("torch_eager_at_once", "torch", torch_eager_at_once, "grad() once, by both"),
    ),
    check=Check(steps=500, rtol=0.0, atol=1e-6, expected=recorded),
    targets=(
        Target("tapejit_eager", "torch_eager", 1.0),
        Target("tapejit_eager_at_once", "torch_eager_at_once", 1.0),
    ),
)
