"""From LLVM's text to one object file: linked, optimised, the functions of `mathlib` written in.

Imported where kernels are built only; what loads them is in `objects`. Start reading at `assemble`.
"""

import functools
import itertools
import time
from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite.binding.newpassmanagers import NewPassManager

from ..dataclass import dataclass
from .mathlib import linking
from .objects import ALLOWED_SYMBOLS, UnknownSymbol, undefined_symbols
from .targets import target_machine


@dataclass(frozen=True, slots=True)
class BuiltObject:
    """One compiled kernel, not loaded yet.

    Attributes
    ----------
    code : bytes
        A relocatable object file (ELF, Mach-O or COFF).
    symbols : tuple of str
        Its undefined symbols, sorted.
    seconds : float
        How long the build took, from source to object file.
    assembly, llvm_text : callable
        Give the assembly and the optimised LLVM text, for tests and for people.
    """

    code: bytes
    symbols: tuple[str, ...]
    seconds: float
    assembly: Callable[[], str]
    llvm_text: Callable[[], str]


_ENTRY = """
define i64 @{symbol}(ptr noalias %table, i64 %stage, i64 %lo, i64 %hi) {{
  %result = alloca i64
  %trouble = alloca ptr
  %failed = call i32 @"{body}"(ptr %result, ptr %trouble, ptr %table, i64 %stage, i64 %lo, i64 %hi)
  %fine = icmp eq i32 %failed, 0
  %status = load i64, ptr %result
  %answer = select i1 %fine, i64 %status, i64 {fault}
  ret i64 %answer
}}
declare i32 @"{body}"(ptr, ptr, ptr, i64, i64, i64)
"""
FAULT = -(2**63)
"""The status of a kernel that failed by Numba's own convention, which no kernel does: it raises nothing."""


def assemble(texts: list[str], symbol: str, body: str, started: float) -> BuiltObject:
    """Link, optimise and compile LLVM modules, for this CPU, to one object file.

    Parameters
    ----------
    texts : list of str
        LLVM modules as text; one of them defines `body`.
    symbol : str
        The C function to make, ``int64 symbol(int64 *table, int64 stage, int64 lo, int64 hi)``; nothing else
        stays visible. Only its own slots are reached through the table.
    body : str
        What it calls, by Numba's convention: the result's and the error's address come first, it returns 0.
    started : float
        When the build began, by `time.perf_counter`.

    Returns
    -------
    BuiltObject

    Raises
    ------
    UnknownSymbol
        The code refers to something that is not in `ALLOWED_SYMBOLS`.
    """
    return _emitted(_compiler()[0], optimised(texts, symbol, body), symbol, started)


def optimised(texts: list[str], symbol: str, body: str) -> llvm.ModuleRef:
    """Link and optimise LLVM modules to one; parameters as for `assemble`, which makes machine code of it."""
    machine, passes = _compiler()
    called = set().union(*map(linking.symbols_in, texts))
    entry = _ENTRY.format(symbol=symbol, body=body, fault=FAULT)
    module = llvm.parse_assembly(entry + linking.declarations(called))
    for text in texts:
        module.link_in(llvm.parse_assembly(text))
    module.verify()
    _hide(module, symbol)
    module.get_function(body).add_function_attribute("alwaysinline")
    module.data_layout = str(machine.target_data)
    _run(passes.getModulePassManager(), module, passes)
    if called:
        _write_in_functions(module, symbol, passes)
    return module


def assemble_whole(text: str, symbol: str) -> BuiltObject:
    """Optimise and compile an LLVM module that defines the C function `symbol` itself.

    Parameters
    ----------
    text : str
        The module.
    symbol : str
        The function, of a kernel's type.

    Returns
    -------
    BuiltObject

    Raises
    ------
    UnknownSymbol
        As for `assemble`.
    """
    started = time.perf_counter()
    machine, passes = _compiler()
    module = llvm.parse_assembly(text)
    module.verify()
    module.data_layout = str(machine.target_data)
    _run(passes.getModulePassManager(), module, passes)
    return _emitted(machine, module, symbol, started)


