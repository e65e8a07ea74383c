"""`jacobian` and `hessian`: all derivatives at once, in reverse or in forward mode.

The function runs once. What it did is then pulled back from all of its results, or pushed forward from all of its
arguments, as one batch (`tape.jacobians`, `tape.columns`).
"""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..aval import is_floating
from ..errors import DtypeError, at_user_line, name_of
from ..primitive import heard_by, in_role
from ..tape.columns import Applications, jacobian_columns
from ..tape.jacobians import checked_chunk, jacobian_rows
from ..tape.recording import Recording
from .arguments import Function, Leaves, checked_function, derived, results, with_auxiliary
from .gradients import checked_argnums, recording_of, split_arguments

MODES = ("auto", "reverse", "forward")


def jacobian(
    f: Function,
    argnums: int | Sequence[int] = 0,
    mode: str = "auto",
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Function:
    """The function that gives the derivative of each result of `f` by each element of its arguments.

    Parameters
    ----------
    f : callable
        From any arguments to a nest of floating tensors.
    argnums : int or sequence of int
        Which positional arguments to differentiate by: nests of floating arrays and numbers. The others are passed on
        as they are.
    mode : {"auto", "reverse", "forward"}
        Whether to compute rows (a reverse pass for each element of the results) or columns (a forward pass for each
        element of the arguments); by default the fewer.
    has_aux : bool
        Whether `f` returns a pair, of the results and of something that is passed on.
    chunk_size : int, optional
        How many rows or columns to compute at once. By default all: that takes the memory of as many passes.

    Returns
    -------
    callable
        Called like `f`. It returns a nest like the results of `f`, which has for each of them a nest like the argument
        (a tuple of such nests if `argnums` is a sequence), of tensors of shape ``result.shape + argument.shape``;
        with `has_aux` a pair of that and what `f` returned besides.

    Raises
    ------
    ValueError
        For another mode.
    DtypeError
        When called, if an argument to differentiate by, or a result, is not floating.
    ShapeError
        If `chunk_size` is not positive.

    Notes
    -----
    Where a result does not depend on an argument there are zeros. `f` runs once, on the arguments as they are; all rows
    or columns are one batch behind that, and in a compiled step a few loops more, however many they are. A derivative
    has its result's dtype in forward mode, and its argument's in reverse mode and by default.

    Examples
    --------
    >>> def polar(x):
    ...     return tj.stack([tj.hypot(x[0], x[1]), tj.atan2(x[1], x[0])])
    >>> tj.jacobian(polar)(np.array([3.0, 4.0])).numpy()
    array([[ 0.6 ,  0.8 ],
           [-0.16,  0.12]])
    >>> tj.jacobian(lambda x, y: {"product": x * y}, argnums=(0, 1))(2.0, 3.0)["product"]
    (Tensor(3., shape=(), dtype=float32), Tensor(2., shape=(), dtype=float32))
    """
    checked_function("jacobian", f)
    if mode not in MODES:
        raise ValueError(at_user_line(f"jacobian: mode must be 'auto', 'reverse' or 'forward', got {mode!r}"))
    wanted, single = checked_argnums("jacobian", argnums)
    chunk = checked_chunk("jacobian", chunk_size)

    @derived(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        full, parts = split_arguments("jacobian", f, wanted, args)
        values = [value for part in parts for value in part.values]
        heard: Any = recording_of(values) if mode == "reverse" else Applications(values)
        with heard_by(heard):
            returned, auxiliary = with_auxiliary("jacobian", f, f(*full, **kwargs), has_aux)
            out = results(returned, "out")
        _check_floating(f, out)
        rows = sum(value.aval.size for value in out.values)
        if mode == "forward" or (mode == "auto" and sum(value.aval.size for value in values) < rows):
            found = _by_columns(heard, values, out, chunk)
        else:
            found = _by_rows(heard, values, out, chunk)
        nests = [_nest(derivatives, parts, single) for derivatives in found]
        answer = out.nest(nests)
        return (answer, auxiliary) if has_aux else answer

    return jacobian_of_f


def _check_floating(f: Function, out: Leaves) -> None:
    for value, path in zip(out.values, out.paths, strict=True):
        if not is_floating(value.dtype):
            raise DtypeError(
                at_user_line(
                    f"jacobian: {path} of {name_of(f)} is {value.aval}, which is not differentiable; return it as the "
                    "auxiliary result (has_aux=True)"
                )
            )


def _nest(derivatives: Sequence[Any], parts: Sequence[Leaves], single: bool) -> Any:
    """The derivatives of one result as a nest like the arguments."""
    rest = iter(derivatives)
    nests = tuple([part.nest([next(rest) for _ in part.values]) for part in parts])
    return nests[0] if single else nests


def _by_rows(heard: Any, values: Sequence[Any], out: Leaves, chunk: int | None) -> list[list[Any]]:
    """For each result the derivatives by all values, in reverse mode."""
    recording: Recording = heard
    if isinstance(heard, Applications):
        recording = recording_of(values)
        heard.tell(recording)
    keys = [value.key for value in values]
    return [
        [
            _shaped(rows, (*result.shape, *value.shape), value.dtype)
            for rows, value in zip(jacobian_rows(recording.records, result, keys, chunk), values, strict=True)
        ]
        for result in out.values
    ]


def _by_columns(heard: Applications, values: Sequence[Any], out: Leaves, chunk: int | None) -> list[list[Any]]:
    """The same in forward mode."""
    found: list[list[Any]] = [[] for _ in out.values]
    for value in values:
        for place, columns in enumerate(jacobian_columns(heard, value, out.values, chunk)):
            result = out.values[place]
            rows = None if columns is None else ops.moveaxis(columns, 0, -1)
            found[place].append(_shaped(rows, (*result.shape, *value.shape), result.dtype))
    return found


def _shaped(derivative: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    return in_role("zeros")(shape, dtype) if derivative is None else in_role("reshape")(derivative, shape)


def hessian(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Function:
    """The function that gives all second derivatives of `f`.

    Parameters
    ----------
    f : callable
        From any arguments to a floating number: a 0-d tensor. (It may return a nest of arrays; each is differentiated.)
    argnums, has_aux, chunk_size
        As in `jacobian`.

    Returns
    -------
    callable
        Called like `f`. It returns for an argument x a tensor of shape ``x.shape + x.shape``; for nests a nest of
        nests: ``h[a][b]`` has the derivatives of that by ``[a]`` by ``[b]``. What `f` returned besides comes second.

    Raises
    ------
    DtypeError
        When called, if an argument to differentiate by, or the result, is not floating.

    Notes
    -----
    ``jacobian(jacobian(f, mode="reverse"), mode="reverse")``: all rows of the gradient's Jacobian as one batch, each
    written where it stays. (Columns, by ``mode="forward"`` around it, cost as much arithmetic, and have to be turned.)
    It is symmetric up to rounding. For the product of a Hessian and a vector, which costs as much as a few gradients,
    see `hvp`.

    Examples
    --------
    >>> tj.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 2.0])).numpy()
    array([[4., 6.],
           [6., 0.]])
    """
    checked_function("hessian", f)
    gradient = jacobian(f, argnums, "reverse", has_aux)
    return jacobian(gradient, argnums, "reverse", has_aux, chunk_size=chunk_size)
