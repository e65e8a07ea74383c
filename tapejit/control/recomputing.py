"""`checkpoint`: a function whose gradient computes it again instead of keeping what it computed.

In eager mode the function runs unheard by the tapes, which are told of one call. When a cotangent comes, it runs again
under a tape of its own, and finds the variables as they were. Elsewhere it is a region: see `primitives.CHECKPOINT`.
Start reading at `checkpoint`.
"""

from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..errors import ConcretizationError, at_user_line
from ..families import as_array
from ..graph.connections import positions_of, union
from ..primitive import STATE, CallPlan, Masked, Recorder, State, Value, Wanted, add_tape, current, interpreting
from ..pytree import TreeDef, flatten, unflatten
from ..tape.recording import Recording
from ..tape.reverse import add, pull_back
from .branches import as_region
from .listening import Again, Listener, Noting
from .where import runs_in_python


def checkpoint(f: Callable[..., Any], /) -> Callable[..., Any]:
    """`f`, whose gradient keeps its inputs only and computes it again.

    Parameters
    ----------
    f : callable
        Of any arguments; it returns a nest of arrays.

    Returns
    -------
    callable
        It gives what `f` gives, its leaves as tensors, and has the same derivatives.

    Raises
    ------
    TapejitError
        When it is called, if `f` makes a variable.

    Notes
    -----
    Takes the memory of the inputs, and of what `f` computes while its own gradient is computed, for the time of one
    more run. What `f` reads from elsewhere counts as an input. Where it runs again it sees the same values of variables
    and the same random draws, and assigns nothing; but it sees other objects of Python's (a list, an array that is
    written to) as they are then. Under forward mode it is plainly computed. In a compiled step the computation is
    repeated in the kernel, after the cotangent is known. The name is that of ``jax.checkpoint``.

    Examples
    --------
    >>> x = tj.Variable(1.0)
    >>> with tj.GradientTape() as tape:
    ...     y = tj.checkpoint(lambda v: tj.sin(tj.exp(v)))(x)
    >>> round(tape.gradient(y, x).item(), 4)
    -2.4784
    """

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        state = current()
        if not runs_in_python(state.interpreter):
            return as_region(partial(f, *args, **kwargs), getattr(f, "__name__", "the function"))
        if not state.tapes or state.forward or not all(isinstance(tape, Recording) for tape in state.tapes):
            return _in_tensors(f(*args, **kwargs))
        return _Run(f, args, kwargs).first(state)

    return update_wrapper(checkpointed, f) if hasattr(f, "__name__") else checkpointed


def _in_tensors(nest: Any) -> Any:
    leaves, tree = flatten(nest)
    return unflatten(tree, [as_array(leaf) for leaf in leaves])


@dataclass(frozen=True, slots=True)
class _Key:
    """What stands for a value that need not be kept."""

    key: int


class _Run:
    """A call of a function, to be run again."""

    def __init__(self, f: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._function = f
        leaves, self._tree = flatten((args, kwargs))
        # What a user may write to is copied.
        self._leaves = [as_array(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        self._keys: list[int] = []

    def first(self, state: State) -> Any:
        """The results; tapes hear of the call."""
        self._noting = Noting(state.interpreter)
        listener = Listener(state.tapes)
        with interpreting(self._noting, (listener,)):
            results, tree = self._results()
        depends = [listener.depends(result) for result in results]
        outside = listener.outside()
        self._keys = [value.key for value in outside]
        fresh = _fresh(results, self._keys)
        for tape in state.tapes:
            followed = tape.follows(outside)
            self._tell(tape, followed, depends, outside, tuple(fresh))
        return unflatten(tree, fresh)

    def _tell(
        self,
        tape: Recorder,
        followed: int,
        depends: Sequence[int],
        outside: tuple[Value, ...],
        results: tuple[Any, ...],
    ) -> None:
        inputs = tuple(positions_of(union(depends) & followed))
        if inputs:
            places = tuple(place for place, bits in enumerate(depends) if bits & followed)
            tape.record_call(CallPlan(inputs, places, (), partial(self._pull, inputs)), outside, results)

    def _results(self) -> tuple[list[Any], TreeDef]:
        args, kwargs = unflatten(self._tree, self._leaves)
        leaves, tree = flatten(self._function(*args, **kwargs))
        return [as_array(leaf) for leaf in leaves], tree

    def _pull(
        self,
        inputs: tuple[int, ...],
        arrived: Sequence[Masked],
        kept: Sequence[Value],  # noqa: ARG002 (the protocol of call plans)
        wanted: Sequence[Wanted],
    ) -> list[Masked]:
        """Run again, and pull back: see `CallPlan`."""
        state = current()
        if state.interpreter.traces:
            raise ConcretizationError(
                at_user_line(
                    "the gradient of a function under tj.checkpoint that ran outside of the compiled step can't be "
                    "computed inside of it; compute both on one side"
                )
            )
        recording = Recording(watch_accessed=False)
        keys = [self._keys[place] for place in inputs]
        for key, wish in zip(keys, wanted, strict=True):
            if wish is not Wanted.NOTHING:
                recording.watch(_Key(key))  # type: ignore[arg-type] # only its key counts
        token = STATE.set(State(Again(state.interpreter, self._noting), state.tapes, state.forward))
        try:
            add_tape(recording)
            results, _ = self._results()
        finally:
            STATE.reset(token)
        seeds: dict[int, Any] = {}
        masks: dict[int, Any] = {}
        for (ct, mask), result in zip(arrived, results, strict=True):
            if ct is not None:
                add(result.key, (ct, mask), seeds, masks)
        found = pull_back(recording.records, seeds, keys, masks)
        return [
            (found.get(key), masks.get(key)) if wish is not Wanted.NOTHING and key in found else (None, None)
            for key, wish in zip(keys, wanted, strict=True)
        ]


def _fresh(results: Sequence[Any], keys: Sequence[int]) -> list[Any]:
    """The results as values of their own, where one is an input or there twice."""
    seen = set(keys)
    fresh = []
    for result in results:
        fresh.append(type(result)(result.array) if result.key in seen else result)
        seen.add(result.key)
    return fresh
