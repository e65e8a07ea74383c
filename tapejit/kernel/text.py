"""The lines of a kernel while it is being written: indentation, names that are taken, loops that are open."""

import builtins
import keyword
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ..passes.loops import Loop
from . import expressions as ex
from .runtime import NAMES
from .scalar_functions import known_functions

_INDENT = "    "
_LOOP_NAMES = "ijkmnp"
_RESERVED = {
    "table",
    "stage",
    "lo",
    "hi",
    "range",
    "min",
    "straight",
    "apart",
    "short",
    *NAMES,
    *ex.special_constants(),
}


def identifier(text: str) -> str:
    """`text` as a Python identifier."""
    cleaned = re.sub(r"\W+", "_", text).strip("_") or "value"
    if cleaned[0].isdigit() or keyword.iskeyword(cleaned):
        cleaned = "v_" + cleaned
    return cleaned


def is_in_use(name: str) -> bool:
    """Whether the text of kernels calls something by this name."""
    return name in _RESERVED or name in known_functions()


def is_reserved(name: str) -> bool:
    """Whether a name means something in all kernels."""
    return name in {*_RESERVED, "cast", "const"} or hasattr(builtins, name) or keyword.iskeyword(name)


class Text:
    """Lines of a function's body, and the names in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.loops: dict[int, str] = {}
        """The index variables of the open loops, by ``id(loop)``."""
        self.in_lanes = 0
        """How many of them run in lanes."""
        self._depth = 0
        self._taken = {*_RESERVED, *known_functions()}
        self._idle: dict[str, list[str]] = {}  # for each name of a loop's variable those that are not in use
        self._counts: dict[str, int] = {}  # for each name the largest number behind it, to begin the search there

    def fresh(self, wanted: str) -> str:
        """A name like `wanted` that nothing else has."""
        base = identifier(wanted)
        name, count = base, self._counts.get(base, 1)
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._counts[base] = count
        self._taken.add(name)
        return name

    def _index(self, wanted: str) -> str:
        """A name for the variable of a loop, which may have been that of an earlier one, but nothing else."""
        idle = self._idle.get(wanted)
        return idle.pop() if idle else self.fresh(wanted)

    def _free(self, name: str, wanted: str) -> None:
        """The variable of a loop may be used again after it, by loops: a value of that name could be a float."""
        self._idle.setdefault(wanted, []).append(name)

    def line(self, text: str) -> None:
        """One line at the current depth."""
        self.lines.append(_INDENT * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """A block behind a line that ends in a colon."""
        self.line(head)
        self._depth += 1
        begun = len(self.lines)
        yield
        if len(self.lines) == begun:
            self.line("pass")
        self._depth -= 1

    @contextmanager
    def loop(self, loop: Loop, bounds: str) -> Iterator[None]:
        """A loop over `bounds`, the arguments of ``range``."""
        wanted = _LOOP_NAMES[min(len(self.loops), 5)]
        variable = self.loops[id(loop)] = self._index(wanted)
        self.in_lanes += loop.lanes
        with self.block(f"for {variable} in {'lanes' if loop.lanes else 'range'}({bounds}):"):
            yield
        self.in_lanes -= loop.lanes
        del self.loops[id(loop)]
        self._free(variable, wanted)

    @contextmanager
    def loops_over(self, nests: Sequence[Sequence[Loop]]) -> Iterator[None]:
        """Nested loops that stand for the loops of several nests of equal lengths at once."""
        with ExitStack() as stack:
            for alike in zip(*nests, strict=True):
                first, *others = alike
                stack.enter_context(self.loop(first, str(first.extent)))
                for other in others:
                    self.loops[id(other)] = self.loops[id(first)]
            yield
        for nest in nests:
            for loop in nest:
                self.loops.pop(id(loop), None)

    @contextmanager
    def counting(self, wanted: str, bounds: str) -> Iterator[str]:
        """A loop over `bounds` that stands for no axis of the plan; gives the name of its variable."""
        variable = self._index(wanted)
        with self.block(f"for {variable} in range({bounds}):"):
            yield variable
        self._free(variable, wanted)


def indented(lines: list[str]) -> list[str]:
    """The lines one level deeper."""
    return [_INDENT + line for line in lines]
