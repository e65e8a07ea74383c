"""First values of weights: functions of shape and dtype, with the names of Keras.

An initializer with a seed gives the same numbers each time it is called; without one it draws from a stream of its own,
or from the generator that it is given. They compute at once, also where a step is being traced.
"""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from .. import ops
from ..aval import Shape, parse_dtype
from ..config import floatx
from ..errors import at_user_line
from ..primitive import BASE, interpreting
from ..random import Generator
from ..tensor import Tensor

Initializer = Callable[[Shape, Any], Any]
Seed = int | Generator | None


def fans(shape: Shape) -> tuple[float, float]:
    """How many inputs and outputs each element of a weight connects.

    Parameters
    ----------
    shape : tuple of int
        Of a kernel: receptive field, inputs, outputs; or of a vector.
    """
    if len(shape) < 2:
        length = float(prod(shape))
        return length, length
    field = prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


def first_value(initializer: Initializer, shape: Shape, dtype: Any) -> Any:
    """What an initializer gives, computed now."""
    with interpreting(BASE[0].interpreter):
        return initializer(shape, dtype)


class _Named:
    """What the initializers here share: a call with a shape, and a dtype that is `tapejit.floatx()` by default."""

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """The first value of a weight.

        Parameters
        ----------
        shape : int or sequence of int
            Its shape.
        dtype : dtype, optional
            By default `tapejit.floatx()`.

        Returns
        -------
        Tensor
            Of that shape and dtype.
        """
        lengths = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(length) for length in shape)
        wanted = floatx() if dtype is None else parse_dtype(type(self).__name__, dtype)
        made: Tensor = first_value(self.values, lengths, wanted)
        return made

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers, made at once."""
        raise NotImplementedError


class _Seeded(_Named):
    """An initializer that draws.

    Parameters
    ----------
    seed : int or Generator, optional
        Of a stream of its own, or a generator that it shares with others, from which each call draws new numbers.
    """

    def __init__(self, seed: Seed = None) -> None:
        self.seed = seed
        self._generator = seed if isinstance(seed, Generator) else Generator(seed)

    def _draws_from(self) -> Generator:
        if self.seed is None or isinstance(self.seed, Generator):
            return self._generator
        return Generator(self.seed)


class Constant(_Named):
    """One number everywhere."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers."""
        return ops.full(shape, self.value, dtype)


class Zeros(Constant):
    """Zeros."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Ones."""

    def __init__(self) -> None:
        super().__init__(1.0)


class Identity(_Named):
    """A square matrix with one number on its diagonal, 0 elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers.

        Raises
        ------
        ValueError
            If it is no matrix.
        """
        if len(shape) != 2:
            raise ValueError(at_user_line(f"Identity: a matrix was expected, got shape {shape}"))
        return ops.multiply(ops.eye(*shape, dtype=dtype), self.gain)


class RandomUniform(_Seeded):
    """Uniform on [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers."""
        return self._draws_from().uniform(shape, self.minval, self.maxval, dtype)


class RandomNormal(_Seeded):
    """Normal with a mean and a standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers."""
        return self._draws_from().normal(shape, self.mean, self.stddev, dtype)


class TruncatedNormal(RandomNormal):
    """Normal, cut off at two standard deviations: by the inverse of the cumulative distribution."""

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers."""
        return ops.add(self.mean, ops.multiply(self.stddev, _truncated(self._draws_from(), shape, dtype)))


class VarianceScaling(_Seeded):
    """A variance of ``scale / n``, n being the number of inputs, of outputs, or their mean.

    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010; K. He, X.
    Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015.

    Parameters
    ----------
    scale : float
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What n is.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        What is drawn from.
    seed : int or Generator, optional
        Of a stream of its own, or a generator that it shares with others.

    Raises
    ------
    ValueError
        For other words, or a scale that is not above 0.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(at_user_line(f"VarianceScaling: scale must be above 0, got {scale}"))
        for word, words in ((mode, _MODES), (distribution, _DISTRIBUTIONS)):
            if word not in words:
                raise ValueError(at_user_line(f"VarianceScaling: {word!r} is none of {', '.join(map(repr, words))}"))
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers."""
        fan_in, fan_out = fans(shape)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, count)
        generator = self._draws_from()
        if self.distribution == "uniform":
            bound = sqrt(3.0 * variance)
            return generator.uniform(shape, -bound, bound, dtype)
        if self.distribution == "untruncated_normal":
            return generator.normal(shape, 0.0, sqrt(variance), dtype)
        return ops.multiply(_truncated(generator, shape, dtype), sqrt(variance) / _KEPT_DEVIATION)


_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")
_KEPT_DEVIATION = 0.87962566103423978
"""The standard deviation of a standard normal that is cut off at ±2."""


class Orthogonal(_Seeded):
    """A matrix with orthonormal rows or columns, made of a normal one by its QR decomposition.

    A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", 2014. Leading axes are folded into the rows.

    Parameters
    ----------
    gain : float
        What it is multiplied by.
    seed : int or Generator, optional
        Of a stream of its own, or a generator that it shares with others.
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def values(self, shape: Shape, dtype: Any) -> Tensor:
        """The numbers.

        Raises
        ------
        ValueError
            If it has fewer than two axes.
        """
        if len(shape) < 2:
            raise ValueError(at_user_line(f"Orthogonal: two axes or more were expected, got shape {shape}"))
        rows, columns = prod(shape[:-1]), shape[-1]
        drawn = self._draws_from().normal((max(rows, columns), min(rows, columns)), dtype="float64").numpy()
        q, r = np.linalg.qr(drawn)
        q *= np.sign(np.diag(r))
        made = (q if rows >= columns else q.T).reshape(shape)
        return ops.astype(ops.constant(self.gain * made), dtype)


def _truncated(generator: Generator, shape: Shape, dtype: Any) -> Tensor:
    """Standard normals cut off at ±2: normals are drawn until all are inside, at most so often that none is left."""
    values = generator.normal(shape, 0.0, 1.0, "float64").numpy().copy()
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = generator.normal((int(outside.sum()),), 0.0, 1.0, "float64").numpy()
    return ops.astype(ops.constant(values), dtype)


class GlorotUniform(VarianceScaling):
    """Uniform with the variance ``2 / (inputs + outputs)``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal with the variance ``2 / (inputs + outputs)``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform with the variance ``2 / inputs``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal with the variance ``2 / inputs``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform with the variance ``1 / inputs``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with the variance ``1 / inputs``."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


constant = Constant
zeros = Zeros
ones = Ones
identity = Identity
random_uniform = RandomUniform
random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
orthogonal = Orthogonal
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
he_uniform = HeUniform
he_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal

_BY_NAME: dict[str, type[_Named]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "identity": Identity,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "random_normal": RandomNormal,
    "normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
}
_KNOWN = {**_BY_NAME, **{kind.__name__: kind for kind in _BY_NAME.values()}}


def get(initializer: Any) -> Initializer:
    """The initializer of a name; a function is one itself, and a class of initializers is called for one.

    Raises
    ------
    ValueError
        For a name that none has.
    """
    if isinstance(initializer, type):
        initializer = initializer()
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in _KNOWN:
        raise ValueError(at_user_line(f"no initializer is called {initializer!r}; there are {', '.join(_BY_NAME)}"))
    return _KNOWN[initializer]()
