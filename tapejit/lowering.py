"""What the compiler may know of a primitive: the properties that passes ask for, so that none has to name an op.

Floor 2. Each declaration in `ops/` carries one of these; None means that steps with this op run eagerly. Index maps
are affine: an input is read at ``offset + Σ coefficient · axis`` of the output's axes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .aval import Shape
from .dataclass import dataclass


class Affine(NamedTuple):
    """``offset + Σ coefficient · axis``; `terms` are ``(axis, coefficient)`` pairs, sorted, without zeros."""

    offset: int = 0
    terms: tuple[tuple[int, int], ...] = ()

    @classmethod
    def axis(cls, axis: int, coefficient: int = 1, offset: int = 0) -> "Affine":
        """One axis, scaled and shifted."""
        return cls(offset, ((axis, coefficient),) if coefficient else ())

    def __add__(self, other: "Affine") -> "Affine":  # type: ignore[override]
        if not (self.terms and other.terms):
            return Affine(self.offset + other.offset, self.terms or other.terms)
        totals = dict(self.terms)
        for axis, coefficient in other.terms:
            totals[axis] = totals.get(axis, 0) + coefficient
        return Affine(self.offset + other.offset, tuple(sorted((a, c) for a, c in totals.items() if c)))

    def scaled(self, factor: int) -> "Affine":
        """All of it times an integer."""
        if factor == 0:
            return Affine()
        return Affine(self.offset * factor, tuple((a, c * factor) for a, c in self.terms))

    def substitute(self, axes: "IndexMap | Mapping[int, Affine]") -> "Affine":
        """The expression with each axis replaced by an expression in other axes."""
        result = Affine(self.offset)
        for axis, coefficient in self.terms:
            result = result + axes[axis].scaled(coefficient)
        return result


IndexMap = tuple[Affine, ...]
"""For each axis of the producer an expression in the consumer's axes."""


