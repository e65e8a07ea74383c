"""`Optimizer`: what all update rules share. A rule is a subclass with `slots`, `scalars` and `update`.

`apply_gradients` bounds the gradients, lets weights decay, applies the rule variable by variable, counts, and keeps
averages. Everything that changes from step to step is in variables, so that a compiled step updates it in its kernel
and a checkpoint holds it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..aval import is_floating
from ..configurable import Configurable
from ..errors import DtypeError, ShapeError, at_user_line
from ..tape import GradientTape
from ..tensor import Tensor
from ..variable import Variable
from .clipping import clip_by_global_norm, clip_by_norm

Slots = dict[str, Variable]


class Optimizer(Configurable):
    """Common part of all optimizers; not made itself.

    Parameters
    ----------
    learning_rate : float or callable
        A number; or a function of `iterations`, such as one of `schedules`. It may be changed at any time, and the
        next step sees it, compiled or not.
    weight_decay : float, optional
        Before each update every variable loses this share of itself, times the learning rate (decoupled, as I.
        Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019, have it).
    clipnorm : float, optional
        Each gradient by itself is scaled down to at most this norm.
    clipvalue : float, optional
        Each element of each gradient is cut off at this size.
    global_clipnorm : float, optional
        All gradients are scaled down alike, to at most this norm together.
    use_ema : bool
        Whether an exponential average of each variable is kept, see `finalize_variable_values`.
    ema_momentum : float
        The share that an average keeps at each step.
    ema_overwrite_frequency : int, optional
        After each so many steps the variables take the values of their averages.
    name : str, optional
        Names of the slots begin with it; by default that of the class.

    Raises
    ------
    ValueError
        If more than one of the ways to clip is asked for, or a number is out of range.

    Attributes
    ----------
    iterations : Variable, shape (), int64
        How many times gradients were applied.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        name: str | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        asked = [key for key, value in clips.items() if value is not None]
        if len(asked) > 1:
            given = " and ".join(asked)
            raise ValueError(at_user_line(f"{self._title()}: {given} were given; only one of them can be"))
        for key in asked:
            _check_positive(self._title(), key, clips[key])
        if not callable(learning_rate):
            _check_not_negative(self._title(), "learning_rate", learning_rate)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.name = name or type(self).__name__.lower()
        self.iterations = Variable(np.int64(0), trainable=False, name=f"{self.name}/iterations")
        self._slots: dict[Variable, Slots] = {}  # by what is trained, in the order of the first updates

    def _title(self) -> str:
        return type(self).__name__

    # What a rule says

    def slots(self) -> Mapping[str, float]:
        """The variables that the rule keeps for each trainable variable: by name, the number that each begins with."""
        return {}

    def begin(self) -> None:
        """Update what the rule keeps for all variables together, before the first of them is updated."""

    def scalars(self, rate: Tensor) -> Any:
        """What of a step's numbers all variables of one dtype share, so that it is computed once.

        Parameters
        ----------
        rate : Tensor, shape ()
            The learning rate in that dtype.

        Returns
        -------
        object
            What `update` is handed; by default the learning rate.
        """
        return rate

    def update(self, variable: Variable, gradient: Tensor, scalars: Any, slots: Slots) -> None:
        """Give one variable, and its slots, their next values.

        Parameters
        ----------
        variable : Variable
            What is trained.
        gradient : Tensor
            Of its shape and dtype.
        scalars : object
            What `scalars` returned for its dtype.
        slots : dict of str to Variable
            What `slots` names, of its shape and dtype.
        """
        raise NotImplementedError

    def step_number(self, dtype: np.dtype) -> Tensor:
        """The number of the step that is being made, from 1, as a floating tensor of shape ()."""
        return ops.astype(self.iterations.read_value(), dtype) + 1.0

    # What a user calls

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots of variables that have none yet; `apply_gradients` does it by itself.

        Parameters
        ----------
        variables : iterable of Variable
            Floating.

        Raises
        ------
        DtypeError
            If one is not floating.
        """
        for variable in variables:
            if variable in self._slots:
                continue
            if not is_floating(variable.dtype):
                raise DtypeError(
                    at_user_line(f"{self._title()}: a variable of dtype {variable.dtype.name} can't be trained")
                )
            wanted = dict(self.slots())
            if self.use_ema:
                wanted[_AVERAGE] = 0.0
            label = variable.name or f"variable_{len(self._slots)}"
            self._slots[variable] = {
                name: Variable(
                    np.full(variable.shape, number, variable.dtype), trainable=False, name=f"{self.name}/{label}/{name}"
                )
                for name, number in wanted.items()
            }

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All that is state: `iterations`, then the slots in the order in which they were made."""
        slots = [slot for own in self._slots.values() for slot in own.values()]
        return (self.iterations, *slots)

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """All that is state, with paths such as ``slots/0/momentum``: that of the first variable that was trained."""
        shared = len(self.variables) - sum(len(slots) for slots in self._slots.values())
        for variable in self.variables[:shared]:
            yield (variable.name or "").rpartition("/")[2], variable
        for number, slots in enumerate(self._slots.values()):
            for name, slot in slots.items():
                yield f"slots/{number}/{name}", slot

    def current_learning_rate(self) -> Tensor:
        """The learning rate of the next step.

        Returns
        -------
        Tensor, shape ()
            Floating.
        """
        rate = self.learning_rate
        return ops.asarray(rate(self.iterations.read_value()) if callable(rate) else rate)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> None:
        """Make one step.

        Parameters
        ----------
        grads_and_vars : iterable of (array_like or None, Variable)
            Gradients of the variables' shapes; a variable whose gradient is None stays as it is.

        Raises
        ------
        ValueError
            If there is no gradient at all, or a variable comes twice.
        ShapeError
            If a gradient has another shape than its variable.

        Examples
        --------
        >>> w = tj.Variable(1.0)
        >>> optimizer = tj.optimizers.SGD(0.5)
        >>> optimizer.apply_gradients([(tj.constant(1.0), w)])
        >>> float(w)
        0.5
        """
        self.rely()
        pairs = self._checked(list(grads_and_vars))
        variables = [variable for _, variable in pairs]
        self.build(variables)
        gradients = self._clipped([gradient for gradient, _ in pairs])
        rate = self.learning_rate
        if callable(rate):
            rate = rate(self.iterations.read_value())
        self.begin()
        rates = {dtype: ops.asarray(rate, dtype) for dtype in _dtypes(variables)}
        scalars = {dtype: self.scalars(own_rate) for dtype, own_rate in rates.items()}
        decays = {dtype: ops.asarray(self.weight_decay or 0.0, dtype) for dtype in rates}
        for variable, gradient in zip(variables, gradients, strict=True):
            dtype = variable.dtype
            if self.weight_decay is not None:
                variable.assign_sub(variable.read_value() * decays[dtype] * rates[dtype])
            self.update(variable, gradient, scalars[dtype], self._slots[variable])
        self.iterations.assign_add(1)
        if self.use_ema:
            self._average(variables)

    def minimize(self, loss: Any, var_list: Iterable[Variable], tape: Any = None) -> None:
        """Take the gradient of a loss and apply it.

        Parameters
        ----------
        loss : callable or Tensor
            ``loss() -> Tensor``; or the loss itself, if the tape on which it was computed is given.
        var_list : iterable of Variable
            What to train.
        tape : GradientTape, optional
            Needed where `loss` is a tensor.
        """
        variables = list(var_list)
        heard, value = tape, loss
        if callable(loss):
            with GradientTape() as heard:
                value = loss()
        elif tape is None:
            raise ValueError(at_user_line(f"{self._title()}.minimize: a loss that is a tensor needs its tape="))
        self.apply_gradients(zip(heard.gradient(value, variables), variables, strict=True))

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Give variables the values of their averages, at the end of training with ``use_ema=True``.

        Parameters
        ----------
        var_list : iterable of Variable
            Those that were trained.

        Raises
        ------
        ValueError
            If no averages are kept.
        """
        if not self.use_ema:
            raise ValueError(at_user_line(f"{self._title()}: no averages are kept; make it with use_ema=True"))
        for variable in var_list:
            variable.assign(self._slots[variable][_AVERAGE].read_value())

    # The parts of a step

    def _checked(self, pairs: list[tuple[Any, Variable]]) -> list[tuple[Tensor, Variable]]:
        """The pairs that have a gradient."""
        seen: set[int] = set()
        found = []
        for gradient, variable in pairs:
            if not isinstance(variable, Variable):
                raise TypeError(
                    at_user_line(
                        f"{self._title()}.apply_gradients takes pairs of gradient and variable, got "
                        f"{type(variable).__name__} for a variable; zip(gradients, variables) makes them"
                    )
                )
            if variable.key in seen:
                raise ValueError(at_user_line(f"{self._title()}: {_label(variable)} comes twice"))
            seen.add(variable.key)
            if gradient is None:
                continue
            value = ops.asarray(gradient, variable.dtype)
            if value.shape != variable.shape:
                raise ShapeError(
                    at_user_line(
                        f"{self._title()}: a gradient of shape {value.shape} for {_label(variable)} of shape "
                        f"{variable.shape}"
                    )
                )
            found.append((value, variable))
        if not found:
            names = ", ".join(_label(variable) for _, variable in pairs) or "no variables"
            raise ValueError(
                at_user_line(
                    f"{self._title()}: no gradient for any variable ({names}); was the loss computed inside the tape, "
                    "from these variables?"
                )
            )
        return found

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.clipnorm is not None:
            return [clip_by_norm(each, self.clipnorm) for each in gradients]
        if self.global_clipnorm is not None:
            return clip_by_global_norm(gradients, self.global_clipnorm)
        if self.clipvalue is not None:
            return [ops.clip(each, -self.clipvalue, self.clipvalue) for each in gradients]
        return gradients

    def _average(self, variables: Sequence[Variable]) -> None:
        """Averages follow the variables; the first step sets them."""
        steps = self.iterations.read_value()
        shares = {
            dtype: ops.where(steps == 1, 0.0, ops.asarray(self.ema_momentum, dtype)) for dtype in _dtypes(variables)
        }
        for variable in variables:
            value, average = variable.read_value(), self._slots[variable][_AVERAGE]
            share = shares[variable.dtype]
            mean = average.read_value() * share + value * (1.0 - share)
            average.assign(mean)
            if self.ema_overwrite_frequency:
                variable.assign(ops.where(steps % self.ema_overwrite_frequency == 0, mean, value))


_AVERAGE = "average"


def _dtypes(variables: Iterable[Variable]) -> Iterable[np.dtype]:
    """Each of their dtypes once."""
    return dict.fromkeys(variable.dtype for variable in variables)


def as_scalars(dtype: np.dtype, *numbers: float) -> tuple[Tensor, ...]:
    """Settings of a rule as tensors of shape (), for `Optimizer.scalars`."""
    return tuple(ops.asarray(number, dtype) for number in numbers)


def _label(variable: Variable) -> str:
    return f"variable {variable.name!r}" if variable.name else f"a variable of shape {variable.shape}"


def _check_positive(title: str, name: str, number: Any) -> None:
    if not number > 0:
        raise ValueError(at_user_line(f"{title}: {name} must be above 0, got {number}"))


def _check_not_negative(title: str, name: str, number: Any) -> None:
    if not number >= 0:
        raise ValueError(at_user_line(f"{title}: {name} must be at least 0, got {number}"))
