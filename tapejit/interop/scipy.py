"""Functions as SciPy wants them: of flat float64 vectors, with their derivatives, one kernel call for each point.

SciPy itself is not needed here. What optimizers ask for one after the other at one point, value, gradient, Hessian, is
computed at once where that is cheap, and remembered for the last point. Start reading at `objective`.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .. import ops
from ..aval import is_floating
from ..errors import DtypeError, ShapeError, at_user_line
from ..functional import hvp, jacobian, value_and_grad
from ..pytree import TreeDef, flatten, unflatten
from ..step import compile as compiled

_FLOAT64 = np.dtype(np.float64)


class Packing:
    """How a nest of arrays lies in one flat vector.

    Parameters
    ----------
    nest : nest of array_like
        Floating; its shapes are what counts.

    Attributes
    ----------
    vector : ndarray, shape (n,), float64
        The nest as a vector.
    """

    def __init__(self, nest: Any) -> None:
        leaves, self._tree = flatten(nest)
        arrays = [np.asarray(leaf) for leaf in leaves]
        for array in arrays:
            if not is_floating(array.dtype):
                raise DtypeError(
                    at_user_line(
                        f"tj.scipy: what is varied must be floating, got {array.dtype.name}{list(array.shape)}; write "
                        "it as floats"
                    )
                )
        self.shapes = tuple(array.shape for array in arrays)
        self.vector = self._joined(arrays)

    @staticmethod
    def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *(np.ravel(array).astype(np.float64) for array in arrays)])

    @property
    def tree(self) -> TreeDef:
        """The nest's structure."""
        return self._tree

    def flatten(self, nest: Any) -> np.ndarray:
        """A nest of the same structure as a vector.

        Raises
        ------
        ShapeError
            If its structure or a shape is another.
        """
        leaves, tree = flatten(nest)
        arrays = [np.asarray(leaf) for leaf in leaves]
        if tree != self._tree or tuple(array.shape for array in arrays) != self.shapes:
            raise ShapeError(
                at_user_line(
                    f"tj.scipy: a nest with arrays of shapes {[array.shape for array in arrays]} where the start has "
                    f"{list(self.shapes)}"
                )
            )
        return self._joined(arrays)

    def unflatten(self, vector: Any) -> Any:
        """A vector as the nest; of a tensor the parts are tensors, of an array views."""
        parts, begin = [], 0
        for shape in self.shapes:
            end = begin + prod(shape)
            parts.append(
                vector[begin:end].reshape(shape) if isinstance(vector, np.ndarray) else _part(vector, begin, end, shape)
            )
            begin = end
        return unflatten(self._tree, parts)


def _part(vector: Any, begin: int, end: int, shape: tuple[int, ...]) -> Any:
    return ops.reshape(vector[begin:end], shape)


