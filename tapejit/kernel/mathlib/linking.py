"""How LLVM learns the functions of this room, in two steps.

While a kernel is optimised its functions are only declared, so that bodies stay small and LLVM's vectoriser sees one
call. An attribute of the declaration names the function that does the same for a vector, as for any library of vector
functions. When the loops are what they will be, the functions that are still called are written, for just the widths
that are called, and the calls are replaced by them. Start reading at `declarations`, then `definitions`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from llvmlite import ir

from ..targets import target_cpu
from .functions import FUNCTIONS
from .lanes import Lanes, intrinsic, suffix_of, widened

WIDTHS = (2, 4, 8, 16)
"""Lanes of the vectors that LLVM may ask for."""

INLINED = 64
"""A kernel with more calls than this keeps them as calls: its code would take longer to compile than to run."""

PREFIX = "tapejit_math_"
_SYMBOL = re.compile(rf"{PREFIX}(\w+?)_(?:v(\d+))?(f32|f64)")
KEPT = "llvm.compiler.used"
"""The variable that keeps declarations in a module until they are called."""

_ELEMENTS: Mapping[str, tuple[str, ir.Type]] = {"f32": ("float", ir.FloatType()), "f64": ("double", ir.DoubleType())}
_PURE = "nounwind willreturn memory(none)"


def call(b: ir.IRBuilder, name: str, *operands: Any) -> Any:
    """A call of the function `name`, for scalars or vectors of one type."""
    type_ = operands[0].type
    return intrinsic(b, f"{PREFIX}{name}_{suffix_of(type_)}", type_, *operands)


def is_vectorised(symbol: str) -> bool:
    """Whether a function has forms for vectors."""
    return symbol.startswith(PREFIX)


class _Form(NamedTuple):
    """One function for one element and so many lanes."""

    name: str
    lanes: int
    suffix: str


def _parsed(symbol: str) -> _Form | None:
    """What a symbol of this room stands for; None for others."""
    found = _SYMBOL.fullmatch(symbol)
    return _Form(found[1], int(found[2] or 1), found[3]) if found else None


def symbols_in(text: str) -> set[str]:
    """The functions of this room that a text of LLVM's names."""
    return {found[0] for found in _SYMBOL.finditer(text)}


def declarations(symbols: Iterable[str]) -> str:
    """LLVM text that declares functions, with what stands for each of them in vectors.

    Parameters
    ----------
    symbols : iterable of str
        Names of functions, as from `symbols_in`; each is declared in all its forms.
    """
    lines: list[str] = []
    kept: list[str] = []
    forms = {(parsed.name, parsed.suffix) for symbol in symbols if (parsed := _parsed(symbol))}
    for number, (name, suffix) in enumerate(sorted(forms)):
        element, arity = _ELEMENTS[suffix][0], FUNCTIONS[name].arity
        symbol = f"{PREFIX}{name}_{suffix}"
        variants = {lanes: f"{PREFIX}{name}_v{lanes}{suffix}" for lanes in WIDTHS}
        for lanes, variant in variants.items():
            vector = f"<{lanes} x {element}>"
            lines.append(f"declare {vector} @{variant}({', '.join([vector] * arity)}) {_PURE}")
        kept += variants.values()
        stands_for = ",".join(
            f"_ZGV_LLVM_N{lanes}{'v' * arity}_{symbol}({variant})" for lanes, variant in variants.items()
        )
        lines.append(f"declare {element} @{symbol}({', '.join([element] * arity)}) #{number}")
        lines.append(f'attributes #{number} = {{ {_PURE} "vector-function-abi-variant"="{stands_for}" }}')
    if kept:  # else LLVM drops what nobody calls yet
        entries = ", ".join(f"ptr @{symbol}" for symbol in kept)
        lines.append(f'@{KEPT} = appending global [{len(kept)} x ptr] [{entries}], section "llvm.metadata"')
    return "\n".join(lines)


@functools.cache
def _written(symbol: str, _cpu: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    """The LLVM text of one function for a CPU, and the names of those that it calls."""
    parsed = _parsed(symbol)
    assert parsed is not None
    function = FUNCTIONS[parsed.name]
    type_ = widened(_ELEMENTS[parsed.suffix][1], parsed.lanes)
    module = ir.Module()
    written = ir.Function(module, ir.FunctionType(type_, [type_] * function.arity), symbol)
    b = ir.IRBuilder(written.append_basic_block())
    b.ret(function.write(*(Lanes(b, argument) for argument in written.args)).value)
    return str(module), tuple(other.name for other in module.functions if other is not written)


def definitions(symbols: Iterable[str]) -> dict[str, str]:
    """LLVM text of functions, and of those that they call, by symbol; one module each."""
    found: dict[str, str] = {}
    wanted = [symbol for symbol in symbols if _parsed(symbol)]
    while wanted:
        symbol = wanted.pop()
        if symbol not in found:
            found[symbol], called = _written(symbol, target_cpu())
            wanted += [other for other in called if _parsed(other)]
    return found
