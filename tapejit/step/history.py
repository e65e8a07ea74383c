"""What the steps of epochs return: `History`, and how results are put together.

Below `epochs`. Results of several steps or epochs are one nest, whose tensors have more axes in front.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..errors import ShapeError, at_user_line
from ..primitive import Value
from ..pytree import flatten, unflatten
from ..tensor import Tensor


@dataclass(frozen=True, slots=True)
class History:
    """What the steps of some epochs returned.

    Attributes
    ----------
    results : nest
        As the step returns it; each tensor has two axes more in front, the epochs and the steps of one.
    means : nest
        Each tensor has one axis more in front, the epochs: the mean over an epoch, in which each step counts as often
        as it has rows. Integers and booleans become float64.
    epochs : int
        How many epochs are in it.
    """

    results: Any
    means: Any
    epochs: int


def on_each(results: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Results with a function applied to what is in their tensors; all else is as it was."""
    if type(results) is Tensor:
        return Tensor(np.asarray(function(results.numpy())))
    leaves, tree = flatten(results)
    return unflatten(tree, [on_each(leaf, function) if isinstance(leaf, Value) else leaf for leaf in leaves])


def combined(several: Sequence[Any], function: Callable[[Sequence[np.ndarray]], np.ndarray]) -> Any:
    """Results of one nest combined, tensor by tensor; what isn't a tensor is that of the first."""
    flattened = [flatten(results) for results in several]
    columns = zip(*(leaves for leaves, _ in flattened), strict=True)
    leaves = [
        Tensor(np.asarray(function([leaf.numpy() for leaf in column]))) if isinstance(column[0], Value) else column[0]
        for column in columns
    ]
    return unflatten(flattened[0][1], leaves)


def joined(parts: Sequence[Any]) -> Any:
    """The results of full batches and of the smaller last ones, as those of epochs."""
    if len(parts) == 1:
        return parts[0]
    full, last = (flatten(results) for results in parts)
    if full[1] != last[1]:
        raise ShapeError(at_user_line("epochs: the last batch returns another nest; use drop_remainder=True"))
    for leaf, other in zip(full[0], last[0], strict=True):
        if isinstance(leaf, Value) and leaf.shape[2:] != other.shape[2:]:
            raise ShapeError(
                at_user_line(
                    f"epochs: a result has shape {leaf.shape[2:]}, in the smaller last batch {other.shape[2:]}; return "
                    "what has one shape for every batch, such as a mean, or use drop_remainder=True"
                )
            )
    return combined(parts, lambda arrays: np.concatenate(arrays, axis=1))


def means_of(results: Any, weights: np.ndarray) -> Any:
    """The means over the steps of each epoch, which count by their weights."""
    total = weights.sum()

    def mean(array: np.ndarray) -> np.ndarray:
        dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
        weighted = array * weights.reshape(-1, *(1,) * (array.ndim - 2))
        return (weighted.sum(axis=1) / total).astype(dtype)  # type: ignore[no-any-return]

    return on_each(results, mean)
