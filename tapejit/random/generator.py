"""`Generator`: all draws in one class.

Floor 7, top of the room.
"""

from .discrete import Discrete
from .gammas import Gammas


class Generator(Gammas, Discrete):
    """A stream of random numbers that a seed determines, the same eagerly and compiled, on every machine.

    Parameters
    ----------
    seed : int, optional
        0 to 2^64 - 1: the key of Philox4x32-10. By default the operating system chooses.

    Raises
    ------
    ValueError
        If the seed is out of range.
    DtypeError
        If it is no int.

    Notes
    -----
    Counter-based (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC '11, 2011): the
    state is a key and the number of 128-bit blocks drawn so far. Different seeds give independent streams of
    2^66 32-bit words. Parameters such as `mean` may be tensors: draws are differentiable functions of them.

    Examples
    --------
    >>> generator = tj.random.Generator(7)
    >>> generator.uniform((2, 3)).shape
    (2, 3)
    """

    __slots__ = ()
