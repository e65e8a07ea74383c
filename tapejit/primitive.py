"""Primitives, their registry, and `bind`: the one place where an operation happens.

Floor 2. An operation is bound once: the interpreter of the moment computes it (eager: NumPy now; tracing: a node of
a graph), then every tape that is recording is told. Start reading at `bind`; a `Primitive` is what a declaration in
`ops/` leaves behind.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from enum import Enum
from inspect import CO_VARARGS, CO_VARKEYWORDS, signature
from types import FunctionType
from typing import Any, Protocol, final

import numpy as np

from .aval import Aval, Shape
from .dataclass import dataclass
from .errors import TapejitError

Params = Mapping[str, Any]
NO_PARAMS: Params = {}

new_key = itertools.count(1).__next__


class Typed:
    """Something with a shape and a dtype: a tensor or a variable."""

    __slots__ = ()

    @property
    def aval(self) -> Aval:
        """Shape and dtype together."""
        raise TypeError(f"{type(self).__name__} has no aval")

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.aval.dtype

    def numpy(self) -> np.ndarray:
        """The numbers."""
        raise TypeError(f"{type(self).__name__} has no numbers")


class Value(Typed):
    """What primitives take and return; `tensor.Tensor` is its public face.

    `key` identifies the value on tapes. It is never reused, unlike an address.
    """

    __slots__ = ()
    key: int
    borrowed = False
    """Whether its memory is the user's, for the length of one operation."""

    def settled(self) -> "Value":
        """The value as an ordinary one, which no longer takes the dtype of what it meets."""
        return self

    def kept(self) -> "Value":
        """The value, for one who holds it longer than the operation lasts that it takes part in."""
        return self


class Flow(Enum):
    """How a cotangent's mask (see `tape.reverse`) passes a reverse rule."""

    POINTWISE = "each element of the result depends on its own element of the cotangent"
    MOVING = "linear, moves elements about: the rule applies to the mask too"
    MIXING = "elements mix: the mask ends here"


_VARIADIC = CO_VARARGS | CO_VARKEYWORDS


@dataclass(frozen=True, slots=True)
class Rule:
    """The reverse rule of one input: ``function(ct, …)``, given what its parameter names ask for.

    The names may be those of inputs, ``out``, ``ct``, of params, and ``<input>_shape``, ``<input>_dtype``. Where there
    are any number of inputs, ``index`` is the one that the rule is called for, ``input_shape`` its shape and
    ``<inputs>_shapes`` all shapes. What no rule of an active input names is not kept by tapes.
    """

    function: Callable[..., Any]
    names: tuple[str, ...]
    flow: Flow = Flow.MIXING
    mask: "Rule | None" = None

    @classmethod
    def of(cls, function: Callable[..., Any], flow: Flow = Flow.MIXING, mask: "Rule | None" = None) -> "Rule":
        """The rule whose needs are the parameter names of `function`."""
        return cls(function, parameter_names(function), flow, mask)


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters of a rule or a declaration; there are hundreds, and asking `inspect` takes longer."""
    plain = isinstance(function, FunctionType) and not hasattr(function, "__wrapped__")
    if not plain or function.__code__.co_flags & _VARIADIC:
        return tuple(signature(function).parameters)
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


@dataclass(frozen=True, slots=True)
class Pull:
    """A rule with its arguments resolved for one set of active inputs: see `ReversePlan`.

    ``apply(ct, residuals)`` calls the rule; `shape` is where the residuals have the shape that a pointwise rule's
    result is to be summed to.
    """

    input: int
    rule: Rule
    apply: Callable[[Any, Any], Any]
    mask_arguments: tuple[int, ...]
    shape: int | None = None


def _applied(function: Callable[..., Any], arguments: tuple[int, ...]) -> Callable[[Any, Any], Any]:
    """`function` of the cotangent (position -1) and residuals; the frequent forms without the cost of unpacking."""
    if arguments == (-1,):
        return lambda ct, residuals: function(ct)
    if len(arguments) == 2 and arguments[0] == -1:
        first = arguments[1]
        return lambda ct, residuals: function(ct, residuals[first])
    return lambda ct, residuals: function(*[ct if slot < 0 else residuals[slot] for slot in arguments])


@dataclass(frozen=True, slots=True)
class ReversePlan:
    """What a tape keeps of an application, given which inputs are active, and how to pull a cotangent back.

    `slots` are kept in this order: ``("value", i)``, ``("shape", i)``, ``("dtype", i)``, ``("out", 0)`` or
    ``("param", name)``. ``keep(inputs, output, params)`` takes from an application the keys that the cotangents of
    `pulls` go to, and what the slots stand for.
    """

    slots: tuple[tuple[str, Any], ...]
    pulls: tuple[Pull, ...]
    keep: Callable[[Any, Any, Params], tuple[tuple[int, ...], tuple[Any, ...]]]


@final
@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a tape keeps of a call of a whole function, and how to pull all its cotangents back at once.

    Parameters
    ----------
    inputs : tuple of int
        Positions of the inputs that cotangents may go to.
    results : tuple of int
        Positions of the results that depend on those inputs.
    kept : tuple of int
        Positions, in inputs and results joined, of the values that `pull` needs.
    pull : callable
        ``pull(arrived, kept, wanted)``: for each of all results the cotangent and its mask (each may be None), the kept
        values, and for each of `inputs` a `Wanted`; returns for each of `inputs` a cotangent and its mask, or Nones.
    depends : tuple of int
        For each of all results the bits of the inputs, among all, on which it depends; empty if that is not known.
    push : callable, optional
        ``push(inputs, tangents, results)``: for all inputs the tangent and its mask; returns the same for all results.
        Where there is none, tangents are found by transposing `pull`.
    """

    inputs: tuple[int, ...]
    results: tuple[int, ...]
    kept: tuple[int, ...]
    pull: "Callable[[Sequence[Masked], Sequence[Any], Sequence[Wanted]], Sequence[Masked]]"
    depends: tuple[int, ...] = ()
    push: "Callable[[Sequence[Value], Sequence[Masked], Sequence[Value]], Sequence[Masked]] | None" = None


