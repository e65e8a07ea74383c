"""Gradient descent, with momentum where it is asked for."""

from collections.abc import Mapping
from typing import Any

from ..errors import at_user_line
from ..tensor import Tensor
from ..variable import Variable
from .optimizer import Optimizer, Slots, as_scalars


class SGD(Optimizer):
    """Gradient descent: ``w -= rate * g``; with momentum ``m = momentum * m - rate * g`` and ``w += m``.

    With Nesterov's momentum ``w += momentum * m - rate * g``, m being the new one: I. Sutskever, J. Martens, G. Dahl,
    G. Hinton, "On the importance of initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        See `Optimizer`.
    momentum : float
        From 0 (none) to 1.
    nesterov : bool
        Whether the momentum is Nesterov's.
    **options
        See `Optimizer`.

    Raises
    ------
    ValueError
        If the momentum is out of range.

    Examples
    --------
    >>> w = tj.Variable([1.0, 2.0])
    >>> tj.optimizers.SGD(0.1).apply_gradients([(tj.constant([1.0, 1.0]), w)])
    >>> w.numpy().round(3).tolist()
    [0.8999999761581421, 1.899999976158142]
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 <= momentum <= 1:
            raise ValueError(at_user_line(f"SGD: momentum must be from 0 to 1, got {momentum}"))
        self.momentum = momentum
        self.nesterov = nesterov

    def slots(self) -> Mapping[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0} if self.momentum else {}

    def scalars(self, rate: Tensor) -> Any:
        """See `Optimizer`: the learning rate, the share of old steps."""
        return rate, *as_scalars(rate.dtype, self.momentum)

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """See `Optimizer`."""
        rate, kept = scalars
        if not self.momentum:
            variable.assign_sub(gradient * rate)
            return
        momentum = slots["momentum"]
        moved = momentum.read_value() * kept - gradient * rate
        momentum.assign(moved)
        variable.assign_add(moved * kept - gradient * rate if self.nesterov else moved)
