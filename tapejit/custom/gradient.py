"""`custom_gradient`: a function that says itself what its gradient is, as TensorFlow's."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..aval import Aval
from ..dataclass import dataclass
from ..errors import RuleError, at_user_line
from ..graph import trace_region
from ..primitive import BASE, Params, Value, current, in_role
from ..pytree import TreeDef, unflatten
from ..variable import Variable
from .arguments import (
    Arguments,
    aligned,
    arguments_of,
    bound,
    described,
    fitting,
    results_of,
    type_in_words,
)
from .hearing import is_heard, watching
from .rules import WITH_GRADIENT, Call, Linear, floating, inside, without_own

_VARIABLES = "variables"


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that returns its result and its own gradient.

    Parameters
    ----------
    f : callable
        ``f(*args) -> (result, grad_fn)``. Arguments and result may be nests; the gradient is by the floating arrays
        among the arguments, while numbers, strings and functions are handed on as they are.
        ``grad_fn(*upstream)`` gets the cotangent of each tensor of the result (zeros where there is none) and
        returns the gradient of each argument, in the argument's shape and dtype; alone where there is one argument,
        None for what is not connected. If `f` reads trainable variables that are not among its arguments, `grad_fn`
        must take the keyword ``variables``, a list of them, and return ``(gradients, variable_gradients)``.

    Returns
    -------
    callable
        ``function(*args) -> result``. All arguments can be passed by keyword, too.

    Raises
    ------
    RuleError
        When it is called: if `f` returned no such pair, no floating result, or reads variables without taking
        ``variables``. When a gradient is asked for: if `grad_fn` returned another number or nest of gradients.
    ShapeError, DtypeError
        If a gradient has another shape or dtype than its argument.

    Notes
    -----
    As in TensorFlow, tapes hear what `f` and `grad_fn` compute, so that second derivatives are those of `grad_fn`,
    through all that it uses. An `f` that iterates can keep its iterations off the tape with ``tj.stop_gradient(x)``.
    What `f` takes from outside other than variables counts as constant. In a compiled step, and under `vmap`,
    `grad_fn` is traced once; nothing is left of the rule in a kernel but what it computes. Where a ``where`` chose the
    other branch the cotangent is 0; what `grad_fn` makes of that is its own affair.

    Examples
    --------
    >>> @tj.custom_gradient
    ... def log1pexp(x):
    ...     e = tj.exp(x)
    ...     return tj.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))
    >>> x = tj.constant(100.0)
    >>> with tj.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = log1pexp(x)
    >>> tape.gradient(y, x).item()
    1.0
    """
    label = f"custom_gradient: {described(f)}"

    def forward(given: Arguments) -> "Result":
        with watching(given.values) as heard:
            returned = f(*given.given)
        if not (isinstance(returned, (tuple, list)) and len(returned) == 2 and callable(returned[1])):
            raise RuleError(
                at_user_line(
                    f"{label} must return its result and a function that gives the gradient, got "
                    f"{type_in_words(returned)}"
                )
            )
        result, gradient = returned
        variables = heard.variables(given)
        if variables and not _takes_variables(gradient):
            names = ", ".join(each.name or "a Variable" for each in variables)
            raise RuleError(
                at_user_line(
                    f"{label} reads {names}, so that its grad_fn must take the keyword 'variables' and return "
                    "(gradients, variable_gradients); or pass the variable as an argument"
                )
            )
        values, treedef = results_of(label, result)
        return Result(label, values, treedef, given, gradient, variables, loose=heard.loose(values))

    @functools.wraps(f)
    def function(*args: Any, **kwargs: Any) -> Any:
        given = arguments_of(bound(f, args, kwargs) if kwargs else args)
        return with_gradient(f, forward, given)

    return function


