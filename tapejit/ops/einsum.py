"""Einstein summation: `einsum` as a chain of products of two operands.

Floor 4, above `products`, `reductions` and `triangles`. What is to be done depends on the subscripts and shapes alone
and is found once for each of them; the steps are views, sums, multiplications and matrix products, so that it compiles
and has derivatives of any order. Start reading at `einsum`.
"""

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..aval import Shape
from ..errors import ShapeError, at_user_line
from ..families import as_array, in_common_dtype
from .annotations import ArrayLike
from .arithmetic import multiply
from .conversion import astype
from .products import matmul
from .reductions import sum as total
from .shaping import permute_dims, reshape
from .triangles import diagonal

if TYPE_CHECKING:
    from ..tensor import Tensor

Labels = tuple[str, ...]
"""One for each axis; those of an ellipsis are ``.0``, ``.1``, … from the last axis on."""

_BOOL = np.dtype(np.bool_)


class _Plan(NamedTuple):
    """What the subscripts say about operands of certain shapes.

    `inputs` are the labels of the operands, `output` those of the result, `sizes` the lengths, and `pairs` which two of
    the operands that are left are multiplied next.
    """

    inputs: tuple[Labels, ...]
    output: Labels
    sizes: dict[str, int]
    pairs: tuple[tuple[int, int], ...]


def einsum(subscripts: Any, /, *operands: Any) -> "Tensor":
    """Sums of products, as the subscripts name the axes.

    Parameters
    ----------
    subscripts : str
        Labels for the axes of each operand, with commas between operands, and of the result behind ``->``: a letter for
        each axis, ``...`` for all that are not named. Without ``->`` the result has the axes of the ellipsis, then all
        labels that occur once, in alphabetical order. In NumPy's other form each operand is followed by a list of
        integers or ``...``, and a last list is that of the result.
    *operands : array_like
        Any dtype; promoted to one.

    Returns
    -------
    Tensor
        The products of the operands' elements, summed over all labels that the result does not have. A label that one
        operand has twice stands for its diagonal. Axes of length 1 are repeated.

    Raises
    ------
    ShapeError
        If the subscripts can't be read, or lengths of axes with the same label differ.

    Notes
    -----
    ``out[…] = Σ x[…] y[…] …``: linear in each operand, so the derivatives are sums of this kind too. Several operands
    are multiplied in pairs, that pair first whose product is smallest against its factors (D. G. A. Smith and J. Gray,
    "opt_einsum", JOSS 3(26), 2018, the greedy order). A pair is one matrix product, or a multiplication where nothing
    is summed. Sums of integers wrap around in their dtype; those of booleans are "any".

    Examples
    --------
    >>> tj.einsum("ij,j->i", [[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    >>> tj.einsum("ii", [[1, 2], [3, 4]]).item()
    5
    >>> tj.einsum("bij,bjk,bkl->bil", tj.ones((2, 3, 4)), tj.ones((2, 4, 5)), tj.ones((2, 5, 1))).shape
    (2, 3, 1)
    """
    text, arrays = (subscripts, operands) if isinstance(subscripts, str) else _lettered((subscripts, *operands))
    values = in_common_dtype("einsum", tuple(as_array(array) for array in arrays)) if arrays else ()
    logical = bool(values) and values[0].dtype == _BOOL
    if logical:
        values = tuple(astype(value, np.int64) for value in values)
    plan = _plan(text, tuple(value.shape for value in values))
    terms = [_diagonal(value, labels, plan.sizes) for value, labels in zip(values, plan.inputs, strict=True)]
    for first, second in plan.pairs:
        later, sooner = terms.pop(second), terms.pop(first)
        wanted = _wanted(plan.output, [labels for _, labels in terms])
        terms.append(_product(_summed(sooner, {*wanted, *later[1]}), _summed(later, {*wanted, *sooner[1]}), wanted))
    out, labels = _summed(terms[0], set(plan.output))
    out = permute_dims(out, tuple(labels.index(label) for label in plan.output)) if labels != plan.output else out
    return astype(out, _BOOL) if logical else out


