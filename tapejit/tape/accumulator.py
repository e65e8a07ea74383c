"""`ForwardAccumulator`: tangents of what is computed, with the name and the semantics of TensorFlow's.

An accumulator hears operations as a tape does, and computes the tangents of their results at once. What it binds for
that is heard by all tapes and by the accumulators that were entered before it, never by itself or by later ones. Start
reading at `Tangents.record`.
"""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from ..aval import is_floating
from ..errors import at_user_line
from ..primitive import (
    STATE,
    CallPlan,
    Masked,
    Params,
    Primitive,
    Recorder,
    State,
    Value,
    add_tape,
    current,
    in_role,
    listened_to,
    remove_tape,
)
from ..pytree import leaf_paths, unflatten
from ..tensor import Ones
from ..variable import Variable
from .forward import push_forward, push_through
from .requests import flat, matched, wants_zeros

_UNKNOWN = (None, None, None)


class _Known(dict[int, tuple[Any, Any, Any]]):
    """By key the tangent of a value, its mask, and a reference to the value, with which the entry goes."""

    __slots__ = ("__weakref__",)


class _Reference(weakref.ref[Any]):
    """A weak reference that knows the key of its value."""

    __slots__ = ("key",)
    key: int


class Tangents:
    """The tangents of all that depends on what is differentiated by, each as long as its value lives.

    Parameters
    ----------
    audience : tuple of Recorder, optional
        Who may hear how tangents are computed, of those who hear an operation before this does; by default all. Where
        nobody can get at a tangent before this is done with, those who came later need not.
    """

    __slots__ = ("_audience", "_forget", "_known")
    only_pushes = True  # of a call of a whole function it asks for no way back

    def __init__(self, audience: tuple[Recorder, ...] | None = None) -> None:
        self._audience = audience
        self._known = _Known()
        known = weakref.ref(self._known)  # no circle that only the collector would find

        def forget(reference: _Reference) -> None:
            entries = known()
            if entries is not None:
                entries.pop(reference.key, None)

        self._forget = forget

    def of(self, value: Value | Variable) -> Any:
        """The tangent of a value; None where it depends on nothing."""
        return self._known.get(value.key, _UNKNOWN)[0]

    def watch(self, value: Value | Variable, tangent: Any, mask: Any = None) -> None:
        """Give a value a tangent."""
        reference = _Reference(value, self._forget)
        reference.key = key = value.key
        self._known[key] = tangent, mask, reference

    def forget(self, keys: Iterable[int]) -> None:
        """Let go of tangents before their values go."""
        for key in keys:
            self._known.pop(key, None)

    def outside(self) -> State:
        """The state in which tangents are computed."""
        state = current().before(self)
        audience, tapes = self._audience, state.tapes
        if audience is None or tapes == audience:
            return state
        heard = tuple([tape for tape in tapes if any(tape is other for other in audience)])
        # All that work forward and are left came before.
        return listened_to(state.interpreter, heard, state.forward)

    def of_all(self, values: Sequence[Value]) -> list[Masked]:
        """The tangents of values, with their masks."""
        return [self._known.get(value.key, _UNKNOWN)[:2] for value in values]

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Compute the tangents of an application's results."""
        known = self._known
        for value in inputs:
            if value.key in known:
                break
        else:
            return
        if not primitive.multiple and outputs.dtype.kind != "f":
            return
        tangents = self.of_all(inputs)
        token = STATE.set(self.outside())
        try:
            found = push_forward(primitive, inputs, tangents, outputs, params)
        finally:
            STATE.reset(token)
        self.keep(outputs if primitive.multiple else (outputs,), found)

    def keep(self, results: Sequence[Value], tangents: Sequence[Masked]) -> None:
        """Give results their tangents; None where there is none."""
        for result, (tangent, mask) in zip(results, tangents, strict=True):
            if tangent is not None and is_floating(result.dtype):
                self.watch(result, tangent, mask)

    def record_read(self, variable: Variable, value: Value) -> None:
        """The value of a variable has the variable's tangent."""
        known = self._known.get(variable.key)
        if known is not None:
            self.watch(value, *known[:2])

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values that have tangents."""
        return sum(1 << place for place, value in enumerate(values) if value.key in self._known)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Compute the tangents of the results of a call of a whole function."""
        tangents = self.of_all(inputs)
        token = STATE.set(self.outside())
        try:
            found = push_through(plan, inputs, tangents, results)
        finally:
            STATE.reset(token)
        self.keep(results, found)


