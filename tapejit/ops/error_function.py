"""The error function and its complement in NumPy, as accurate as the C library's.

Floor 4, below `activations`. Source: FreeBSD's msun, ``lib/msun/src/s_erf.c`` (Copyright 1993 Sun
Microsystems, whose licence is: "Permission to use, copy, modify, and distribute this software is freely
granted, provided that this notice is preserved."): rational approximations on four intervals of |x|, here on
arrays.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Intervals = tuple[tuple[float, Callable[[np.ndarray], Any]], ...]
"""Formulas of |x|, each with the end of its interval."""

_NEAR_ZERO = 0.84375
_NEAR_ONE = 1.25
_FAR = 1 / 0.35
_SATURATED = 6.0  # above it erf(x) is 1 to the last bit
_VANISHED = 28.0  # above it erfc(x) is 0
_FEW = 256  # up to here the C library's own, one number after another, is faster
_ERX = 8.45062911510467529297e-01  # erf(1), cut to single precision

_PP = (
    1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
    -5.77027029648944159157e-03, -2.37630166566501626084e-05,
)  # fmt: skip
_QQ = (
    1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
    1.32494738004321644526e-04, -3.96022827877536812320e-06,
)  # fmt: skip
_PA = (
    -2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
    3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
    -2.16637559486879084300e-03,
)  # fmt: skip
_QA = (
    1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
    1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02,
)  # fmt: skip
_RA = (
    -9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e01,
    -6.23753324503260060396e01, -1.62396669462573470355e02, -1.84605092906711035994e02,
    -8.12874355063065934246e01, -9.81432934416914548592e00,
)  # fmt: skip
_SA = (
    1.0, 1.96512716674392571292e01, 1.37657754143519042600e02, 4.34565877475229228821e02,
    6.45387271733267880336e02, 4.29008140027567833386e02, 1.08635005541779435134e02,
    6.57024977031928170135e00, -6.04244152148580987438e-02,
)  # fmt: skip
_RB = (
    -9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e01,
    -1.60636384855821916062e02, -6.37566443368389627722e02, -1.02509513161107724954e03,
    -4.83519191608651397019e02,
)  # fmt: skip
_SB = (
    1.0, 3.03380607434824582924e01, 3.25792512996573918826e02, 1.53672958608443695994e03,
    3.19985821950859553908e03, 2.55305040643316442583e03, 4.74528541206955367215e02,
    -2.24409524465858183362e01,
)  # fmt: skip


def erf(x: np.ndarray) -> Any:
    """``2/sqrt(π) ∫₀ˣ exp(-t²) dt``, within 1 ulp in float64.

    Parameters
    ----------
    x : ndarray, floating
        Any shape. Narrower dtypes are computed in float64 and rounded once.

    Returns
    -------
    ndarray
        Fresh, of the same shape and dtype.
    """
    argument = np.asarray(x, np.float64).reshape(-1)
    if argument.size <= _FEW:
        out = np.array([math.erf(number) for number in argument.tolist()])
    else:
        size = np.abs(argument)
        out = np.where(np.isnan(argument), argument, 1.0)
        _fill(out, size, _INTERVALS)
        out = np.copysign(out, argument)
    return out.reshape(x.shape).astype(x.dtype, copy=False)


def erfc(x: np.ndarray) -> Any:
    """``1 - erf(x)``, within 2 ulp in float64 also where it is small.

    Parameters
    ----------
    x : ndarray, floating
        Any shape. Narrower dtypes are computed in float64 and rounded once.

    Returns
    -------
    ndarray
        Fresh, of the same shape and dtype.
    """
    argument = np.asarray(x, np.float64).reshape(-1)
    if argument.size <= _FEW:
        out = np.array([math.erfc(number) for number in argument.tolist()])
    else:
        out = np.where(np.isnan(argument), argument, 0.0)
        _fill(out, np.abs(argument), _COMPLEMENT_INTERVALS)
        out = np.where(argument < 0, 2 - out, out)
    return out.reshape(x.shape).astype(x.dtype, copy=False)


def _fill(out: np.ndarray, size: np.ndarray, intervals: Intervals) -> None:
    """Put into `out` what the formula of the interval gives that `size` is in."""
    low = 0.0
    for high, formula in intervals:
        inside = np.flatnonzero((size >= low) & (size < high))
        if inside.size:
            out[inside] = formula(size[inside])
        low = high


def _polynomial(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    """By Horner's scheme, constant term first."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


def _near_zero(x: np.ndarray) -> Any:
    """erf(x) - x."""
    z = x * x
    return x * (_polynomial(_PP, z) / _polynomial(_QQ, z))


def _near_one(x: np.ndarray) -> Any:
    """erf(x) - erf(1), cut to single precision."""
    s = x - 1
    return _polynomial(_PA, s) / _polynomial(_QA, s)


def _tail(x: np.ndarray, numerator: Sequence[float], denominator: Sequence[float]) -> Any:
    """erfc(x); x² is split into the square of its leading bits, which is exact, and the rest."""
    s = 1 / (x * x)
    z = (x.view(np.int64) & ~0xFFFFFFFF).view(np.float64)
    correction = (z - x) * (z + x) + _polynomial(numerator, s) / _polynomial(denominator, s)
    return np.exp(-z * z - 0.5625) * np.exp(correction) / x


_INTERVALS: Intervals = (
    (_NEAR_ZERO, lambda x: x + _near_zero(x)),
    (_NEAR_ONE, lambda x: _ERX + _near_one(x)),
    (_FAR, lambda x: 1 - _tail(x, _RA, _SA)),
    (_SATURATED, lambda x: 1 - _tail(x, _RB, _SB)),
)
_COMPLEMENT_INTERVALS: Intervals = (
    (0.25, lambda x: 1 - (x + _near_zero(x))),
    (_NEAR_ZERO, lambda x: 0.5 - ((x - 0.5) + _near_zero(x))),
    (_NEAR_ONE, lambda x: (1 - _ERX) - _near_one(x)),
    (_FAR, lambda x: _tail(x, _RA, _SA)),
    (_VANISHED, lambda x: _tail(x, _RB, _SB)),
)
