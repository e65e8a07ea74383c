"""Activations by name, as layers take them; all are functions of a tensor, and any other function will do as well."""

from collections.abc import Callable
from math import sqrt
from typing import Any

from .. import ops
from ..errors import at_user_line
from ..tensor import Tensor

Activation = Callable[[Any], Any]


def linear(x: Any) -> Any:
    """The input as it is."""
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """``max(x, 0)``; or above the threshold `x`, up to `max_value`, below it ``negative_slope * (x - threshold)``."""
    if not negative_slope and not threshold:
        above = ops.relu(x)
    else:
        above = ops.where(x > threshold, x, negative_slope * (x - threshold))
    return above if max_value is None else ops.minimum(above, max_value)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha (exp(x) - 1)`` below.

    D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units",
    2016.
    """
    return ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0.0)))


def selu(x: Any) -> Tensor:
    """`elu`, scaled so that means and variances settle.

    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, "Self-Normalizing Neural Networks", 2017.
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below; slope `negative_slope` at 0.

    A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.
    """
    return ops.where(x > 0, x, negative_slope * x)


def relu6(x: Any) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return ops.minimum(ops.relu(x), 6.0)


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``.

    P. Ramachandran, B. Zoph, Q. V. Le, "Searching for Activation Functions", 2017.
    """
    return x * ops.sigmoid(x)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """``x Φ(x)``, Φ being the cumulative distribution of the standard normal.

    D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", 2016; `approximate` by their hyperbolic tangent.
    """
    if approximate:
        return 0.5 * x * (1.0 + ops.tanh(sqrt(2 / 3.141592653589793) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + ops.erf(x / sqrt(2.0)))


def mish(x: Any) -> Tensor:
    """``x tanh(softplus(x))``.

    D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", 2019.
    """
    return x * ops.tanh(ops.softplus(x))


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha (exp(x / alpha) - 1)`` below.

    J. T. Barron, "Continuously Differentiable Exponential Linear Units", 2017.
    """
    return ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0.0) / alpha))


def log_sigmoid(x: Any) -> Tensor:
    """``log(sigmoid(x))``."""
    return -ops.softplus(-x)


def hard_tanh(x: Any) -> Tensor:
    """``min(max(x, -1), 1)``."""
    return ops.minimum(ops.maximum(x, -1.0), 1.0)


def hard_silu(x: Any) -> Tensor:
    """``x * hard_sigmoid(x)``."""
    return x * hard_sigmoid(x)


def tanh_shrink(x: Any) -> Tensor:
    """``x - tanh(x)``."""
    return x - ops.tanh(x)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """``x`` nearer to 0 by the threshold, 0 within it."""
    return ops.where(x > threshold, x - threshold, ops.where(x < -threshold, x + threshold, 0.0))


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """``x``, 0 within the threshold."""
    return ops.where(ops.abs(x) > threshold, x, 0.0)


def squareplus(x: Any, b: float = 4.0) -> Tensor:
    """``(x + sqrt(x² + b)) / 2``.

    J. T. Barron, "Squareplus: A Softplus-Like Algebraic Rectifier", 2021.
    """
    return 0.5 * (x + ops.sqrt(x * x + b))


def glu(x: Any, axis: int = -1) -> Tensor:
    """The first half of `x` along an axis, times the sigmoid of the second one.

    Y. N. Dauphin, A. Fan, M. Auli, D. Grangier, "Language Modeling with Gated Convolutional Networks", 2017.
    """
    first, second = ops.split(ops.asarray(x), 2, axis=axis)
    return first * ops.sigmoid(second)


def softsign(x: Any) -> Tensor:
    """``x / (1 + |x|)``."""
    return x / (1.0 + ops.abs(x))


def hard_sigmoid(x: Any) -> Tensor:
    """``min(max(x / 6 + 1/2, 0), 1)``."""
    return ops.minimum(ops.maximum(x / 6.0 + 0.5, 0.0), 1.0)


def exponential(x: Any) -> Tensor:
    """``exp(x)``."""
    return ops.exp(x)


sigmoid = ops.sigmoid
tanh = ops.tanh
softplus = ops.softplus
softmax = ops.softmax
log_softmax = ops.log_softmax
swish = silu
hard_swish = hard_silu

_BY_NAME: dict[str, Activation] = {
    "linear": linear,
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "celu": celu,
    "gelu": gelu,
    "silu": silu,
    "swish": silu,
    "mish": mish,
    "glu": glu,
    "sigmoid": sigmoid,
    "log_sigmoid": log_sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "tanh": tanh,
    "hard_tanh": hard_tanh,
    "tanh_shrink": tanh_shrink,
    "soft_shrink": soft_shrink,
    "hard_shrink": hard_shrink,
    "softplus": softplus,
    "squareplus": squareplus,
    "softsign": softsign,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "exponential": exponential,
}


def get(activation: Any) -> Activation:
    """The activation of a name; a function is one itself, None is `linear`.

    Raises
    ------
    ValueError
        For a name that none has.
    """
    if activation is None:
        return linear
    if callable(activation):
        return activation
    if not isinstance(activation, str) or activation not in _BY_NAME:
        raise ValueError(at_user_line(f"no activation is called {activation!r}; there are {', '.join(_BY_NAME)}"))
    return _BY_NAME[activation]
