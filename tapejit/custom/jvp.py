"""`custom_jvp`: a function with a forward rule of the user's own, as JAX's; the reverse rule is its transpose."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..aval import is_floating
from ..by_name import Named
from ..dataclass import dataclass
from ..errors import RuleError, at_user_line
from ..graph import trace_region
from ..primitive import BASE, Value, bind, current, in_role
from ..pytree import TreeDef, flatten, unflatten
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
from .hearing import alone, is_heard
from .rules import WITH_TANGENT, Call, Linear, floating, inside, without_own
from .static import positions_checked, split_arguments

Rule = Callable[..., Any]


class custom_jvp(Named):  # noqa: N801 (a decorator)
    """Decorate a function whose forward rule is given; reverse mode transposes it.

    Parameters
    ----------
    f : callable
        ``f(*args) -> result``, both nests.
    nondiff_argnums : int or sequence of int
        Positions of arguments that are no arrays (functions, settings): the rule gets them first.

    Raises
    ------
    RuleError
        When it is called or differentiated: if it has no rule, reads trainable variables, or its rule returned
        something else than it should.

    Notes
    -----
    The rule is ``f.defjvp(jvp)``: ``jvp(*nondiff_args, primals, tangents) -> (result, tangent)``, where `primals` and
    `tangents` are tuples of the other arguments and of their tangents (None for what is no floating array). The tangent
    that it returns is linear in `tangents`, and has the nest, shape and dtype of the result.
    ``f.defjvps(*partials)`` is a short form, with a function ``partial(tangent, result, *primals)`` or None for each
    argument. The rule is made of tapejit's operations: what it computes is differentiated for second derivatives.

    Examples
    --------
    >>> @tj.custom_jvp
    ... def safe_log(x):
    ...     return tj.log(x)
    >>> safe_log.defjvps(lambda t, result, x: t / tj.maximum(x, 0.125))
    >>> x = tj.constant([0.0, 2.0])
    >>> with tj.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = safe_log(x)
    >>> tape.gradient(y, x).tolist()
    [8.0, 0.5]
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)
        self._function = f
        self._label = f"custom_jvp: {described(f)}"
        self._static = positions_checked(self._label, nondiff_argnums)
        self._rule: Rule | None = None

    def defjvp(self, jvp: Rule) -> Rule:
        """Give the rule; can be used as a decorator.

        Parameters
        ----------
        jvp : callable
            ``jvp(*nondiff_args, primals, tangents) -> (result, tangent)``.
        """
        self._rule = lambda static, primals, tangents, _: jvp(*static, primals, tangents)
        return jvp

    def defjvps(self, *partials: Rule | None) -> None:
        """Give the rule argument by argument.

        Parameters
        ----------
        *partials : callable or None
            For each argument ``partial(tangent, result, *primals)``, the part of the tangent that is due to it.

        Raises
        ------
        RuleError
            If there are static arguments.
        """
        if self._static:
            raise RuleError(at_user_line(f"{self._label}: defjvps knows no static arguments; use defjvp"))

        def rule(_: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...], result: Any) -> tuple[Any, Any]:
            if len(partials) != len(primals):
                raise RuleError(at_user_line(f"{self._label}: {len(partials)} partials for {len(primals)} arguments"))
            terms = [
                partial(tangent, result, *primals)
                for partial, tangent in zip(partials, tangents, strict=True)
                if partial is not None and flatten(tangent)[0]
            ]
            return result, functools.reduce(_added, terms) if terms else None

        self._rule = rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the function."""
        if self._rule is None:
            raise RuleError(at_user_line(f"{self._label} has no rule: give it with defjvp or defjvps"))
        args = bound(self._function, args, kwargs) if kwargs else args
        if not is_heard():
            values, treedef = results_of(self._label, self._function(*args))
            return unflatten(treedef, values)
        static, others = split_arguments(self._label, self._static, args)
        given = arguments_of(others)
        with alone() as heard:
            result = self._function(*static.joined(given.given))
        heard.refuse_variables(self._label, given)
        values, treedef = results_of(self._label, result)
        rule = _Tangents(self._label, functools.partial(self._rule, static.values), given, values, treedef)
        by = given.values
        captures: Sequence[Value] = given.tensors
        avals = tuple([value.aval for value in by])
        linear: Linear = Call(rule)
        own: tuple[int | None, ...] = (*[None] * len(captures), *range(len(values)))
        with inside(self) as again:
            if not again and current().interpreter is not BASE[0].interpreter:
                linear, taken = trace_region(lambda *tangents: rule.dense(tangents), avals, self._label)
                captures, own = without_own(taken, {v.key: place for place, v in enumerate(values) if heard.is_own(v)})
        params = {"results": len(values), "by": len(by), "seeds": floating(values), "avals": avals, "rule": linear}
        return unflatten(treedef, bind(WITH_TANGENT, (*values, *by, *captures), {**params, "own": own}))


def _added(left: Any, right: Any) -> Any:
    """The sum of two nests."""
    ones, treedef = flatten(left)
    return unflatten(treedef, [one + other for one, other in zip(ones, flatten(right)[0], strict=True)])


@dataclass(frozen=True, slots=True)
class _Tangents:
    """A user's forward rule as one from tangents of floating arguments to those of floating results, checked."""

    label: str
    rule: Rule
    given: Arguments
    values: Sequence[Value]
    treedef: TreeDef

    def __call__(self, tangents: Sequence[Value], captures: Sequence[Value]) -> list[Value | None]:
        """As for `Call`; the captures take the places of the tensors among the arguments, and of the results."""
        count = len(captures) - len(self.values)
        given, result = self.given.replaced(captures[:count]), unflatten(self.treedef, captures[count:])
        moving: list[Any] = [None] * len(given.leaves)
        for place, tangent in zip(given.by, tangents, strict=True):
            moving[place] = tangent
        returned = self.rule(given.given, unflatten(given.treedef, moving), result)
        label = f"{self.label}: the tangent of its rule"
        if not (isinstance(returned, (tuple, list)) and len(returned) == 2):
            raise RuleError(
                at_user_line(f"{self.label}: its rule must return (result, tangent), got {type_in_words(returned)}")
            )
        leaves = aligned(label, "tangent", TreeDef(tuple, (), (self.treedef,)), (returned[1],))
        return [
            fitting(label, f"number {place}", tangent, value.aval)
            for place, (tangent, value) in enumerate(zip(leaves, self.values, strict=True))
            if is_floating(value.dtype)
        ]

    def dense(self, tangents: Sequence[Value]) -> list[Value]:
        """The same, with zeros for None."""
        avals = [value.aval for value in self.values if is_floating(value.dtype)]
        return [
            in_role("zeros")(aval.shape, aval.dtype) if tangent is None else tangent
            for tangent, aval in zip(self(tangents, (*self.given.tensors, *self.values)), avals, strict=True)
        ]
