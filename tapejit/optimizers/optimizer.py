"""`Optimizer`: what all update rules share. A rule is a subclass with `slots`, `scalars` and `update`.

`apply_gradients` bounds the gradients, lets weights decay, applies the rule variable by variable, counts, and keeps
averages. Everything that changes from step to step is in variables, so that a compiled step updates it in its kernel
and a checkpoint holds it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..aval import PYTHON_NUMBERS, is_floating
from ..configurable import Configurable
from ..errors import DtypeError, ShapeError, at_user_line
from ..tape import GradientTape
from ..tensor import Tensor
from ..variable import Variable
from .clipping import clip_by_global_norm, clip_by_norm
from .pairs import checked_pairs, label_of, with_gradient
from .rates import Rate, takes_step

Slots = dict[str, Variable]


class Optimizer(Configurable):
    """Common part of all optimizers; not made itself.

    Parameters
    ----------
    learning_rate : float, Variable or callable
        A number, which is kept in a variable; or a function of `iterations`, such as one of `schedules`, or of nothing.
        It may be changed at any time, and the next step sees it, compiled or not.
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
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(at_user_line(f"{self._title()}: ema_momentum must be from 0 to 1, got {ema_momentum}"))
        if ema_overwrite_frequency is not None and ema_overwrite_frequency < 1:
            raise ValueError(
                at_user_line(f"{self._title()}: ema_overwrite_frequency is 1 at least, got {ema_overwrite_frequency}")
            )
        self.name = name or type(self).__name__.lower()
        self.iterations = Variable(np.int64(0), trainable=False, name=f"{self.name}/iterations")
        self._rate: Any = None
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self._undecayed: tuple[Variable, ...] = ()
        self._undecayed_names: tuple[str, ...] = ()
        self._slots: dict[Variable, Slots] = {}  # by what is trained, in the order of the first updates

    def _title(self) -> str:
        return type(self).__name__

    @property
    def learning_rate(self) -> Any:
        """A variable of shape (), float64 if it was made here; of a function its value for the next step, a tensor.

        ``optimizer.learning_rate = 0.1`` assigns to the variable, also inside of a compiled step; a variable or a
        function takes its place.
        """
        self.rely()
        return self._rate if isinstance(self._rate, Variable) else self.current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, Variable) or callable(value):
            self._rate, self._takes_step = value, callable(value) and takes_step(value)
            return
        if type(value) in PYTHON_NUMBERS:
            _check_not_negative(self._title(), "learning_rate", value)
        if value is None or isinstance(value, str):
            raise TypeError(
                at_user_line(f"{self._title()}: learning_rate is a number, a variable or a function, got {value!r}")
            )
        number = ops.asarray(value, np.float64)
        if number.shape:
            raise ShapeError(
                at_user_line(f"{self._title()}: learning_rate is a number, got one of shape {number.shape}")
            )
        if isinstance(self._rate, Variable):
            self._rate.assign(number)
        else:
            self._rate = Rate(number, trainable=False, name=f"{self.name}/learning_rate")

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
        wanted: dict[str, float | None] = {**self.slots(), **({_AVERAGE: None} if self.use_ema else {})}
        for variable in variables:
            slots = self._slots.get(variable)
            if slots is None:
                self._check_trainable(variable)
                slots = self._slots[variable] = {}
            missing = [name for name in wanted if name not in slots]  # all, or after a change such as of momentum
            for name in missing:
                # An average begins with the value as it is now, also where a step is being traced.
                begins = variable.buffer if wanted[name] is None else np.full(variable.shape, wanted[name])
                label = variable.name or f"variable_{len(self._slots) - 1}"
                slots[name] = Variable(
                    begins.astype(variable.dtype), trainable=False, name=f"{self.name}/{label}/{name}"
                )

    def _check_trainable(self, variable: Any) -> None:
        if not isinstance(variable, Variable):
            raise TypeError(at_user_line(f"{self._title()}.build takes variables, got {type(variable).__name__}"))
        if not is_floating(variable.dtype):
            raise DtypeError(
                at_user_line(f"{self._title()}: a variable of dtype {variable.dtype.name} can't be trained")
            )

    @property
    def built(self) -> bool:
        """Whether there are slots already."""
        return bool(self._slots)

    def shared_variables(self) -> dict[str, Variable]:
        """What is kept for all variables together, by name."""
        rate = {"learning_rate": self._rate} if isinstance(self._rate, Variable) else {}
        return {"iterations": self.iterations, **rate}

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All that is state: `iterations`, the learning rate, then the slots in the order in which they were made."""
        return tuple(variable for _, variable in self.named_variables())

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """All that is state, with paths such as ``slots/0/momentum``: that of the first variable that was trained."""
        yield from self.shared_variables().items()
        for number, slots in enumerate(self._slots.values()):
            for name, slot in slots.items():
                yield f"slots/{number}/{name}", slot

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Let some variables not decay.

        Parameters
        ----------
        var_list : iterable of Variable, optional
            These.
        var_names : iterable of str, optional
            Those in whose names one of these regular expressions is found, such as ``"bias"``.
        """
        self._undecayed, self._undecayed_names = tuple(var_list or ()), tuple(var_names or ())

    def _decays(self, variable: Variable) -> bool:
        named = any(re.search(pattern, variable.name or "") for pattern in self._undecayed_names)
        return self.weight_decay is not None and not named and all(variable is not each for each in self._undecayed)

    def current_learning_rate(self) -> Tensor:
        """The learning rate of the next step.

        Returns
        -------
        Tensor, shape ()
            Floating.
        """
        rate = self._rate
        if callable(rate):
            rate = rate(self.iterations.read_value()) if self._takes_step else rate()
        return ops.asarray(rate)

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
        given = checked_pairs(self._title(), grads_and_vars)
        pairs = with_gradient(self._title(), given)
        variables = [variable for _, variable in pairs]
        self.build(variable for gradient, variable in given if gradient is not None or is_floating(variable.dtype))
        gradients = self._clipped([gradient for gradient, _ in pairs])
        rate = self.current_learning_rate()
        self.begin()
        rates = {dtype: ops.asarray(rate, dtype) for dtype in _dtypes(variables)}
        scalars = {dtype: self.scalars(own_rate) for dtype, own_rate in rates.items()}
        decays = {dtype: ops.asarray(self.weight_decay or 0.0, dtype) for dtype in rates}
        for variable, gradient in zip(variables, gradients, strict=True):
            dtype = variable.dtype
            if self._decays(variable):
                variable.assign_sub(variable.read_value() * decays[dtype] * rates[dtype])
            self.update(variable, gradient, scalars[dtype], self._slots[variable])
        self.iterations.assign_add(1)
        if self.use_ema:
            self._average([variable for variable, slots in self._slots.items() if _AVERAGE in slots])

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Make one step, as `apply_gradients` does.

        Parameters
        ----------
        grads : iterable of array_like or None
            One for each variable.
        trainable_variables : iterable of Variable, optional
            By default those of `build`, in its order.
        """
        gradients = list(grads)
        variables = list(self._slots if trainable_variables is None else trainable_variables)
        if len(gradients) != len(variables):
            raise ValueError(
                at_user_line(f"{self._title()}.apply: {len(gradients)} gradients for {len(variables)} variables")
            )
        self.apply_gradients(zip(gradients, variables, strict=True))

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
            if variable not in self._slots:
                raise ValueError(at_user_line(f"{self._title()}: there is no average of {label_of(variable)} yet"))
            variable.assign(self._slots[variable][_AVERAGE].read_value())

    # The parts of a step

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.clipnorm is not None:
            return [clip_by_norm(each, self.clipnorm) for each in gradients]
        if self.global_clipnorm is not None:
            return clip_by_global_norm(gradients, self.global_clipnorm)[0]
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


def _check_positive(title: str, name: str, number: Any) -> None:
    if not number > 0:
        raise ValueError(at_user_line(f"{title}: {name} must be above 0, got {number}"))


def _check_not_negative(title: str, name: str, number: Any) -> None:
    if not number >= 0:
        raise ValueError(at_user_line(f"{title}: {name} must be at least 0, got {number}"))
