"""Linear algebra in NumPy's `longdouble`, which LAPACK does not have: one matrix at a time, for the oracle."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of matrices on stacks of them."""

    def stacked(*stacks: Array) -> Any:
        batch = stacks[0].shape[:-2]
        results = [function(*[stack[index] for stack in stacks]) for index in np.ndindex(batch)]
        if isinstance(results[0], tuple):
            return tuple(np.array(part).reshape(batch) for part in zip(*results, strict=True))
        return np.array(results).reshape((*batch, *results[0].shape))

    return stacked


def _eliminated(x: Array, y: Array) -> tuple[Array, Any, Any]:
    """By Gauss and Jordan: the solution of ``x @ z == y``, the determinant's sign, the logarithm of its size."""
    n = len(x)
    rows, sign, size = np.concatenate([x, y], axis=1), x.dtype.type(1), x.dtype.type(0)
    for k in range(n):
        pivot = k + int(np.argmax(np.abs(rows[k:, k])))
        if pivot != k:
            rows[[k, pivot]] = rows[[pivot, k]]
            sign = -sign
        sign, size = sign * np.sign(rows[k, k]), size + np.log(np.abs(rows[k, k]))
        rows[k] /= rows[k, k]
        for other in range(n):
            if other != k:
                rows[other] -= rows[other, k] * rows[k]
    return rows[:, n:], sign, size


def _factor(x: Array) -> Array:
    lower = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(i + 1):
            rest = x[i, j] - lower[i, :j] @ lower[j, :j]
            lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
    return lower


solve = _each(lambda x, y: _eliminated(x, y)[0])
triangular_solve = _each(lambda x, y: _eliminated(np.tril(x), y)[0])
inv = _each(lambda x: _eliminated(x, np.eye(len(x), dtype=x.dtype))[0])
slogdet = _each(lambda x: _eliminated(x, x[:, :0])[1:])
cholesky = _each(_factor)
