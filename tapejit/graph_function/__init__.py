"""A graph as a compiled function that tapes follow, to any order.

Floor 12, below `step`. Start reading at `GraphFunction` in `function`. A call that no tape follows runs the plain
kernel. A call that a tape follows runs another one (`followed`): it computes the same, has the same effects, and also
gives the *residuals*, values of the forward pass that the backward pass needs. Which ones, `residuals` decides by a cut
of the joint graph of both passes that `joint` makes. The first gradient compiles a third kernel, from residuals, inputs
and cotangents to gradients. That is a `GraphFunction` again, which outer tapes follow.
"""

from .compiled import CompiledGraph, Setting
from .function import GraphFunction

__all__ = ["CompiledGraph", "GraphFunction", "Setting"]
