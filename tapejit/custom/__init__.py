"""Rules of the user's own: derivatives of functions, and whole operations.

Floor 11, above `kernel`. `rules` has the operations that carry a user's derivative through tapes, traces and graphs,
`arguments` is about nests of arguments; `gradient` (`custom_gradient`), `vjp` (`custom_vjp`) and `jvp` (`custom_jvp`)
and `operation` (`primitive`) are what a user sees.
"""

from . import opaque as opaque  # which claims its role
from .gradient import custom_gradient
from .jvp import custom_jvp
from .operation import primitive
from .vjp import custom_vjp

__all__ = ["custom_gradient", "custom_jvp", "custom_vjp", "primitive"]
