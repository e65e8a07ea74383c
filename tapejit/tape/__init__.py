"""Tapes: what was computed, and from it the gradients.

Floor 7. `recording` keeps what the reverse pass will need, `reverse` walks it backwards, `gradient_tape` is what a
user sees. `forward` makes tangents of tangents, `accumulator` is what a user sees of that; `refusing` is for functions
without a derivative.
"""

from .accumulator import ForwardAccumulator
from .gradient_tape import GradientTape

__all__ = ["ForwardAccumulator", "GradientTape"]
