"""`Operators`: Python's operators and NumPy's protocols in terms of `ops`, for tensors and variables alike.

Floor 5. Everything here that needs numbers asks `numpy()`.
"""

import sys
from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .aval import PYTHON_NUMBERS
from .errors import DtypeError, ShapeError, at_user_line
from .families import named_as, parts_of
from .ops.numpy_conversions import heed_conversion, heeds_read_only
from .ops.numpy_names import numpy_function, numpy_ufunc
from .primitive import Typed
from .spellings import advice

if TYPE_CHECKING:
    from .tensor import Tensor


_FAMILIAR: set[type] = set(PYTHON_NUMBERS)
"""Types of operands that are known to be tapejit's to compute with: tensors and variables add theirs."""


def cooperative(operation: Callable[..., Any], reflected_name: str) -> Any:
    """`operation` as an operator that leaves an operand it doesn't know to that one's own method, as NumPy does.

    It does so if the operand's class has the method and says ``__array_ufunc__ = None``, or is nothing to compute with.
    What an operation has for frequent operands comes before that question.
    """
    in_front_of, rest = parts_of(operation)

    def operator(self: Any, other: Any) -> Any:
        kind = type(other)
        if kind in _FAMILIAR:
            return rest(self, other)
        if getattr(kind, "__array_ufunc__", operation) is None:
            return NotImplemented
        try:
            return rest(self, other)
        except DtypeError:
            if _has_own(kind, reflected_name) and not isinstance(other, (Typed, np.ndarray, np.generic)):
                return NotImplemented
            raise

    return named_as(operation, in_front_of(operator))


def _has_own(kind: type, name: str) -> bool:
    """Whether a class of the user's has this method."""
    return kind.__module__ != "builtins" and getattr(kind, name, None) is not getattr(object, name, None)


def reflected(operation: Callable[..., Any]) -> Any:
    """`operation` with the operands exchanged."""

    def operator(self: Any, other: Any) -> Any:
        return operation(other, self)

    return update_wrapper(operator, operation)


_equal, _unequal = cooperative(ops.equal, "__eq__"), cooperative(ops.not_equal, "__ne__")


