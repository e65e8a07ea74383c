"""`Operators`: Python's operators and NumPy's protocols in terms of `ops`, for tensors and variables alike.

Floor 5. Everything here that needs numbers asks `numpy()`.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .errors import DtypeError, ShapeError, at_user_line
from .ops.numpy_names import numpy_function, numpy_ufunc
from .primitive import Typed

if TYPE_CHECKING:
    from .tensor import Tensor


class Operators(Typed):
    """Python's operators and NumPy's protocols in terms of `ops`: what tensors and variables share."""

    __slots__ = ()
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

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

    # Its numbers

    def item(self, *index: int) -> Any:
        """The only element, or the one at `index`, as a Python number."""
        return self.numpy().item(*index)

    def tolist(self) -> Any:
        """The elements as (nested) lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"converting {array.dtype.name} to {np.dtype(dtype).name} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                at_user_line(f"the truth of a tensor of shape {self.shape} is ambiguous: use tj.any(t) or tj.all(t)")
            )
        return bool(self.numpy().reshape(()))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __complex__(self) -> complex:
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

    # Operators: the operations themselves, which saves a call each

    __neg__ = ops.negative
    __pos__ = ops.positive
    __abs__ = ops.abs
    __invert__ = ops.bitwise_invert
    __add__ = ops.add

    def __radd__(self, other: Any) -> "Tensor":
        return ops.add(other, self)

    __sub__ = ops.subtract

    def __rsub__(self, other: Any) -> "Tensor":
        return ops.subtract(other, self)

    __mul__ = ops.multiply

    def __rmul__(self, other: Any) -> "Tensor":
        return ops.multiply(other, self)

    __truediv__ = ops.divide

    def __rtruediv__(self, other: Any) -> "Tensor":
        return ops.divide(other, self)

    __floordiv__ = ops.floor_divide

    def __rfloordiv__(self, other: Any) -> "Tensor":
        return ops.floor_divide(other, self)

    __mod__ = ops.remainder

    def __rmod__(self, other: Any) -> "Tensor":
        return ops.remainder(other, self)

    def __divmod__(self, other: Any) -> "tuple[Tensor, Tensor]":
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __rdivmod__(self, other: Any) -> "tuple[Tensor, Tensor]":
        return ops.floor_divide(other, self), ops.remainder(other, self)

    __pow__ = ops.power

    def __rpow__(self, other: Any) -> "Tensor":
        return ops.power(other, self)

    __matmul__ = ops.matmul

    def __rmatmul__(self, other: Any) -> "Tensor":
        return ops.matmul(other, self)

    __and__ = ops.bitwise_and

    def __rand__(self, other: Any) -> "Tensor":
        return ops.bitwise_and(other, self)

    __or__ = ops.bitwise_or

    def __ror__(self, other: Any) -> "Tensor":
        return ops.bitwise_or(other, self)

    __xor__ = ops.bitwise_xor

    def __rxor__(self, other: Any) -> "Tensor":
        return ops.bitwise_xor(other, self)

    __lt__ = ops.less
    __le__ = ops.less_equal
    __gt__ = ops.greater
    __ge__ = ops.greater_equal

    def __eq__(self, other: Any) -> Any:
        return False if other is None else ops.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return True if other is None else ops.not_equal(self, other)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_function(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return ops
