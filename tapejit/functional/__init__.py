"""Functional transforms: derivatives and batches of functions, as functions.

Floor 11, above `control`. `grad`, `value_and_grad`, `vjp`, `jvp`, `linearize`, `hvp` take a function and give its
derivative, as a function or at a point, made of what tapes and accumulators are made of; so they agree with these,
nest in any order, and work eagerly, inside compiled steps, and around them. `vmap` maps a function over an axis;
`jacobian` and `hessian` compute all rows as such a batch. Start reading in `gradients`.
"""

from .gradients import grad, hvp, jvp, linearize, value_and_grad, vjp
from .jacobians import hessian, jacobian
from .vectorize import vmap

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "linearize", "value_and_grad", "vjp", "vmap"]
