"""lgamma and its first two derivatives in NumPy, and the coefficients that kernels share.

Floor 4, below `activations`. A number of at least 8 (3 for the derivatives) is taken by Stirling's series, with
coefficients of least error on just that range, a smaller one brought to [1, 2] by recurrence, where a polynomial does
the rest, a negative one by reflection. `kernel.mathlib` has the same, with sums in two parts. Start reading at
`lgamma`.

Source: NIST Digital Library of Mathematical Functions, 5.5.1 to 5.5.4, 5.11.1, 5.11.2 and 5.15.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

STIRLING_FROM, ASYMPTOTIC_FROM = 8, 3
STIRLING_CONSTANT = 0.4189385332046727  # (log 2π - 1)/2
FACTORIAL = (
    0.4831289505409809, -0.14595989591430594, 0.06291140107456973, -0.03130848750105256, 0.01679709863079318,
    -0.009425622444866466, 0.0054464578588479945, -0.003212074219661212, 0.001922915870775747, -0.001164411391056111,
    0.0007115249966248006, -0.0004380350385281565, 0.0002712640603105519, -0.0001685724684616844, 0.00010561722793091,
    -6.793509438389492e-05, 4.218174345378775e-05, -2.149181240275076e-05, 1.471124285598983e-05,
    -1.852459009951721e-05, 1.0963268291407253e-05,
)  # fmt: skip
"""lgamma(1 + t)/(t² - t) by powers of t - 1/2, for t in [0, 1]."""
STIRLING = (
    0.08333333333333309, -0.002777777777349336, 0.0007936505735051146, -0.0005951892774798045, 0.0008364338008728182,
    -0.0016328737007392574,
)  # fmt: skip
"""x (lgamma(x) - (x - 1/2)(log x - 1) - the constant) by powers of 1/x²."""
SINE = (
    -1.6449340668482264, 0.8117424252833507, -0.19075182412197864, 0.02614784781570503, -0.0023460810147854674,
    0.00014842866168952724, -6.975376801505015e-06, 2.5207573611467085e-07, -6.303498508942555e-09,
)  # fmt: skip
"""(sin πr/πr - 1)/r² by powers of r², for r up to 1/2."""
ROOT = 1.4616321449683622
"""Of digamma: the positive one."""
DIGAMMA = (
    0.951055876031833, -0.42362742128146047, 0.2405424842407744, -0.14840492305391886, 0.09498872445491689,
    -0.061922133272205075, 0.040760833813675235, -0.02697579679016962, 0.0179072524066281, -0.011908217259384615,
    0.007926945139207366, -0.005279974610657322, 0.0035190019006145793, -0.0023451875362443426, 0.0015566571738506033,
    -0.0010380534430413885, 0.0007232398697760326, -0.000480874243800917, 0.00022739699198380794,
    -0.0001538466949039281, 0.0002595533905595155, -0.00017131984241388669,
)  # fmt: skip
"""digamma(1 + t)/(1 + t - its root) by powers of t - 1/2, for t in [0, 1]."""
ASYMPTOTIC = (
    0.08333333333332874, -0.008333333330808991, 0.0039682534591635385, -0.004166613227781399, 0.007572357322002022,
    -0.020949782214603876, 0.0791204890568421, -0.35217646379224155, 1.5338158019052706, -5.420570349532689,
    12.791833288859495, -14.510334636674518,
)  # fmt: skip
"""x² (log x - 1/2x - digamma(x)) by powers of 1/x²."""
COTANGENT = (
    3.2898681336964533, 2.1646464674220027, 2.034686124022929, 2.0081547075164603, 2.0019893978755245,
    2.000484294895131, 2.000290194116522, 1.9975450451133823, 2.0262618582407868, 1.8003285776847293,
    3.091085055264793, -2.212368864658486, 13.051961600572321, -16.150363811495957, 17.196548849352812,
)  # fmt: skip
"""(1/r - π cot πr)/r by powers of r², for r up to 1/2."""
TRIGAMMA = (
    0.9348022005446793, -0.8287966442343201, 0.7045455170012289, -0.5790416377778401, 0.46306452509948637,
    -0.3621493650278781, 0.2780808134810186, -0.21030987292931824, 0.15705319598294976, -0.11604072766103947,
    0.0849689269232571, -0.061740363831745686, 0.044564640528135004, -0.031985954767474456, 0.022861095705049326,
    -0.016248142015496174, 0.011391701480601306, -0.008071422801693737, 0.006169772317615973, -0.004243386464176477,
    0.001665163483920468, -0.001301558515290605, 0.002903411121844131, -0.0019229459308035537,
)  # fmt: skip
"""trigamma(1 + t) by powers of t - 1/2, for t in [0, 1]."""
TRIGAMMA_ASYMPTOTIC = (
    0.16666666666661775, -0.03333333330249456, 0.023809516924445738, -0.03333255018370159, 0.075704310920093,
    -0.2507400063593315, 1.0929756377404403, -5.415825739231096, 25.460179622028843, -95.06932622557298,
    233.90119986951356, -274.3098153903516,
)  # fmt: skip
"""x³ (trigamma(x) - 1/x - 1/2x²) by powers of 1/x²."""
INVERSE_SQUARE_SINE = (
    3.2898681336964466, 6.493939402269791, 10.173430619351041, 14.057083028528323, 18.01790024607563,
    22.00548315617875, 26.00002379705531, 30.02581732328674, 33.70108313723389, 40.602209245021, 25.257727937789817,
    125.00278990154078, -217.58749711482292, 677.0659330961365, -855.883722542388, 741.8326609934843,
)  # fmt: skip
"""(π/sin πr)² - 1/r² by powers of r², for r up to 1/2."""

Function = Callable[[np.ndarray], Any]


def _in_double(function: Function) -> Function:
    """The function of any shape and floating dtype: computed in float64 and rounded once."""

    @wraps(function)
    def of_any_dtype(x: np.ndarray) -> Any:
        return np.asarray(function(np.asarray(x, np.float64))).astype(x.dtype, copy=False)

    return of_any_dtype


def _polynomial(x: np.ndarray, coefficients: Sequence[float]) -> Any:
    """By Horner's rule, constant term first."""
    total: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