JointRule = Callable[[int, int, Params], CallPlan]
"""``joint(active, count, params)``: the plan of an application of `count` inputs, those followed that `active` has."""

TangentRule = Callable[[Sequence[Any], Sequence[Any], Any, Params], Any]
"""``jvp(inputs, tangents, outputs, params)``: the tangents of the results, like `outputs`.

A tangent is None where nothing depends on what is differentiated by.
"""

BatchRule = Callable[[Sequence[Any], Sequence[bool], int, Params], Any]
"""``batch(inputs, batched, size, params)``: the results, each with the batch as its first axis, of length `size`.

`batched` says which inputs have it; the others are the same for all.
"""

Masked = tuple[Any, Any]
"""A cotangent, and the mask that it carries (see `tape.reverse`); None where there is none."""


class Wanted(Enum):
    """What is asked of a call for one of its inputs."""

    NOTHING = "no cotangent"
    COTANGENT = "the cotangent; its mask would serve nobody"
    MASKED = "the cotangent and its mask"


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One operation: its value, its type, its derivative and how it is lowered. Made by the families.

    Parameters
    ----------
    name : str
        The public name.
    inputs : tuple of str
        Names of the inputs that rules may ask for; one name that begins with ``*`` stands for any number.
    impl : callable
        ``impl(*arrays, **params) -> array`` with NumPy: the eager interpreter and the oracle of graphs.
    rule : callable
        ``rule(*avals, **params) -> Aval`` (a tuple of them if `multiple`); raises what a user should read.
    vjp : mapping of str to Rule
        The reverse rules of the differentiable inputs.
    lowering : object
        What the compiler may know of it: one of the classes of `lowering`, None where it can't be lowered yet.
    multiple : bool
        Whether it returns a tuple.
    cases : tuple
        What the registry's test runs it on.
    joint : callable, optional
        The reverse rule of all inputs at once, in place of `vjp`, for operations that hold regions.
    jvp : callable, optional
        The forward rule, where it is not to be made of the reverse rules.
    batch : callable, optional
        The operation on a batch of inputs, where it is not to be found by the family.
    """

    name: str
    inputs: tuple[str, ...]
    impl: Callable[..., Any]
    rule: Callable[..., Any]
    vjp: Mapping[str, Rule]
    lowering: Any
    cases: tuple[Any, ...]
    multiple: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)
    joint: "JointRule | None" = None
    jvp: "TangentRule | None" = None
    batch: "BatchRule | None" = None
    plans: dict[int, ReversePlan] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def reverse_plan(self, active: int, count: int) -> ReversePlan:
        """What to keep and to do when the inputs whose bits are set in `active`, of `count`, are on a tape.

        `plans` has it under ``active + (1 << count)``.
        """
        key = active + (1 << count)
        plan = self.plans.get(key)
        if plan is None:
            plan = self.plans[key] = _reverse_plan(self, active, count)
        return plan


def _reverse_plan(primitive: Primitive, active: int, count: int) -> ReversePlan:
    slots: list[tuple[str, Any]] = []

    def slot(name: str, position: int) -> int:
        if name == "ct":
            return -1
        wanted = _resolve(primitive, name, position)
        if wanted not in slots:
            slots.append(wanted)
        return slots.index(wanted)

    pulls = []
    for position in range(count):
        if not active >> position & 1:
            continue
        rule = primitive.vjp.get(input_name(primitive, position))
        if rule is None:
            continue
        arguments = tuple(slot(name, position) for name in rule.names)
        masks = tuple(slot(name, position) for name in rule.mask.names) if rule.mask else ()
        # After a pointwise rule the reverse pass itself undoes broadcasting.
        shape = slot("input_shape", position) if rule.flow is Flow.POINTWISE else None
        pulls.append(Pull(position, rule, _applied(rule.function, arguments), masks, shape))
    return ReversePlan(tuple(slots), tuple(pulls), _keeper(slots, pulls))


def _keeper(slots: Sequence[tuple[str, Any]], pulls: Sequence[Pull]) -> Callable[..., Any]:
    """`ReversePlan.keep` as one expression, since it is on the path of every operation that a tape hears."""
    keys = "".join(f"inputs[{pull.input}].key, " for pull in pulls)
    kept = "".join(f"{_KEPT[tag].format(which)}, " for tag, which in slots)
    text = f"lambda inputs, output, params: (({keys}), ({kept}))"
    return eval(compile(text, __file__, "eval"))  # type: ignore[no-any-return] # a frame of the library's, for messages


_KEPT = {
    "value": "inputs[{}].kept()",
    "shape": "inputs[{}].shape",
    "shapes": "tuple([value.shape for value in inputs])",
    "dtype": "inputs[{}].dtype",
    "out": "output",
    "given": "{}",
    "param": "params[{!r}]",
}
"""For each tag of a slot how a tape gets what it keeps."""


def input_name(primitive: Primitive, position: int) -> str:
    """What the input at a position is called."""
    variadic = primitive.inputs[0].startswith("*") if primitive.inputs else False
    return primitive.inputs[0] if variadic else primitive.inputs[position]


def _resolve(primitive: Primitive, name: str, position: int) -> tuple[str, Any]:
    """The slot that a rule's parameter name stands for."""
    if name == "out":
        return "out", 0
    if name == "index":
        return "given", position
    if name == "input_shape":
        return "shape", position
    if name.endswith("_shapes"):
        return "shapes", 0
    base, _, suffix = name.rpartition("_")
    if base in primitive.inputs and suffix in ("shape", "dtype"):
        return suffix, primitive.inputs.index(base)
    if name in primitive.inputs:
        return "value", primitive.inputs.index(name)
    return "param", name


