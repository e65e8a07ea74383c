"""Draws of the gamma distribution, and of those that are made of it.

Floor 7, above `continuous`.
"""

from math import nan
from typing import TYPE_CHECKING, Any

from .. import ops
from ..aval import Shape, broadcast_shapes, checked_shape
from ..errors import ShapeError, at_user_line
from ..families import as_array
from ..ops.gamma_draws import ROUNDS, standard_gamma
from ..ops.random import FLOAT64, unit_normal, unit_open, unit_uniform
from .continuous import Continuous
from .stream import parameters

if TYPE_CHECKING:
    from ..ops.annotations import ArrayLike, DtypeLike, ShapeLike
    from ..tensor import Tensor


class Gammas(Continuous):
    """Gamma, beta and Dirichlet."""

    __slots__ = ()

    def gamma(
        self,
        alpha: "ArrayLike",
        scale: "ArrayLike" = 1.0,
        shape: "ShapeLike" = (),
        dtype: "DtypeLike" = None,
    ) -> "Tensor":
        """Gamma with a shape parameter and a scale: the mean is ``alpha * scale``.

        Parameters
        ----------
        alpha : array_like, floating
            The shape parameter, positive; a negative one gives nan.
        scale : array_like, floating
            What the draw is multiplied by.
        shape : int or tuple of int
            Broadcast with the shapes of `alpha` and `scale`; all elements are drawn independently.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        Marsaglia and Tsang's rejection (ACM TOMS 26(3), 2000) in float64, with six rounds for each draw, the last
        of which counts in any case: probabilities are off by less than 2e-8 (4e-11 for `alpha` from 2 on). Below 1 it
        is the draw for ``alpha + 1`` times ``u^(1 / alpha)``. The derivative by `alpha` is the implicit one of M.
        Figurnov et al. ("Implicit reparameterization gradients", NeurIPS 2018): ``-∂P(alpha, z)/∂alpha / p(z)``, that
        of the quantile z of which P is the distribution function; below 1 that of the product. So averages of
        gradients are gradients of averages. Differences between draws of one seed do not show it, since the draws
        follow another path.

        Examples
        --------
        >>> draws = tj.random.Generator(0).gamma(3.0, 2.0, (10_000,))
        >>> bool(tj.abs(tj.mean(draws) - 6.0) < 0.1)
        True
        """
        (alpha, scale), chosen, lengths = parameters("gamma", shape, alpha, scale, dtype=dtype)
        draw, lift = self._standard_gamma(alpha, lengths)
        return ops.astype(draw * ops.exp(lift), chosen) * scale  # type: ignore[no-any-return]

    def beta(
        self, alpha: "ArrayLike", beta: "ArrayLike", shape: "ShapeLike" = (), dtype: "DtypeLike" = None
    ) -> "Tensor":
        """Beta on (0, 1): the mean is ``alpha / (alpha + beta)``.

        Parameters
        ----------
        alpha, beta : array_like, floating
            Positive.
        shape : int or tuple of int
            Broadcast with the shapes of `alpha` and `beta`; all elements are drawn independently.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        ``x / (x + y)`` of two draws of `gamma`, by their logarithms, so that nothing underflows before the end. It is
        differentiable by both parameters as `gamma` is.

        Examples
        --------
        >>> draws = tj.random.Generator(0).beta(2.0, 6.0, (10_000,))
        >>> bool(tj.abs(tj.mean(draws) - 0.25) < 0.01)
        True
        """
        (alpha, beta), chosen, lengths = parameters("beta", shape, alpha, beta, dtype=dtype)
        ratio = self._log_gamma(alpha, lengths) - self._log_gamma(beta, lengths)
        return ops.astype(ops.sigmoid(ratio), chosen)

    def dirichlet(self, alpha: "ArrayLike", shape: "ShapeLike" = (), dtype: "DtypeLike" = None) -> "Tensor":
        """Dirichlet: vectors of positive numbers whose sum is 1.

        Parameters
        ----------
        alpha : array_like, shape (..., k), floating
            Positive; the means are ``alpha / sum(alpha)``.
        shape : int or tuple of int
            Broadcast with the leading axes of `alpha`; all vectors are drawn independently.
        dtype : dtype, optional
            float32 or float64; by default that of `alpha` if it is an array, else `tapejit.floatx()`.

        Returns
        -------
        Tensor, shape (..., k)

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If `alpha` has no axis, or the shapes do not broadcast.

        Notes
        -----
        Draws of `gamma` over their sum, by their logarithms. It is differentiable by `alpha` as `gamma` is.

        Examples
        --------
        >>> draws = tj.random.Generator(0).dirichlet([1.0, 2.0, 5.0], (4,))
        >>> draws.shape, bool(tj.all(tj.abs(tj.sum(draws, axis=-1) - 1) < 1e-6))
        ((4, 3), True)
        """
        array = as_array(alpha)
        if not array.shape:
            raise ShapeError(at_user_line("dirichlet: alpha has the last axis of the result, got a number"))
        batch = broadcast_shapes("dirichlet", (checked_shape("dirichlet", shape), array.shape[:-1]))
        (values,), chosen, lengths = parameters("dirichlet", (*batch, array.shape[-1]), array, dtype=dtype)
        return ops.astype(ops.softmax(self._log_gamma(values, lengths), axis=-1), chosen)

    def _log_gamma(self, alpha: Any, lengths: Shape) -> Any:
        draw, lift = self._standard_gamma(alpha, lengths)
        return ops.log(draw) + lift

    def _standard_gamma(self, alpha: Any, lengths: Shape) -> tuple[Any, Any]:
        """Draws for shape parameters of at least 1, and the logarithms of what they are to be multiplied by."""
        a: Any = ops.broadcast_to(ops.astype(alpha, FLOAT64), lengths)
        small = ops.less(a, 1)
        lifted = ops.where(ops.less(a, 0), nan, ops.where(small, a + 1, a))
        normals = self._drawn(unit_normal, (ROUNDS, *lengths), FLOAT64)
        uniforms = self._drawn(unit_uniform, (ROUNDS, *lengths), FLOAT64)
        rest = self._drawn(unit_open, lengths, FLOAT64)
        lift = ops.where(small, ops.log(rest) / ops.where(small, a, 1), 0)
        return standard_gamma(lifted, normals, uniforms), lift
