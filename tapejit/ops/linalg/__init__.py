"""Linear algebra, public as ``tj.linalg``: factorisations, linear systems, eigenvalues, norms, functions of matrices.

Floor 4. What LAPACK computes is one call over stacks of matrices (`factors`, `triangular`, `systems`, `spectra`); all
else is made of these and of matrix products. So are the reverse rules: derivatives of any order exist. From the ground:
`matrices`, `named`, `triangular`, `factors`, `systems`, `spectra`, `determinants`, `inverses`, `norms`, `functions`.

A factor that is determined but for signs has them chosen, so that eager and compiled numbers agree: see `qr`, `eigh`
and `svd`.
"""

from ...spellings import missing
from ..products import matmul, matrix_transpose, outer, tensordot, vecdot
from .determinants import det, slogdet
from .factors import cholesky, qr
from .functions import expm, matrix_power, multi_dot
from .inverses import lstsq, matrix_rank, pinv
from .norms import cond, matrix_norm, norm, vector_norm
from .spectra import eigh, eigvalsh, svd, svdvals
from .systems import cholesky_solve, inv, solve
from .triangular import triangular_solve

__all__ = [
    "cholesky",
    "cholesky_solve",
    "cond",
    "det",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "triangular_solve",
    "vecdot",
    "vector_norm",
]

__getattr__ = missing(__name__)


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return __all__