def _takes_variables(gradient: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(gradient).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        (each.name == _VARIABLES and each.kind is not each.POSITIONAL_ONLY) or each.kind is each.VAR_KEYWORD
        for each in parameters
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What a function gave, and its gradient.

    Attributes
    ----------
    label : str
        The function, for messages.
    values : list of Value
        The leaves of what it gave.
    treedef : TreeDef
        The nest of them.
    given : Arguments
        What it was given.
    gradient : callable
        From cotangents to gradients, as for `custom_gradient`.
    variables : sequence of Variable
        What else the gradient is by.
    nested : bool
        Whether the cotangents are one nest like the result.
    loose : tuple of int
        Positions of floating results that tapes don't see to depend on anything.
    kept : list
        Where to put the result with its rule, for a gradient that asks for it.
    """

    label: str
    values: list[Value]
    treedef: TreeDef
    given: Arguments
    gradient: Callable[..., Any]
    variables: Sequence[Variable] = ()
    nested: bool = False
    loose: Sequence[int] = ()
    kept: list[Any] | None = None

    def gradients(self, cts: Sequence[Value]) -> list[Value | None]:
        """From cotangents of floating results to checked gradients: of floating arguments, then of variables."""
        label = f"{self.label}: its gradient"
        arrived = dict(zip(floating(self.values), cts, strict=True))
        upstream = [
            arrived[place] if place in arrived else in_role("zeros")(value.shape, value.dtype)
            for place, value in enumerate(self.values)
        ]
        operands = [unflatten(self.treedef, upstream)] if self.nested else upstream
        if not self.variables:
            return self._of_arguments(label, self.gradient(*operands))
        returned = self.gradient(*operands, variables=list(self.variables))
        if not (isinstance(returned, (tuple, list)) and len(returned) == 2):
            raise RuleError(
                at_user_line(f"{label} must be (gradients, variable_gradients), got {type_in_words(returned)}")
            )
        return [*self._of_arguments(label, returned[0]), *self._of_variables(label, returned[1])]

    def _of_arguments(self, label: str, returned: Any) -> list[Value | None]:
        given = self.given
        leaves = aligned(label, "gradient", given.treedef, returned)
        return [
            fitting(label, f"number {number}", leaves[place], given.leaves[place].aval)
            for number, place in enumerate(given.by)
        ]

    def _of_variables(self, label: str, returned: Any) -> list[Value | None]:
        if not isinstance(returned, (tuple, list)) or len(returned) != len(self.variables):
            raise RuleError(at_user_line(f"{label} by {len(self.variables)} variables is {type_in_words(returned)}"))
        return [
            fitting(label, f"that of {variable.name or 'a Variable'}", each, variable.aval)
            for variable, each in zip(self.variables, returned, strict=True)
        ]


Forward = Callable[[Arguments], Result]


def with_gradient(function: Any, forward: Forward, given: Arguments, plain: Forward | None = None) -> Any:
    """The result of a function whose gradient is the user's.

    Parameters
    ----------
    function : object
        Whose rule it is.
    forward : callable
        Calls it, heard by tapes.
    given : Arguments
        Its arguments.
    plain : callable, optional
        Calls it without asking for a gradient, where that is another thing.
    """
    if not is_heard():
        found = forward(given)
        return unflatten(found.treedef, found.values)
    with inside(function) as again:
        found = (plain if again and plain is not None else forward)(given)
        by: Sequence[Value] = (*given.values, *[variable.read_value() for variable in found.variables])
        linear: Linear = Call(lambda cts, _: found.gradients(cts))
        captures: Sequence[Value] = ()
        own: tuple[int | None, ...] = ()
        seeds = floating(found.values)
        avals = tuple([found.values[place].aval for place in seeds])
        if again:
            linear, captures = _called_later(function, forward, found), given.tensors
            own = (None,) * len(captures)
        elif current().interpreter is not BASE[0].interpreter:
            linear, taken, connected = _traced(found, avals)
            by = [by[place] for place in connected]
            captures, own = without_own(taken, {found.values[place].key: place for place in found.loose})
    params = {"results": len(found.values), "by": len(by), "seeds": seeds, "avals": avals, "rule": linear, "own": own}
    result = unflatten(found.treedef, _bound(found, (*found.values, *by, *captures), params))
    if found.kept is not None:
        found.kept.append(result)
    return result


def _bound(found: Result, inputs: tuple[Value, ...], params: Params) -> Any:
    """The results with their rule; those which the gradient may hold itself are the same tensors, under new keys."""
    state = current()
    results = list(state.interpreter.bind(WITH_GRADIENT, inputs, params))
    for place in found.loose:
        held: Any = found.values[place]
        if type(held) is BASE[1]:
            held.key = results[place].key
            results[place] = held
    for tape in state.tapes:
        tape.record(WITH_GRADIENT, inputs, tuple(results), params)
    return results


def _traced(found: Result, avals: tuple[Aval, ...]) -> tuple[Linear, Sequence[Value], list[int]]:
    """The gradient as a region of what is connected."""
    connected: list[int] = []

    def gradient(*cts: Value) -> list[Value]:
        gradients = found.gradients(cts)
        connected.extend(place for place, each in enumerate(gradients) if each is not None)
        return [each for each in gradients if each is not None]

    region, captures = trace_region(gradient, avals, found.label)
    return region, captures, connected


def _called_later(function: Any, forward: Forward, found: Result) -> Linear:
    """The gradient of a call inside the function's own rule: all of it happens when it is asked for.

    Raises
    ------
    RuleError
        If the function reads variables, which may have other values then.
    """
    if found.variables:
        names = ", ".join(each.name or "a Variable" for each in found.variables)
        raise RuleError(
            at_user_line(f"{found.label} is called by its own gradient and reads {names}: pass it as an argument")
        )
    given = found.given

    def gradients(cts: Sequence[Value], tensors: Sequence[Value]) -> list[Value | None]:
        with inside(function):
            return forward(given.replaced(tensors)).gradients(cts)

    return Call(gradients)
