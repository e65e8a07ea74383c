"""Recurrent layers, by `scan`: one loop over time, whatever its length.

`Recurrent` has what they share; a cell is one step, ``cell(x_t, states) -> (output, states)``, with what the inputs
contribute computed for all times at once before the loop.
"""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..control import scan
from ..errors import ShapeError, at_user_line
from ..random import Generator
from ..tensor import Tensor
from . import activations
from .layer import Layer, PartialShape, known

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
    seed : int, optional
        Of the generator that draws what is dropped.
    return_sequences : bool
        Whether the outputs of all times are the result, or the last one.
    return_state : bool
        Whether the last states follow the result.
    go_backwards : bool
        Whether time runs backwards; the outputs are then in the order in which they were computed.
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
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        **options: Any,
    ) -> None:
        if units < 1:
            raise ValueError(at_user_line(f"{type(self).__name__}: units must be at least 1, got {units}"))
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= rate < 1:
                raise ValueError(at_user_line(f"{type(self).__name__}: {name} must be from 0 to below 1, got {rate}"))
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.recurrent_regularizer = recurrent_regularizer
        self.bias_regularizer = bias_regularizer
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.generator = Generator(seed) if dropout or recurrent_dropout else None
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
        self.bias = self.make_bias() if self.use_bias else None

    def make_bias(self) -> Any:
        """The bias."""
        return self.add_weight(
            "bias", (self.gates * self.units,), self.bias_initializer, regularizer=self.bias_regularizer
        )

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`; of the result without states."""
        batch, times = input_shape[:2]
        return (batch, times, self.units) if self.return_sequences else (batch, self.units)

    def axes_in_words(self) -> str:
        """See `Layer`."""
        return " (batch, time, features)"

    def cell(self, drive: Tensor, states: States) -> States:
        """The next states, whose first is the output.

        Parameters
        ----------
        drive : Tensor, shape (batch, gates * units)
            What the inputs of this time contribute.
        states : tuple of Tensor, shape (batch, units)
            Those of the time before.
        """
        raise NotImplementedError

    def input_bias(self) -> Any:
        """The part of the bias that is added to what the inputs contribute."""
        return self.bias

    def call(self, inputs: Any, initial_state: Sequence[Any] | Any = None, training: bool = False) -> Any:
        """The layer's result.

        Parameters
        ----------
        inputs : array_like, shape (batch, time, features)
            One sequence for each example.
        initial_state : array_like, shape (batch, units), or sequence of them
            By default zeros.
        training : bool
            Whether anything is dropped.

        Returns
        -------
        Tensor, shape (batch, units) or (batch, time, units)
            See `return_sequences`; with `return_state` in a tuple, followed by the states.
        """
        x = self.as_input(inputs)
        batch, times, features = x.shape
        self.check_channels(features, self.kernel.shape[0])
        states = self._first_states(initial_state, batch, x.dtype)
        x = self._dropped(x, self.dropout, (batch, 1, features), training)
        mask = self._mask(self.recurrent_dropout, (batch, self.units), x.dtype, training)
        drive = ops.matmul(x, self.kernel)
        bias = self.input_bias()
        drive = ops.permute_dims(drive if bias is None else drive + bias, (1, 0, 2))

        def step(carried: States, drive_t: Tensor) -> tuple[States, Any]:
            seen = carried if mask is None else (carried[0] * mask, *carried[1:])
            following = self.cell(drive_t, seen)
            return following, following[0] if self.return_sequences else None

        if not times:
            raise ShapeError(at_user_line(f"{type(self).__name__} {self.name!r}: sequences of no time, {x.shape}"))
        last, outputs = scan(step, states, drive, reverse=self.go_backwards)
        result = last[0]
        if self.return_sequences:
            outputs = ops.flip(outputs, axis=0) if self.go_backwards else outputs
            result = ops.permute_dims(outputs, (1, 0, 2))
        return (result, *last) if self.return_state else result

    def _first_states(self, given: Any, batch: int, dtype: Any) -> States:
        if given is None:
            return tuple(ops.zeros((batch, self.units), dtype) for _ in range(self.state_count))
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
                        f"{type(self).__name__} {self.name!r}: an initial state of shape {value.shape} where "
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
    **options
        See `Recurrent`.
    """

    def __init__(self, units: int, activation: Any = "tanh", **options: Any) -> None:
        self.activation = activations.get(activation)
        super().__init__(units, **options)

    def cell(self, drive: Tensor, states: States) -> States:
        """See `Recurrent`."""
        return (self.activation(drive + ops.matmul(states[0], self.recurrent_kernel)),)


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
    **options
        See `Recurrent`.
    """

    gates = 4
    state_count = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        super().__init__(units, **options)

    def make_bias(self) -> Any:
        """See `Recurrent`."""
        bias = super().make_bias()
        if self.unit_forget_bias:
            units = self.units
            parts = ops.split(bias.read_value(), [units, 2 * units])
            bias.assign(ops.concat([parts[0], ops.ones_like(parts[1]), parts[2]]))
        return bias

    def cell(self, drive: Tensor, states: States) -> States:
        """See `Recurrent`."""
        h, c = states
        total = drive + ops.matmul(h, self.recurrent_kernel)
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
    **options
        See `Recurrent`.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        super().__init__(units, **options)

    def make_bias(self) -> Any:
        """See `Recurrent`."""
        if not self.reset_after:
            return super().make_bias()
        return self.add_weight("bias", (2, 3 * self.units), self.bias_initializer, regularizer=self.bias_regularizer)

    def input_bias(self) -> Any:
        """See `Recurrent`."""
        return self.bias[0] if self.bias is not None and self.reset_after else self.bias

    def cell(self, drive: Tensor, states: States) -> States:
        """See `Recurrent`."""
        (h,), units, gate = states, self.units, self.recurrent_activation
        if self.reset_after:
            inner = ops.matmul(h, self.recurrent_kernel)
            inner = inner if self.bias is None else inner + self.bias[1]
            update = gate(drive[:, :units] + inner[:, :units])
            reset = gate(drive[:, units : 2 * units] + inner[:, units : 2 * units])
            new = self.activation(drive[:, 2 * units :] + reset * inner[:, 2 * units :])
        else:
            kernel = ops.asarray(self.recurrent_kernel)
            gated = gate(drive[:, : 2 * units] + ops.matmul(h, kernel[:, : 2 * units]))
            update, reset = gated[:, :units], gated[:, units:]
            new = self.activation(drive[:, 2 * units :] + ops.matmul(reset * h, kernel[:, 2 * units :]))
        return (update * h + (1.0 - update) * new,)