class Operators(Typed):
    """Python's operators and NumPy's protocols in terms of `ops`: what tensors and variables share."""

    __slots__ = ()
    __array_priority__ = 1000

    def __init_subclass__(cls) -> None:
        _FAMILIAR.add(cls)

    def __hash__(self) -> int:
        """Tensors have no hash, because == compares their elements.

        Raises
        ------
        DtypeError
            Always.
        """
        raise DtypeError(
            at_user_line(
                "a Tensor is unhashable, because == compares its elements: keep or return tensors in a list or a "
                "tuple, not in a set or as keys of a dict"
            )
        )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.aval.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.aval.nbytes

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    def __getattr__(self, name: str) -> Any:
        kind = "Variable" if hasattr(type(self), "assign") else "Tensor"
        words = f"a {kind} has no attribute {name!r}"
        if not name.startswith("_"):
            use = f"; use tj.{name}(t)" if name in ops.__all__ else advice("Tensor", name)
            words = at_user_line(f"{words}{use}")
        raise AttributeError(words, name=name, obj=self)

    # Its numbers

    def item(self, *index: int) -> Any:
        """The only element, or the one at `index`, as a Python number."""
        return self.numpy().item(*index)

    def tolist(self) -> Any:
        """The elements as (nested) lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        heed_conversion(self, sys._getframe(1), to_array=True)
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"converting {array.dtype.name} to {np.dtype(dtype).name} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule: shared and read-only where the reader heeds that flag (DLPack 1.0), else a copy.

        Raises
        ------
        BufferError
            For ``copy=False`` where the reader does not know of the flag, and for dtypes that DLPack has not.
        """
        array = self.numpy()
        knows = max_version is not None and max_version >= (1, 0)
        if copy or (copy is None and not (knows and heeds_read_only(sys._getframe(1)))):
            array, copy = array.copy(), None
        return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU, in DLPack's numbers."""
        return np.empty(0).__dlpack_device__()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                at_user_line(f"the truth of a tensor of shape {self.shape} is ambiguous: use tj.any(t) or tj.all(t)")
            )
        return bool(self.numpy().reshape(()))

    def __float__(self) -> float:
        heed_conversion(self, sys._getframe(1), to_array=False)
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __complex__(self) -> complex:
        heed_conversion(self, sys._getframe(1), to_array=False)
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DtypeError(at_user_line(f"only an integer tensor can be an index, got {self.aval}"))
        return int(self._scalar("index"))

    def _scalar(self, wanted: str) -> Any:
        if self.size != 1:
            raise ShapeError(at_user_line(f"{wanted}() takes a tensor with one element, got shape {self.shape}"))
        return self.numpy().reshape(())[()]

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError(at_user_line("len() of a 0-d tensor"))
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        if not self.shape:
            raise DtypeError(at_user_line("a 0-d tensor can't be iterated over"))
        return (self[index] for index in range(self.shape[0]))

    def __contains__(self, item: Any) -> bool:
        return bool(ops.any(self == item))

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.ndim:
            raise DtypeError(
                at_user_line(
                    f"format {spec!r} is for a 0-d tensor, got shape {self.shape}; use np.array2string(t.numpy())"
                )
            )
        return format(self.item(), spec)

    def __str__(self) -> str:
        return str(self.numpy())

    # Other shapes and dtypes of it

    @property
    def T(self) -> "Tensor":  # noqa: N802 (NumPy's name)
        """All axes reversed."""
        return ops.permute_dims(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> "Tensor":  # noqa: N802 (the Array API's name)
        """The last two axes exchanged."""
        return ops.matrix_transpose(self)

    def astype(self, dtype: Any) -> "Tensor":
        """The elements converted to another dtype; see `ops.astype`."""
        return ops.astype(self, dtype)

    def reshape(self, *shape: Any) -> "Tensor":
        """The elements in another shape; see `ops.reshape`."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> "Tensor":
        """Sum along axes; see `ops.sum`."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> "Tensor":
        """Mean along axes; see `ops.mean`."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> "Tensor":
        """Maximum along axes; see `ops.max`."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> "Tensor":
        """Minimum along axes; see `ops.min`."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def __getitem__(self, index: Any) -> "Tensor":
        return ops.getitem(self, index)

    # Operators

    __neg__ = ops.negative
    __pos__ = ops.positive
    __abs__ = ops.abs
    __invert__ = ops.bitwise_invert
    __add__ = cooperative(ops.add, "__radd__")
    __radd__ = reflected(ops.add)
    __sub__ = cooperative(ops.subtract, "__rsub__")
    __rsub__ = reflected(ops.subtract)
    __mul__ = cooperative(ops.multiply, "__rmul__")
    __rmul__ = reflected(ops.multiply)
    __truediv__ = cooperative(ops.divide, "__rtruediv__")
    __rtruediv__ = reflected(ops.divide)
    __floordiv__ = cooperative(ops.floor_divide, "__rfloordiv__")
    __rfloordiv__ = reflected(ops.floor_divide)
    __mod__ = cooperative(ops.remainder, "__rmod__")
    __rmod__ = reflected(ops.remainder)
    __pow__ = cooperative(ops.power, "__rpow__")
    __rpow__ = reflected(ops.power)
    __matmul__ = cooperative(ops.matmul, "__rmatmul__")
    __rmatmul__ = reflected(ops.matmul)
    __and__ = cooperative(ops.bitwise_and, "__rand__")
    __rand__ = reflected(ops.bitwise_and)
    __or__ = cooperative(ops.bitwise_or, "__ror__")
    __ror__ = reflected(ops.bitwise_or)
    __xor__ = cooperative(ops.bitwise_xor, "__rxor__")
    __rxor__ = reflected(ops.bitwise_xor)
    __lshift__ = cooperative(ops.bitwise_left_shift, "__rlshift__")
    __rlshift__ = reflected(ops.bitwise_left_shift)
    __rshift__ = cooperative(ops.bitwise_right_shift, "__rrshift__")
    __rrshift__ = reflected(ops.bitwise_right_shift)
    __lt__ = cooperative(ops.less, "__gt__")
    __le__ = cooperative(ops.less_equal, "__ge__")
    __gt__ = cooperative(ops.greater, "__lt__")
    __ge__ = cooperative(ops.greater_equal, "__le__")

    def __divmod__(self, other: Any) -> "tuple[Tensor, Tensor]":
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __rdivmod__(self, other: Any) -> "tuple[Tensor, Tensor]":
        return ops.floor_divide(other, self), ops.remainder(other, self)

    def __eq__(self, other: Any) -> Any:
        return False if other is None else _equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return True if other is None else _unequal(self, other)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_function(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return ops