class Objective:
    """A function of a nest as functions of a flat vector; made by `objective`.

    Parameters
    ----------
    function : callable
        ``function(nest)``: one number, or a vector of residuals.
    start : nest of array_like
        Where to begin.

    Attributes
    ----------
    x0 : ndarray, shape (n,), float64
        The start as a vector.
    evaluations : int
        How often a kernel was called for a value.
    """

    def __init__(self, function: Callable[[Any], Any], start: Any) -> None:
        self._packing = Packing(start)
        self.x0 = self._packing.vector.copy()
        self.evaluations = 0
        unpack, self._name = self._packing.unflatten, getattr(function, "__name__", type(function).__name__)

        def flat(vector: Any) -> Any:
            return ops.astype(ops.asarray(function(unpack(vector))), _FLOAT64)

        def residuals(vector: Any) -> Any:
            value = flat(vector)
            return ops.reshape(value, (prod(value.shape),))

        def with_jacobian(vector: Any) -> Any:
            return residuals(vector), jacobian(residuals)(vector)

        def hessian_vector(vector: Any, direction: Any) -> Any:
            return hvp(flat, (vector,), (direction,))

        def hessian(vector: Any) -> Any:
            return jacobian(lambda x: value_and_grad(flat)(x)[1])(vector)

        self._both = compiled(value_and_grad(flat))
        self._residuals = compiled(with_jacobian)
        self._hessian = compiled(hessian)
        self._hessian_vector = compiled(hessian_vector)
        self._last: dict[str, tuple[bytes, Any]] = {}

    def unflatten(self, vector: Any) -> Any:
        """A vector, such as SciPy's ``result.x``, as the nest.

        Parameters
        ----------
        vector : array_like, shape (n,)
            In the order of `x0`.

        Returns
        -------
        nest of ndarray
            Views of it, in the structure of the start.
        """
        return self._packing.unflatten(self._checked(vector))

    def flatten(self, nest: Any) -> np.ndarray:
        """A nest like the start as a vector, shape (n,), float64."""
        return self._packing.flatten(nest)

    def __call__(self, vector: Any) -> tuple[float, np.ndarray]:
        """Value and gradient, as ``scipy.optimize.minimize(objective, objective.x0, jac=True)`` wants them.

        Parameters
        ----------
        vector : array_like, shape (n,)
            The point.

        Returns
        -------
        tuple of float and ndarray, shape (n,), float64
            The gradient is the caller's own.
        """
        value, gradient = self._at("both", self._both, vector)
        return float(value), gradient.numpy().copy()

    def value(self, vector: Any) -> float:
        """The value at a point; what else was computed there is remembered."""
        return self(vector)[0]

    def gradient(self, vector: Any) -> np.ndarray:
        """The gradient at a point, shape (n,); what else was computed there is remembered."""
        return self(vector)[1]

    def hessian(self, vector: Any) -> np.ndarray:
        """The Hessian at a point, shape (n, n): for ``hess=``."""
        return self._at("hessian", self._hessian, vector).numpy().copy()  # type: ignore[no-any-return]

    def hessian_product(self, vector: Any, direction: Any) -> np.ndarray:
        """The Hessian at a point times a direction, shape (n,): for ``hessp=``."""
        return self._hessian_vector(self._checked(vector), self._checked(direction)).numpy().copy()  # type: ignore[no-any-return]

    def residuals(self, vector: Any) -> np.ndarray:
        """All elements of the result, shape (m,): for ``scipy.optimize.least_squares`` and ``root``."""
        return self._at("residuals", self._residuals, vector)[0].numpy().copy()  # type: ignore[no-any-return]

    def jacobian(self, vector: Any) -> np.ndarray:
        """Their derivatives, shape (m, n): for ``jac=``; computed together with the residuals."""
        return self._at("residuals", self._residuals, vector)[1].numpy().copy()  # type: ignore[no-any-return]

    hess, hessp, jac = hessian, hessian_product, jacobian

    def _at(self, what: str, step: Any, vector: Any) -> Any:
        """What a step gives at a point, from memory if it was asked there before."""
        point = self._checked(vector)
        bits = point.tobytes()
        known = self._last.get(what)
        if known is None or known[0] != bits:
            self.evaluations += what != "hessian"
            known = self._last[what] = bits, step(point)
        return known[1]

    def _checked(self, vector: Any) -> np.ndarray:
        point = np.asarray(vector, np.float64)
        if point.shape != self.x0.shape:
            raise ShapeError(
                at_user_line(f"tj.scipy.objective: {self._name}: a vector of shape {point.shape}, not {self.x0.shape}")
            )
        return point


