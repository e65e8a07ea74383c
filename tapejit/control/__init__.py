"""Control flow in the graph: loops and branches whose bodies are regions.

Floor 10. In eager mode all of it is Python; elsewhere the functions of users are traced, and loops and branches are
operations that hold them as regions. What users call is in `scans`, `while_loops`, `branches` and `recomputing`; the
operations are in `primitives`, their derivatives in `scan_reverse` and `switch_reverse`. Start reading at `scans`.
"""

from . import primitives as primitives  # which are registered
from .branches import cond, switch
from .recomputing import checkpoint
from .scans import fori_loop, map, scan  # noqa: A004 (the name in jax.lax)
from .while_loops import while_loop

__all__ = ["checkpoint", "cond", "fori_loop", "map", "scan", "switch", "while_loop"]
