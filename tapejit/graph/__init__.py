"""The graph of a step: what it computes, without the Python that said so.

Floor 9. `ir` has nodes and graphs, `trace` makes them by running a user's function, `signature` names them,
`evaluate` runs them with NumPy (the oracle of the kernels), `verify` checks them, `show` prints them.
"""

from .evaluate import evaluate
from .ir import Builder, Graph, Input, Literal, Node, Part
from .region import Region, regions_of, trace_region, with_regions
from .show import show
from .signature import graph_signature
from .trace import Trace, TracedTensor
from .verify import verify

__all__ = [
    "Builder",
    "Graph",
    "Input",
    "Literal",
    "Node",
    "Part",
    "Region",
    "Trace",
    "TracedTensor",
    "evaluate",
    "graph_signature",
    "regions_of",
    "show",
    "trace_region",
    "verify",
    "with_regions",
]
