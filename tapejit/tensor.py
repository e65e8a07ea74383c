"""`Tensor`, what a user holds, and the eager interpreter that makes tensors with NumPy.

Floor 5. A tensor is immutable. Its operators, and NumPy's functions applied to it, are the public operations of
`ops`, so they are recorded by tapes and traced by the compiler. `graph.trace` has the subclass for tensors that have
no numbers yet.
"""

import contextvars
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np
from numpy import asarray, ndarray

from . import ops
from .aval import PYTHON_NUMBERS, Aval, Shape, in_dtype
from .config import floatx
from .errors import DtypeError, ShapeError, at_user_line
from .operators import Operators
from .primitive import Params, Primitive, Value, install_base, new_key
from .pytree import flatten


class Tensor(Operators, Value):
    """An immutable array that tapes can follow.

    Made by `constant`, `asarray`, the creation functions and every operation; not by calling this class.
    """

    __slots__ = ("__weakref__", "array", "key")
    array: np.ndarray

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.key = new_key()

    @property
    def aval(self) -> Aval:
        """Shape and dtype together."""
        return Aval(self.array.shape, self.array.dtype)

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.array.dtype

    def numpy(self) -> np.ndarray:
        """The numbers as a read-only NumPy array, without a copy.

        Returns
        -------
        numpy.ndarray
            Shape and dtype of the tensor; read-only, because the tensor never changes. Use ``.copy()`` to write.
        """
        view = self.array.view()
        view.flags.writeable = False
        return view

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            at_user_line(
                "a Tensor is immutable: build a new one with tj.where, tj.scatter_set or tj.scatter_add, or keep a "
                "tj.Variable and assign to it"
            )
        )

    def __repr__(self) -> str:
        numbers = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({numbers}, shape={self.shape}, dtype={self.dtype.name})"

    def __copy__(self) -> "Tensor":
        return self

    def __deepcopy__(self, memo: Any) -> "Tensor":
        return self

    def __reduce__(self) -> Any:
        return _restore, (self.numpy(),)


def _restore(array: np.ndarray) -> Tensor:
    """A tensor from a pickle, whose array may be in a file, or in a buffer that others write."""
    return Tensor(np.array(array))


class Ones(Tensor):
    """The cotangent that a gradient starts from: a product with it is the other factor."""

    __slots__ = ()

    def __mul__(self, other: Any) -> Tensor:
        if type(other) is Tensor and other.array.dtype is self.array.dtype and other.array.shape == self.array.shape:
            return other
        return ops.multiply(self, other)  # type: ignore[no-any-return]

    def settled(self) -> Tensor:
        """An ordinary tensor, which tapes follow through products: what a user gets."""
        return Tensor(self.array)


class BorrowedTensor(Tensor):
    """A tensor that aliases a user's array for the length of one operation; tapes copy it to keep it."""

    __slots__ = ()
    borrowed = True

    def kept(self) -> Tensor:
        """The tensor, which has become an ordinary one with an array of its own."""
        self.array = self.array.copy()
        self.__class__ = Tensor  # type: ignore[assignment]
        return self


class _Quiet(dict[int, Callable[..., Any]]):
    """By thread, how to run a function without NumPy's warnings of overflow or 0/0: operations follow IEEE 754.

    Entering a ready context costs 10 ns, `numpy.errstate` 700, and looking it up here half of what a `threading.local`
    takes. A later thread with the same number goes on with the same context.
    """

    def __missing__(self, thread: int) -> Callable[..., Any]:
        # From an empty context: a copy of the current one would keep the tape that is recording alive in this thread.
        run = self[thread] = contextvars.Context().run(self._silent).run
        return run

    @staticmethod
    def _silent() -> contextvars.Context:
        with np.errstate(all="ignore"):
            return contextvars.copy_context()


_QUIET = _Quiet()


def quietly(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)`` without floating-point warnings."""
    try:
        return _QUIET[get_ident()](function, *args, **kwargs)
    except RuntimeError:
        # A signal handler or a finalizer can get here while this thread's context is entered; functions given to
        # this are pure, so a second run does no harm and raises its own RuntimeError again.
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)


BEFORE_ASSIGNING: contextvars.ContextVar[Callable[[Any], None] | None] = contextvars.ContextVar(
    "tapejit_before_assigning", default=None
)
"""Who is told of each variable that is about to be assigned eagerly."""


class Eager:
    """The base interpreter: NumPy computes each operation when it is bound."""

    traces = False
    outer = None

    def bind(self, primitive: Primitive, inputs: tuple[Any, ...], params: Params) -> Any:
        """Outputs of `primitive.impl`, after the type rule has explained what the inputs were if it failed."""
        count = len(inputs)
        try:
            # The most frequent calls come first, without the cost of unpacking.
            if count == 2 and not params:
                x, y = inputs
                out = _QUIET[get_ident()](primitive.impl, x.array, y.array)
            elif count == 1:
                out = _QUIET[get_ident()](primitive.impl, inputs[0].array, **params)
            else:
                out = _QUIET[get_ident()](primitive.impl, *[value.array for value in inputs], **params)
        except Exception:  # noqa: BLE001 (whatever it was is raised again below, unless the rule says it better)
            primitive.rule(*[value.aval for value in inputs], **params)
            out = quietly(primitive.impl, *[value.array for value in inputs], **params)
        if type(out) is ndarray:
            tensor = _new(Tensor)  # as `Tensor(out)`, in two thirds of the time
            tensor.array = out
            tensor.key = new_key()
            return tensor
        return tuple([Tensor(asarray(part)) for part in out]) if primitive.multiple else Tensor(asarray(out))

    def lift(self, value: Any, borrow: bool) -> Value:
        """A tensor made of an array, a variable or a nest of numbers and tensors."""
        if type(value) is list and set(map(type, value)) == _ONLY_FLOATS:
            return Tensor(np.array(value, floatx()))
        return to_tensor(value, borrow)

    def number(self, number: float, dtype: np.dtype) -> Tensor:
        """A 0-d tensor."""
        return Tensor(in_dtype(number, dtype))

    def filled(self, number: float, shape: Shape, dtype: np.dtype) -> Tensor:
        """A number everywhere, in the memory of one element."""
        return _ones(shape, dtype) if number == 1 else Tensor(_repeated(number, shape, dtype))

    def read(self, variable: Any) -> Tensor:
        """The variable's value: its buffer is not written again while it is exposed."""
        return Tensor(variable.expose())

    def assign(self, variable: Any, value: Any) -> None:
        """Let the variable hold the value's array from now on."""
        told = BEFORE_ASSIGNING.get()
        if told is not None:
            told(variable)
        variable.replace(value.array, exposed=True)

    def create(self, variable: Any, initial: Any) -> None:
        """Give a new variable its first value."""
        variable.replace(initial.array, exposed=True)


