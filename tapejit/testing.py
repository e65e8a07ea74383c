"""`check_grads`: holds the derivatives of a user's function against differences, and says where they are wrong.

Floor 15. Each mode gives a function again: along a direction (forward), or weighted back to the arguments (reverse).
The next order is checked on that. Start reading at `check_grads`.
"""

from __future__ import annotations  # numpy.random, which a type names, is imported when directions are drawn

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .aval import is_floating
from .dataclass import dataclass
from .errors import at_user_line, name_of
from .families import as_array
from .functional import jvp, vjp
from .primitive import Value
from .pytree import flatten, leaf_paths, unflatten
from .tensor import Tensor
from .variable import Variable

Arrays = list[np.ndarray]

MODES = ("reverse", "forward")
ELEMENTS = 2000
"""How many elements a report looks at, at most, to find the worst."""

_STEPS = {4: 2e-2, 8: 1e-3}
_TOLERANCES = {4: 3e-3, 8: 1e-6}


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = MODES,
    *,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Hold the derivatives of a function against central differences in random directions.

    Parameters
    ----------
    f : callable
        ``f(*args)`` returns a nest of arrays; the floating ones are differentiated. It must give the same each time.
    args : tuple or list
        Where: nests. Their floating arrays and Python floats (as float64) are differentiated by; all else is passed on
        as it is. The function should be smooth there, within twice `eps`.
    order : int
        The highest derivative to check. Each order is held against differences of the one below.
    modes : sequence of {"reverse", "forward"}
        What to take derivatives by. For the second order all combinations are checked, and so on.
    atol, rtol : float, optional
        What a derivative may differ by, absolutely and relatively. By default 1e-6, and 3e-3 where an argument or a
        result is narrower than float64; what differences can't tell because values are large is allowed on top.
    eps : float, optional
        The step of the differences, which are of fourth order; 1e-3 by default, 2e-2 for narrower dtypes.

    Raises
    ------
    AssertionError
        If a derivative is wrong. The message says which one, by how much, and at which element it is worst.
    ValueError
        If there is nothing to check: no floating argument or result, values that are not finite, or other values each
        time.

    Examples
    --------
    >>> from tapejit.testing import check_grads
    >>> check_grads(lambda w, x: tj.sum(tj.tanh(x @ w["a"])), ({"a": np.eye(2)}, np.array([0.5, -1.0])))

    A wrong rule is found:

    >>> @tj.custom_gradient
    ... def double(x):
    ...     return 2 * x, lambda upstream: upstream * tj.constant([2.0, 3.0], dtype="float64")
    >>> check_grads(double, (np.array([1.0, 5.0]),), modes=["reverse"])
    Traceback (most recent call last):
    ...
    AssertionError: check_grads: the reverse derivative of double is wrong ...
      worst at args[0][1]: 2.71..., differences give 1.81...
    """
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or isinstance(modes, str):
        raise ValueError(at_user_line(f"check_grads: modes are a sequence of 'reverse' and 'forward', got {modes!r}"))
    if not isinstance(args, (tuple, list)):
        raise TypeError(at_user_line(f"check_grads: args are a tuple of all arguments, got {type(args).__name__}"))
    function, points = _of_arrays(f, args)
    results = function.values(points)
    narrowest = min(array.dtype.itemsize for array in (*points, *results))
    size = 8 if narrowest >= 8 else 4
    found = _Check(
        _TOLERANCES[size] if atol is None else atol,
        _TOLERANCES[size] if rtol is None else rtol,
        _STEPS[size] if eps is None else eps,
        np.random.default_rng(0),
    )
    found.up_to(order, function, points, tuple(modes), ())


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of a flat list of floating tensors, with a flat list of floating results.

    Attributes
    ----------
    call : callable
        ``call(*tensors) -> list of tensors``.
    name : str
        What the user calls it.
    sources, results : list of str
        What the user calls its arguments and its results.
    """

    call: Callable[..., list[Any]]
    name: str
    sources: list[str]
    results: list[str]

    def values(self, points: Arrays) -> Arrays:
        """Its results as arrays."""
        return [result.numpy() for result in self.call(*map(Tensor, points))]

    def along(self, directions: Arrays) -> _Function:
        """Its derivative along directions."""

        def call(*tensors: Any) -> list[Any]:
            return jvp(self.call, tensors, directions)[1]  # type: ignore[no-any-return]

        return _Function(call, self.name, self.sources, [f"the tangent of {path}" for path in self.results])

    def back(self, weights: Arrays) -> _Function:
        """Its derivative by all arguments, summed over results with weights."""

        def call(*tensors: Any) -> list[Any]:
            return list(vjp(self.call, *tensors)[1](weights))

        return _Function(call, self.name, self.sources, [f"the gradient by {path}" for path in self.sources])


