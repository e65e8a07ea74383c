"""`custom_vjp`: a function with a reverse rule of the user's own, as JAX's."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..by_name import Named
from ..errors import RuleError, at_user_line
from ..pytree import unflatten
from .arguments import (
    Arguments,
    arguments_of,
    bound,
    described,
    results_of,
    type_in_words,
)
from .gradient import Result, with_gradient
from .hearing import alone, is_heard, watching
from .static import positions_checked, split_arguments


class custom_vjp(Named):  # noqa: N801 (a decorator)
    """Decorate a function whose reverse rule is given in two parts.

    Parameters
    ----------
    f : callable
        ``f(*args) -> result``, both nests.
    nondiff_argnums : int or sequence of int
        Positions of arguments that are no arrays (functions, settings): `bwd` gets them first.

    Raises
    ------
    RuleError
        When it is called or differentiated: if it has no rule, reads trainable variables, or its rule returned
        something else than it should.

    Notes
    -----
    The rule is ``f.defvjp(fwd, bwd)``: ``fwd(*args) -> (result, residuals)`` is called instead of `f` where a
    derivative may be asked for, and ``bwd(*nondiff_args, residuals, ct)`` gets the cotangent as a nest like the result
    and returns a tuple of one gradient for each other argument (None: not connected). Second derivatives are those of
    `bwd` and of the residuals.

    Examples
    --------
    >>> @tj.custom_vjp
    ... def clipped(x, limit):
    ...     return x
    >>> clipped.defvjp(lambda x, limit: (x, limit), lambda limit, ct: (tj.clip(ct, -limit, limit), None))
    >>> x = tj.constant([1.0, 2.0])
    >>> with tj.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = tj.sum(100.0 * clipped(x, 1.5))
    >>> tape.gradient(y, x).tolist()
    [1.5, 1.5]
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)
        self._function = f
        self._label = f"custom_vjp: {described(f)}"
        self._static = positions_checked(self._label, nondiff_argnums)
        self._rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args) -> (result, residuals)``; the residuals are any nest.
        bwd : callable
            ``bwd(*nondiff_args, residuals, ct) -> tuple of gradients``.
        """
        self._rules = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the function."""
        if self._rules is None:
            raise RuleError(at_user_line(f"{self._label} has no rule: give it with defvjp(fwd, bwd)"))
        args = bound(self._function, args, kwargs) if kwargs else args
        if not is_heard():
            values, treedef = results_of(self._label, self._function(*args))
            return unflatten(treedef, values)
        static, others = split_arguments(self._label, self._static, args)
        fwd, bwd = self._rules
        given = arguments_of(others)

        def forward(given: Arguments) -> Result:
            with watching(given.values) as heard:
                returned = fwd(*static.joined(given.given))
            heard.refuse_variables(self._label, given)
            if not (isinstance(returned, (tuple, list)) and len(returned) == 2):
                raise RuleError(
                    at_user_line(f"{self._label}: fwd must return (result, residuals), got {type_in_words(returned)}")
                )
            values, treedef = results_of(self._label, returned[0])
            gradient = functools.partial(bwd, *static.values, returned[1])
            return Result(self._label, values, treedef, given, gradient, nested=True, loose=heard.loose(values))

        def plain(given: Arguments) -> Result:
            with alone() as heard:
                result = self._function(*static.joined(given.given))
            heard.refuse_variables(self._label, given)
            return Result(self._label, *results_of(self._label, result), given, bwd, nested=True)

        return with_gradient(self, forward, given, plain)
