"""Random numbers: `Generator`, public as ``tj.random.Generator``.

Floor 7, above `variable`: a generator's state is a variable, so under a trace a draw is an effect, like an
assignment. The draws themselves are in `ops.random` and `ops.gamma_draws`. From the ground: `stream`, `continuous`,
`gammas` and `discrete`, `generator`.
"""

from ..spellings import missing
from .generator import Generator

__all__ = ["Generator"]

__getattr__ = missing(__name__)


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return __all__