# ---- the steps


def _wanted(output: Labels, others: Iterable[Labels]) -> set[str]:
    """The labels that are needed after two terms were multiplied."""
    return {*output, *(label for labels in others for label in labels)}


def _diagonal(x: Any, labels: Labels, sizes: dict[str, int]) -> tuple[Any, Labels]:
    """The operand with each label once, and without axes of length 1 that are repeated."""
    kept = [axis for axis, label in enumerate(labels) if x.shape[axis] == sizes[label]]
    if len(kept) < len(labels):
        x, labels = reshape(x, tuple(x.shape[axis] for axis in kept)), tuple(labels[axis] for axis in kept)
    if len(set(labels)) == len(labels):
        return x, labels
    for label in [label for label, count in Counter(labels).items() for _ in range(count - 1)]:
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = diagonal(x, axis1=first, axis2=second)  # now the last axis
        labels = (*(each for axis, each in enumerate(labels) if axis not in (first, second)), label)
    return x, labels


def _summed(term: tuple[Any, Labels], wanted: set[str]) -> tuple[Any, Labels]:
    """The term without the labels that nobody wants."""
    x, labels = term
    axes = tuple(axis for axis, label in enumerate(labels) if label not in wanted)
    if not axes:
        return term
    # Sums of narrow integers are wide, as in `numpy.sum`; here they wrap around in their own dtype, as products do.
    return astype(total(x, axes), x.dtype), tuple(label for label in labels if label in wanted)


def _product(one: tuple[Any, Labels], other: tuple[Any, Labels], wanted: set[str]) -> tuple[Any, Labels]:
    """The product of two terms, summed over the labels that both have and nobody wants."""
    (x, left), (y, right) = one, other
    both = [label for label in left if label in right]
    batch, inner = [label for label in both if label in wanted], [label for label in both if label not in wanted]
    rows, columns = [label for label in left if label not in right], [label for label in right if label not in left]
    if not inner or not (rows or columns):
        labels = (*batch, *rows, *columns, *inner)
        product = multiply(_aligned(x, left, labels), _aligned(y, right, labels))
        return _summed((product, labels), wanted)
    lengths = dict(zip((*left, *right), (*x.shape, *y.shape), strict=True))
    x, y = _grouped(x, left, (batch, rows, inner)), _grouped(y, right, (batch, inner, columns))
    labels = (*batch, *rows, *columns)
    return _shaped(matmul(x, y), tuple(lengths[label] for label in labels)), labels


def _aligned(x: Any, labels: Labels, target: Labels) -> Any:
    """The array with its axes in the order of `target`, of length 1 where it has no such label."""
    order = sorted(range(len(labels)), key=lambda axis: target.index(labels[axis]))
    moved = permute_dims(x, tuple(order)) if order != list(range(len(order))) else x
    return _shaped(moved, tuple(x.shape[labels.index(label)] if label in labels else 1 for label in target))


def _grouped(x: Any, labels: Labels, groups: tuple[list[str], ...]) -> Any:
    """A stack of matrices whose axes are the groups; without an axis for an empty batch."""
    order = tuple(labels.index(label) for group in groups for label in group)
    moved = permute_dims(x, order) if order != tuple(range(len(order))) else x
    lengths = [prod(x.shape[labels.index(label)] for label in group) for group in groups]
    return _shaped(moved, tuple(lengths if groups[0] else lengths[1:]))


