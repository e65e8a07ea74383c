"""Draws from Poisson distributions, with a fixed number of random words for each.

Floor 4. A small mean is drawn by searching the distribution function, a large one by W. Hörmann's transformed
rejection (PTRS: "The transformed rejection method for generating Poisson random variables", Insurance: Mathematics and
Economics 12, 1993) with a fixed number of rounds. Start reading at `poisson_counts`.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval
from ..families import Case, as_array, library_call, uniform
from ..lowering import Composite
from . import gamma_functions
from .annotations import ArrayLike
from .arithmetic import abs as size
from .arithmetic import maximum
from .comparison import equal, greater_equal, less, where
from .conversion import astype, floor
from .creation import iota
from .elementwise import exp, log, sqrt
from .gammas import lgamma
from .reductions import cumsum
from .reductions import min as smallest
from .reductions import sum as total
from .shaping import Apply, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

ROUNDS = 14
"""The last proposal is taken in any case. Of a mean of 10 one in four is refused, of larger ones fewer: so the
probability of any event is off by less than 5e-9."""

LARGE = 10.0
_TERMS = 50  # a count of a mean below 10 is larger with a probability of 1e-19

_INT64 = np.dtype(np.int64)


def _searched(mean: Any, u: Any, counts: Any, library: Any) -> Any:
    """How many values of the distribution function, for all `counts`, are at most u."""
    mean = mean[..., None]
    logarithms = library.where(counts == 0, 0.0, counts * library.log(mean)) - mean - library.lgamma(counts + 1)
    values = library.cumsum(library.exp(logarithms), axis=-1)
    return library.sum(u[..., None] >= values, axis=-1)


def _proposed(mean: Any, u: Any, v: Any, library: Any) -> tuple[Any, Any]:
    """A count, and whether it is taken: step 1 to 3 of PTRS."""
    root = library.sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    centred = u - 0.5
    depth = 0.5 - library.abs(centred)
    count = library.floor((2 * a / depth + b) * centred + mean + 0.43)
    inside = (depth >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2))
    possible = (count >= 0) & ((depth >= 0.013) | (v <= depth))
    known = library.maximum(count, 0.0)
    scale = library.log(1.1239 + 1.1328 / (b - 3.4)) - library.log(a / (depth * depth) + b)
    below = library.log(v) + scale <= known * library.log(mean) - mean - library.lgamma(known + 1)
    return known, inside | (possible & below)


_ARRAYS = SimpleNamespace(
    where=np.where, log=np.log, exp=np.exp, sqrt=np.sqrt, abs=np.abs, floor=np.floor, maximum=np.maximum,
    cumsum=np.cumsum, sum=np.sum, lgamma=gamma_functions.lgamma,
)  # fmt: skip
_TRACEABLE = SimpleNamespace(
    where=where, log=log, exp=exp, sqrt=sqrt, abs=size, floor=floor, maximum=maximum, cumsum=cumsum, sum=total,
    lgamma=lgamma,
)  # fmt: skip
"""The functions of both as NumPy's, and as tapejit's operations."""


def _impl(mean: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Each mean by its own way, and round by round those that were refused so far."""
    shape, mean = mean.shape, mean.reshape(-1)
    u, v = (each.reshape(ROUNDS, -1) for each in (u, v))
    out = np.zeros(mean.shape, _INT64)
    with np.errstate(divide="ignore", invalid="ignore"):
        (small,) = np.nonzero(mean < LARGE)
        out[small] = _searched(mean[small], u[0][small], np.arange(float(_TERMS)), _ARRAYS)
        (left,) = np.nonzero(mean >= LARGE)
        for first, second in zip(u, v, strict=True):
            counts, taken = _proposed(mean[left], first[left], second[left], _ARRAYS)
            out[left] = counts
            left = left[~taken]
    return out.reshape(shape)


def _expand(mean: Any, u: Any, v: Any) -> "Tensor":
    large = greater_equal(mean, LARGE)
    counts, taken = _proposed(where(large, mean, LARGE), u, v, _TRACEABLE)
    rounds = reshape(iota(ROUNDS), (ROUNDS, *(1,) * len(mean.shape)))
    first = smallest(where(taken, rounds, ROUNDS - 1), axis=0)
    many = astype(total(where(equal(rounds, first), counts, 0), axis=0), _INT64)
    few = _searched(where(large, 1.0, mean), u[0], astype(iota(_TERMS), mean.dtype), _TRACEABLE)
    return where(large, many, where(less(mean, LARGE), few, 0))  # type: ignore[no-any-return]


_poisson_counts: Apply = library_call(
    "poisson_counts",
    inputs=("mean", "u", "v"),
    impl=_impl,
    rule=lambda mean, u, v: Aval(mean.shape, _INT64),
    vjp={},
    lowering=Composite(_expand),
    cases=(
        Case(uniform(0, 30, 40), uniform(0.001, 0.999, ROUNDS, 40), uniform(0.001, 0.999, ROUNDS, 40)),
        Case(uniform(0, 30, 2, 3), uniform(0.001, 0.999, ROUNDS, 2, 3), uniform(0.001, 0.999, ROUNDS, 2, 3)),
    ),
    reference=_impl,
)


def poisson_counts(mean: ArrayLike, u: ArrayLike, v: ArrayLike) -> "Tensor":
    """Counts with these means.

    Parameters
    ----------
    mean : array_like, float64
        Not negative.
    u, v : array_like, shape (14, ...), float64
        Independent uniform numbers in (0, 1) for each round and each mean.

    Returns
    -------
    Tensor, shape of `mean`, int64
        Not connected.
    """
    return _poisson_counts(as_array(mean), as_array(u), as_array(v))