def _of_arrays(f: Callable[..., Any], args: Sequence[Any]) -> tuple[_Function, Arrays]:
    """The function of floating arguments only, and these as arrays.

    Raises
    ------
    ValueError
        If nothing can be checked.
    """
    leaves, treedef = flatten(tuple(args))
    leaves = [np.float64(leaf) if type(leaf) is float else leaf for leaf in leaves]
    places = [place for place, leaf in enumerate(leaves) if _is_differentiable(leaf)]
    paths = leaf_paths(tuple(args), "args")
    points = [np.array(as_array(leaves[place]).numpy()) for place in places]
    name = name_of(f)

    def returned(tensors: Sequence[Any]) -> Any:
        full = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            full[place] = tensor
        return f(*unflatten(treedef, full))

    def call(*tensors: Any) -> list[Any]:
        values = [as_array(leaf) for leaf in flatten(returned(tensors))[0]]
        return [value for value in values if is_floating(value.dtype)]

    if not points:
        raise ValueError(at_user_line(f"check_grads: {name} has no floating argument to differentiate by"))
    first = returned(list(map(Tensor, points)))
    results = [
        path
        for leaf, path in zip(flatten(first)[0], leaf_paths(first, "result"), strict=True)
        if is_floating(as_array(leaf).dtype)
    ]
    if not results:
        raise ValueError(at_user_line(f"check_grads: {name} returns nothing floating to differentiate"))
    function = _Function(call, name, [paths[place] for place in places], results)
    before, again = (function.values(points) for _ in range(2))
    if not all(np.isfinite(array).all() for array in before):
        raise ValueError(at_user_line(f"check_grads: {name} is not finite at these arguments"))
    if not all(np.array_equal(one, other) for one, other in zip(before, again, strict=True)):
        raise ValueError(at_user_line(f"check_grads: {name} gives other values each time, so differences say nothing"))
    return function, points


def _is_differentiable(leaf: Any) -> bool:
    arrays = (np.ndarray, np.generic, Value, Variable)
    return isinstance(leaf, arrays) and isinstance(leaf.dtype, np.dtype) and is_floating(leaf.dtype)


def _inner(left: Arrays, right: Arrays) -> float:
    return float(sum(np.sum(np.multiply(one, other, dtype=np.float64)) for one, other in zip(left, right, strict=True)))


def _moved(points: Arrays, directions: Arrays, distance: float) -> Arrays:
    return [
        np.asarray(point + distance * direction, point.dtype)
        for point, direction in zip(points, directions, strict=True)
    ]


def _units(points: Arrays) -> Iterator[tuple[int, tuple[int, ...], Arrays]]:
    """For each element, so many at most, the argument that it is of, its index, and the direction of it alone."""
    places = ((number, index) for number, point in enumerate(points) for index in np.ndindex(point.shape))
    for _, (number, index) in zip(range(ELEMENTS), places, strict=False):
        direction = [np.zeros_like(point) for point in points]
        direction[number][index] = 1
        yield number, index, direction


