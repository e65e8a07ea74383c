"""ADBench's diagonal LSTM: the loss over a sequence of 1,024 characters and its gradient, float64.

Two layers whose weights multiply element by element, so that a character is some hundred operations: what an engine
adds to each iteration of a loop is what shows. Characters are coded by 14 bits, the next one is predicted by a softmax
with a 2 in its sum, both as in ADBench (F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of selected algorithmic
differentiation tools, https://arxiv.org/abs/1807.10129, and its implementation).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

LAYERS, CHARACTERS, BITS = 2, 1024, 14
TERMS = (CHARACTERS - 1) * BITS
ARGUMENTS = ("layers", "ends", "state", "sequence")
RESULTS = ("loss", "by_layers", "by_ends")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    codes = draw.choice(np.arange(32, 127), size=CHARACTERS)
    return {
        # For each layer the weights and the biases of the gates: forget, in, out, change.
        "layers": draw.normal(0, 0.5, (LAYERS, 2, 4, BITS)),
        # The weight of the input; weight and bias of the output.
        "ends": draw.normal(0, 0.5, (3, BITS)),
        # For each layer what it shows and what it holds at the start.
        "state": draw.normal(0, 0.5, (LAYERS, 2, BITS)),
        "sequence": (codes[:, None] >> np.arange(BITS) & 1).astype(np.float64),
    }


def loss_of(library: Any, sigmoid: Callable[[Any], Any], scan: Callable[..., Any]) -> Callable[..., Any]:
    """The loss of (layers, ends, state, sequence)."""

    def layer(parameters, hidden, cell, x):
        weight, bias = parameters
        forget = sigmoid(x * weight[0] + bias[0])
        into = sigmoid(hidden * weight[1] + bias[1])
        out = sigmoid(x * weight[2] + bias[2])
        change = library.tanh(hidden * weight[3] + bias[3])
        cell = cell * forget + into * change
        return out * library.tanh(cell), cell

    def loss(layers, ends, state, sequence):
        def character(states, x):
            found = []
            x = x * ends[0]
            for number, (hidden, cell) in enumerate(states):
                found.append(layer(layers[number], hidden, cell, x))
                x = found[-1][0]
            return found, x * ends[1] + ends[2]

        start = [(state[number, 0], state[number, 1]) for number in range(LAYERS)]
        _, predicted = scan(character, start, sequence[:-1])
        totals = library.sum(library.exp(predicted), axis=1, keepdims=True) + 2
        return -library.sum(sequence[1:] * (predicted - library.log(totals))) / TERMS

    return loss


def by_hand(exp: Any, tanh: Any) -> Callable[..., tuple[Any, ...]]:
    """Loss and gradient of (layers, ends, state, sequence), written so that Numba compiles it too."""

    def loss_and_gradient(layers, ends, state, sequence):
        count = sequence.shape[0] - 1
        gates = np.empty((count, LAYERS, 4, BITS))
        shown = np.empty((count + 1, LAYERS, BITS))
        held = np.empty((count + 1, LAYERS, BITS))
        shown[0], held[0] = state[:, 0], state[:, 1]
        predicted = np.empty((count, BITS))
        for t in range(count):
            x = sequence[t] * ends[0]
            for n in range(LAYERS):
                weight, bias, gate = layers[n, 0], layers[n, 1], gates[t, n]
                gate[0] = 1 / (1 + exp(-(x * weight[0] + bias[0])))
                gate[1] = 1 / (1 + exp(-(shown[t, n] * weight[1] + bias[1])))
                gate[2] = 1 / (1 + exp(-(x * weight[2] + bias[2])))
                gate[3] = tanh(shown[t, n] * weight[3] + bias[3])
                held[t + 1, n] = held[t, n] * gate[0] + gate[1] * gate[3]
                x = gate[2] * tanh(held[t + 1, n])
                shown[t + 1, n] = x
            predicted[t] = x * ends[1] + ends[2]
        loss = 0.0
        ct_layers, ct_ends = np.zeros_like(layers), np.zeros_like(ends)
        ct_shown, ct_held = np.zeros((LAYERS, BITS)), np.zeros((LAYERS, BITS))
        for t in range(count - 1, -1, -1):
            e = exp(predicted[t])
            total, gold = e.sum() + 2, sequence[t + 1]
            loss -= (gold * (predicted[t] - np.log(total))).sum() / TERMS
            ct = (gold.sum() * e / total - gold) / TERMS
            ct_ends[1] += ct * shown[t + 1, LAYERS - 1]
            ct_ends[2] += ct
            ct = ct * ends[1]
            for n in range(LAYERS - 1, -1, -1):
                weight, gate = layers[n, 0], gates[t, n]
                x = shown[t + 1, n - 1] if n else sequence[t] * ends[0]
                ct = ct + ct_shown[n]
                squashed = tanh(held[t + 1, n])
                ct_cell = ct_held[n] + ct * gate[2] * (1 - squashed * squashed)
                ct_forget = ct_cell * held[t, n] * gate[0] * (1 - gate[0])
                ct_into = ct_cell * gate[3] * gate[1] * (1 - gate[1])
                ct_out = ct * squashed * gate[2] * (1 - gate[2])
                ct_change = ct_cell * gate[1] * (1 - gate[3] * gate[3])
                ct_held[n] = ct_cell * gate[0]
                ct_shown[n] = ct_into * weight[1] + ct_change * weight[3]
                ct = ct_forget * weight[0] + ct_out * weight[2]
                ct_layers[n, 0, 0] += ct_forget * x
                ct_layers[n, 0, 1] += ct_into * shown[t, n]
                ct_layers[n, 0, 2] += ct_out * x
                ct_layers[n, 0, 3] += ct_change * shown[t, n]
                ct_layers[n, 1, 0] += ct_forget
                ct_layers[n, 1, 1] += ct_into
                ct_layers[n, 1, 2] += ct_out
                ct_layers[n, 1, 3] += ct_change
            ct_ends[0] += ct * sequence[t]
        return loss, ct_layers, ct_ends

    return loss_and_gradient


def numpy_by_hand(data: Arrays) -> Session:
    loss_and_gradient = by_hand(np.exp, np.tanh)
    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: loss_and_gradient(*arguments))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    loss_and_gradient = numba.njit(by_hand(np.exp, np.tanh))
    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: loss_and_gradient(*arguments))


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    differentiated = tj.value_and_grad(loss_of(tj, tj.sigmoid, tj.scan), argnums=(0, 1))

    @wrap
    def loss_and_gradient(layers, ends, state, sequence):
        loss, (by_layers, by_ends) = differentiated(layers, ends, state, sequence)
        return loss, by_layers, by_ends

    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: loss_and_gradient(*arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    compiled = jax.jit(jax.value_and_grad(loss_of(jnp, jax.nn.sigmoid, jax.lax.scan), argnums=(0, 1)))
    arguments = [jnp.asarray(data[name]) for name in ARGUMENTS]

    def step():
        loss, gradients = compiled(*arguments)
        return loss, *gradients

    return returning(RESULTS, step, jax.block_until_ready)


WORKLOADS = (
    Workload(
        name="diagonal_lstm",
        summary=f"loss of a diagonal LSTM over {CHARACTERS:,} characters and its gradient, {LAYERS} × {BITS}, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments, `scan`"),
            Engine("tapejit_eager", "tapejit", tapejit_eager, timed=False),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, compiled"),
            Engine("jax_jit", "jax", jax_jit, "`scan`"),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-12),
        targets=(Target("tapejit_compiled", "jax_jit", 0.3),),
    ),
)