@_in_double
def lgamma(x: np.ndarray) -> Any:
    """``log |Γ(x)|``, within some ulp of the result or of 1, whichever is larger.

    Parameters
    ----------
    x : ndarray, floating

    Returns
    -------
    ndarray
        Of the same shape and dtype; inf at the poles and at ±inf.
    """
    size = np.abs(x)
    fraction = size - np.floor(size)
    on_unit = (fraction - 1) * fraction * _polynomial(fraction - 0.5, FACTORIAL)  # lgamma(1 + fraction)
    product = np.ones_like(size)
    for less in range(1, STIRLING_FROM - 1):
        product = np.where(size >= less + 1, product * (size - less), product)
    logarithm = np.log(np.where(size < STIRLING_FROM, np.where(size < 1, size, product), size))
    near = on_unit + np.where(size < 1, -logarithm, logarithm)
    inverse = 1 / size
    series = _polynomial(inverse * inverse, STIRLING) * inverse + STIRLING_CONSTANT
    far = (size - 0.5) * (logarithm - 1) + series
    positive = np.where(size < STIRLING_FROM, near, far)
    rest = size - np.round(size)
    sine = rest + rest**3 * _polynomial(rest * rest, SINE)  # over π
    following = np.where(size < 1, on_unit, positive + np.log(size))  # lgamma(1 + |x|)
    reflected = -np.log(np.abs(sine)) - following
    return np.where(np.isinf(x), np.inf, np.where(x < 0, reflected, positive))


@_in_double
def digamma(x: np.ndarray) -> Any:
    """The derivative of `lgamma`, within some ulp of the result or of 1, whichever is larger.

    Parameters
    ----------
    x : ndarray, floating

    Returns
    -------
    ndarray
        Of the same shape and dtype; ∓inf at ±0, nan at negative integers and -inf.
    """
    size = np.abs(x)
    fraction = size - np.floor(size)
    on_unit = (fraction - (ROOT - 1)) * _polynomial(fraction - 0.5, DIGAMMA)
    inverse = 1 / size
    near = on_unit + np.where(size < 1, -inverse, np.where(size < 2, 0, 1 / (size - 1)))
    far = np.log(size) - 0.5 * inverse - inverse**2 * _polynomial(inverse**2, ASYMPTOTIC)
    positive = np.where(size < ASYMPTOTIC_FROM, near, far)
    rest = size - np.round(size)
    cotangent = 1 / rest - rest * _polynomial(rest * rest, COTANGENT)  # times π
    following = np.where(size < 1, on_unit, positive + inverse)  # digamma(1 + |x|)
    reflected = np.where(rest == 0, np.nan, following + cotangent)
    result = np.where(x < 0, reflected, positive)
    return np.where(size < 2.0**-60, -1 / x, np.where(x == np.inf, x, result))


@_in_double
def trigamma(x: np.ndarray) -> Any:
    """The derivative of `digamma`.

    Parameters
    ----------
    x : ndarray, floating

    Returns
    -------
    ndarray
        Of the same shape and dtype; inf at 0 and at negative integers, 0 at inf, nan at -inf.
    """
    size = np.abs(x)
    on_unit = _polynomial(size - np.floor(size) - 0.5, TRIGAMMA)
    inverse = 1 / size
    near = on_unit + np.where(size < 1, inverse**2, np.where(size < 2, 0, -((size - 1) ** -2)))
    far = inverse + 0.5 * inverse**2 + inverse**3 * _polynomial(inverse**2, TRIGAMMA_ASYMPTOTIC)
    positive = np.where(size < ASYMPTOTIC_FROM, near, far)
    rest = size - np.round(size)
    square = 1 / rest**2 + _polynomial(rest * rest, INVERSE_SQUARE_SINE)  # (π/sin πx)²
    reflected = square - np.where(size < 1, on_unit, positive - inverse**2)
    return np.where(x < 0, reflected, positive)
