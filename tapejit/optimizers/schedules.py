"""Learning rates that change with the number of steps taken: functions of `Optimizer.iterations`.

Each is an object that is called with the step, an integer tensor of shape (), and gives a tensor of shape ().
"""

from collections.abc import Sequence
from math import pi
from typing import Any

from .. import ops
from ..config import floatx
from ..configurable import Configurable
from ..errors import at_user_line
from ..tensor import Tensor


class LearningRateSchedule(Configurable):
    """A learning rate as a function of the step; to be inherited from, or any callable will do.

    Parameters
    ----------
    name : str, optional
        By default that of the class.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__

    def __call__(self, step: Any) -> Tensor:
        """The learning rate for a step.

        Parameters
        ----------
        step : array_like, shape (), integer
            How many steps were taken before.
        """
        raise NotImplementedError

    def _steps(self, step: Any) -> Tensor:
        """The step as a floating number, from which a schedule of this package computes by its attributes."""
        self.rely()
        return ops.astype(ops.asarray(step), floatx())


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At step 0.
    decay_steps : int
        After so many steps one factor is complete.
    decay_rate : float
        The factor.
    staircase : bool
        Whether it falls only after each `decay_steps`.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.

    Examples
    --------
    >>> round(float(tj.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)(20)), 6)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(type(self).__name__, "decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        passed = self._steps(step) / self.decay_steps
        if self.staircase:
            passed = ops.floor(passed)
        return ops.power(ops.full_like(passed, self.decay_rate), passed) * self.initial_learning_rate


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At step 0.
    decay_steps : int
        The unit of time.
    decay_rate : float
        How fast it falls.
    staircase : bool
        Whether it falls only after each `decay_steps`.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(type(self).__name__, "decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        passed = self._steps(step) / self.decay_steps
        if self.staircase:
            passed = ops.floor(passed)
        return self.initial_learning_rate / (passed * self.decay_rate + 1.0)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries : sequence of int
        Increasing.
    values : sequence of float
        One more.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If their numbers don't fit, or boundaries don't increase.
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None) -> None:
        super().__init__(name)
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                at_user_line(
                    f"PiecewiseConstantDecay: {len(boundaries)} boundaries need {len(boundaries) + 1} values, got "
                    f"{len(values)}"
                )
            )
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(at_user_line(f"PiecewiseConstantDecay: boundaries must increase, got {list(boundaries)}"))
        self.boundaries = tuple(boundaries)
        self.values = tuple(values)

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        self.rely()
        number = ops.asarray(step)
        rate = ops.full((), self.values[-1], floatx())
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True):
            rate = ops.where(number <= boundary, value, rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``.

    Parameters
    ----------
    initial_learning_rate : float
        At step 0.
    decay_steps : int
        Where the end is reached.
    end_learning_rate : float
        From there on.
    power : float
        1 falls in a straight line.
    cycle : bool
        Whether it starts anew, with a multiple of `decay_steps` beyond the step, instead of staying at the end.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(type(self).__name__, "decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        number = self._steps(step)
        if self.cycle:
            cycles = ops.maximum(ops.ceil(number / self.decay_steps), 1.0)
            share = number / (cycles * self.decay_steps)
        else:
            share = ops.minimum(number, float(self.decay_steps)) / self.decay_steps
        span = self.initial_learning_rate - self.end_learning_rate
        return (1.0 - share) ** self.power * span + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """A straight rise over the warm-up, then half a cosine down to ``alpha`` times its height.

    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5.

    Parameters
    ----------
    initial_learning_rate : float
        At step 0.
    decay_steps : int
        Length of the fall.
    alpha : float
        The share that remains.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.
    warmup_target : float, optional
        What the warm-up rises to, and the fall begins with; without it there is no warm-up.
    warmup_steps : int
        Length of the warm-up.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(type(self).__name__, "decay_steps", decay_steps)
        self.alpha = alpha
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        number = self._steps(step)
        if self.warmup_target is None:
            return self._falling(number, self.initial_learning_rate)
        falling = self._falling(number - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return falling
        rise = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        return ops.where(number < self.warmup_steps, number * rise + self.initial_learning_rate, falling)

    def _falling(self, number: Tensor, height: float) -> Tensor:
        share = ops.minimum(number, float(self.decay_steps)) / self.decay_steps
        return ((1.0 - self.alpha) * (0.5 * (1.0 + ops.cos(share * pi))) + self.alpha) * height


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine falls one after the other, each longer and lower than the one before.

    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.

    Parameters
    ----------
    initial_learning_rate : float
        At step 0.
    first_decay_steps : int
        Length of the first fall.
    t_mul : float
        How many times as long each fall is as the one before, at least 1.
    m_mul : float
        How many times as high.
    alpha : float
        The share that remains at the end of a fall.
    name : str, optional
        See `LearningRateSchedule`.

    Raises
    ------
    ValueError
        If `first_decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive(type(self).__name__, "first_decay_steps", first_decay_steps)
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha

    def __call__(self, step: Any) -> Tensor:
        """See `LearningRateSchedule`."""
        passed = self._steps(step) / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = ops.floor(passed)
            share = passed - restarts
        else:
            # The falls before number i take (t^i - 1) / (t - 1) of the first one's length.
            grown = ops.log(1.0 - passed * (1.0 - self.t_mul)) / ops.log(ops.full_like(passed, self.t_mul))
            restarts = ops.floor(grown)
            lengths = ops.power(ops.full_like(passed, self.t_mul), restarts)
            share = (passed - (1.0 - lengths) / (1.0 - self.t_mul)) / lengths
        height = ops.power(ops.full_like(passed, self.m_mul), restarts)
        cosine = 0.5 * height * (1.0 + ops.cos(share * pi))
        return ((1.0 - self.alpha) * cosine + self.alpha) * self.initial_learning_rate


def _positive(title: str, name: str, steps: float) -> float:
    if not steps > 0:
        raise ValueError(at_user_line(f"{title}: {name} must be above 0, got {steps}"))
    return steps
