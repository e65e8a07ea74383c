"""Penalties on weights: functions of a weight that give a number, with the names of Keras."""

from collections.abc import Callable
from typing import Any

from .. import ops
from ..configurable import Configurable
from ..errors import at_user_line
from ..tensor import Tensor


class L1L2(Configurable):
    """``l1 * sum(|w|) + l2 * sum(w²)``.

    Parameters
    ----------
    l1, l2 : float
        The two factors.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = float(l1)  # NumPy's would widen float32
        self.l2 = float(l2)

    def __call__(self, weight: Any) -> Tensor:
        """The penalty of a weight, of shape ()."""
        self.rely()
        value = ops.asarray(weight)
        total = ops.zeros((), value.dtype)
        if self.l1:
            total = total + self.l1 * ops.sum(ops.abs(value))
        if self.l2:
            total = total + self.l2 * ops.sum(value * value)
        return total


class L1(L1L2):
    """``l1 * sum(|w|)``."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1, 0.0)


class L2(L1L2):
    """``l2 * sum(w²)``."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(0.0, l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Both."""
    return L1L2(l1, l2)


l1 = L1
l2 = L2
_BY_NAME: dict[str, Callable[[], L1L2]] = {"l1": L1, "l2": L2, "l1_l2": l1_l2}


def get(regularizer: Any) -> Any:
    """The regularizer of a name; a function is one itself, None none.

    Raises
    ------
    ValueError
        For a name that none has.
    """
    if isinstance(regularizer, type):
        regularizer = regularizer()
    if regularizer is None or callable(regularizer):
        return regularizer
    known = {**_BY_NAME, "L1": L1, "L2": L2, "L1L2": l1_l2}
    if not isinstance(regularizer, str) or regularizer not in known:
        raise ValueError(at_user_line(f"no regularizer is called {regularizer!r}; there are {', '.join(_BY_NAME)}"))
    return known[regularizer]()