@dataclass(frozen=True, slots=True)
class _Check:
    """What derivatives are held against."""

    atol: float
    rtol: float
    eps: float
    random: np.random.Generator

    def up_to(
        self, order: int, function: _Function, points: Arrays, modes: tuple[str, ...], taken: tuple[str, ...]
    ) -> None:
        """Check the derivatives of `function`, in which those `taken` are in already."""
        if order < 1:
            return
        directions = self._drawn(points)
        weights = self._drawn(function.values(points))
        for mode in modes:
            derived = function.back(weights) if mode == "reverse" else function.along(directions)
            chain = (mode, *taken)
            if mode == "reverse":
                self._check_reverse(function, derived, points, directions, weights, chain)
            else:
                self._check_forward(function, derived, points, directions, chain)
            self.up_to(order - 1, derived, points, modes, chain)

    def _drawn(self, arrays: Arrays) -> Arrays:
        """Numbers of both signs that are not near 0, one for each element."""
        return [
            np.asarray(self.random.uniform(0.5, 1, array.shape) * self.random.choice([-1, 1], array.shape), array.dtype)
            for array in arrays
        ]

    def differences(self, function: _Function, points: Arrays, directions: Arrays) -> tuple[Arrays, Arrays]:
        """Derivatives of the results along directions, and what rounding may have done to them."""
        at = [
            [value.astype(np.float64) for value in function.values(_moved(points, directions, steps * self.eps))]
            for steps in (-2, -1, 1, 2)
        ]
        found, noise = [], []
        for first, second, third, fourth in zip(*at, strict=True):
            found.append((8 * (third - second) - (fourth - first)) / (12 * self.eps))
        for value in function.values(points):
            unit = max(np.finfo(array.dtype).eps for array in (value, *points))
            noise.append(4 * unit * np.abs(value.astype(np.float64)) / self.eps)
        return found, noise

    def _allowed(self, expected: Any, noise: Any) -> Any:
        return self.atol + self.rtol * np.abs(expected) + noise

    def _check_reverse(
        self,
        function: _Function,
        derived: _Function,
        points: Arrays,
        directions: Arrays,
        weights: Arrays,
        chain: tuple[str, ...],
    ) -> None:
        gradients = derived.values(points)
        moved, noise = self.differences(function, points, directions)
        found, expected = _inner(gradients, directions), _inner(weights, moved)
        allowed = self._allowed(expected, _inner(list(map(np.abs, weights)), noise))
        if abs(found - expected) <= allowed:
            return
        text = _verdict(function, chain, found, expected, allowed)
        worst: tuple[float, str] = (-1.0, "")
        for number, index, direction in _units(points):
            exact = float(gradients[number][index])
            approximate = _inner(weights, self.differences(function, points, direction)[0])
            far = _distance(exact, approximate)
            if far > worst[0]:
                worst = far, _line(f"{function.sources[number]}{_index(index)}", exact, approximate)
        raise AssertionError(at_user_line(f"{text}, where each result counts with a random weight") + worst[1])

    def _check_forward(
        self, function: _Function, derived: _Function, points: Arrays, directions: Arrays, chain: tuple[str, ...]
    ) -> None:
        tangents = derived.values(points)
        moved, noise = self.differences(function, points, directions)
        worst: tuple[float, int, tuple[int, ...]] | None = None
        for number, (found, expected, rounding) in enumerate(zip(tangents, moved, noise, strict=True)):
            wrong = ~(np.abs(found - expected) <= self._allowed(expected, rounding))
            for index in zip(*np.nonzero(np.atleast_1d(wrong)), strict=True):
                place = tuple(map(int, index)) if found.shape else ()
                far = _distance(float(found[place]), float(expected[place]))
                if worst is None or far > worst[0]:
                    worst = far, number, place
        if worst is None:
            return
        _, number, place = worst
        at = [float(each[number][place]) for each in (tangents, moved, noise)]
        verdict = _verdict(function, chain, at[0], at[1], float(self._allowed(*at[1:])))
        text = f"{verdict}, at {function.results[number]}{_index(place)}"
        raise AssertionError(at_user_line(text) + self._worst_source(function, points, number, place))

    def _worst_source(self, function: _Function, points: Arrays, number: int, place: tuple[int, ...]) -> str:
        """The element of the arguments by which one element of the results has the worst derivative."""
        worst: tuple[float, str] = (-1.0, "")
        for source, index, direction in _units(points):
            exact = float(function.along(direction).values(points)[number][place])
            approximate = float(self.differences(function, points, direction)[0][number][place])
            far = _distance(exact, approximate)
            if far > worst[0]:
                worst = far, _line(f"{function.sources[source]}{_index(index)}", exact, approximate)
        return worst[1]


def _verdict(function: _Function, chain: tuple[str, ...], found: float, expected: float, allowed: float) -> str:
    order = "" if len(chain) == 1 else f" of order {len(chain)}"
    return (
        f"check_grads: the {' over '.join(chain)} derivative{order} of {function.name} is wrong along a random "
        f"direction: {found:.9g}, differences give {expected:.9g} (off by {abs(found - expected):.2g}, allowed "
        f"{allowed:.2g})"
    )


def _line(path: str, found: float, expected: float) -> str:
    return f"\n  worst at {path}: {found:.9g}, differences give {expected:.9g}"


def _index(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _distance(found: float, expected: float) -> float:
    """How far apart two numbers are; what is no number is as far as can be."""
    far = abs(found - expected)
    return far if np.isfinite(far) else float("inf")