def optimised_alone(text: str, symbol: str) -> str:
    """An LLVM module of which nothing is left but the function `symbol` and what that needs, as text."""
    machine, passes = _compiler()
    module = llvm.parse_assembly(text)
    module.verify()
    _hide(module, symbol)
    module.data_layout = str(machine.target_data)
    _run(passes.getModulePassManager(), module, passes)
    manager = llvm.create_new_module_pass_manager()
    manager.add_global_dead_code_eliminate_pass()
    manager.add_strip_dead_prototype_pass()
    _run(manager, module, passes)
    return str(module)


def _emitted(machine: llvm.TargetMachine, module: llvm.ModuleRef, symbol: str, started: float) -> BuiltObject:
    """Machine code, with its undefined symbols checked."""
    code: bytes = machine.emit_object(module)
    symbols = undefined_symbols(code)
    foreign = [name for name in symbols if name not in ALLOWED_SYMBOLS]
    if foreign:
        raise UnknownSymbol(f"kernel {symbol!r} refers to {', '.join(foreign)}, which a kernel may not call")
    seconds = time.perf_counter() - started

    def assembly() -> str:
        return str(machine.emit_assembly(module))

    return BuiltObject(code, symbols, seconds, assembly, lambda: str(module))


@functools.cache
def _compiler() -> tuple[llvm.TargetMachine, llvm.PassBuilder]:
    """The machine and the passes of all kernels: others for each would leave 2 kB behind. Only one thread builds."""
    machine = target_machine()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.loop_interleaving = tuning.loop_unrolling = True
    tuning.slp_vectorization = True
    return machine, llvm.create_pass_builder(machine, tuning)


def _run(manager: llvm.ModulePassManager, module: llvm.ModuleRef, passes: llvm.PassBuilder) -> None:
    manager.run(module, passes)
    # In llvmlite 0.50 a manager inherits a `_dispose` that does nothing before the one that frees its 80 kB.
    dispose = getattr(NewPassManager, "_dispose", None)
    if dispose is not None and type(manager)._dispose is llvm.ffi.ObjectRef._dispose:  # noqa: SLF001
        dispose(manager)


def _hide(module: llvm.ModuleRef, symbol: str) -> None:
    """Make everything but the entry internal: it is inlined or dropped, so the object holds one function."""
    for defined in itertools.chain(module.functions, module.global_variables):
        if not defined.is_declaration and defined.name not in {symbol, linking.KEPT}:
            defined.linkage = "internal"


def _write_in_functions(module: llvm.ModuleRef, symbol: str, passes: llvm.PassBuilder) -> None:
    """Give the scalar and vector functions that optimised code calls their bodies."""
    kept = module.get_global_variable(linking.KEPT)
    kept.name, kept.linkage = "declared", "internal"  # now what is not called may go
    manager = llvm.create_new_module_pass_manager()
    manager.add_global_dead_code_eliminate_pass()
    manager.add_strip_dead_prototype_pass()
    _run(manager, module, passes)
    bodies = linking.definitions(function.name for function in module.functions)
    calls = str(module).count(f"@{linking.PREFIX}") if bodies else 0
    for text in bodies.values():
        module.link_in(llvm.parse_assembly(text))
    for name in bodies:
        if calls <= linking.INLINED:
            module.get_function(name).add_function_attribute("alwaysinline")
    _hide(module, symbol)
    manager = llvm.create_new_module_pass_manager()
    manager.add_always_inliner_pass()
    manager.add_instruction_combine_pass()
    manager.add_simplify_cfg_pass()
    manager.add_aggressive_dce_pass()
    manager.add_global_dead_code_eliminate_pass()
    _run(manager, module, passes)
