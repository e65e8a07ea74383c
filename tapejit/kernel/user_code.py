"""Scalar functions of the user's as LLVM modules, made by Numba with all that it knows.

Imported by `build` only, which links the modules into kernels. A function must leave nothing but its result: what might
raise, or calls anything of Python's or of Numba's run time, is refused. Start reading at `compiled`.
"""

# Numba's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import functools
import re
from typing import Any

import numba
from numba.core import compiler, cpu, errors, types
from numba.core.registry import cpu_target

from ..errors import CompileError
from . import assembly
from .instructions import kind
from .mathlib import linking
from .mathlib.functions import FUNCTIONS
from .objects import ALLOWED_SYMBOLS
from .scalar_functions import ScalarFunction

PREFIX = "tapejit_user_"

_SCALARS = {
    str(getattr(types, name)): name
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
} | {"bool": "bool"}
_LLVM = {"float32": "float", "float64": "double"}
_INSTRUCTIONS = ("sqrt", "floor", "ceil", "fabs", "trunc")


def compiled(function: ScalarFunction, dtypes: tuple[str, ...], result: str) -> tuple[str, str]:
    """An LLVM module of a function, and its name there.

    Parameters
    ----------
    function : ScalarFunction
        What to compile.
    dtypes : tuple of str
        Of its operands.
    result : str
        The dtype of its result.

    Returns
    -------
    tuple of str
        The module's text, which defines the name as a function of scalars and needs nothing but `ALLOWED_SYMBOLS`.

    Raises
    ------
    CompileError
        If Numba does not take the function, or it does more than compute a number.
    """
    made = _attempted(function, dtypes, result)
    if isinstance(made, CompileError):
        raise made
    return made


@functools.cache
def _attempted(function: ScalarFunction, dtypes: tuple[str, ...], result: str) -> tuple[str, str] | CompileError:
    try:
        return _compiled(function, dtypes, result)
    except CompileError as error:  # the next attempt would end in the same way
        return error


def _compiled(function: ScalarFunction, dtypes: tuple[str, ...], result: str) -> tuple[str, str]:
    made = _compiled_by_numba(function, dtypes)
    returned = _SCALARS.get(str(made.signature.return_type), "")
    if not returned or not _holds(result, returned):
        raise _refused(function, dtypes, f"returns {made.signature.return_type}, where {result} is wanted")
    symbol = f"{PREFIX}{function.digest[:24]}_{'_'.join(dtypes)}_{result}"
    body = made.fndesc.llvm_func_name
    text = _with_own_functions(assembly.optimised_alone(made.library.get_llvm_str(), body))
    foreign = [name for name in _declared(text) if not name.startswith(("llvm.", linking.PREFIX))]
    foreign = [name for name in foreign if name not in ALLOWED_SYMBOLS]
    if foreign:
        raise _refused(function, dtypes, f"calls {', '.join(foreign)}, which a kernel may not")
    if re.search(r"ret i32 (?!0\b)", text):  # its status, by Numba's convention
        raise _refused(
            function, dtypes, "may raise an exception or return None, which a kernel can't: return nan instead"
        )
    return f"{text}\n{_entry(symbol, body, dtypes, returned, result)}", symbol


def _compiled_by_numba(function: ScalarFunction, dtypes: tuple[str, ...]) -> Any:
    for nested in function.nested:
        if not hasattr(nested.function, "py_func"):
            options = {**nested.options, "error_model": "numpy"}
            options.pop("nopython", None)
            nested.replace(numba.njit(**options)(nested.function))
    flags: Any = compiler.Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    if function.options.get("fastmath"):
        flags.fastmath = cpu.FastMathOptions(function.options["fastmath"])
    given = tuple(types.boolean if name == "bool" else getattr(types, name) for name in dtypes)
    try:
        return compiler.compile_extra(
            cpu_target.typing_context, cpu_target.target_context, function.frozen, given, None, flags, {}
        )
    except errors.NumbaError as error:
        raise _refused(function, dtypes, f"is not compiled by Numba:\n{error}") from None


