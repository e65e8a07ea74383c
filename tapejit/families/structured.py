"""Operations whose public functions normalise their own arguments: views, contractions, composites, library calls.

Each constructor registers a primitive and returns ``apply(*inputs, **params)``, which binds it. Linear operations
give their transpose as the reverse rule.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..lowering import Composite, Contraction, Convolution, Gather, Lowering, Pieces, Pointwise, Routine, View
from ..primitive import Flow, Primitive, Rule, TangentRule, bind, claim, register
from .batching import Made, aligned, multiplied, stacked
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
    batch: Made | None,
    multiple: bool = False,
    reference: Function | None = None,
    role: str | None = None,
    jvp: TangentRule | None = None,
    **properties: Any,
) -> Function:
    def apply(*values: Any, **params: Any) -> Any:
        return bind(primitive, values, params)

    def look(x: Any, **params: Any) -> Any:
        # A view of the user's own memory would change with it, after the operation too: it is of a copy.
        return bind(primitive, (x.kept() if x.borrowed else x,), params)

    chosen = look if isinstance(lowering, View) else apply
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
            properties={"family": family, "reference": reference, **properties},
            jvp=jvp,
            batch=batch and batch(chosen),
        )
    )
    if role is not None:
        claim(role, chosen)
    return chosen


def view(
    name: str,
    *,
    impl: Function,
    rule: Function,
    lowering: View | Pieces | Gather | None,
    transpose: Function,
    batch: Made,
    cases: tuple[Case, ...],
    inputs: tuple[str, ...] = ("x",),
    reference: Function | None = None,
    role: str | None = None,
    tangent_params: Mapping[str, Any] | None = None,
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
    batch : callable
        What makes the batch rule, see `families.batching`: how the params read where there is a batch axis.
    cases : tuple of Case
        For the registry's test.
    inputs : tuple of str
        Names of the inputs.
    reference : callable, optional
        An independent implementation of the public function.
    role : str, optional
        What the machinery uses it for.
    tangent_params : mapping, optional
        The params with which it moves tangents, where they are others: what a padding puts in is constant.
    """
    rules = {inputs[0]: Rule.of(transpose, Flow.MOVING)}
    return _declare(
        name, "view", inputs, impl, rule, rules, lowering, cases, batch, False, reference, role,
        linear=True, tangent_params=tangent_params,
    )  # fmt: skip


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
    jvp: TangentRule | None = None,
    batch: Made = aligned,
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
    jvp : callable, optional
        As in `Primitive`, where the rule does not make tangents of tangents as well.
    batch : callable
        What makes the batch rule, where an element's own index counts.
    """
    rules = {key: Rule.of(value, Flow.POINTWISE) for key, value in vjp.items()}
    lowering = Pointwise(kernel, cost)
    return _declare(name, "pointwise", inputs, impl, rule, rules, lowering, cases, batch, False, reference, role, jvp)


def contraction(
    name: str,
    *,
    impl: Function,
    rule: Function,
    vjp: Mapping[str, Function],
    cases: tuple[Case, ...],
    lowering: Contraction | Convolution | None = None,
    batch: Made = multiplied,
    reference: Function | None = None,
) -> Function:
    """Declare a product that is linear in each of its two inputs, by default of matrices."""
    rules = {key: Rule.of(value) for key, value in vjp.items()}
    lowering = lowering or Contraction()
    return _declare(
        name, "contraction", tuple(vjp), impl, rule, rules, lowering, cases, batch, False, reference, linear=False
    )


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
    jvp: TangentRule | None = None,
    linear: bool = False,
    batch: Made | None = None,
) -> Function:
    """Declare an operation that is one step for tapes and a composition of others for the compiler.

    `jvp` and `linear` are those of `library_call`. Without `batch`, which makes its batch rule, a batch of it is made
    of the composition, or by the same operation where each element goes by itself.
    """
    rules = {key: Rule.of(value, flow) for key, value in vjp.items()}
    if batch is None and flow is Flow.POINTWISE:
        batch = aligned
    lowering = Composite(expand)
    return _declare(
        name, "composite", tuple(vjp), impl, rule, rules, lowering, cases, batch, False, reference,
        jvp=jvp, linear=linear,
    )  # fmt: skip


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
    jvp: TangentRule | None = None,
    linear: bool = False,
    batch: Made | None = None,
) -> Function:
    """Declare an operation that a library computes as a whole.

    Its forward rule is the transpose of `vjp`, unless `jvp` is given, which costs less, or it is `linear` in all inputs
    together that have reverse rules: then it does with tangents what it does with values. `batch` makes its batch rule;
    a `Routine` takes any leading axes by itself, a `Composite` is batched part by part. With `partial`, reverse rules
    get None for the cotangents of results on which nothing depends, instead of zeros.
    """
    rules = {key: Rule.of(value) for key, value in vjp.items()}
    if batch is None and isinstance(lowering, Routine):
        batch = stacked
    return _declare(
        name, "library_call", inputs, impl, rule, rules, lowering, cases, batch, multiple, reference,
        jvp=jvp, linear=linear, partial=partial,
    )  # fmt: skip
