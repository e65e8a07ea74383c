"""What operations of one kind share; each declaration in `ops/` goes through one of these constructors.

Floor 3. `elementwise` and `reduction` decorate a function that has only a signature and a docstring; `view`,
`linear`, `contraction`, `composite` and `library_call` return a callable that a public function calls with its
normalised parameters. Start reading in `elementwise`.
"""

from .cases import Case, Sample, booleans, floats, integers, normal, spaced, uniform
from .elementwise import ALL, BOOLEAN, FLOATING, INTEGRAL, NUMERIC, elementwise, parts_of
from .naming import named_as
from .operands import as_array, coerce, in_common_dtype
from .reduction import reduction
from .structured import composite, contraction, library_call, pointwise, view

__all__ = [
    "ALL",
    "BOOLEAN",
    "FLOATING",
    "INTEGRAL",
    "NUMERIC",
    "Case",
    "Sample",
    "as_array",
    "booleans",
    "coerce",
    "composite",
    "contraction",
    "elementwise",
    "floats",
    "in_common_dtype",
    "integers",
    "library_call",
    "named_as",
    "normal",
    "parts_of",
    "pointwise",
    "reduction",
    "spaced",
    "uniform",
    "view",
]