REGISTRY: dict[str, Primitive] = {}
_ROLES: dict[str, Callable[..., Any]] = {}


def register(primitive: Primitive) -> Primitive:
    """Add a primitive to the registry.

    Raises
    ------
    TapejitError
        If the name is taken: one op has one declaration.
    """
    if primitive.name in REGISTRY:
        raise TapejitError(f"the primitive {primitive.name} is declared twice")
    REGISTRY[primitive.name] = primitive
    return primitive


def claim(role: str, function: Callable[..., Any]) -> None:
    """Declare that `function` is the operation which the machinery uses in this role (``convert``, ``sum``, …)."""
    if role in _ROLES:
        raise TapejitError(f"the role {role} is claimed twice")
    _ROLES[role] = function


def in_role(role: str) -> Callable[..., Any]:
    """The public operation that claimed `role`."""
    return _ROLES[role]


class Interpreter(Protocol):
    """Who computes a bound operation.

    `traces` says whether a graph is made of it in the end.
    """

    traces: bool

    @property
    def outer(self) -> "State | None":
        """The state that it binds in, if it computes nothing itself; tapes may come and go there."""

    def bind(self, primitive: Primitive, inputs: tuple[Value, ...], params: Params) -> Any:
        """Outputs of the application, as values of this interpreter."""

    def lift(self, value: Any, borrow: bool) -> Value:
        """A value made of what a user passed: an array, a variable, a nest of numbers.

        With `borrow` it may alias a writable array for the length of one operation.
        """

    def number(self, number: float, dtype: np.dtype) -> Value:
        """A 0-d value made of a Python number."""

    def filled(self, number: float, shape: Shape, dtype: np.dtype) -> Value:
        """A number everywhere, in the memory of one element."""

    def read(self, variable: Any) -> Value:
        """The value that a variable has now."""

    def assign(self, variable: Any, value: Value) -> None:
        """Give a variable a value of its own shape and dtype."""

    def create(self, variable: Any, initial: Value) -> None:
        """Give a new variable its first value."""


