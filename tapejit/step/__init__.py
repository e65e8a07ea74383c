"""Compiled steps: from a call of a user's function to the kernel that does the same, once or many times.

Floor 13. `arguments` tells calls apart and `results` puts together what they return; `routes` and `entry` are the short
ways of a call like earlier ones; `retraces` counts, `finite` looks for the first operation that went wrong, `portable`
copies; `loops` and `epochs` (with `history` and `progress`) are many steps in one call. Start reading at `compiled`.
"""

from .arguments import TensorSpec
from .compiled import CompiledStep, compile

__all__ = ["CompiledStep", "TensorSpec", "compile"]
