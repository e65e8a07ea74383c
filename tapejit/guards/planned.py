"""The guards that machine code looks at by itself, as steps of a call's plan (see `kernel.plans`).

These are the most frequent ones: names of globals and closures that stand for the same object as before, and functions
themselves. What has attributes or items on its way is asked of the generated function of `check`.
"""

from __future__ import annotations

from tapejit.guards.paths import Absent, CellRoot, GlobalRoot, Location, ObjectRoot, Reference
from tapejit.guards.values import Array, Expectation, Function, Identity, Value
from tapejit.kernel.plans import Plan

__all__ = ["is_simple", "write"]


def is_simple(location: Location, expected: Expectation) -> bool:
    """Return whether `write` can write a guard, which holds now."""
    root = location.root
    if (
        location.steps
        or type(expected) not in {Array, Function, Identity, Value}
        or isinstance(location.read(), Absent)
    ):
        return False
    if isinstance(root, GlobalRoot):
        return type(root.namespace) is dict and root.name in root.namespace
    return isinstance(root, CellRoot) or (isinstance(root, ObjectRoot) and not root.may_vanish)


def write(location: Location, expected: Expectation, plan: Plan) -> None:
    """Write a guard."""
    value, root = location.read(), location.root
    # A plain value may have become an equal one; nothing else is kept alive by its guard.
    address = plan.keep(value) if isinstance(expected, Value) else id(value)
    if isinstance(root, GlobalRoot):
        assert isinstance(root.namespace, dict)
        plan.name(root.namespace, root.name, address)
    elif isinstance(root, CellRoot):
        plan.content(root.cell, address)
    if isinstance(expected, (Identity, Function)):
        reference: Reference = expected.reference
        plan.alive(reference.weak, address)
    if isinstance(expected, Function):
        plan.code(address, expected.code)
    elif isinstance(expected, Array):
        plan.looks(address, expected.dtype, expected.shape)