def _refused(function: ScalarFunction, dtypes: tuple[str, ...], why: str) -> CompileError:
    return CompileError(f"primitive: {function.name}({', '.join(dtypes)}) ({function.place}) {why}")


def _holds(result: str, returned: str) -> bool:
    """Whether a result may be converted: to another precision, but to no other kind."""
    if kind(result) in "iu":
        return kind(returned) in "iub"
    return kind(result) == kind(returned) or kind(result) == "f"


def _type(dtype: str) -> str:
    if dtype == "bool":
        return "i1"
    return _LLVM.get(dtype) or f"i{re.sub(r'[a-z]', '', dtype)}"


def _entry(symbol: str, body: str, dtypes: tuple[str, ...], returned: str, result: str) -> str:
    """A function of scalars around one by Numba's convention, which never fails."""
    memory = "i8" if returned == "bool" else _type(returned)
    parameters = ", ".join(f"{_type(dtype)} %x{number}" for number, dtype in enumerate(dtypes))
    lines = [
        f"define {_type(result)} @{symbol}({parameters}) alwaysinline {{",
        f"  %place = alloca {memory}",
        f'  %status = call i32 @"{body}"(ptr %place, ptr null, {parameters})',
        f"  %loaded = load {memory}, ptr %place",
        *_converted(returned, result, memory),
        f"  ret {_type(result)} %result",
        "}",
    ]
    return "\n".join(lines)


def _converted(returned: str, result: str, memory: str) -> list[str]:
    """Lines that make ``%result`` of ``%loaded``."""
    target = _type(result)
    if returned == "bool":
        truth = "%result" if result == "bool" else "%truth"
        lines = [f"  {truth} = icmp ne i8 %loaded, 0"]
        if result != "bool":
            how = "uitofp" if kind(result) == "f" else "zext"
            lines.append(f"  %result = {how} i1 %truth to {target}")
        return lines
    if memory == target:
        return [f"  %result = bitcast {target} %loaded to {target}"]
    if kind(result) == "f":
        own = {"i": "sitofp", "u": "uitofp"}
        wide = "fptrunc" if result == "float32" else "fpext"
        return [f"  %result = {own.get(kind(returned), wide)} {memory} %loaded to {target}"]
    narrower = int(target[1:]) < int(memory[1:])
    how = "trunc" if narrower else "sext" if kind(returned) == "i" else "zext"
    return [f"  %result = {how} {memory} %loaded to {target}"]


def _declared(text: str) -> list[str]:
    return re.findall(r'^declare .*?@"?([^"(]+)"?\(', text, re.MULTILINE)


def _with_own_functions(text: str) -> str:
    """A module that calls this room's functions for the C library's, as these have forms for vectors."""
    renamed = {name: own for name in _declared(text) if (own := _own_name(name)) is not None}
    lines: list[str] = []
    declared: set[str] = set()
    for line in text.splitlines():
        new = re.sub(r"@([A-Za-z_][\w.]*)\(", lambda found: f"@{renamed.get(found[1], found[1])}(", line)
        if new.startswith("declare "):
            name = _declared(new)[0]
            if name in declared:
                continue
            declared.add(name)
        lines.append(new)
    return "\n".join(lines)


def _own_name(name: str) -> str | None:
    """What takes the place of a function of the C library."""
    plain = {"numba_gamma": "tgamma", "numba_gammaf": "tgammaf"}.get(name, name.removeprefix("numba_"))
    if (found := re.fullmatch(r"llvm\.(\w+)\.f(32|64)", name)) is not None:
        base, bits = found[1], int(found[2])
    elif plain not in ALLOWED_SYMBOLS:
        return None
    elif plain.endswith("f") and plain[:-1] in ALLOWED_SYMBOLS:
        base, bits = plain[:-1], 32
    else:
        base, bits = plain, 64
    if base == "tgamma":
        return plain
    if base in _INSTRUCTIONS:
        return f"llvm.{base}.f{bits}"
    own = {"pow": "power"}.get(base, base)
    return f"{linking.PREFIX}{own}_f{bits}" if own in FUNCTIONS else None
