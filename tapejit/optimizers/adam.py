"""Adam and what was made of it: step sizes from running means of gradients and of their squares."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import ops
from ..tensor import Tensor
from ..variable import Variable
from .optimizer import Optimizer, Slots, as_scalars


class Adam(Optimizer):
    """``m`` and ``v`` are running means of g and g²; ``w -= rate * m̂ / (sqrt(v̂) + epsilon)``.

    D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", 2015; in the order of computation at the end of
    its section 2, where ``epsilon`` stands beside the square root of the uncorrected v.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    beta_1, beta_2 : float
        The shares of the past in the two means.
    epsilon : float
        Keeps the divisor from 0.
    amsgrad : bool
        Whether the largest v so far is used: S. J. Reddi, S. Kale, S. Kumar, "On the Convergence of Adam and Beyond",
        2018.
    **options
        See `Optimizer`.

    Examples
    --------
    >>> w = tj.Variable([1.0, 2.0])
    >>> tj.optimizers.Adam(0.5).apply_gradients([(tj.constant([3.0, -0.1]), w)])
    >>> w.numpy().round(4).tolist()
    [0.5, 2.5]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        kept = {"momentum": 0.0, "velocity": 0.0}
        return {**kept, "velocity_hat": 0.0} if self.amsgrad else kept

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the corrected learning rate, the shares of what is new in the two means, epsilon."""
        number = self.step_number(rate.dtype)
        correction = ops.sqrt(1.0 - _power(self.beta_2, number)) / (1.0 - _power(self.beta_1, number))
        return rate * correction, *as_scalars(rate.dtype, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, new_share, new_square_share, epsilon = scalars
        momentum = slots["momentum"].read_value()
        momentum = momentum + (gradient - momentum) * new_share
        velocity = slots["velocity"].read_value()
        velocity = velocity + (gradient * gradient - velocity) * new_square_share
        slots["momentum"].assign(momentum)
        slots["velocity"].assign(velocity)
        if self.amsgrad:
            velocity = ops.maximum(slots["velocity_hat"].read_value(), velocity)
            slots["velocity_hat"].assign(velocity)
        variable.assign_sub(momentum * rate / (ops.sqrt(velocity) + epsilon))


class AdamW(Adam):
    """`Adam` with decoupled weight decay.

    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    weight_decay : float
        See `Optimizer`.
    beta_1, beta_2, epsilon, amsgrad, **options
        See `Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)


class Adamax(Optimizer):
    """`Adam` with the largest gradient, which fades, in place of the root of v: ``u = max(beta_2 * u, |g|)``.

    D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 2.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    beta_1, beta_2 : float
        The shares of the past.
    epsilon : float
        Keeps the divisor from 0.
    **options
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0, "norm": 0.0}

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, its correction, the shares of new in m and of old in u, epsilon."""
        correction = 1.0 - _power(self.beta_1, self.step_number(rate.dtype))
        return rate, correction, *as_scalars(rate.dtype, 1.0 - self.beta_1, self.beta_2, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, correction, new_share, old_share, epsilon = scalars
        momentum = slots["momentum"].read_value()
        momentum = momentum + (gradient - momentum) * new_share
        norm = ops.maximum(slots["norm"].read_value() * old_share, ops.abs(gradient))
        slots["momentum"].assign(momentum)
        slots["norm"].assign(norm)
        variable.assign_sub(rate * momentum / (correction * (norm + epsilon)))


class Nadam(Optimizer):
    """`Adam` with Nesterov's momentum, whose share of the past rises with the steps.

    T. Dozat, "Incorporating Nesterov Momentum into Adam", 2016; the share is ``beta_1 * (1 - 0.96^t / 2)``, t counting
    from 1.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    beta_1, beta_2 : float
        The shares of the past.
    epsilon : float
        Keeps the divisor from 0.
    **options
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._share = Variable(np.float64(1.0), trainable=False, name=f"{self.name}/momentum_product")

    def shared_variables(self) -> dict[str, Variable]:
        """See `Optimizer`; with the product of all shares so far."""
        return {**super().shared_variables(), "momentum_product": self._share}

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0, "velocity": 0.0}

    def begin(self) -> None:
        """See `Optimizer`."""
        self._share.assign(self._share.read_value() * self._share_at(self.step_number(self._share.dtype)))

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, weights of m and g in a step, the correction of v, shares, epsilon."""
        dtype = rate.dtype
        number = self.step_number(dtype)
        now, later = self._share_at(number), self._share_at(number + 1.0)
        product = ops.astype(self._share.read_value(), dtype)
        ahead = later / (1.0 - product * later), (1.0 - now) / (1.0 - product)
        correction = 1.0 - _power(self.beta_2, number)
        return rate, *ahead, correction, *as_scalars(dtype, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, of_momentum, of_gradient, correction, new_share, new_square_share, epsilon = scalars
        momentum = slots["momentum"].read_value()
        momentum = momentum + (gradient - momentum) * new_share
        velocity = slots["velocity"].read_value()
        velocity = velocity + (gradient * gradient - velocity) * new_square_share
        slots["momentum"].assign(momentum)
        slots["velocity"].assign(velocity)
        ahead = momentum * of_momentum + gradient * of_gradient
        variable.assign_sub(ahead * rate / (ops.sqrt(velocity / correction) + epsilon))

    def _share_at(self, number: Tensor) -> Tensor:
        return self.beta_1 * (1.0 - 0.5 * _power(0.96, number))


def _power(share: float, number: Tensor) -> Tensor:
    """``share ** number``."""
    return ops.power(ops.full_like(number, share), number)
