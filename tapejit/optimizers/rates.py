"""Learning rates as optimizers hold them: numbers in variables, and functions."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from ..variable import Variable
from .schedules import LearningRateSchedule


class Rate(Variable):
    """A learning rate as an optimizer has it: ``optimizer.learning_rate *= 0.5`` assigns the product."""

    __slots__ = ()

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        """Leave it to ``*``, and to the optimizer to assign what comes of it."""
        return NotImplemented

    __iadd__ = __isub__ = __itruediv__ = __ipow__ = __imul__


def takes_step(rate: Callable[..., Any]) -> bool:
    """Whether a function of the user's takes the number of steps, or nothing."""
    if isinstance(rate, LearningRateSchedule):
        return True
    kinds = [parameter.kind for parameter in signature(rate).parameters.values()]
    return any(
        kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL) for kind in kinds
    )
