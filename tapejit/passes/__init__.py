"""Passes: Graph → Graph, then Graph → LoopPlan.

Floor 10. `prepare` runs what makes graphs simpler; `plan_loops` turns the result into loops over buffers. Passes ask
primitives for properties (`lowering`) and never name one.
"""

from .access import Choose, Compute, Dot, Expression, Fetch, Key, Load, Number
from .loops import Item, Leaf, Loop, leaves
from .measure import MEASURED, measure
from .plan import LoopPlan, plan_loops
from .prepare import prepare
from .statements import Statement
from .storage import Place

__all__ = [
    "MEASURED",
    "Choose",
    "Compute",
    "Dot",
    "Expression",
    "Fetch",
    "Item",
    "Key",
    "Leaf",
    "Load",
    "Loop",
    "LoopPlan",
    "Number",
    "Place",
    "Statement",
    "leaves",
    "measure",
    "plan_loops",
    "prepare",
]
