"""The table that `Module.summary` prints."""

from math import prod
from typing import Any

from ..variable import Variable
from .members import Part, members


def table(module: Any) -> str:
    """A line for each module in it that is the first of its kind to be asked: name, output, parameters."""
    rows = [("module", "output", "parameters")]
    inside = list(_inside(module, "", set()))
    if _own(module) or not inside:
        rows.append(_row(module, module.name, ""))
    rows += [_row(part, name, indent) for part, name, indent in inside]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    trained = sum(prod(variable.shape) for variable in module.trainable_variables)
    rule = "-" * len(lines[0])
    total = f"{module.count_params():,} parameters, {trained:,} of them trained"
    if any(_is_unbuilt(part) for part in (module, *module.submodules)):
        total += "; ? where weights are made at the first call"
    return "\n".join([f"{module.name} ({type(module).__name__})", lines[0], rule, *lines[1:], rule, total])


def _inside(module: Any, indent: str, seen: set[int]) -> Any:
    """The modules in a module with what to call them, each once, a module before those in it."""
    for path, thing in members(module):
        if isinstance(thing, Part) and id(thing) not in seen:
            seen.add(id(thing))
            found: Any = thing
            yield found, _shown(module, found, path), indent
            yield from _inside(found, indent + "  ", seen)


def _shown(module: Any, part: Any, path: str) -> str:
    """Its name; where it was given none, and its module does not number names, the attribute that holds it."""
    return part.name if part.named or hasattr(module, "get_layer") else path


def _row(module: Any, name: str, indent: str) -> tuple[str, str, str]:
    shape = getattr(module, "output_shape", None)
    shown = str(tuple(shape)).replace("None", "?") if isinstance(shape, tuple) else ""
    count = "?" if _is_unbuilt(module) else f"{sum(prod(variable.shape) for variable in _own(module)):,}"
    return f"{indent}{name} ({type(module).__name__})", shown, count


def _own(module: Any) -> list[Variable]:
    return [thing for _, thing in members(module) if isinstance(thing, Variable)]


def _is_unbuilt(module: Any) -> bool:
    return not module.built and module.makes_weights()
