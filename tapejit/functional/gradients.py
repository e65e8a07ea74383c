"""`grad`, `value_and_grad`, `vjp`, `jvp`, `linearize` and `hvp`.

A transform lets one recording of its own listen to the function, so that what happens outside is none of its affair.
Start reading at `value_and_grad`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..aval import is_floating
from ..errors import DtypeError, ShapeError, at_user_line, name_of, warn
from ..ops.numpy_conversions import numbers_taken
from ..primitive import Value, current, heard_by, in_role
from ..tape.recording import Recording
from ..tape.refusing import RefusingTangents
from ..tape.requests import matched
from ..tape.reverse import add, pull_back
from ..tensor import Ones
from .arguments import (
    Function,
    Leaves,
    checked_function,
    derived,
    differentiable,
    results,
    with_auxiliary,
    zeros_of,
)
from .linear import LinearMap


def recording_of(values: Sequence[Value]) -> Recording:
    """What follows these values, and no variable that is read."""
    recording = Recording(watch_accessed=False, refusing=True)
    for value in values:
        recording.watch(value)
    return recording


def _pulled(recording: Recording, seeds: Mapping[int, Any], values: Sequence[Value]) -> list[Any]:
    """The cotangents of values, zeros where they are not connected."""
    found = pull_back(recording.records, seeds, [value.key for value in values])
    return [_settled(found.get(value.key), value) for value in values]


def _settled(found: Any, value: Value) -> Any:
    if found is None:
        return zeros_of(value)
    return found.settled() if type(found) is Ones else found


# ---- grad


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of `f`.

    Parameters
    ----------
    f : callable
        From any arguments to one floating number: a 0-d tensor.
    argnums : int or sequence of int
        Which positional arguments to differentiate by: nests of floating arrays and numbers. The others are passed on
        as they are.
    has_aux : bool
        Whether `f` returns a pair, of the number and of something that is passed on.

    Returns
    -------
    callable
        Called like `f`. It returns a nest like the argument, of tensors of the shapes and dtypes there (Python floats
        count as `tapejit.floatx()`); a tuple of such nests if `argnums` is a sequence; with `has_aux` a pair of that
        and what `f` returned besides.

    Raises
    ------
    DtypeError
        When called, if an argument to differentiate by, or the result, is not floating.
    ShapeError
        When called, if the result is no single number; see `jacobian` and `vjp` for functions with more results.

    Notes
    -----
    An argument that the result does not depend on has the gradient 0, while a tape says None. So it is with what leaves
    the tape (``float(x)``, ``x.numpy()``, `math`), but a `numpy_function` without a gradient is an error. A Variable
    among the arguments stands for its value. A list of numbers is a nest of numbers, as `f` gets it; a compiled step,
    ``tj.compile(tj.grad(f))``, makes an array of it first, and the gradient is one then.

    Examples
    --------
    >>> tj.grad(lambda x: x**3)(2.0).numpy()
    array(12., dtype=float32)
    >>> tj.grad(tj.grad(lambda x: x**3))(2.0).numpy()
    array(12., dtype=float32)
    >>> def loss(w, x, y):
    ...     return tj.mean((x @ w["slope"] + w["offset"] - y) ** 2)
    >>> w = {"slope": np.array([1.0, 2.0]), "offset": np.array(0.0)}
    >>> by_w = tj.grad(loss)(w, np.eye(2), np.array([1.0, 1.0]))
    >>> by_w["slope"].tolist(), by_w["offset"].tolist()
    ([0.0, 1.0], 1.0)
    """
    both = _value_and_grad("grad", f, argnums, has_aux)

    @derived(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(args, kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that gives the value of `f` and its gradient, at the cost of one pass.

    Parameters
    ----------
    f, argnums, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Called like `f`; it returns a pair of what `f` returns and what `grad` of it gives.

    Raises
    ------
    DtypeError, ShapeError
        When called, as in `grad`.

    Examples
    --------
    >>> value, gradient = tj.value_and_grad(lambda x: tj.sum(x**2))(np.array([1.0, 2.0]))
    >>> value.numpy(), gradient.numpy()
    (array(5.), array([2., 4.]))
    """
    both = _value_and_grad("value_and_grad", f, argnums, has_aux)

    @derived(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        return both(args, kwargs)

    return value_and_gradient


def _value_and_grad(
    transform: str, f: Function, argnums: Any, has_aux: bool
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, Any]]:
    """From positional and keyword arguments to what `f` returned and its gradient."""
    checked_function(transform, f)
    wanted, single = checked_argnums(transform, argnums)

    def both(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        full, parts = split_arguments(transform, f, wanted, args)
        values = [value for part in parts for value in part.values]
        recording, before = recording_of(values), numbers_taken()
        with heard_by(recording):
            returned, auxiliary = with_auxiliary(transform, f, f(*full, **kwargs), has_aux)
            value = _number(transform, f, returned)
        if numbers_taken() != before and not recording.follows((value,)):
            warn(
                f"{transform}: {name_of(f)} took numbers out of tensors, and what it returned does not depend on its "
                "arguments but through them, so its gradient is zero; use tapejit's operations: tj.sin, not math.sin"
            )
        cts = iter(_pulled(recording, {value.key: in_role("ones")((), value.dtype)}, values))
        found = tuple([part.nest([next(cts) for _ in part.values]) for part in parts])
        return (value, auxiliary) if has_aux else value, found[0] if single else found

    return both


def split_arguments(
    transform: str, f: Function, wanted: Sequence[int], args: Sequence[Any]
) -> tuple[list[Any], list[Leaves]]:
    """All arguments, and those to differentiate by, which among all of them are values of their own."""
    places = _places(transform, f, wanted, len(args))
    parts = [differentiable(transform, args[place], f"argument {place}") for place in places]
    full = list(args)
    for place, part in zip(places, parts, strict=True):
        full[place] = part.nest(part.values)
    return full, parts


def checked_argnums(transform: str, argnums: Any) -> tuple[tuple[int, ...], bool]:
    """The positions, and whether it is a single one that is no sequence."""
    single = not isinstance(argnums, (tuple, list))
    numbers = (argnums,) if single else tuple(argnums)
    if not numbers or any(isinstance(number, bool) or not hasattr(number, "__index__") for number in numbers):
        raise TypeError(at_user_line(f"{transform}: argnums are an int or a sequence of ints, got {argnums!r:.80}"))
    return numbers, single


def _places(transform: str, f: Function, numbers: Sequence[int], count: int) -> list[int]:
    """The positions in a call of `count` positional arguments, counted from the front."""
    places: list[int] = []
    for number in numbers:
        place = number + count if number < 0 else number
        if not 0 <= place < count:
            raise ValueError(
                at_user_line(
                    f"{transform}: argument {number} of {name_of(f)} is to be differentiated by, but the call has "
                    f"{count} positional arguments"
                )
            )
        if place in places:
            raise ValueError(at_user_line(f"{transform}: argument {place} is named twice in argnums"))
        places.append(place)
    return places


def _number(transform: str, f: Function, returned: Any) -> Any:
    """The one floating number that a function returned."""
    found = results(returned, "")
    name = name_of(f)
    if len(found.values) != 1 or found.treedef.kind is not None:
        raise ShapeError(
            at_user_line(
                f"{transform} takes a function that returns one number, {name} returned a "
                f"{type(returned).__name__}; see jacobian and vjp for functions with more results, and has_aux"
            )
        )
    value = found.values[0]
    if value.shape != ():
        raise ShapeError(
            at_user_line(
                f"{transform} takes a function that returns one number, {name} returned {value.aval}; take tj.sum or "
                "tj.mean of it, or use jacobian (all derivatives) or vjp (a weighted sum of them)"
            )
        )
    if not is_floating(value.dtype):
        raise DtypeError(
            at_user_line(f"{transform}: {name} returned {value.aval}, which is not differentiable; it must be floating")
        )
    return value


# ---- vjp


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `f`, and the function that pulls cotangents back through it.

    Parameters
    ----------
    f : callable
        From `primals` to a nest of arrays.
    *primals : nest of array_like, floating
        Where; all arguments are differentiated by.
    has_aux : bool
        Whether `f` returns a pair, of the results and of something that is passed on.

    Returns
    -------
    out : nest of Tensor
        What `f` returned.
    vjp_fn : callable
        ``vjp_fn(cts)`` returns a tuple with, for each primal, a nest like it: ``ct @ J``, zeros where there is no
        connection. `cts` is a nest like `out`, each of its result's shape and dtype; numbers and lists take the dtype,
        None stands for zeros (and is all that a result of integers can have). It may be called any number of times.
    aux : object
        With `has_aux` only.

    Raises
    ------
    DtypeError
        If a primal is not floating.

    Examples
    --------
    >>> out, pull = tj.vjp(lambda x, y: x * tj.sin(y), np.array([1.0, 2.0]), np.array(0.0))
    >>> by_x, by_y = pull([1.0, 10.0])
    >>> by_x.numpy(), by_y.numpy()
    (array([0., 0.]), array(21.))
    """
    out, pull, _, auxiliary = _vjp("vjp", f, primals, has_aux)

    def vjp_fn(cts: Any) -> tuple[Any, ...]:
        given = _cotangents(out, cts)
        return pull(given)

    answer = out.nest(out.values), vjp_fn
    return (*answer, auxiliary) if has_aux else answer


Pull = Callable[[Sequence[Any]], tuple[Any, ...]]


def _vjp(transform: str, f: Function, primals: Sequence[Any], has_aux: bool) -> tuple[Leaves, Pull, list[Leaves], Any]:
    """The results, what pulls cotangents of them (or None) back, the primals, and the auxiliary result."""
    checked_function(transform, f)
    parts = [differentiable(transform, primal, f"argument {place}") for place, primal in enumerate(primals)]
    values = [value for part in parts for value in part.values]
    recording = recording_of(values)
    with heard_by(recording):
        returned, auxiliary = with_auxiliary(transform, f, f(*[part.nest(part.values) for part in parts]), has_aux)
        out = results(returned, "out")

    def pull(cts: Sequence[Any]) -> tuple[Any, ...]:
        seeds: dict[int, Any] = {}
        for value, ct in zip(out.values, cts, strict=True):
            if ct is not None:
                add(value.key, (ct, None), seeds, {})
        found = iter(_pulled(recording, seeds, values))
        return tuple([part.nest([next(found) for _ in part.values]) for part in parts])

    return out, pull, parts, auxiliary


def _cotangents(out: Leaves, cts: Any) -> list[Any]:
    """For each result its cotangent; None where there is none."""
    return matched("vjp: the cotangents", out.treedef, [value.aval for value in out.values], cts, out.paths, True)


# ---- jvp


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `f`, and its derivative along a direction.

    Parameters
    ----------
    f : callable
        From `primals` to a nest of arrays.
    primals : tuple or list of nests of array_like, floating
        The arguments, all of them.
    tangents : tuple or list
        For each argument a nest like it, each of its primal's shape and dtype; numbers and lists take the dtype.
    has_aux : bool
        Whether `f` returns a pair, of the results and of something that is passed on.

    Returns
    -------
    out : nest of Tensor
        What `f` returned.
    tangent_out : nest of Tensor
        Like `out`: ``J @ tangents``, computed along with the value; zeros where there is no connection, None for
        results of integers and booleans.
    aux : object
        With `has_aux` only.

    Raises
    ------
    DtypeError
        If a primal is not floating, or a tangent has another dtype.
    ShapeError
        If a tangent has another nest or shape.

    Examples
    --------
    >>> out, tangent = tj.jvp(tj.sin, (np.array(0.0),), (np.array(2.0),))
    >>> out.numpy(), tangent.numpy()
    (array(0.), array(2.))
    """
    checked_function("jvp", f)
    parts = _arguments("jvp", primals)
    given = _directions("jvp", parts, tangents)
    known = RefusingTangents(current().tapes)
    for part, directions in zip(parts, given, strict=True):
        for value, tangent in zip(part.values, directions, strict=True):
            known.watch(value, tangent)
    with heard_by(known, forward=True):
        returned, auxiliary = with_auxiliary("jvp", f, f(*[part.nest(part.values) for part in parts]), has_aux)
        out = results(returned, "out")
    found = [_settled(known.of(value), value) if is_floating(value.dtype) else None for value in out.values]
    answer = out.nest(out.values), out.nest(found)
    return (*answer, auxiliary) if has_aux else answer


def _arguments(transform: str, primals: Any) -> list[Leaves]:
    if not isinstance(primals, (tuple, list)):
        raise TypeError(
            at_user_line(f"{transform}: the primals are a tuple of all arguments, got {type(primals).__name__}")
        )
    return [differentiable(transform, primal, f"argument {place}") for place, primal in enumerate(primals)]


def _directions(transform: str, parts: Sequence[Leaves], tangents: Any) -> list[list[Any]]:
    """For each argument the tangents of its leaves."""
    if not isinstance(tangents, (tuple, list)) or len(tangents) != len(parts):
        got = f"{len(tangents)}" if isinstance(tangents, (tuple, list)) else type(tangents).__name__
        raise ShapeError(
            at_user_line(
                f"{transform}: the tangents are a tuple, one for each of the {len(parts)} arguments, got {got}"
            )
        )
    return [
        matched(f"{transform}: the tangents", part.treedef, [value.aval for value in part.values], tangent, part.paths)
        for part, tangent in zip(parts, tangents, strict=True)
    ]


# ---- linearize


def linearize(f: Function, *primals: Any) -> tuple[Any, Function]:
    """The value of `f`, and its derivative there as a linear function of tangents.

    Parameters
    ----------
    f : callable
        From `primals` to a nest of arrays.
    *primals : nest of array_like, floating
        Where; all arguments are differentiated by.

    Returns
    -------
    out : nest of Tensor
        What `f` returned.
    f_jvp : callable
        ``f_jvp(*tangents)`` is the second result of `jvp` at these primals. `f` does not run again: a call costs what
        is linear in the tangents only.

    Raises
    ------
    DtypeError
        If a primal is not floating.

    Notes
    -----
    The tangents are computed once, along with the value, for a direction of zeros. The operations on them are kept,
    those that lead to no result are not, and a call applies them to other tangents.

    Examples
    --------
    >>> out, along = tj.linearize(lambda x: x**2, np.array([1.0, 2.0]))
    >>> along([1.0, 0.0]).numpy(), along([0.0, 1.0]).numpy()
    (array([2., 0.]), array([0., 4.]))
    """
    checked_function("linearize", f)
    parts = _arguments("linearize", primals)
    values = [value for part in parts for value in part.values]
    directions = [zeros_of(value) for value in values]
    linear = LinearMap(directions)
    known = RefusingTangents((*current().tapes, linear))
    for value, direction in zip(values, directions, strict=True):
        known.watch(value, direction)
    with heard_by(linear), heard_by(known, forward=True):
        out = results(f(*[part.nest(part.values) for part in parts]), "out")
    found = [_settled(known.of(value), value) if is_floating(value.dtype) else None for value in out.values]
    linear.reduce_to(found)

    def f_jvp(*tangents: Any) -> Any:
        given = [tangent for each in _directions("linearize", parts, tangents) for tangent in each]
        return out.nest(linear(given, found))

    return out.nest(out.values), f_jvp


# ---- hvp


def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of `f` and a vector, forward over reverse.

    Parameters
    ----------
    f : callable
        From `primals` to one floating number.
    primals : tuple or list of nests of array_like, floating
        The arguments, all of them.
    tangents : tuple or list
        The vector: for each argument a nest like it.

    Returns
    -------
    nest of Tensor
        ``jvp(grad(f), primals, tangents)[1]``: a nest like the argument if there is one, a tuple of such nests if there
        are more. The Hessian is never formed; the cost is a few times that of the gradient.

    Raises
    ------
    DtypeError, ShapeError
        As in `grad` and `jvp`.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> tj.hvp(lambda x: tj.prod(x), (x,), (np.array([1.0, 0.0, 0.0]),)).numpy()
    array([0., 3., 2.])
    """
    checked_function("hvp", f)
    several = isinstance(primals, (tuple, list)) and len(primals) != 1
    gradient = grad(f, tuple(range(len(primals))) if several else 0)
    return jvp(gradient, primals, tangents)[1]
