"""The machine, as far as machine code depends on it: told without LLVM where Linux tells enough.

Start reading at `description`.
"""

import functools
import os
import sys

from .. import config
from . import door

_TOLD = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
"""What the name and the features that LLVM finds out follow from."""


def description() -> tuple[str, ...]:
    """Platform, C library, and the CPU that kernels are built for; equal where LLVM makes equal code.

    Raises
    ------
    ValueError
        If ``TAPEJIT_CPU`` names a level that this CPU does not have.
    """
    cpu = _cpu()
    if cpu is None or config.cpu() in config.X86_LEVELS:
        targets = door.targets()
        return targets.platform_triple(), *targets.target_cpu()
    return sys.platform, os.uname().machine, str(os.confstr("CS_GNU_LIBC_VERSION")), *cpu.values()


def features() -> str:
    """Features of the CPU that kernels are built for, as LLVM spells them: ``"+avx2,+fma,…"``; maybe others too."""
    cpu = _cpu()
    if cpu is None or config.cpu() in config.X86_LEVELS:
        return str(door.targets().target_cpu()[1])
    return ",".join("+" + flag for flag in cpu["flags"].split())


@functools.cache
def _cpu() -> dict[str, str] | None:
    """What Linux tells of an x86 CPU; None elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes longer to import)
            lines = iter(file.readline, "\n")  # of the first of many cores
            told = dict(line.split("\t", 1) for line in lines if "\t" in line)
    except OSError:
        return None
    found = {name: text.strip("\t :\n") for name, text in told.items() if name in _TOLD}
    return found if len(found) == len(_TOLD) and hasattr(os, "confstr") else None
