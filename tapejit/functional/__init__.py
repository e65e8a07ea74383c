"""Derivatives for those who think in functions: `grad`, `value_and_grad`, `vjp`, `jvp`, `linearize`, `hvp`.

Floor 11. Each takes a function and gives its derivative, as a function or at a point, made of what tapes and
accumulators are made of; so they agree with these, nest in any order, and work eagerly, inside compiled steps, and
around them. Start reading in `gradients`.
"""

from .gradients import grad, hvp, jvp, linearize, value_and_grad, vjp

__all__ = ["grad", "hvp", "jvp", "linearize", "value_and_grad", "vjp"]