def objective(function: Callable[[Any], Any], x0: Any) -> Objective:
    """A function of a nest of arrays as what SciPy's optimizers take.

    Parameters
    ----------
    function : callable
        ``function(nest)``, written with tapejit's operations: one number to be minimised, or an array of residuals.
    x0 : nest of array_like, floating
        Where to begin; the function gets nests of this structure and these shapes, in float64.

    Returns
    -------
    Objective
        ``minimize(o, o.x0, jac=True, hess=o.hessian)`` or ``hessp=o.hessian_product``;
        ``least_squares(o.residuals, o.x0, jac=o.jacobian)``; ``root(o.residuals, o.x0, jac=o.jacobian)``;
        ``o.unflatten(result.x)`` is the nest.

    Raises
    ------
    DtypeError
        If something in `x0` is not floating.

    Notes
    -----
    Each is one compiled step, made when it is first asked for; value and gradient are one kernel call, residuals and
    Jacobian another. Arrays, variables and numbers that the function reads may change between calls, and the next point
    sees it; what is remembered for the last point is not computed again.

    Examples
    --------
    >>> start = {"a": 0.0, "b": [0.0, 2.0]}
    >>> o = tj.scipy.objective(lambda p: (p["a"] - 1) ** 2 + tj.sum((p["b"] - p["a"]) ** 2), start)
    >>> o.x0.tolist()
    [0.0, 0.0, 2.0]
    >>> value, gradient = o(o.x0)
    >>> value, gradient.tolist()
    (5.0, [-6.0, 0.0, 4.0])
    """
    return Objective(function, x0)


class RightHandSide:
    """The right-hand side of an ordinary differential equation, and its Jacobian; made by `right_hand_side`.

    Parameters
    ----------
    function : callable
        ``function(t, nest, *args) -> nest``.
    start : nest of array_like
        The state at the beginning.
    """

    def __init__(self, function: Callable[..., Any], start: Any) -> None:
        self._packing = Packing(start)
        self.y0 = self._packing.vector.copy()
        unpack, name = self._packing.unflatten, getattr(function, "__name__", type(function).__name__)

        def flat(time: Any, vector: Any, *args: Any) -> Any:
            leaves, tree = flatten(function(time, unpack(vector), *args))
            values = [ops.astype(ops.asarray(leaf), _FLOAT64) for leaf in leaves]
            if tree != self._packing.tree or tuple(value.shape for value in values) != self._packing.shapes:
                raise ShapeError(
                    at_user_line(
                        f"tj.scipy.right_hand_side: {name} gives arrays of shapes "
                        f"{[value.shape for value in values]} for a state of shapes {list(self._packing.shapes)}"
                    )
                )
            return ops.concat([ops.reshape(value, (prod(value.shape),)) for value in values])

        self._function = compiled(flat)
        self._jacobian = compiled(jacobian(flat, argnums=1))

    def __call__(self, t: float, y: Any, *args: Any) -> np.ndarray:
        """The derivative of the state by time, shape (n,): for ``scipy.integrate.solve_ivp``."""
        return self._array(self._function, t, y, args)

    def jac(self, t: float, y: Any, *args: Any) -> np.ndarray:
        """The derivative of that by the state, shape (n, n): for ``jac=`` of implicit methods."""
        return self._array(self._jacobian, t, y, args)

    @staticmethod
    def _array(step: Any, t: float, y: Any, args: Sequence[Any]) -> np.ndarray:
        return np.array(step(np.float64(t), np.asarray(y, np.float64), *args).numpy())

    def unflatten(self, vector: Any) -> Any:
        """A state vector, such as a column of ``solution.y``, as the nest."""
        return self._packing.unflatten(np.asarray(vector, np.float64))


def right_hand_side(function: Callable[..., Any], y0: Any) -> RightHandSide:
    """A function of time and state as what ``scipy.integrate.solve_ivp`` takes.

    Parameters
    ----------
    function : callable
        ``function(t, nest, *args) -> nest``, written with tapejit's operations.
    y0 : nest of array_like, floating
        The state at the beginning; the function gets and gives nests of this structure, in float64.

    Returns
    -------
    RightHandSide
        ``solve_ivp(f, (0, 1), f.y0, method="BDF", jac=f.jac)``.

    Examples
    --------
    >>> f = tj.scipy.right_hand_side(lambda t, y: {"x": y["v"], "v": -y["x"]}, {"x": 1.0, "v": 0.0})
    >>> f(0.0, f.y0).tolist(), f.jac(0.0, f.y0)[0].tolist()[1]
    ([0.0, -1.0], 1.0)
    """
    return RightHandSide(function, y0)


__all__ = ["Objective", "RightHandSide", "objective", "right_hand_side"]
