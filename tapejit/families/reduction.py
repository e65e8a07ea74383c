"""Operations that combine the elements along axes: one constructor for the signature, the axes and ``keepdims``.

The primitive itself always drops the axes in its param ``axes``; ``keepdims`` is a reshape behind it, so that the
compiler meets one form.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..aval import Aval, normalize_axes, parse_dtype, with_ones, without
from ..errors import DtypeError, ShapeError, at_user_line
from ..lowering import Lowering
from ..primitive import Flow, Primitive, Rule, TangentRule, bind, claim, in_role, register
from .batching import reduced
from .cases import Case
from .naming import named_as
from .operands import as_array

Function = Callable[..., Any]


def reduction(
    *,
    impl: Callable[..., Any],
    lowering: Lowering,
    dtypes: str,
    cases: tuple[Case, ...],
    vjp: Function | None = None,
    flow: Flow = Flow.MIXING,
    accumulate: Callable[[np.dtype], np.dtype] | None = None,
    result: Callable[[np.dtype], np.dtype] | None = None,
    identity: bool = False,
    role: str | None = None,
    reference: Callable[..., Any] | None = None,
    jvp: TangentRule | None = None,
) -> Callable[[Function], Function]:
    """Declare a reduction; decorates ``f(x, *, axis=None, keepdims=False)`` that is a signature and a docstring.

    Parameters
    ----------
    impl : callable
        ``impl(array, axes=tuple) -> array`` with NumPy, the axes dropped.
    lowering : Lowering
        How the compiler sees it.
    dtypes : str
        Kinds of dtypes that it takes.
    cases : tuple of Case
        For the registry's test.
    vjp : callable, optional
        The reverse rule of ``x``; it may name ``ct``, ``x``, ``out``, ``axes`` and ``x_shape``. None where the
        result is not connected.
    flow : Flow
        How masks pass the rule; a reduction whose transpose is `MOVING` is linear.
    accumulate : callable, optional
        From the operand's dtype to the one it is converted to first (NumPy sums booleans as integers).
    result : callable, optional
        From the operand's dtype to the result's, where they differ.
    identity : bool
        Whether an empty reduction has a value.
    role : str, optional
        What the machinery uses the primitive for, as ``function(x, axes)``.
    reference : callable, optional
        An independent implementation for the tests; by default NumPy's function of the same name.
    jvp : callable, optional
        The forward rule, where it is not to be the transpose of `vjp`.
    """

    def declare(function: Function) -> Function:
        name = function.__name__
        primitive = register(
            Primitive(
                name=name,
                inputs=("x",),
                impl=impl,
                rule=_type_rule(name, dtypes, result, identity),
                vjp={} if vjp is None else {"x": Rule.of(vjp, flow)},
                lowering=lowering,
                cases=cases,
                properties={
                    "family": "reduction",
                    "reference": reference or getattr(np, name, impl),
                    "linear": flow is Flow.MOVING,
                },
                jvp=jvp,
                batch=reduced(lambda x, axes: bind(primitive, (x,), {"axes": axes})),
            )
        )
        public = _public(primitive, accumulate)
        named_as(function, public)
        if role is not None:
            claim(role, lambda x, axes: bind(primitive, (x,), {"axes": axes}) if axes else x)
        return public

    return declare


def _type_rule(
    name: str, dtypes: str, result: Callable[[np.dtype], np.dtype] | None, identity: bool
) -> Callable[..., Aval]:
    def rule(x: Aval, *, axes: tuple[int, ...]) -> Aval:
        if x.dtype.kind not in dtypes:
            raise DtypeError(at_user_line(f"{name} does not take {x}"))
        if not identity and prod(x.shape[axis] for axis in axes) == 0 and 0 not in without(x.shape, axes):
            raise ShapeError(at_user_line(f"{name} of no elements has no value: shape {x.shape}, axis {axes}"))
        return Aval(without(x.shape, axes), result(x.dtype) if result else x.dtype)

    return rule


def _public(primitive: Primitive, accumulate: Callable[[np.dtype], np.dtype] | None) -> Function:
    name = primitive.name

    def public(x: Any, /, axis: int | Sequence[int] | None = None, *, keepdims: bool = False, **options: Any) -> Any:
        array = as_array(x, borrow=True)
        given = array.dtype
        dtype = given if accumulate is None else accumulate(given)
        if options:
            dtype = _option(name, options, dtype)
        if dtype is not given and dtype != given:
            array = in_role("convert")(array, dtype)
        shape = array.shape
        axes = normalize_axes(name, axis, len(shape))
        out = bind(primitive, (array,), {"axes": axes})
        return in_role("reshape")(out, with_ones(shape, axes)) if keepdims else out

    return public


def _option(name: str, options: Mapping[str, Any], dtype: np.dtype) -> np.dtype:
    """The only option besides the axes: the dtype in which sums and products accumulate."""
    unknown = [key for key in options if key != "dtype"]
    if unknown:
        raise TypeError(at_user_line(f"{name} got an unexpected argument {unknown[0]!r}"))
    chosen = options["dtype"]
    return dtype if chosen is None else parse_dtype(name, chosen)