def _shaped(x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else reshape(x, shape)


# ---- the plan


@lru_cache(maxsize=1024)
def _plan(text: str, shapes: tuple[Shape, ...]) -> _Plan:
    inputs, output = _read(text, shapes)
    sizes: dict[str, int] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, length in zip(labels, shape, strict=True):
            if sizes.setdefault(label, length) == 1:
                sizes[label] = length
            elif length not in (1, sizes[label]):
                where = "the axes of '...'" if label.startswith(".") else f"the axes {label!r}"
                raise _bad(text, shapes, f"{where} have lengths {sizes[label]} and {length}")
    return _Plan(inputs, output, sizes, _order(inputs, output, sizes))


def _order(inputs: tuple[Labels, ...], output: Labels, sizes: dict[str, int]) -> tuple[tuple[int, int], ...]:
    """The pairs to multiply: always the one whose product is smallest against its factors, those with a sum first."""
    terms = [frozenset(labels) for labels in inputs]
    pairs = []
    while len(terms) > 1:
        best = min(
            ((i, j) for j in range(len(terms)) for i in range(j)), key=lambda pair: _cost(terms, pair, output, sizes)
        )
        first, second = best
        one, other = terms[first], terms[second]
        del terms[second], terms[first]
        terms.append((one | other) & _wanted(output, map(tuple, terms)))
        pairs.append(best)
    return tuple(pairs)


def _cost(
    terms: Sequence[frozenset[str]], pair: tuple[int, int], output: Labels, sizes: dict[str, int]
) -> tuple[bool, int, int]:
    one, other = (terms[number] for number in pair)
    rest = [tuple(term) for number, term in enumerate(terms) if number not in pair]
    result = (one | other) & _wanted(output, rest)
    result_size, *factors = (prod(sizes[label] for label in labels) for labels in (result, one, other))
    work = prod(sizes[label] for label in one | other)
    return one.isdisjoint(other), result_size - sum(factors), work


# ---- reading


def _read(text: str, shapes: tuple[Shape, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of the operands and of the result."""
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes) or not shapes:
        raise _bad(text, shapes, f"there are subscripts for {len(terms)} operands")
    inputs = tuple(_labels(term, len(shape), text, shapes) for term, shape in zip(terms, shapes, strict=True))
    found = [label for labels in inputs for label in labels]
    dotted = sorted({label for label in found if label.startswith(".")}, key=lambda label: -int(label[1:]))
    if not arrow:
        once = sorted(label for label, count in Counter(found).items() if count == 1 and not label.startswith("."))
        return inputs, (*dotted, *once)
    output = _labels(right, len(right.replace("...", "")) + len(dotted) * ("..." in right), text, shapes)
    for label, count in Counter(output).items():
        if count > 1 or label not in found:
            reason = "is there twice" if count > 1 else "belongs to no operand"
            raise _bad(text, shapes, f"the result's label {label!r} {reason}")
    if dotted and "..." not in right:
        raise _bad(text, shapes, "operands have axes of '...', and the result has no '...'")
    return inputs, output


def _labels(term: str, rank: int, text: str, shapes: tuple[Shape, ...]) -> Labels:
    before, dots, after = term.partition("...")
    unnamed = rank - len(before) - len(after)
    if not all(letter in string.ascii_letters for letter in before + after):
        raise _bad(text, shapes, f"{term!r} is no list of letters with one '...' at most")
    if unnamed < 0 or (unnamed and not dots):
        raise _bad(text, shapes, f"{term!r} does not name the axes of an array with {rank}")
    return (*before, *(f".{place}" for place in reversed(range(unnamed))), *after)


def _bad(text: str, shapes: tuple[Shape, ...], reason: str) -> ShapeError:
    return ShapeError(at_user_line(f"einsum: {text!r} for shapes {', '.join(map(str, shapes))}: {reason}"))


def _lettered(arguments: tuple[Any, ...]) -> tuple[str, tuple[ArrayLike, ...]]:
    """NumPy's other form, operands and lists of integers in turn, as subscripts and operands."""
    count = len(arguments) // 2
    lists = [_letters(arguments[2 * number + 1]) for number in range(count)]
    text = ",".join(lists)
    if len(arguments) % 2:
        text += "->" + _letters(arguments[-1])
    return text, tuple(arguments[2 * number] for number in range(count))


def _letters(labels: Any) -> str:
    try:
        return "".join("..." if label is Ellipsis else string.ascii_letters[label] for label in labels)
    except (TypeError, IndexError):
        raise ShapeError(
            at_user_line(
                f"einsum takes a string of subscripts, or lists of integers below 52 and '...', got {labels!r:.80}"
            )
        ) from None
