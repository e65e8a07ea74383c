"""Inverse hyperbolic functions: logarithms of ``1 + y`` with y in two parts, so that nothing is lost near 0.

From `_BIG` on, where ``y = 2 |x|`` to rounding, asinh and acosh are ``log |x| + ln 2``: no square overflows.
"""

from math import nan

from .lanes import Lanes
from .logarithms import log_of_sum, one_more

_BIG = (2.0**13, 2.0**28)


def _log_of_one_more(y: Lanes, lost: Lanes, size: Lanes) -> Lanes:
    """``log(1 + y + lost)``; ``log(2 size)`` where `size` is big."""
    total, more = one_more(y)
    big = size > size.pick(*_BIG)
    zero = size.constant(0.0)
    doublings = big.where(size.constant(1.0), zero)
    return log_of_sum(big.where(size, total), big.where(zero, more + lost), doublings)


def asinh(x: Lanes) -> Lanes:
    """The inverse hyperbolic sine: ``log(1 + s + (sqrt(1 + s**2) - 1))`` with s = |x|."""
    size = abs(x)
    square = size * size
    rest = square / ((square + 1.0).sqrt() + 1.0)
    y = size + rest
    return _log_of_one_more(y, rest - (y - size), size).with_sign_of(x)


def acosh(x: Lanes) -> Lanes:
    """The inverse hyperbolic cosine: ``log(1 + t + sqrt(t (t + 2)))`` with t = x - 1."""
    t = x - 1.0
    root = t.fma(t, t + t).sqrt()
    y = t + root
    larger, smaller = t.maximum(root), t.minimum(root)
    inside = (x >= 1.0).where(y, x.constant(nan))
    return _log_of_one_more(inside, smaller - (y - larger), x)


def atanh(x: Lanes) -> Lanes:
    """The inverse hyperbolic tangent: ``log(1 + q) / 2`` with ``q = 2 s / (1 - s)``, s = |x|."""
    size = abs(x)
    twice, rest = size + size, 1.0 - size
    lost = (1.0 - rest) - size
    q = twice / rest
    # What the quotient lacks, times 1 / (1 - s), which is 1 + q / 2.
    lacking = q.fma(-rest, twice) - q * lost
    total, more = one_more(q)
    return (log_of_sum(total, lacking.fma(q.fma(0.5, 1.0), more)) * 0.5).with_sign_of(x)