def _repeated(number: float, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """A number everywhere, in the memory of one element."""
    return np.ndarray(shape, dtype, in_dtype(number, dtype), 0, (0,) * len(shape))


@lru_cache(maxsize=256)
def _ones(shape: Shape, dtype: np.dtype) -> Ones:
    """Where a gradient starts: one for each shape, since no tape follows it."""
    return Ones(_repeated(1, shape, dtype))


_new = object.__new__

install_base(Eager(), Tensor)


def to_tensor(value: Any, borrow: bool) -> Value:
    """`value` as a tensor; `Eager.lift` for what is not a plain array under a trace too.

    Raises
    ------
    DtypeError
        For values that are no arrays of numbers, booleans or strings.
    """
    if isinstance(value, np.ndarray):
        return _from_array(value, borrow)
    if isinstance(value, (list, tuple)):
        return _from_nest(value)
    convert = getattr(value, "__tensor__", None)
    if convert is not None:
        return convert()  # type: ignore[no-any-return]
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DtypeError(at_user_line(f"can't make a tensor of {type(value).__name__}: {error}")) from None
    if array.dtype.kind == "O":
        way = "; pass its fields in a dict or a named tuple" if hasattr(value, "__dataclass_fields__") else ""
        raise DtypeError(
            at_user_line(f"can't make a tensor of {type(value).__name__}: it is no array and no number{way}")
        )
    return _from_array(array, borrow and array is value)


def _from_array(array: np.ndarray, borrow: bool) -> Tensor:
    if array.dtype.kind not in "biufUS":
        raise DtypeError(
            at_user_line(
                f"tapejit computes with booleans, integers and real floats, got an array of dtype {array.dtype}"
            )
        )
    plain = array if type(array) is np.ndarray else np.asarray(array)
    if not plain.dtype.isnative:
        plain = plain.astype(plain.dtype.newbyteorder("="))
    elif plain.flags.writeable or plain.base is not None:  # a read-only view may have a writable owner
        return BorrowedTensor(plain) if borrow else Tensor(plain.copy())
    return Tensor(plain)


def plain_array(array: np.ndarray) -> np.ndarray:
    """The array as one of NumPy's own, for a step that will compute with it as with a tensor.

    Raises
    ------
    DtypeError
        For a subclass that computes in its own way, as masked arrays, matrices and quantities with units do.
    """
    kind = type(array)
    if kind is np.ndarray:
        return array
    if kind.__mul__ is not np.ndarray.__mul__ or kind.__array_ufunc__ is not np.ndarray.__array_ufunc__:
        raise DtypeError(
            at_user_line(
                f"a {kind.__name__} computes in its own way, which would be lost; pass np.asarray of it, and what "
                "that loses (a mask, a unit) as an argument of its own"
            )
        )
    return array.view(np.ndarray)


_ONLY_FLOATS = {float}


def array_of_numbers(nest: Any) -> np.ndarray:
    """A (nested) list of numbers as an array: floats in `config.floatx`, ints in int64, booleans in bool.

    Raises
    ------
    ShapeError
        If the lists are ragged.
    """
    if set(map(type, nest)) == _ONLY_FLOATS:
        return np.array(nest, floatx())
    try:
        array = np.asarray(nest)
    except ValueError:
        raise ShapeError(
            at_user_line(f"the nested list is ragged: its rows have different lengths: {nest!r:.80}")
        ) from None
    if array.dtype == np.float64 and not _holds_arrays(nest):
        return np.asarray(nest, floatx())
    return array


def _holds_arrays(nest: Any) -> bool:
    """Whether any leaf is a NumPy array or scalar, which keeps its dtype."""
    if isinstance(nest, (list, tuple)):
        return any(map(_holds_arrays, nest))
    return isinstance(nest, (np.ndarray, np.generic))


def _from_nest(nest: Sequence[Any]) -> Value:
    leaves, _ = flatten(nest)
    if not any(isinstance(leaf, Value) or hasattr(leaf, "__tensor__") for leaf in leaves):
        return Tensor(array_of_numbers(nest)) if leaves else Tensor(np.zeros(np.shape(nest), floatx()))
    return ops.stack([item if isinstance(item, Value) else _item(item) for item in nest])


def _item(item: Any) -> Any:
    return to_tensor(item, False) if not isinstance(item, tuple(PYTHON_NUMBERS)) else item
