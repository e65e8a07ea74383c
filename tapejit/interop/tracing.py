"""Functions traced once, for arguments like given ones, to be called from code that knows nothing of tapejit.

What `to_numba`, `to_cfunc` and `export` share. Start reading at `traced`.
"""

import re
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import Any

import numpy as np

from ..config import floatx
from ..dataclass import dataclass
from ..errors import CompileError, DtypeError, TapejitError, at_user_line, name_of
from ..kernel.executable import Executable
from ..kernel.layout import Layout, Slot
from ..kernel.text import identifier
from ..pytree import unflatten
from ..step import CompiledStep
from ..step import compile as compiled
from ..step.arguments import TensorSpec, argument_leaves, argument_paths
from ..step.routes import Traced
from ..tensor import Tensor
from ..variable import Variable


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument, or a leaf of one that is a nest: what to call it, and an array like it."""

    name: str
    example: np.ndarray


@dataclass(frozen=True, slots=True)
class Function:
    """A function that was traced.

    Attributes
    ----------
    title : str
        The user's name of it.
    arguments : sequence of Argument
        In order.
    results : sequence of str
        How a user would write each result behind the name of the whole.
    traced : Traced
        The trace.
    executable : Executable
        Its one kernel, and what that refers to.
    """

    title: str
    arguments: Sequence[Argument]
    results: Sequence[str]
    traced: Traced
    executable: Executable

    @property
    def layout(self) -> Layout:
        """How the kernel is called."""
        return self.executable.kernel.layout

    def place(self, kind: str, position: int = 0) -> int | None:
        """The index of a slot in the kernel's table; None if there is none."""
        slot = Slot(kind, position)
        slots = self.layout.slots
        return slots.index(slot) if slot in slots else None

    def details(self) -> list[int]:
        """The slots where a failed check writes."""
        places = (self.place("detail", 0), self.place("detail", 1))
        return [place for place in places if place is not None]

    def result_names(self) -> list[str]:
        """What to call the results, by their places: ``["loss"]`` is loss, ``[0]`` is result_0."""
        names = [identifier(path) if path else "result" for path in self.results]
        names = [name.replace("v_", "result_", 1) if re.match(r"v_\d", name) else name for name in names]
        given = [each.name for each in self.arguments]
        return distinct([*given, *names])[len(given) :]

    def memory(self) -> list[tuple[int, int]]:
        """The slots of the kernel's workspaces, and how many bytes each has."""
        sizes = {"workspace": self.layout.workspace, "scratch": self.layout.scratch}
        return [(index, sizes[slot.kind]) for index, slot in enumerate(self.layout.slots) if slot.kind in sizes]


def traced(caller: str, function: Callable[..., Any], examples: Sequence[Any]) -> Function:
    """Trace a function, and build its kernel.

    Parameters
    ----------
    caller : str
        What the user called, for messages.
    function : callable
        The user's.
    examples : sequence of array_like, or nests
        Arguments like those that it will get.

    Raises
    ------
    CompileError
        If a part of it can't be compiled.
    DtypeError
        If an example is none of numbers.
    TapejitError
        If it assigns a variable, draws random numbers, or returns something that no kernel computes.
    """
    if not callable(function):
        raise TypeError(at_user_line(f"{caller} takes a function, got {type(function).__name__}"))
    title = identifier(name_of(function))
    leaves, tree = argument_leaves(tuple(examples), {})
    paths = argument_paths(tuple(examples), {}, tuple(_names(function, len(examples))))
    names = distinct([identifier(path) for path in paths])
    arrays = [_example(caller, path, leaf) for path, leaf in zip(paths, leaves, strict=True)]
    step = compiled(function, strict=True)
    if not isinstance(step, CompiledStep):
        raise CompileError(at_user_line(f"{caller}: {title} is a {type(function).__name__}; pass a function"))
    args, _ = unflatten(tree, arrays)
    found = step.traced_for(*args)
    executable = found.executable
    if not isinstance(executable, Executable):
        raise CompileError(
            at_user_line(f"{caller}: {title} has parts that run in Python: {executable.not_compiled[0]}")
        )
    _check_effects(caller, title, executable)
    for value in found.results.fixed():
        raise TapejitError(
            at_user_line(f"{caller}: {title} returns {value!r:.80}, which is not computed; return tensors only")
        )
    arguments = [Argument(name, array) for name, array in zip(names, arrays, strict=True)]
    return Function(title, arguments, found.results.paths(), found, executable)


def _check_effects(caller: str, title: str, executable: Executable) -> None:
    """Hold that nothing is left behind by a call."""
    layout = executable.kernel.layout
    for position in layout.updates:
        variable = executable.variables[position]
        name = variable.name or "a Variable"
        if name == "generator":
            raise TapejitError(
                at_user_line(
                    f"{caller}: {title} draws from a random Generator, whose state compiled code can't follow; pass "
                    "the random numbers as an argument"
                )
            )
        raise TapejitError(
            at_user_line(
                f"{caller}: {title} assigns {name}, which compiled code can't do; return the new value instead"
            )
        )


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """What the arguments are called; those of a layer are its `call`'s."""
    plain: list[str] = []
    for candidate in (function, getattr(function, "call", None)):
        try:
            parameters = signature(candidate).parameters.values() if candidate is not None else ()
        except (TypeError, ValueError):  # a built-in function without a signature
            continue
        kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        plain = plain or [each.name for each in parameters if each.kind in kinds]
    return [plain[place] if place < len(plain) else f"argument{place}" for place in range(count)]


def distinct(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Names of which no two are the same: later ones get a number."""
    found: list[str] = []
    for name in names:
        count, new = 1, name
        while new in found or new in taken:
            count += 1
            new = f"{name}_{count}"
        found.append(new)
    return found


def _example(caller: str, name: str, value: Any) -> np.ndarray:
    if isinstance(value, TensorSpec):
        return np.zeros(value.shape, value.dtype or floatx())
    if isinstance(value, (Tensor, Variable)):
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        got = f"an array of {array.dtype}" if array.shape else f"{value!r:.40}"
        raise DtypeError(at_user_line(f"{caller}: {name} must be an array of real numbers or a number, got {got}"))
    return array.astype(array.dtype.newbyteorder("="), copy=False)
