"""Operations whose public functions normalise their own arguments: views, contractions, composites, library calls.

Each constructor registers a primitive and returns ``apply(*inputs, **params)``, which binds it. Linear operations
give their transpose as the reverse rule.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..lowering import Composite, Contraction, Gather, Lowering, Pieces, Pointwise, View
from ..primitive import Flow, Primitive, Rule, bind, claim, register
from .cases import Case

Function = Callable[..., Any]


def _declare(
    name: str,
    family: str,
    inputs: tuple[str, ...],
    impl: Function,
    rule: Function,
    vjp: Mapping[str, Rule],
    lowering: Lowering,
    cases: tuple[Case, ...],
    multiple: bool = False,
    reference: Function | None = None,
    role: str | None = None,
    partial: bool = False,
) -> Function:
    primitive = register(
        Primitive(
            name=name,
            inputs=inputs,
            impl=impl,
            rule=rule,
            vjp=vjp,
            lowering=lowering,
            cases=cases,
            multiple=multiple,
            properties={"family": family, "reference": reference, "partial": partial},
        )
    )

    def apply(*values: Any, **params: Any) -> Any:
        return bind(primitive, values, params)

    if role is not None:
        claim(role, apply)
    return apply


def view(
    name: str,
    *,
    impl: Function,
    rule: Function,
    lowering: View | Pieces | Gather | None,
    transpose: Function,
    cases: tuple[Case, ...],
    inputs: tuple[str, ...] = ("x",),
    reference: Function | None = None,
    role: str | None = None,
) -> Function:
    """Declare an operation that only moves elements: its reverse rule is its transpose, for all inputs.

    Parameters
    ----------
    name : str
        The public function's name.
    impl, rule : callable
        As in `Primitive`.
    lowering : View or Pieces
        The index map; None where the compiler can't follow it yet.
    transpose : callable
        ``transpose(ct, …)``, naming params, ``x_shape`` and, with several inputs, ``index``.
    cases : tuple of Case
        For the registry's test.
    inputs : tuple of str
        Names of the inputs.
    reference : callable, optional
        An independent implementation of the public function.
    role : str, optional
        What the machinery uses it for.
    """
    rules = {inputs[0]: Rule.of(transpose, Flow.MOVING)}
    return _declare(name, "view", inputs, impl, rule, rules, lowering, cases, False, reference, role)


def pointwise(
    name: str,
    *,
    inputs: tuple[str, ...],
    impl: Function,
    rule: Function,
    vjp: Mapping[str, Function],
    kernel: str,
    cases: tuple[Case, ...],
    cost: int = 1,
    reference: Function | None = None,
    role: str | None = None,
) -> Function:
    """Declare an operation on each element by itself that has params: a conversion, an element's own index.

    Parameters
    ----------
    name : str
        The public function's name.
    inputs : tuple of str
        Names of the inputs, which are of one shape; none for what is made of the params alone.
    impl, rule, vjp : callable
        As in `Primitive`; a rule gives the whole product with the cotangent.
    kernel : str
        An expression over the inputs, the params and ``axis0``, ``axis1``….
    cases : tuple of Case
        For the registry's test.
    cost : int
        What one element costs, in additions.
    reference : callable, optional
        An independent implementation of the public function.
    role : str, optional
        What the machinery uses it for.
    """
    rules = {key: Rule.of(value, Flow.POINTWISE) for key, value in vjp.items()}
    lowering = Pointwise(kernel, cost)
    return _declare(name, "pointwise", inputs, impl, rule, rules, lowering, cases, False, reference, role)


def contraction(
    name: str, *, impl: Function, rule: Function, vjp: Mapping[str, Function], cases: tuple[Case, ...]
) -> Function:
    """Declare a product that is linear in each of its two inputs."""
    rules = {key: Rule.of(value) for key, value in vjp.items()}
    return _declare(name, "contraction", tuple(vjp), impl, rule, rules, Contraction(), cases)


def composite(
    name: str,
    *,
    impl: Function,
    rule: Function,
    vjp: Mapping[str, Function],
    expand: Function,
    cases: tuple[Case, ...],
    flow: Flow = Flow.MIXING,
    reference: Function | None = None,
) -> Function:
    """Declare an operation that is one step for tapes and a composition of others for the compiler."""
    rules = {key: Rule.of(value, flow) for key, value in vjp.items()}
    return _declare(name, "composite", tuple(vjp), impl, rule, rules, Composite(expand), cases, False, reference)


def library_call(
    name: str,
    *,
    inputs: tuple[str, ...],
    impl: Function,
    rule: Function,
    vjp: Mapping[str, Function],
    cases: tuple[Case, ...],
    multiple: bool = False,
    partial: bool = False,
    reference: Function | None = None,
    lowering: Lowering = None,
) -> Function:
    """Declare an operation that a library computes as a whole.

    With `partial`, rules get None for the cotangents of results on which nothing depends, instead of zeros.
    """
    rules = {key: Rule.of(value) for key, value in vjp.items()}
    family = "library_call"
    return _declare(name, family, inputs, impl, rule, rules, lowering, cases, multiple, reference, partial=partial)
