"""Lion: the sign of a momentum."""

from collections.abc import Mapping
from typing import Any

from .. import ops
from ..errors import at_user_line
from ..tensor import Tensor
from ..variable import Variable
from .optimizer import Optimizer, Slots, as_scalars


class Lion(Optimizer):
    """``w -= rate * sign(beta_1 * m + (1 - beta_1) * g)``, then ``m = beta_2 * m + (1 - beta_2) * g``.

    X. Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, program 1.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    beta_1, beta_2 : float
        The shares of the momentum in the step and in the next momentum.
    **options
        See `Optimizer`.

    Raises
    ------
    ValueError
        If `beta_1` is out of range: with 0 the momentum would do nothing.

    Examples
    --------
    >>> w = tj.Variable([1.0, 2.0])
    >>> tj.optimizers.Lion(0.5).apply_gradients([(tj.constant([3.0, -0.1]), w)])
    >>> w.tolist()
    [0.5, 2.5]
    """

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        if not 0 < beta_1 <= 1:
            raise ValueError(at_user_line(f"Lion: beta_1 must be above 0 and at most 1, got {beta_1}"))
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0}

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, the shares of old and new in the step, and in the next momentum."""
        return rate, *as_scalars(rate.dtype, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, old_in_step, new_in_step, old, new = scalars
        momentum = slots["momentum"].read_value()
        variable.assign_sub(rate * ops.sign(momentum * old_in_step + gradient * new_in_step))
        slots["momentum"].assign(momentum * old + gradient * new)
