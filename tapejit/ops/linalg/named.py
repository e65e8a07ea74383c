"""What decompositions give, under the names of the Array API and of NumPy."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ...tensor import Tensor


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: "Tensor"
    eigenvectors: "Tensor"


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: "Tensor"
    R: "Tensor"


class SlogdetResult(NamedTuple):
    """What `slogdet` gives."""

    sign: "Tensor"
    logabsdet: "Tensor"


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: "Tensor"
    S: "Tensor"
    Vh: "Tensor"
