"""`Variable`: a place for an array that steps read and assign.

Floor 6. All reading goes through `Variable.read_value` and all writing through `Variable.assign`; whether the value
is the buffer here or a node of a trace is the interpreter's affair.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from . import ops
from .aval import PYTHON_NUMBERS, Aval, Shape, parse_dtype
from .configurable import Configurable
from .errors import DtypeError, ShapeError, at_user_line
from .families import ALL, as_array
from .families.operands import number_dtype
from .forks import FORKING, Rank, lock, make_way
from .operators import Operators
from .primitive import BASE, READERS, STATE, Unheard, Value, current, new_key
from .tensor import Tensor

AT_WORK: list[None] = []
"""One entry for each thread that works with locked variables at the moment. While it is empty, code that keeps the GIL
may take variables as they are."""


class TrainableFlags(Configurable):
    """Counts how often the `trainable` of any variable was set: a trace may depend on it, and says so with `rely`."""


TRAINED = TrainableFlags()

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating", "U": "string", "S": "string"}


class Variable(Operators):
    """A mutable array that keeps its shape and dtype.

    Parameters
    ----------
    value : array_like
        Initial value, copied. Python floats become `tapejit.floatx()`.
    trainable : bool
        Whether tapes watch it by themselves when it is read.
    dtype : dtype, optional
        Type of the elements; by default that of `value`.
    name : str, optional
        For messages and generated code.

    Raises
    ------
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> w = tj.Variable(3.0, name="w")
    >>> w.assign_sub(1.0).numpy()
    array(2., dtype=float32)
    """

    __slots__ = ("__weakref__", "_aval", "buffer", "exposed", "key", "lock", "name", "trained")
    buffer: np.ndarray
    exposed: bool
    trained: bool  # for tapes, which say once that they rely on it
    __hash__ = object.__hash__

    def __init__(self, value: Any, trainable: bool = True, dtype: Any = None, name: str | None = None) -> None:
        initial = as_array(value) if dtype is None else ops.asarray(value, parse_dtype("Variable", dtype))
        self._aval = Aval(initial.shape, initial.dtype)
        self.trained = bool(trainable)
        self.name = name
        self.key = new_key()
        self.lock = lock(Rank.VARIABLE)
        self.buffer = np.empty(initial.shape, initial.dtype)
        self.exposed = False
        current().interpreter.create(self, initial)

    # The buffer, for interpreters and compiled steps. Plain attributes, since each call of a step looks at them: a step
    # may read `buffer`, and write it as long as nobody outside may hold it, which is what `exposed` says.

    def expose(self) -> np.ndarray:
        """The buffer, to be looked at: the next write will go to another one."""
        with self.lock:  # not while a compiled step writes it
            while True:
                self.exposed = True
                buffer = self.buffer
                if self.exposed:  # else a step that needs no locks has come between
                    return buffer

    def replace(self, buffer: np.ndarray, exposed: bool) -> None:
        """Hold another buffer of the same shape and dtype, copied where kernels could not address it."""
        flags = buffer.flags
        if not (flags.c_contiguous and flags.aligned):  # a broadcast, a transpose, a slice
            buffer = buffer.copy(order="C")
        with self.lock:
            try:
                AT_WORK.append(None)
                self.buffer = buffer
                self.exposed = exposed
            finally:
                AT_WORK.pop()

    # What a user does with it

    @property
    def trainable(self) -> bool:
        """Whether tapes watch it by themselves when it is read; to be set, too."""
        TRAINED.rely()
        return self.trained

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.trained = bool(value)
        TRAINED.touch()

    @property
    def aval(self) -> Aval:
        """Shape and dtype together."""
        return self._aval

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._aval.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self._aval.dtype

    def read_value(self) -> Tensor:
        """The value as a tensor: later assignments don't change it."""
        state = STATE.get(BASE[0])
        value = state.interpreter.read(self)
        if state.tapes:
            for tape in state.tapes:
                tape.record_read(self, value)
        return value  # type: ignore[no-any-return]

    def __tensor__(self) -> Tensor:
        return self.read_value()

    def numpy(self) -> np.ndarray:
        """The value as a read-only NumPy array that later assignments don't change."""
        return self.read_value().numpy()

    def assign(self, value: Any) -> "Variable":
        """Give the variable another value.

        Parameters
        ----------
        value : array_like
            Of the variable's shape, and of its kind: float64 is rounded into a float32 variable, an integer array is
            refused. Python numbers and lists take the variable's dtype.

        Returns
        -------
        Variable
            Itself.

        Raises
        ------
        ShapeError
            If the shape differs.
        DtypeError
            If the kind differs.
        """
        current().interpreter.assign(self, self._checked("assign", value))
        return self

    def assign_add(self, delta: Any) -> "Variable":
        """Add `delta`, checked as in `assign`; returns the variable."""
        return self._update("assign_add", ops.add, delta)

    def assign_sub(self, delta: Any) -> "Variable":
        """Subtract `delta`, checked as in `assign`; returns the variable."""
        return self._update("assign_sub", ops.subtract, delta)

    def _update(self, operation: str, function: Any, delta: Any) -> "Variable":
        checked = self._checked(operation, delta)
        state = STATE.get(BASE[0])
        interpreter = state.interpreter
        # An update is no part of what tapes differentiate.
        token = STATE.set(Unheard(interpreter)) if state.tapes else None
        try:
            interpreter.assign(self, function(interpreter.read(self), checked))
        finally:
            if token is not None:
                STATE.reset(token)
        return self

    def _checked(self, operation: str, value: Any) -> Value:
        """`value` as a tensor of this variable's shape and dtype."""
        if type(value) is Tensor and value.array.shape == self._aval.shape and value.array.dtype is self._aval.dtype:
            return value
        label = f"{operation} to {self._label()}"
        if value is None:
            raise DtypeError(
                at_user_line(
                    f"{label}: the value is None; a gradient is None where the target does not depend on the source"
                )
            )
        if type(value) in PYTHON_NUMBERS:
            self._check(label, (), number_dtype(type(value)), written=True)
            return current().interpreter.number(value, self.dtype)
        tensor = as_array(value, borrow=False)
        is_number = isinstance(value, Value) and value.aval.weak
        self._check(label, tensor.shape, tensor.dtype, written=is_number or isinstance(value, (list, tuple)))
        if is_number:  # rounded once, too
            return ops.astype(value, self.dtype)
        if tensor.dtype == self.dtype:
            return tensor
        if isinstance(value, (list, tuple)):  # anew, so that its numbers are rounded once
            return ops.asarray(value, self.dtype)
        return ops.astype(tensor, self.dtype) if self.dtype.kind in ALL else Tensor(tensor.numpy().astype(self.dtype))

    def _check(self, label: str, shape: Shape, dtype: np.dtype, written: bool) -> None:
        """Refuse a value of another shape, or of a dtype that an assignment does not cast."""
        if shape != self.shape:
            raise ShapeError(
                at_user_line(
                    f"{label}: the variable has shape {self.shape}, the value {shape}; reshape or broadcast it"
                )
            )
        if not _fits(dtype, self.dtype, written):
            raise DtypeError(
                at_user_line(
                    f"{label}: the variable is {self.dtype.name} ({_KINDS[self.dtype.kind]}), the value "
                    f"{dtype.name} ({_KINDS[dtype.kind]}); convert with tj.astype(value, {self.dtype.name!r})"
                )
            )
        if dtype.kind == self.dtype.kind == "U" and dtype.itemsize > self.dtype.itemsize:
            raise DtypeError(
                at_user_line(
                    f"{label}: the variable has room for {self.dtype.itemsize // 4} characters, the value has "
                    f"{dtype.itemsize // 4}; make the variable with a longer dtype, such as 'U{dtype.itemsize // 4}'"
                )
            )

    def _label(self) -> str:
        return f"variable {self.name!r}" if self.name else "a variable"

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            at_user_line(
                "a Variable is assigned as a whole: use v.assign(tj.where(...)) or v.assign(tj.scatter_add(...))"
            )
        )

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        """Refuse ``w += 1``, which would put a tensor in the variable's place."""
        raise TypeError(
            at_user_line("a Variable has no += and the like: use v.assign_add(x), or v = v + x for a tensor")
        )

    __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = __iadd__
    __iand__ = __ior__ = __ixor__ = __iadd__

    def __repr__(self) -> str:
        name = f"name={self.name!r}, " if self.name else ""
        numbers = np.array2string(self.buffer, separator=", ", prefix="Variable(")
        return f"Variable({numbers}, {name}shape={self.shape}, dtype={self.dtype.name})"

    # Copies and pickles: variables of their own, with the value that this one has now

    def _alike(self, value: Any) -> "Variable":
        return _again(type(self), value, self.trainable, self.name)

    def __copy__(self) -> "Variable":
        made = self._alike(current().interpreter.read(self))
        vars_of(made).update(vars_of(self))
        return made

    def __deepcopy__(self, memo: Any) -> "Variable":
        made = memo[id(self)] = self._alike(current().interpreter.read(self))
        vars_of(made).update(copy.deepcopy(vars_of(self), memo))
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        value = current().interpreter.read(self).numpy()
        return _again, (type(self), value, self.trainable, self.name), vars_of(self) or None


def _again(kind: type[Variable], value: Any, trainable: bool, name: str | None) -> Variable:
    """A variable of this class, whose own way of making one may ask for other things."""
    made = kind.__new__(kind)
    Variable.__init__(made, value, trainable, None, name)
    return made


def vars_of(variable: Variable) -> dict[str, Any]:
    """What a subclass adds to its instances."""
    return getattr(variable, "__dict__", {})


READERS[Variable] = Variable.read_value


def _fits(dtype: np.dtype, wanted: np.dtype, written: bool) -> bool:
    """Whether a value may be cast on assignment: within a kind, or `written` Python ints into a floating variable."""
    return _KINDS[dtype.kind] == _KINDS[wanted.kind] or (written and dtype.kind == "i" and wanted.kind == "f")


@contextmanager
def holding(variables: Iterable[Variable]) -> Iterator[None]:
    """Keep other threads from assigning these variables.

    They are locked in the order of their making, the same for every step, so that steps can't deadlock.
    """
    if FORKING:
        make_way()
    with ExitStack() as stack:
        for variable in sorted(variables, key=lambda variable: variable.key):
            stack.enter_context(variable.lock)
        try:
            AT_WORK.append(None)  # no signal is handled before this
            yield
        finally:
            AT_WORK.pop()
