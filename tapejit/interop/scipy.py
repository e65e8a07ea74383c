"""Functions as SciPy wants them: of flat float64 vectors, with their derivatives, one kernel call for each point.

SciPy itself is not needed here. What optimizers ask for one after the other at one point, value, gradient, Hessian, is
computed at once where that is cheap, and remembered for the last point. Start reading at `objective`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..errors import DtypeError, ShapeError, at_user_line, name_of
from ..functional import hvp, jacobian, value_and_grad
from ..pytree import flatten
from ..step import compile as compiled
from .packing import FLOAT64, Packing, in_a_row
from .remembering import Remembered, key_of


class Objective:
    """A function of a nest as functions of a flat vector; made by `objective`.

    All of them take more arguments behind the vector, which go to the function: what SciPy has as ``args=``.

    Parameters
    ----------
    function : callable
        ``function(nest, *args)``: one number, or a nest of residuals.
    start : nest of array_like
        Where to begin.

    Attributes
    ----------
    x0 : ndarray, shape (n,), float64
        The start as a vector.
    evaluations : int
        How often a kernel was called for a value.
    """

    def __init__(self, function: Callable[..., Any], start: Any) -> None:
        label = "tj.scipy.objective"
        if not callable(function):
            raise TypeError(at_user_line(f"{label} takes a function, got {type(function).__name__}"))
        self._function, name = function, name_of(function)
        self._packing = Packing(f"{label}: {name}", start)
        self.x0 = self._packing.vector.copy()
        self.evaluations = 0
        unpack = self._packing.unflatten

        def number(vector: Any, *args: Any) -> Any:
            result = function(unpack(vector), *args)
            if result is None or isinstance(result, (tuple, dict)):
                raise DtypeError(
                    at_user_line(f"{label}: {name} returned a {type(result).__name__}; one number is minimised")
                )
            return ops.astype(ops.asarray(result), FLOAT64)

        def residuals(vector: Any, *args: Any) -> Any:
            values = [ops.astype(ops.asarray(part), FLOAT64) for part in flatten(function(unpack(vector), *args))[0]]
            if not values:
                raise DtypeError(at_user_line(f"{label}: {name} returned no residuals"))
            return in_a_row(values)

        def with_jacobian(vector: Any, *args: Any) -> Any:
            return residuals(vector, *args), jacobian(residuals)(vector, *args)

        def hessian_vector(vector: Any, direction: Any, *args: Any) -> Any:
            return hvp(lambda x: number(x, *args), (vector,), (direction,))

        def hessian(vector: Any, *args: Any) -> Any:
            return jacobian(lambda x: value_and_grad(number)(x, *args)[1])(vector)

        for each in (number, residuals, with_jacobian, hessian_vector, hessian):
            each.__name__ = name  # what messages call it
        self._both = compiled(value_and_grad(number))
        self._residuals = compiled(with_jacobian)
        self._hessian = compiled(hessian)
        self._hessian_vector = compiled(hessian_vector)
        self._last: dict[str, Remembered] = {}

    def __reduce__(self) -> Any:
        return Objective, (self._function, self._packing.unflatten(self.x0)), {"evaluations": self.evaluations}

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
        return self._packing.unflatten(self._packing.checked(vector))

    def flatten(self, nest: Any) -> np.ndarray:
        """A nest like the start as a vector, shape (n,), float64."""
        return self._packing.flatten(nest)

    def __call__(self, vector: Any, *args: Any) -> tuple[float, np.ndarray]:
        """Value and gradient, as ``scipy.optimize.minimize(objective, objective.x0, jac=True)`` wants them.

        Parameters
        ----------
        vector : array_like, shape (n,)
            The point.
        *args
            For the function.

        Returns
        -------
        tuple of float and ndarray, shape (n,), float64
            The gradient is the caller's own.

        Raises
        ------
        ShapeError
            If the vector has another shape, or the function returns more than one number.
        DtypeError
            If there are other than real numbers.
        """
        value, gradient = self._at("both", self._both, vector, args, in_parts=False)
        return value.item(), gradient.numpy().copy()

    def value(self, vector: Any, *args: Any) -> float:
        """The value at a point; what else was computed there is remembered."""
        return self._at("both", self._both, vector, args)[0].item()  # type: ignore[no-any-return]

    def gradient(self, vector: Any, *args: Any) -> np.ndarray:
        """The gradient at a point, shape (n,); what else was computed there is remembered."""
        return self._at("both", self._both, vector, args)[1].numpy().copy()  # type: ignore[no-any-return]

    def hessian(self, vector: Any, *args: Any) -> np.ndarray:
        """The Hessian at a point, shape (n, n): for ``hess=``."""
        return self._hessian(self._packing.checked(vector), *args).numpy().copy()  # type: ignore[no-any-return]

    def hessian_product(self, vector: Any, direction: Any, *args: Any) -> np.ndarray:
        """The Hessian at a point times a direction, shape (n,): for ``hessp=``."""
        point, along = map(self._packing.checked, (vector, direction))
        return self._hessian_vector(point, along, *args).numpy().copy()  # type: ignore[no-any-return]

    def residuals(self, vector: Any, *args: Any) -> np.ndarray:
        """All elements of the result, shape (m,): for ``scipy.optimize.least_squares`` and ``root``."""
        return self._at("residuals", self._residuals, vector, args)[0].numpy().copy()  # type: ignore[no-any-return]

    def jacobian(self, vector: Any, *args: Any) -> np.ndarray:
        """Their derivatives, shape (m, n): for ``jac=``; computed together with the residuals."""
        return self._at("residuals", self._residuals, vector, args)[1].numpy().copy()  # type: ignore[no-any-return]

    hess, hessp, jac = hessian, hessian_product, jacobian

    def _at(self, what: str, step: Any, vector: Any, args: Sequence[Any], *, in_parts: bool = True) -> Any:
        """What a step gives at a point, from memory if it was asked there before and would give the same."""
        point = self._packing.checked(vector)
        key = key_of(point, args)
        known = self._last.get(what)
        if known is not None and known.answers(key):
            return known.answer
        self.evaluations += 1
        answer = step(point, *args)
        found = Remembered.of(step, key, answer, asked_in_parts=in_parts)
        self._last.pop(what, None)
        if found is not None:
            self._last[what] = found
        return answer


def objective(function: Callable[..., Any], x0: Any) -> Objective:
    """A function of a nest of arrays as what SciPy's optimizers take.

    Parameters
    ----------
    function : callable
        ``function(nest, *args)``, written with tapejit's operations: one number to be minimised, or residuals, an array
        or a nest of arrays.
    x0 : nest of array_like, floating
        Where to begin; the function gets nests of this structure and these shapes, in float64. Lists of numbers are
        arrays, as for SciPy; tuples, dicts and lists of arrays are nests.

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
    ShapeError
        If there is nothing in it, or a list is ragged.

    Notes
    -----
    Each is one compiled step, made when it is first asked for; value and gradient are one kernel call, residuals and
    Jacobian another. What was computed at the last point is not computed again, unless an array, a variable or a number
    that the function reads has changed since. An objective is pickled and copied with its function and its start.

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
        label = "tj.scipy.right_hand_side"
        if not callable(function):
            raise TypeError(at_user_line(f"{label} takes a function, got {type(function).__name__}"))
        self._function, name = function, name_of(function)
        self._packing = packing = Packing(f"{label}: {name}", start)
        self.y0 = packing.vector.copy()

        def flat(time: Any, vector: Any, *args: Any) -> Any:
            result = function(time, packing.unflatten(vector), *args)
            row = packing.joined(result)
            if row is None:
                shapes = [np.shape(leaf) for leaf in flatten(result)[0]]
                raise ShapeError(
                    at_user_line(
                        f"{label}: {name} gives arrays of shapes {shapes} for a state of shapes {list(packing.shapes)}"
                    )
                )
            return row

        flat.__name__ = name
        self._derivative = compiled(flat)
        self._jacobian = compiled(jacobian(flat, argnums=1))

    def __reduce__(self) -> Any:
        return RightHandSide, (self._function, self._packing.unflatten(self.y0))

    def __call__(self, t: float, y: Any, *args: Any) -> np.ndarray:
        """The derivative of the state by time, shape (n,): for ``scipy.integrate.solve_ivp``."""
        return self._array(self._derivative, t, y, args)

    def jac(self, t: float, y: Any, *args: Any) -> np.ndarray:
        """The derivative of that by the state, shape (n, n): for ``jac=`` of implicit methods."""
        return self._array(self._jacobian, t, y, args)

    def _array(self, step: Any, t: float, y: Any, args: Sequence[Any]) -> np.ndarray:
        return step(np.float64(t), self._packing.checked(y), *args).numpy().copy()  # type: ignore[no-any-return]

    def unflatten(self, vector: Any) -> Any:
        """A state vector, such as a column of ``solution.y``, as the nest."""
        return self._packing.unflatten(self._packing.checked(vector))


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
