"""Data sets: elements from arrays or generators, shuffled, batched and prepared on their way to a step.

Start reading at `Dataset`. What fits in memory and needs no preparation goes faster through ``step.epochs``.
"""

from .dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset

__all__ = ["AUTOTUNE", "INFINITE_CARDINALITY", "UNKNOWN_CARDINALITY", "Dataset"]
