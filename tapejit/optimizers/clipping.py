"""Bounds for gradients: by norm, one by one or all together."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import at_user_line
from ..tensor import Tensor

Gradients = Sequence[Any]


def global_norm(gradients: Gradients) -> Tensor:
    """The Euclidean norm of all elements of all gradients.

    Parameters
    ----------
    gradients : sequence of array_like or None
        Of any shapes; what is None counts as nothing.

    Returns
    -------
    Tensor, shape ()
        In the widest dtype among them.

    Raises
    ------
    ValueError
        If all of them are None.

    Examples
    --------
    >>> float(tj.optimizers.global_norm([tj.constant([3.0]), None, tj.constant([[4.0]])]))
    5.0
    """
    squares = [ops.sum(ops.multiply(each, each)) for each in gradients if each is not None]
    if not squares:
        raise ValueError(at_user_line("global_norm: there is no gradient that is not None"))
    total = squares[0]
    for square in squares[1:]:
        total = ops.add(total, square)
    return ops.sqrt(total)


def clip_by_norm(gradient: Any, clip_norm: float) -> Tensor:
    """A gradient, scaled down where its own Euclidean norm is larger than `clip_norm`.

    Parameters
    ----------
    gradient : array_like, floating
        Of any shape.
    clip_norm : float
        The bound, above 0.

    Returns
    -------
    Tensor
        ``gradient * clip_norm / max(clip_norm, |gradient|)``.

    Examples
    --------
    >>> tj.optimizers.clip_by_norm(tj.constant([3.0, 4.0]), 1.0).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    return _scaled(gradient, clip_norm, global_norm([gradient]))


def clip_by_global_norm(gradients: Gradients, clip_norm: float) -> tuple[list[Any], Tensor]:
    """Gradients, all scaled down alike where their common norm is larger than `clip_norm`.

    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", 2013, section 3.2.

    Parameters
    ----------
    gradients : sequence of array_like or None
        Of any shapes; None stays None.
    clip_norm : float
        The bound, above 0.

    Returns
    -------
    list of Tensor or None
        Each ``gradient * clip_norm / max(clip_norm, global_norm)``.
    Tensor, shape ()
        Their `global_norm`, as in TensorFlow.

    Examples
    --------
    >>> gradients, norm = tj.optimizers.clip_by_global_norm([tj.constant([3.0]), tj.constant([4.0])], 10.0)
    >>> [t.tolist() for t in gradients], float(norm)
    ([[3.0], [4.0]], 5.0)
    """
    total = global_norm(gradients)
    return [None if each is None else _scaled(each, clip_norm, total) for each in gradients], total


def _scaled(gradient: Any, norm: float, measured: Tensor) -> Tensor:
    factor = ops.divide(norm, ops.maximum(measured, norm))
    return ops.multiply(gradient, ops.astype(factor, ops.asarray(gradient).dtype))