WORTH_KEEPING = 12
"""A value that costs less (in additions) is computed again rather than kept."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """An output element depends on the input elements at its own (broadcast) index.

    `expression` is Python over the input names, the params, and ``axis0``, ``axis1``… for the index itself, with the
    functions of `kernel.runtime`. `cost` is roughly how many additions it is worth.
    """

    expression: str
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Below(Pointwise):
    """The one input, integers, which are checked to be at least 0 and less than the param ``limit``.

    `beyond` is what to say of one that isn't: a format of the params, and in double braces of ``index``, which it is,
    and ``place``, where it is.
    """

    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Reduction:
    """The axes in the param ``axes`` are combined by add, multiply, maximum, minimum, or, and."""

    combine: str


@dataclass(frozen=True, slots=True)
class View:
    """Elements are moved, not computed: ``index(input_shape, output_shape, params)`` is the index map or None.

    None where the map is not affine (a reshape that cuts across axes): then the elements are read from a contiguous
    copy at the same linear position.
    """

    index: Callable[[Shape, Shape, Mapping[str, Any]], IndexMap | None]


@dataclass(frozen=True, slots=True)
class Piece:
    """One input of a `Pieces`: its index map, and for each output axis the half-open range in which it holds."""

    index: IndexMap
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Each output element comes from one input or from a fill value: concatenation, padding.

    ``pieces(input_shapes, output_shape, params)`` gives one `Piece` an input; outside of all of them the value is
    the literal of the param ``fill`` (0 where there is none).
    """

    pieces: Callable[[tuple[Shape, ...], Shape, Mapping[str, Any]], tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class Contraction:
    """``matmul`` of two arrays with two axes or more, all but the last two being equal batch axes."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """``x`` under ``kernel``, summed over the kernel's places and channels, without padding; channels last.

    The inputs are x, shape (..., batch, *space, channels in), and the kernel, shape (..., *size, channels in, channels
    out), with the same leading axes. The params ``strides`` and ``dilations`` have a number for each axis of space.
    ``expand(x, kernel, **params)`` is the same with other operations, for shapes that register tiles are no good at.
    """

    expand: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """Running results along the axis in the param ``axis``, each made of the one before and an element of ``x``.

    They are combined by add, multiply, maximum or minimum. With "recurrence" there is an input before ``x``, of the
    same shape: the result before is multiplied by its element, then that of ``x`` is added.
    """

    combine: str = "add"


@dataclass(frozen=True, slots=True)
class Gather:
    """``x`` read at index tuples: inputs ``x`` and integer ``indices``, shape (..., k); param ``axes`` names k axes.

    The result has the batch axes of the indices, then the other axes of x. `beyond` is what to say of an index out of
    range, with the params in it, where that is not the index's fault.
    """

    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Scatter:
    """``x`` with ``updates`` at index tuples: what `Gather` reads is where this writes.

    In their order updates are combined with what is there by add, minimum or maximum; by "set" they replace it.
    """

    combine: str = "add"


@dataclass(frozen=True, slots=True)
class Routine:
    """Whole rows or matrices at a time: one call of a routine of the kernel's for each index of the leading axes.

    All inputs have the same leading axes, and so have the results.

    Parameters
    ----------
    name : str
        The routine, one of `kernel.routines`.
    core : str
        The trailing axes that one call takes and gives, as NumPy's generalized ufuncs write them:
        ``"(n,n),(n,k)->(n,k)"``.
    cost : callable
        From the lengths, in the order in which `core` names them first, to how many additions a call is worth.
    fault : str
        What a matrix is for which the routine fails; empty where it can't.
    below : str
        The name of the length below which all results are, where they are indices.
    neighbours : bool
        Whether it takes only operands whose elements along the last axis are neighbours in memory.
    """

    name: str
    core: str
    cost: Callable[..., int]
    fault: str = ""
    below: str = ""
    neighbours: bool = False

    def axes(self) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
        """The names of the trailing axes of each input and of each result."""
        inputs, results = (
            tuple(tuple(name for name in group.split(",") if name) for group in side[1:-1].split("),("))
            for side in self.core.split("->")
        )
        return inputs, results

    def lengths(self, shapes: tuple[Shape, ...]) -> dict[str, int]:
        """The length that each name stands for, given the shapes of the inputs."""
        found: dict[str, int] = {}
        for names, shape in zip(self.axes()[0], shapes, strict=True):
            for name, length in zip(names, shape[len(shape) - len(names) :], strict=True):
                found.setdefault(name, length)
        return found


@dataclass(frozen=True, slots=True)
class ScanRegion:
    """The region in the param ``body``, run for each index below ``length``, from the last one on if ``reverse``.

    The inputs are the first values of what it carries on (``carries`` of them), arrays of which it gets one slice at
    a time (``slices``), and captures. Its arguments are the index (int64), carried values, slices, captures; it gives
    the next carried values, then slices. Results are the last carried values, and arrays of what it gave at each index.
    """


@dataclass(frozen=True, slots=True)
class WhileRegion:
    """The region ``body``, run as long as the region ``condition`` gives true.

    The inputs are the first values of what it carries on (``carries`` of them) and captures, which both regions get;
    results are the last carried values.
    """


@dataclass(frozen=True, slots=True)
class SwitchRegion:
    """One of the regions ``branches``, by the first input, an int64 from 0 to their number - 1.

    The other inputs are captures, all of which each branch gets. The results are what the branch gives.
    """


@dataclass(frozen=True, slots=True)
class Composite:
    """Computed as a composition of other operations: ``expand(*tensors, **params)`` written with public ones.

    Of an operation with several results it is something that can be indexed by their positions.
    """

    expand: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Alias:
    """Its results are its first inputs; to the compiler nothing else is left of it."""


@dataclass(frozen=True, slots=True)
class Inlined:
    """What its region ``body`` computes, there and then: to the compiler nothing else is left of it."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A Python function of the user's: it runs between two kernels."""


LOWERED = (
    Pointwise,
    Reduction,
    View,
    Pieces,
    Contraction,
    Convolution,
    Scan,
    Gather,
    Scatter,
    Routine,
    ScanRegion,
    WhileRegion,
    SwitchRegion,
)
"""What a kernel can hold, once composites are expanded."""

Lowering = (
    Pointwise
    | Reduction
    | View
    | Pieces
    | Contraction
    | Convolution
    | Scan
    | Gather
    | Scatter
    | Routine
    | ScanRegion
    | WhileRegion
    | SwitchRegion
    | Composite
    | Alias
    | Inlined
    | Opaque
    | None
)