class Recorder(Protocol):
    """A tape, as `bind` sees it."""

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Note an application whose inputs may be watched."""

    def record_read(self, variable: Any, value: Value) -> None:
        """Note that a variable was read as `value`."""

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values on which something may depend that is asked of this tape."""

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Note a call of a whole function, which is no application of a primitive."""


class State:
    """Who computes and who listens, in this thread or task; never changed, only replaced.

    The last `forward` of `tapes` work forward: they bind operations of their own when they hear one, which all before
    them hear. So those must have heard the first one already.
    """

    __slots__ = ("forward", "interpreter", "tapes")

    def __init__(self, interpreter: Interpreter, tapes: tuple[Recorder, ...], forward: int = 0) -> None:
        self.interpreter = interpreter
        self.tapes = tapes
        self.forward = forward

    def before(self, tape: Recorder) -> "State":
        """The state in which only those listen that hear an operation before `tape` does."""
        place = self.tapes.index(tape)
        return listened_to(self.interpreter, self.tapes[:place], max(0, self.forward - len(self.tapes) + place))

    def bind(self, primitive: Primitive, inputs: tuple[Value, ...], params: Params) -> Any:
        """Apply a primitive: compute it, then tell every active tape."""
        outputs = self.interpreter.bind(primitive, inputs, params)
        for tape in self.tapes:
            tape.record(primitive, inputs, outputs, params)
        return outputs


@final
class Unheard(State):
    """The state in which no tape listens: the interpreter binds by itself."""

    __slots__ = ("bind",)
    bind: Callable[[Primitive, tuple[Value, ...], Params], Any]  # type: ignore[assignment]

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.tapes = ()
        self.forward = 0
        self.bind = interpreter.bind


STATE: ContextVar[State] = ContextVar("tapejit_state")
BASE: list[Any] = []
"""The base state, and the type of the base interpreter's values, which have their numbers in ``array``."""

READERS: dict[type, Callable[[Any], Value]] = {}
"""By type, how an operand is read that is a place for a value: a variable."""


def install_base(interpreter: Interpreter, value_type: type) -> None:
    """Name the interpreter that computes where no other was entered, and the type of its values."""
    BASE[:] = [Unheard(interpreter), value_type]


def current() -> State:
    """The state of this thread or task."""
    return STATE.get(BASE[0])


def bind(primitive: Primitive, inputs: tuple[Value, ...], params: Params = NO_PARAMS) -> Any:
    """Apply a primitive in the state of the moment."""
    return STATE.get(BASE[0]).bind(primitive, inputs, params)


@contextmanager
def interpreting(interpreter: Interpreter, tapes: tuple[Recorder, ...] = (), forward: int = 0) -> Iterator[None]:
    """Let `interpreter` compute what is bound inside the block, heard by `tapes` only, `forward` of which are last."""
    token = STATE.set(State(interpreter, tapes, forward) if tapes else Unheard(interpreter))
    try:
        yield
    finally:
        STATE.reset(token)


def add_tape(tape: Recorder, *, forward: bool = False, under: Any = None) -> None:
    """Let `tape` hear what is bound from now on: now, or in the state that the interpreter `under` binds in.

    `forward` says that it binds operations of its own then.
    """
    state = current() if under is None or under.outer is None else under.outer
    tapes, after = state.tapes, state.forward
    if forward or not after:
        _replace(State(state.interpreter, (*tapes, tape), after + forward), under)
    else:
        _replace(State(state.interpreter, (*tapes[:-after], tape, *tapes[-after:]), after), under)


def remove_tape(tape: Recorder) -> Any:
    """Let `tape` hear nothing more; returns the `under` of `add_tape` that undoes it."""
    state, under = current(), None
    while tape not in state.tapes and state.interpreter.outer is not None:
        under = state.interpreter
        state = state.interpreter.outer
    tapes, forward = state.tapes, state.forward
    if forward:
        forward -= any(other is tape for other in tapes[-forward:])
    # Tapes are left in the order opposite to entering, but for stop_recording and generators.
    others = tapes[:-1] if tapes[-1:] == (tape,) else tuple(other for other in tapes if other is not tape)
    _replace(listened_to(state.interpreter, others, forward), under)
    return under


@contextmanager
def heard_by(tape: Recorder, *, forward: bool = False) -> Iterator[None]:
    """A block in which `tape` hears what is bound, besides those that do anyway; `forward` as in `add_tape`."""
    add_tape(tape, forward=forward)
    try:
        yield
    finally:
        remove_tape(tape)


def listened_to(interpreter: Interpreter, tapes: tuple[Recorder, ...], forward: int = 0) -> State:
    """The state in which `interpreter` computes and `tapes` listen."""
    if tapes:
        return State(interpreter, tapes, forward)
    base: State = BASE[0]
    # Without tapes the base state itself: a compiled step knows by it that it need not look any further.
    return base if interpreter is base.interpreter else Unheard(interpreter)


def _replace(state: State, under: Any) -> None:
    """Put a state in place of the present one, or of the one that the interpreter `under` binds in."""
    if under is None:
        STATE.set(state)
    else:
        under.outer = state
