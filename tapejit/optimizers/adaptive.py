"""Step sizes from the squares of past gradients: RMSprop, Adagrad, Adadelta."""

from collections.abc import Mapping
from typing import Any

from .. import ops
from ..tensor import Tensor
from ..variable import Variable
from .optimizer import Optimizer, Slots, as_scalars


class RMSprop(Optimizer):
    """``v = rho * v + (1 - rho) * g²``, ``w -= rate * g / sqrt(v + epsilon)``.

    T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", 2012. Centred, the square of the gradients' mean is taken off v: A.
    Graves, "Generating Sequences With Recurrent Neural Networks", 2013, equations 38 to 45.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    rho : float
        The share of the past.
    momentum : float
        Of the steps.
    epsilon : float
        Keeps the divisor from 0.
    centered : bool
        Whether the variance takes the place of the mean square.
    **options
        See `Optimizer`.

    Examples
    --------
    >>> w = tj.Variable(1.0)
    >>> tj.optimizers.RMSprop(0.1).apply_gradients([(tj.constant(2.0), w)])
    >>> round(float(w), 4)
    0.6838
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        kept = {"velocity": 0.0}
        if self.momentum:
            kept["momentum"] = 0.0
        if self.centered:
            kept["average_gradient"] = 0.0
        return kept

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, the shares of old and new, those of old steps, epsilon."""
        return rate, *as_scalars(rate.dtype, self.rho, 1.0 - self.rho, self.momentum, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, old, new, kept, epsilon = scalars
        velocity = slots["velocity"].read_value() * old + gradient * gradient * new
        slots["velocity"].assign(velocity)
        divisor = velocity + epsilon
        if self.centered:
            mean = slots["average_gradient"].read_value() * old + gradient * new
            slots["average_gradient"].assign(mean)
            divisor = velocity - mean * mean + epsilon
        step = rate * gradient / ops.sqrt(divisor)
        if self.momentum:
            step = slots["momentum"].read_value() * kept + step
            slots["momentum"].assign(step)
        variable.assign_sub(step)


class Adagrad(Optimizer):
    """``a += g²``, ``w -= rate * g / sqrt(a + epsilon)``.

    J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    initial_accumulator_value : float
        What the sums begin with.
    epsilon : float
        Keeps the divisor from 0.
    **options
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"accumulator": self.initial_accumulator_value}

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, epsilon."""
        return rate, *as_scalars(rate.dtype, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, epsilon = scalars
        total = slots["accumulator"].read_value() + gradient * gradient
        slots["accumulator"].assign(total)
        variable.assign_sub(rate * gradient / ops.sqrt(total + epsilon))


class Adadelta(Optimizer):
    """Steps in the units of the variable: ``d = -sqrt(s + epsilon) / sqrt(v + epsilon) * g``, ``w += rate * d``.

    v and s are running means of g² and d²: M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012,
    algorithm 1.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`; the paper has 1.
    rho : float
        The share of the past.
    epsilon : float
        Starts the steps, and keeps the divisor from 0.
    **options
        See `Optimizer`.
    """

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"accumulated_gradient": 0.0, "accumulated_delta": 0.0}

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, the shares of old and new, epsilon."""
        return rate, *as_scalars(rate.dtype, self.rho, 1.0 - self.rho, self.epsilon)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, old, new, epsilon = scalars
        squares = slots["accumulated_gradient"].read_value() * old + gradient * gradient * new
        deltas = slots["accumulated_delta"].read_value()
        step = ops.sqrt(deltas + epsilon) / ops.sqrt(squares + epsilon) * gradient
        slots["accumulated_gradient"].assign(squares)
        slots["accumulated_delta"].assign(deltas * old + step * step * new)
        variable.assign_sub(rate * step)
