"""Batching: a function of one example, run for a whole batch of them at once.

Floor 7, below the tapes. `Batching` is an interpreter like `tensor.Eager`, but it computes nothing itself: it binds in
the state in which the batch was entered (`outer`), where a `BatchedTensor` is an ordinary value with the batch as its
first axis. How each operation treats that axis is its batch rule. What depends on no batched value is computed once.

Inside, tapes and other recorders hear of values without the batch axis; those that were active outside hear what is
bound there. So derivatives of a batch and batches of derivatives are the same two mechanisms, put on top of each other
in either order. Start reading at `Batching.bind`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .aval import Aval, Shape
from .errors import BatchingError, TapejitError, at_user_line
from .lowering import Composite
from .primitive import STATE, Params, Primitive, State, Unheard, Value, current, in_role, new_key
from .tensor import Tensor

RANDOMNESS = ("error", "same", "different")


class BatchedTensor(Tensor):
    """A tensor inside `vmap`: it stands for one example, and computes with all of them.

    Parameters
    ----------
    level : Batching
        Whose batch it is.
    value : Value
        All examples, the batch first.
    """

    __slots__ = ("_aval", "level", "value")

    def __init__(self, level: "Batching", value: Value, aval: Aval | None = None) -> None:
        self.level = level
        self.value = value
        self._aval = aval or Aval(value.shape[1:], value.dtype)
        self.key = new_key()

    @property
    def aval(self) -> Aval:
        """Shape and dtype of one example."""
        return self._aval

    @property
    def shape(self) -> Shape:
        """Lengths of the axes of one example."""
        return self._aval.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self._aval.dtype

    def numpy(self) -> np.ndarray:
        """Not to be had: there are as many values as examples.

        Raises
        ------
        BatchingError
            Always, naming the user's line and the way out.
        """
        raise BatchingError(
            at_user_line(
                f"vmap: the value of {self!r} was asked for, which stands for {self.level.size} examples at once. Use "
                "tj.where or tj.cond instead of an if, and tj.while_loop instead of a while; return the tensor to look "
                "at it outside"
            )
        )

    @property
    def array(self) -> np.ndarray:  # type: ignore[override] # nobody writes it
        """None; an operation that asks for it met a tensor that outlived its `vmap`.

        Raises
        ------
        BatchingError
            Always.
        """
        raise BatchingError(
            at_user_line("a tensor of a vmap that is over was used; return it from the function that is mapped")
        )

    def __bool__(self) -> bool:
        return super().__bool__() if self.size != 1 else bool(self.numpy())

    def __repr__(self) -> str:
        return f"BatchedTensor(shape={self.shape}, dtype={self.dtype.name}, one of {self.level.size} in vmap)"

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> Any:
        self.numpy()


class Batching:
    """The interpreter in which a batch is computed.

    Parameters
    ----------
    outer : State
        Where it is computed, by whom, and heard by whom.
    size : int
        How many examples there are.
    randomness : {"error", "same", "different"}
        What a random draw does: see `vmap`.
    """

    def __init__(self, outer: State, size: int, randomness: str = "error") -> None:
        self.outer = outer
        self.size = size
        self.randomness = randomness
        self.traces = outer.interpreter.traces

    def bind(self, primitive: Primitive, inputs: tuple[Value, ...], params: Params) -> Any:
        """What the primitive's batch rule binds outside; the primitive itself if no input is batched."""
        batched = [type(value) is BatchedTensor and value.level is self for value in inputs]
        token = STATE.set(self.outer)
        try:
            if True not in batched:
                return self.outer.bind(primitive, inputs, params)
            types = primitive.rule(*[value.aval for value in inputs], **params)
            rule = primitive.batch
            if rule is None:
                return self._in_parts(primitive, inputs, params)
            values: list[Any] = [value.value if has else value for value, has in zip(inputs, batched, strict=True)]  # type: ignore[attr-defined]
            found = rule(values, batched, self.size, params)
        finally:
            STATE.reset(token)
        if not primitive.multiple:
            return self._checked(primitive, found, types)
        return tuple([self._checked(primitive, each, aval) for each, aval in zip(found, types, strict=True)])

    def _in_parts(self, primitive: Primitive, inputs: tuple[Value, ...], params: Params) -> Any:
        """A composition of other operations as these operations, which nobody inside hears of."""
        if not isinstance(primitive.lowering, Composite):
            raise TapejitError(
                at_user_line(
                    f"vmap: the operation {primitive.name} has no batch rule; call it outside, on the whole batch, or "
                    "once for each example"
                )
            )
        token = STATE.set(Unheard(self))
        try:
            return primitive.lowering.expand(*inputs, **params)
        finally:
            STATE.reset(token)

    def _checked(self, primitive: Primitive, found: Value, aval: Aval) -> BatchedTensor:
        """A result of a batch rule, which has the batch first and is otherwise of the type of one example."""
        if (found.shape, found.dtype) != ((self.size, *aval.shape), aval.dtype):
            raise TapejitError(
                f"the batch rule of {primitive.name} has a fault: it gave {found.aval} for {self.size} times {aval}"
            )
        return BatchedTensor(self, found, aval)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """A block in which operations are bound where the batch was entered."""
        token = STATE.set(self.outer)
        try:
            yield
        finally:
            STATE.reset(token)

    def value_of(self, value: Value) -> Value:
        """The value of the outside that `value` is made of; all examples, if it is one of this batch."""
        return value.value if type(value) is BatchedTensor and value.level is self else value

    def all_of(self, value: Value) -> Value:
        """All examples of a value, repeated where it is the same for all."""
        found = self.value_of(value)
        if found is not value:
            return found
        with self.outside():
            return in_role("broadcast")(value, (self.size, *value.shape))  # type: ignore[no-any-return]

    # What comes from elsewhere is the same for all examples

    def lift(self, value: Any, borrow: bool) -> Value:  # noqa: ARG002 (rules take views of it, which tapes may keep)
        """What the outside makes of it; never borrowed."""
        return self.outer.interpreter.lift(value, False)

    def number(self, number: float, dtype: np.dtype) -> Value:
        """What the outside makes of it."""
        return self.outer.interpreter.number(number, dtype)

    def filled(self, number: float, shape: Shape, dtype: np.dtype) -> Value:
        """What the outside makes of it."""
        return self.outer.interpreter.filled(number, shape, dtype)

    def read(self, variable: Any) -> Value:
        """The value that the variable has outside; the outside's tapes hear of it."""
        value = self.outer.interpreter.read(variable)
        for tape in self.outer.tapes:
            tape.record_read(variable, value)
        return value

    # Effects

    def assign(self, variable: Any, value: Value) -> None:  # noqa: ARG002 (the protocol of interpreters)
        """Not to be had.

        Raises
        ------
        BatchingError
            Always.
        """
        name = f"the variable {variable.name!r}" if variable.name else "a variable"
        raise BatchingError(
            at_user_line(
                f"vmap: {name} is assigned inside, where there are {self.size} values for it, one for each example; "
                "return the value and assign what becomes of the batch outside"
            )
        )

    def create(self, variable: Any, initial: Value) -> None:
        """Give a new variable its first value, if that is the same for all.

        Raises
        ------
        BatchingError
            If it is not.
        """
        if self.value_of(initial) is not initial:
            raise BatchingError(
                at_user_line("vmap: a Variable is made of a batched value inside; make it outside, of the whole batch")
            )
        self.outer.interpreter.create(variable, initial)

    def draws_apart(self) -> bool:
        """Whether each example has random numbers of its own.

        Raises
        ------
        BatchingError
            If nobody said what a draw is to do.
        """
        if self.randomness == "error":
            raise BatchingError(
                at_user_line(
                    "vmap: random numbers are drawn inside; say vmap(..., randomness='different') for a draw of its "
                    "own for each example, 'same' for one that all share, or draw outside and pass the numbers in"
                )
            )
        return self.randomness == "different"


def drawing_apart() -> Batching | None:
    """The innermost batch each example of which has random numbers of its own, if there is one.

    Raises
    ------
    BatchingError
        If one further inside has no draws, or the draw is in a loop or branch that is mapped.
    """
    interpreter: Any = current().interpreter
    while isinstance(state := getattr(interpreter, "outside", None), State):  # of a region, which is traced
        interpreter = state.interpreter
        if isinstance(interpreter, Batching):
            raise BatchingError(
                at_user_line(
                    "vmap: random numbers are drawn in a loop or a branch inside; draw them before it, and pass them "
                    "in (to scan as xs)"
                )
            )
    while isinstance(interpreter, Batching):
        if interpreter.draws_apart():
            return interpreter
        interpreter = interpreter.outer.interpreter
    return None


@contextmanager
def outside_of_batches() -> Iterator[None]:
    """A block in which operations are bound where the outermost batch was entered."""
    state = current()
    while isinstance(state.interpreter, Batching):
        state = state.interpreter.outer
    token = STATE.set(state)
    try:
        yield
    finally:
        STATE.reset(token)
