"""Operations that work element by element with NumPy's broadcasting.

From the partial derivatives of a declaration follow the reverse rules: the cotangent of input x is ``ct * partial``,
summed over the axes along which x was broadcast (the reverse pass does that for every pointwise rule).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Aval, Resolver, as_ufunc, broadcast_shapes, common_dtype, floating_dtype
from ..errors import DtypeError, at_user_line
from ..lowering import Pointwise
from ..primitive import BASE, NO_PARAMS, READERS, STATE, Flow, Primitive, Rule, bind, claim, parameter_names, register
from .batching import aligned
from .cases import Sample
from .naming import named_as
from .operands import coerce

FLOATING = "f"
NUMERIC = "iuf"
BOOLEAN = "b"
INTEGRAL = "biu"
ALL = "biuf"

_KIND_NAMES = {
    FLOATING: "floating",
    NUMERIC: "numeric",
    BOOLEAN: "boolean",
    INTEGRAL: "integer or boolean",
    ALL: "numeric or boolean",
}

Function = Callable[..., Any]


def elementwise(
    *,
    impl: Callable[..., Any],
    kernel: str,
    dtypes: str,
    samples: Sample | tuple[Sample, ...],
    partials: Mapping[str, Function | float] | None = None,
    vjp: Mapping[str, Function] | None = None,
    masks: Mapping[str, Function] | None = None,
    resolve: Resolver | None = None,
    result: np.dtype | None = None,
    cost: int = 1,
    role: str | None = None,
    special: tuple[tuple[Any, ...], ...] = (),
    slopes: tuple[tuple[Any, ...], ...] = (),
    reference: Callable[..., Any] | None = None,
    tolerance: float = 8.0,
    neutral: tuple[tuple[int, float], ...] = (),
    involution: bool = False,
) -> Callable[[Function], Function]:
    """Declare an elementwise operation; decorates a function that is a signature and a docstring.

    Parameters
    ----------
    impl : callable
        ``impl(*arrays)`` with NumPy.
    kernel : str
        The same as an expression over the input names, with the functions of `kernel.runtime`.
    dtypes : str
        Kinds of dtypes that it takes: `FLOATING`, `NUMERIC`, `BOOLEAN`, `INTEGRAL` or `ALL`.
    samples : Sample or tuple of Sample
        What the registry's test feeds it; one for all inputs, or one each.
    partials : mapping, optional
        For each differentiable input its partial derivative as a function of what it names, or a number.
    vjp : mapping, optional
        Full rules where ``ct * partial`` is wrong.
    masks : mapping, optional
        For an input that is only selected somewhere: where it is (a boolean array).
    resolve : callable, optional
        How operand dtypes are chosen; NumPy's own rule of `impl` if that is a ufunc, else the common dtype.
    result : dtype, optional
        The result's dtype where it is not that of the operands.
    cost : int
        What one element costs, in additions.
    role : str, optional
        What the machinery uses it for.
    special : tuple of (input…, value)
        Hand-written values at the hard points.
    slopes : tuple of (input…, derivative by the first input)
        Hand-written derivatives at the hard points.
    reference : callable, optional
        An independent implementation for the tests; by default NumPy's function of the same name.
    tolerance : float
        How many ulp `impl` may differ from `reference`.
    neutral : tuple of (position, number)
        Which operand at which value leaves the other one exactly as it is, signed zeros and nan included.
    involution : bool
        Whether applying it twice gives back the operand exactly.
    """

    def declare(function: Function) -> Function:
        name = function.__name__
        names = parameter_names(function)
        each = samples if isinstance(samples, tuple) else (samples,) * len(names)
        chosen = resolve or (as_ufunc(impl) if isinstance(impl, np.ufunc) else common_dtype)
        primitive = register(
            Primitive(
                name=name,
                inputs=names,
                impl=impl,
                rule=_type_rule(name, dtypes, result),
                vjp=_rules(names, partials or {}, vjp or {}, masks or {}),
                lowering=Pointwise(kernel, cost),
                cases=each,
                properties={
                    "family": "elementwise",
                    "dtypes": dtypes,
                    "special": special,
                    "slopes": slopes,
                    "reference": reference or getattr(np, name, None) or impl,
                    "tolerance": tolerance,
                    "neutral": neutral,
                    "involution": involution,
                },
                batch=aligned(lambda *operands: bind(primitive, operands)),
            )
        )
        public = _PUBLIC[len(names)](primitive, chosen)
        named_as(function, public)
        if role is not None:
            claim(role, public)
        return public

    return declare


def elementwise_primitive(
    name: str,
    inputs: tuple[str, ...],
    *,
    impl: Function,
    kernel: str,
    dtypes: str,
    partials: Mapping[str, Function | float],
    result: np.dtype | None,
    cost: int,
    signature: str,
) -> Function:
    """An operation of a user's, which is in no registry; parameters as of `elementwise`.

    Parameters
    ----------
    inputs : tuple of str
        Names of the inputs, all promoted to one dtype.
    signature : str
        What it is to graph signatures: the name does not say what it computes.
    """
    known = _type_rule(name, dtypes, result)

    def rule(*avals: Aval) -> Aval:
        found = known(*avals)
        for aval in avals:
            if aval.dtype not in _COMPILED:
                raise DtypeError(at_user_line(f"{name}: there is no machine code for {aval.dtype.name}"))
        return found

    primitive = Primitive(
        name=name,
        inputs=inputs,
        impl=impl,
        rule=rule,
        vjp=_rules(inputs, partials, {}, {}),
        lowering=Pointwise(kernel, cost),
        cases=(),
        properties={"family": "elementwise", "dtypes": dtypes, "neutral": (), "signature": signature},
        batch=aligned(lambda *operands: bind(primitive, operands)),
    )
    resolver = floating_dtype if dtypes == FLOATING else common_dtype

    def public(*operands: Any) -> Any:
        if len(operands) != len(inputs):
            raise TypeError(at_user_line(f"{name} takes {len(inputs)} operands, got {len(operands)}"))
        return bind(primitive, coerce(name, operands, resolver))

    return public


_COMPILED = frozenset(map(np.dtype, "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()))


def _type_rule(name: str, dtypes: str, result: np.dtype | None) -> Callable[..., Aval]:
    def rule(*avals: Aval) -> Aval:
        for aval in avals[-2:]:  # a selection's condition comes first and was made boolean
            if aval.dtype.kind not in dtypes:
                raise DtypeError(
                    at_user_line(f"{name} takes {_KIND_NAMES[dtypes]} arrays, got {' and '.join(map(str, avals))}")
                )
        shape = broadcast_shapes(name, [aval.shape for aval in avals])
        return Aval(shape, result if result is not None else avals[-1].dtype)

    return rule


def _rules(
    names: tuple[str, ...],
    partials: Mapping[str, Function | float],
    vjp: Mapping[str, Function],
    masks: Mapping[str, Function],
) -> dict[str, Rule]:
    rules = {}
    for name in names:
        mask = Rule.of(masks[name]) if name in masks else None
        if name in vjp:
            rules[name] = Rule.of(vjp[name], Flow.POINTWISE, mask)
        elif name in partials:
            rules[name] = _scaled(partials[name], mask)
    return rules


def _scaled(partial: Function | float, mask: Rule | None) -> Rule:
    """The rule ``ct * partial``."""
    if not callable(partial):
        if partial == 1:
            return Rule(lambda ct: ct, ("ct",), Flow.POINTWISE, mask)
        if partial == -1:
            return Rule(lambda ct: -ct, ("ct",), Flow.POINTWISE, mask)
        return Rule(lambda ct: ct * partial, ("ct",), Flow.POINTWISE, mask)
    names = ("ct", *parameter_names(partial))
    if len(names) == 2:
        return Rule(lambda ct, value: ct * partial(value), names, Flow.POINTWISE, mask)
    return Rule(lambda ct, *values: ct * partial(*values), names, Flow.POINTWISE, mask)


class _Direct(dict[np.dtype, bool]):
    """By dtype, whether operands that all have it need no conversion: eager ones are bound without asking further."""

    def __init__(self, resolver: Resolver, count: int) -> None:
        super().__init__()
        self._resolver = resolver
        self._count = count

    def __missing__(self, dtype: np.dtype) -> bool:
        dtypes = (dtype,) * self._count
        try:
            self[dtype] = self._resolver(dtypes) == dtypes
        except TypeError:  # the operation does not take it, which `coerce` explains
            self[dtype] = False
        return self[dtype]


def _unary(primitive: Primitive, resolver: Resolver) -> Function:
    name, direct = primitive.name, _Direct(resolver, 1)

    def public(x: Any, /) -> Any:
        base, eager = BASE
        if type(x) is eager and direct[x.array.dtype]:
            return STATE.get(base).bind(primitive, (x,), NO_PARAMS)
        return bind(primitive, coerce(name, (x,), resolver))

    return public


def _binary(primitive: Primitive, resolver: Resolver) -> Function:
    direct = _Direct(resolver, 2)
    pair = _pairing(primitive.name, resolver, direct)

    def rest(x: Any, y: Any) -> Any:
        return STATE.get(BASE[0]).bind(primitive, pair(x, y), NO_PARAMS)

    def in_front_of(otherwise: Function) -> Function:
        # The function of the operation and its operator differ in what they do with operands of other types only.
        def public(x: Any, y: Any, /) -> Any:
            base, eager = BASE
            if type(x) is eager and type(y) is eager:
                dtype = x.array.dtype
                if y.array.dtype is dtype and direct[dtype]:
                    return STATE.get(base).bind(primitive, (x, y), NO_PARAMS)
            elif type(x) is eager and type(y) in PYTHON_NUMBERS:
                return STATE.get(base).bind(primitive, pair(x, y), NO_PARAMS)
            elif type(x) in READERS:
                return public(READERS[type(x)](x), y)
            elif type(y) in READERS:
                return public(x, READERS[type(y)](y))
            return otherwise(x, y)

        return public

    public = in_front_of(rest)
    _PARTS[public] = in_front_of, rest
    return public


_PARTS: dict[Function, tuple[Function, Function]] = {}


def parts_of(operation: Function) -> tuple[Function, Function]:
    """What puts the case of frequent operands in front of a function, and what `operation` has behind it."""
    return _PARTS.get(operation) or (lambda otherwise: otherwise, operation)


def _pairing(name: str, resolver: Resolver, direct: _Direct) -> Function:
    """A function that returns two operands in their common dtype."""

    def pair(x: Any, y: Any) -> tuple[Any, ...]:
        base, eager = BASE
        if type(x) is eager:
            dtype = x.array.dtype
            if type(y) in PYTHON_NUMBERS:
                if dtype.kind == "f" and direct[dtype]:  # the number takes it
                    return x, STATE.get(base).interpreter.number(y, dtype)
            elif type(y) is eager and y.array.dtype is dtype and direct[dtype]:
                return x, y
        elif type(y) is eager and type(x) in PYTHON_NUMBERS:
            dtype = y.array.dtype
            if dtype.kind == "f" and direct[dtype]:
                return STATE.get(base).interpreter.number(x, dtype), y
        return coerce(name, (x, y), resolver)

    return pair


def _selection(primitive: Primitive, resolver: Resolver) -> Function:
    """A condition, which takes no part in promotion, and two operands."""
    name = primitive.name
    pair = _pairing(name, resolver, _Direct(resolver, 2))

    def public(condition: Any, x: Any, y: Any, /) -> Any:
        if type(condition) is not BASE[1] or condition.array.dtype is not _BOOL:
            (condition,) = coerce(name, (condition,), _as_condition)
        return bind(primitive, (condition, *pair(x, y)))

    return public


_BOOL = np.dtype(np.bool_)


def _as_condition(_: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    return (_BOOL,)


_PUBLIC = {1: _unary, 2: _binary, 3: _selection}