class ForwardAccumulator:
    """Computes tangents (Jacobian-vector products) of what is computed inside its ``with`` block.

    Parameters
    ----------
    primals : Tensor, Variable or nest of them, floating
        What to differentiate by.
    tangents : array_like or nest
        For each primal a direction of its shape and dtype; numbers and lists of numbers take the dtype.

    Raises
    ------
    ValueError
        If a primal is given twice.
    ShapeError, DtypeError
        If a tangent does not fit its primal, or a primal is not floating.

    Notes
    -----
    The tangent of y = f(x) is ``J(x) @ v`` for the tangent v of x; it is computed along with y, so nothing is kept for
    a pass backwards. Each read of a variable among the primals has the variable's tangent, also after the variable was
    assigned another value: as for tapes, the value read is the variable, whatever it was made of.

    Accumulators and tapes nest in any order. An accumulator around a tape gives Hessian-vector products; of two
    accumulators the outer one differentiates what the inner one gives.

    An accumulator belongs to the thread that entered it. It may be entered again after it was left.

    Examples
    --------
    >>> x = tj.constant([1.0, 2.0])
    >>> with tj.ForwardAccumulator(x, [1.0, 0.0]) as accumulator:
    ...     y = x**3
    >>> accumulator.jvp(y).numpy()
    array([3., 0.], dtype=float32)

    The product of a Hessian and a vector, forward over reverse:

    >>> with tj.ForwardAccumulator(x, [1.0, 0.0]) as accumulator:
    ...     with tj.GradientTape() as tape:
    ...         tape.watch(x)
    ...         y = tj.sum(x**3)
    ...     dy = tape.gradient(y, x)
    >>> accumulator.jvp(dy).numpy()
    array([6., 0.], dtype=float32)
    """

    def __init__(self, primals: Any, tangents: Any) -> None:
        values, treedef = flat("ForwardAccumulator: a primal", primals)
        paths = leaf_paths(primals, "primals")
        self._tangents = Tangents()
        self._active = False
        found = matched("ForwardAccumulator: the tangents", treedef, [value.aval for value in values], tangents, paths)
        for value, tangent, path in zip(values, found, paths, strict=True):
            if self._tangents.of(value) is not None:
                raise ValueError(
                    at_user_line(f"ForwardAccumulator: {path} is a primal that was given before; add up its tangents")
                )
            self._tangents.watch(value, tangent)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse copies: what is followed are the tensors of this process.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            at_user_line("a ForwardAccumulator can't be copied or pickled; take its tangents, and send those")
        )

    def __enter__(self) -> "ForwardAccumulator":
        if self._active:
            raise ValueError(
                at_user_line("the accumulator is active already: it can be entered again after it was left")
            )
        self._active = True
        add_tape(self._tangents, forward=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._active = False
        remove_tape(self._tangents)

    def jvp(self, target: Any, unconnected_gradients: str | None = None) -> Any:
        """The tangents of values that were computed inside the block.

        Parameters
        ----------
        target : Tensor, Variable or nest of them
            Of any shape.
        unconnected_gradients : {None, "none", "zero"}
            What a target gets that depends on no primal: None, or zeros of its shape and dtype.

        Returns
        -------
        nest of Tensor or None
            Like `target`; each of its target's shape and dtype.
        """
        zero = wants_zeros(unconnected_gradients)
        values, treedef = flat("jvp: a target", target)
        return unflatten(treedef, [self._result(value, zero) for value in values])

    def _result(self, target: Value | Variable, zero: bool) -> Any:
        tangent = self._tangents.of(target)
        if tangent is None:
            return in_role("zeros")(target.shape, target.dtype) if zero and is_floating(target.dtype) else None
        return tangent.settled() if type(tangent) is Ones else tangent
