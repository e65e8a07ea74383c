"""Entries: functions that take a call straight to the kernel of a trace, if it is the call that the trace was made for.

Below `compiled`. In Python the way from a call to the kernel takes longer than a small kernel, so a step that is
called often gets an entry: `kernel.plans` says what an entry looks at, `kernel.entrance` is the machine code that does.
Start reading at `entry_for`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..config import floatx, floatx_sources
from ..guards import GuardSet
from ..kernel.executable import Executable
from ..kernel.kernels import entrance
from ..kernel.memory import aligned
from ..kernel.plans import MISSED, Plan, is_possible, place_of
from ..primitive import BASE, STATE
from ..tensor import Tensor
from .arguments import Call
from .results import Results

Entry = Callable[..., Any]
"""Called like the step; returns `MISSED` if the call is another one."""

_NUMBER_BYTES = 24
"""Of an object that has eight bytes for a number behind its head, even if the number takes fewer."""


def entry_for(call: Call, guards: GuardSet, executable: Any, results: Results) -> Entry | None:
    """An entry for calls like one that was made.

    Parameters
    ----------
    call : Call
        The call.
    guards : GuardSet
        What must be as it was; it is now.
    executable : Executable or Relay
        The kernel.
    results : Results
        What the call returns.

    Returns
    -------
    callable or None
        None where calls like this one need Python: for arguments in nests, calls between kernels, and the like.
    """
    if not is_possible() or not isinstance(executable, Executable) or not executable.can_be_planned:
        return None
    plan = Plan(len(call.args), [name for name, _ in call.kwargs], executable.table())
    guards.write(plan)
    override, holder, name = floatx_sources()
    if override.get() is not None or not _write_arguments(plan, call, executable.argument_slots()):
        return None
    plan.context(STATE, BASE[0])
    plan.context(override, None, None)
    plan.field(holder, place_of(type(holder), name), plan.keep(floatx()))
    executable.write(plan)
    quick, kernel = executable.is_quick, executable.kernel.loaded.address
    without = results.constant if results.is_constant else ()
    enter = plan.finish(entrance(), kernel, without, is_one=results.is_one, keeps_gil=quick)
    if not quick:
        enter = partial(executable.exclusively, enter)
    if results.is_constant or results.is_one or results.is_tuple:
        return enter
    placed = results.placed

    def entered(*args: Any, **kwargs: Any) -> Any:
        outputs = enter(*args, **kwargs)
        return MISSED if outputs is MISSED else placed(outputs)

    return entered


def _write_arguments(plan: Plan, call: Call, slots: Mapping[int, int]) -> bool:
    """Whether a plan can have all arguments: there are no nests."""
    varying = {leaf: position for position, leaf in enumerate(call.varying)}
    leaves = enumerate(call.leaves)
    for place, argument in enumerate((*call.args, *(value for _, value in call.kwargs))):
        if argument is None:  # a nest without leaves
            plan.same(place, None)
            continue
        number, leaf = next(leaves, (0, None))
        if leaf is not argument:
            return False
        if number not in varying:
            plan.same(place, leaf)
            if type(leaf) is set:  # it may change
                return False
        elif not _write_argument(plan, place, leaf, slots.get(varying[number], plan.unread)):
            return False
    return True


def _write_argument(plan: Plan, place: int, leaf: Any, slot: int) -> bool:
    """Whether a plan can have an argument that varies."""
    kind = type(leaf)
    if kind is int:
        plan.integer(place, slot)
    elif kind is float or (isinstance(leaf, np.generic) and kind.__basicsize__ >= _NUMBER_BYTES):
        plan.number(place, kind, slot)
    elif kind is np.ndarray and leaf.dtype.isnative:
        plan.array(place, leaf, slot)
    elif kind is Tensor:
        plan.array(place, leaf.array, slot, Tensor, place_of(Tensor, "array"))
    elif kind is list and set(map(type, leaf)) == {float}:
        plan.floats(place, aligned((len(leaf),), floatx()), slot)
    else:
        return False
    return True
