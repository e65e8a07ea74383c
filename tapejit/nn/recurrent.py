"""Recurrent layers, by `scan`: one loop over time, whatever its length.

`Recurrent` has what they share; a cell is one step from states to states, the first of which is the output, with what
the inputs contribute computed for all times at once before the loop.
"""

from typing import Any

import numpy as np

from .. import ops
from ..aval import Shape
from ..control import scan
from ..errors import ShapeError, at_user_line
from ..random import Generator
from ..tensor import Tensor
from . import activations, initializers, regularizers
from .layer import Layer, PartialShape, at_least_one, fraction, known

States = tuple[Any, ...]


class Recurrent(Layer):
    """What recurrent layers share; not made itself.

    Parameters
    ----------
    units : int
        Length of the state and of the output.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, recurrent_initializer, bias_initializer : str or callable
        See `initializers`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or callable, optional
        See `regularizers`.
    dropout, recurrent_dropout : float
        In training so much of the inputs and of the states is dropped, the same at all times.
    return_sequences : bool
        Whether the outputs of all times are the result, or the last one.
    return_state : bool
        Whether the last states follow the result.
    go_backwards : bool
        Whether time runs backwards; the outputs are then in the order in which they were computed.
    stateful : bool
        False: states are kept by `return_state` and the call's ``initial_state``.
    unroll : bool
        Without effect.
    seed : int or Generator, optional
        Of the generator that draws what is dropped, or that generator.
    **options
        See `Layer`.
    """

    rank = 3
    gates = 1
    state_count = 1

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,  # noqa: ARG002 (loops are loops here)
        seed: int | Generator | None = None,
        **options: Any,
    ) -> None:
        title = type(self).__name__
        if stateful:
            raise ValueError(at_user_line(f"{title}: stateful can't be True; use return_state and initial_state"))
        (self.units,) = at_least_one(title, units=units)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.dropout = fraction(title, "dropout", dropout)
        self.recurrent_dropout = fraction(title, "recurrent_dropout", recurrent_dropout)
        self.generator: Generator | None = None
        if dropout or recurrent_dropout:
            self.generator = seed if isinstance(seed, Generator) else Generator(seed)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        inputs, width = known(input_shape[-1], self, "last axis"), self.gates * self.units
        self.kernel = self.add_weight(
            "kernel", (inputs, width), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", (self.units, width), self.recurrent_initializer, regularizer=self.recurrent_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", self.bias_shape(), self.first_bias, regularizer=self.bias_regularizer)

    def bias_shape(self) -> Shape:
        """That of the bias."""
        return (self.gates * self.units,)

    def first_bias(self, shape: Shape, dtype: Any) -> Any:
        """The first value of the bias."""
        return self.bias_initializer(shape, dtype)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`; of the result without states."""
        batch, times = input_shape[:2]
        return (batch, times, self.units) if self.return_sequences else (batch, self.units)

    def axes_in_words(self) -> str:
        """See `Layer`."""
        return " (batch, time, features)"

    def cell(self, drive: Tensor, states: States, seen: Any) -> States:
        """The next states, whose first is the output.

        Parameters
        ----------
        drive : Tensor, shape (batch, gates * units)
            What the inputs of this time contribute.
        states : tuple of Tensor, shape (batch, units)
            Those of the time before.
        seen : Tensor, shape (batch, units)
            The first of them as the recurrent kernel sees it, of which something may have been dropped.
        """
        raise NotImplementedError

    def input_bias(self) -> Any:
        """The part of the bias that is added to what the inputs contribute."""
        return self.bias

    def call(self, inputs: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """The layer's result.

        Parameters
        ----------
        inputs : array_like, shape (batch, time, features)
            One sequence for each example.
        initial_state : array_like, shape (batch, units), or sequence of them
            By default zeros.
        mask : array_like of bool, shape (batch, time), optional
            Where it is False, states and output stay as they are; before the first True the output is 0.
        training : bool
            Whether anything is dropped.

        Returns
        -------
        Tensor, shape (batch, units) or (batch, time, units)
            See `return_sequences`; with `return_state` in a tuple, followed by the states.
        """
        x = self.as_input(inputs)
        batch, times, features = x.shape
        self.check_channels(x.shape, self.kernel.shape[0])
        if not times:
            raise ShapeError(at_user_line(f"{self.described}: sequences of no time, {x.shape}"))
        states = self._first_states(initial_state, batch, x.dtype)
        x = self._dropped(x, self.dropout, (batch, 1, features), training)
        drive = ops.matmul(x, self.kernel)
        bias = self.input_bias()
        drive = ops.permute_dims(drive if bias is None else drive + bias, (1, 0, 2))
        kept = self._mask(self.recurrent_dropout, (batch, self.units), x.dtype, training)
        last, outputs = self._over_time(states, drive, kept, self._steps(mask, batch, times))
        result = last[0]
        if self.return_sequences:
            outputs = ops.flip(outputs, axis=0) if self.go_backwards else outputs
            result = ops.permute_dims(outputs, (1, 0, 2))
        return (result, *last[1]) if self.return_state else result

    def _over_time(self, states: States, drive: Tensor, kept: Any, steps: Any) -> tuple[tuple[Any, States], Any]:
        """The last output with the last states, and all outputs if they are asked for."""

        def following(states: States, drive_t: Tensor) -> States:
            return self.cell(drive_t, states, states[0] if kept is None else states[0] * kept)

        def step(states: States, drive_t: Tensor) -> tuple[States, Any]:
            states = following(states, drive_t)
            return states, states[0] if self.return_sequences else None

        def masked(carried: tuple[Any, States], now: tuple[Tensor, Tensor]) -> tuple[tuple[Any, States], Any]:
            (output, before), (drive_t, counts) = carried, now
            after = following(before, drive_t)
            output = ops.where(counts, after[0], output)
            states = tuple(ops.where(counts, new, old) for new, old in zip(after, before, strict=True))
            return (output, states), output if self.return_sequences else None

        if steps is None:
            last, outputs = scan(step, states, drive, reverse=self.go_backwards)
            return (last[0], last), outputs
        first = (ops.zeros_like(states[0]), states)
        return scan(masked, first, (drive, steps), reverse=self.go_backwards)

    def _steps(self, mask: Any, batch: int, times: int) -> Any:
        """The mask by time, shape (time, batch, 1)."""
        if mask is None:
            return None
        given = ops.asarray(mask)
        if given.shape != (batch, times):
            raise ShapeError(
                at_user_line(f"{self.described}: a mask of shape {given.shape} where {(batch, times)} is expected")
            )
        return ops.expand_dims(ops.permute_dims(ops.astype(given, "bool"), (1, 0)), 2)

    def get_initial_state(self, batch_size: Any) -> list[Tensor]:
        """The states that a call begins with by default: zeros.

        Parameters
        ----------
        batch_size : int or array_like
            How many sequences there are, or the inputs, whose first length that is.

        Returns
        -------
        list of Tensor, shape (batch, units)
            To be handed to a call as its ``initial_state``.
        """
        batch = batch_size if isinstance(batch_size, (int, np.integer)) else ops.asarray(batch_size).shape[0]
        return [ops.zeros((int(batch), self.units), self.dtype) for _ in range(self.state_count)]

    def _first_states(self, given: Any, batch: int, dtype: Any) -> States:
        if given is None:
            return tuple(self.get_initial_state(batch))
        states = tuple(given) if isinstance(given, (list, tuple)) else (given,)
        if len(states) != self.state_count:
            raise ShapeError(
                at_user_line(f"{type(self).__name__} has {self.state_count} states, got {len(states)} initial ones")
            )
        values = tuple(ops.asarray(state, dtype) for state in states)
        for value in values:
            if value.shape != (batch, self.units):
                raise ShapeError(
                    at_user_line(
                        f"{self.described}: an initial state of shape {value.shape} where "
                        f"{(batch, self.units)} is expected"
                    )
                )
        return values

    def _mask(self, rate: float, shape: tuple[int, ...], dtype: Any, training: bool) -> Any:
        if not training or not rate:
            return None
        assert self.generator is not None
        kept = self.generator.uniform(shape, dtype=dtype) >= rate
        return ops.where(kept, 1.0 / (1.0 - rate), ops.zeros((), dtype))

    def _dropped(self, x: Tensor, rate: float, shape: tuple[int, ...], training: bool) -> Tensor:
        mask = self._mask(rate, shape, x.dtype, training)
        return x if mask is None else x * mask


class SimpleRNN(Recurrent):
    """``h = activation(x_t W + h U + b)``: J. L. Elman, "Finding Structure in Time", 1990.

    Parameters
    ----------
    units : int
        Length of the state.
    activation : str or callable
        See `activations`.
    use_bias, **options
        See `Recurrent`.
    """

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True, **options: Any) -> None:
        self.activation = activations.get(activation)
        super().__init__(units, use_bias, **options)

    def cell(self, drive: Tensor, states: States, seen: Any) -> States:  # noqa: ARG002 (of the same form as others)
        """See `Recurrent`."""
        return (self.activation(drive + ops.matmul(seen, self.recurrent_kernel)),)


class LSTM(Recurrent):
    """Long short-term memory, its gates in the order input, forget, cell, output.

    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", 1997; with the forget gate of F. A. Gers, J. Schmidhuber,
    F. Cummins, "Learning to Forget", 2000. States are the output and the cell.

    Parameters
    ----------
    units : int
        Length of the states.
    activation, recurrent_activation : str or callable
        Of cell and output, and of the gates; see `activations`.
    unit_forget_bias : bool
        Whether the bias of the forget gate begins with 1: R. Jozefowicz, W. Zaremba, I. Sutskever, "An Empirical
        Exploration of Recurrent Network Architectures", 2015.
    use_bias, **options
        See `Recurrent`.
    """

    gates = 4
    state_count = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        super().__init__(units, use_bias, **options)

    def first_bias(self, shape: Shape, dtype: Any) -> Tensor:
        """See `Recurrent`."""
        if not self.unit_forget_bias:
            return super().first_bias(shape, dtype)
        units = self.units
        parts = [self.bias_initializer((length,), dtype) for length in (units, 2 * units)]
        return ops.concat([ops.asarray(parts[0]), ops.ones((units,), dtype), ops.asarray(parts[1])])

    def cell(self, drive: Tensor, states: States, seen: Any) -> States:
        """See `Recurrent`."""
        c = states[1]
        total = drive + ops.matmul(seen, self.recurrent_kernel)
        units, gate = self.units, self.recurrent_activation
        arriving, kept, new, shown = (total[:, at * units : (at + 1) * units] for at in range(4))
        c = gate(kept) * c + gate(arriving) * self.activation(new)
        return gate(shown) * self.activation(c), c


class GRU(Recurrent):
    """Gated recurrent unit, its gates in the order update, reset, state.

    K. Cho et al., "Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation",
    2014; with `reset_after`, the reset gate is applied after the product, as cuDNN has it, and there are two biases.

    Parameters
    ----------
    units : int
        Length of the state.
    activation, recurrent_activation : str or callable
        Of the state and of the gates; see `activations`.
    reset_after : bool
        Where the reset gate is applied.
    use_bias, **options
        See `Recurrent`.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        super().__init__(units, use_bias, **options)

    def bias_shape(self) -> Shape:
        """See `Recurrent`."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_bias(self) -> Any:
        """See `Recurrent`."""
        return self.bias[0] if self.bias is not None and self.reset_after else self.bias

    def cell(self, drive: Tensor, states: States, seen: Any) -> States:
        """See `Recurrent`."""
        (h,), units, gate = states, self.units, self.recurrent_activation
        if self.reset_after:
            inner = ops.matmul(seen, self.recurrent_kernel)
            inner = inner if self.bias is None else inner + self.bias[1]
            update = gate(drive[:, :units] + inner[:, :units])
            reset = gate(drive[:, units : 2 * units] + inner[:, units : 2 * units])
            new = self.activation(drive[:, 2 * units :] + reset * inner[:, 2 * units :])
        else:
            kernel = ops.asarray(self.recurrent_kernel)
            gated = gate(drive[:, : 2 * units] + ops.matmul(seen, kernel[:, : 2 * units]))
            update, reset = gated[:, :units], gated[:, units:]
            new = self.activation(drive[:, 2 * units :] + ops.matmul(reset * seen, kernel[:, 2 * units :]))
        return (update * h + (1.0 - update) * new,)
