"""What machine code is made for, and LLVM's own loader of it.

Imports llvmlite's binding and not Numba. Reached through `door` where no kernel is built. Start reading at
`target_machine`.
"""

import functools
import itertools
import platform
import sys
import threading

import llvmlite.binding as llvm

from .. import config
from ..forks import Rank, lock, look_after
from . import door

_ENGINES = itertools.count()
_LOADING = lock(Rank.CODE, threading.Lock)
look_after(Rank.LLVM, llvm.ffi.lib._lock._lock)  # noqa: SLF001 (llvmlite leaves it as it is in a forked process)


@functools.cache
def host_cpu() -> tuple[str, str]:
    """Name and features of this CPU, as LLVM spells them.

    Returns
    -------
    name, features : str
        For example ``("znver5", "+avx2,+avx512f,…")``; the features are sorted.
    """
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@functools.cache
def target_cpu() -> tuple[str, str]:
    """Name and features of the CPU that kernels are built for: this one, unless ``TAPEJIT_CPU`` names a level.

    Raises
    ------
    ValueError
        If this CPU does not have all of the level.
    """
    level = config.cpu()
    name, features = host_cpu()
    if level not in config.X86_LEVELS:
        return name, features
    wanted = [f"+{feature}" for feature in config.X86_LEVELS[level]]
    missing = [feature[1:] for feature in wanted if feature not in features.split(",")]
    if missing:
        raise ValueError(f"TAPEJIT_CPU is {level}, but this CPU has no {', '.join(missing)}")
    return level, ",".join(sorted(wanted))


def platform_triple() -> str:
    """Architecture, operating system and C library, as LLVM spells them."""
    return str(llvm.get_process_triple())


@functools.cache
def _initialised() -> bool:
    """Prepare LLVM for this CPU, and make the C library's mathematics visible to it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    try:
        # Where nearly everyone has it; to look for it takes longer than to load a kernel.
        llvm.load_library_permanently({"linux": "libm.so.6", "darwin": "libm.dylib"}.get(sys.platform, "m"))
    except RuntimeError:
        library = door.find_library("m")
        if library is not None:
            llvm.load_library_permanently(library)
    return True


def target_machine(*, position_independent: bool = False) -> llvm.TargetMachine:
    """LLVM's code generator for the CPU that kernels are built for: for this process, or for linkers."""
    _initialised()
    name, features = target_cpu()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    if position_independent:
        return target.create_target_machine(cpu=name, features=features, opt=3, reloc="pic", codemodel="default")
    # The relocation model is what LLVM's in-process loader supports on x86; elsewhere its default does.
    x86 = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686"}
    reloc = "static" if x86 else "default"
    return target.create_target_machine(
        cpu=name, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def has_symbol(name: str) -> bool:
    """Whether this process has a function that machine code refers to.

    To be asked before the code is loaded: LLVM does not fail on a missing symbol, the first call crashes.
    """
    _initialised()
    return bool(llvm.address_of_symbol(name))


def engine_with(code: bytes) -> llvm.ExecutionEngine:
    """An object file in memory; the engine holds it, and knows the addresses of its functions."""
    with _LOADING:
        empty = llvm.parse_assembly(f'source_filename = "tapejit{next(_ENGINES)}"')
        # LLVM's own memory manager may place code and data too far apart for aarch64's relocations
        # (numba issue 9001), llvmlite's doesn't.
        near = platform.machine().lower() in {"aarch64", "arm64"}
        engine = llvm.create_mcjit_compiler(empty, target_machine(), use_lmm=near)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine
