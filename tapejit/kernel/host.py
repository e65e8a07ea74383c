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
_LIBRARY = "CS_GNU_LIBC_VERSION"


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
    return sys.platform, os.uname().machine, str(os.confstr(_LIBRARY)), *cpu.values()


def features() -> str:
    """Features of the CPU that kernels are built for, as LLVM spells them: ``"+avx2,+fma,…"``; maybe others too."""
    cpu = _cpu()
    if cpu is None or config.cpu() in config.X86_LEVELS:
        return str(door.targets().target_cpu()[1])
    return ",".join("+" + flag for flag in cpu["flags"].split())


@functools.cache
def _cpu() -> dict[str, str] | None:
    """What Linux tells of an x86 CPU, where the C library is GNU's; None elsewhere."""
    told = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes longer to import)
            for line in file:
                name, separator, text = line.partition(":")
                if not separator:  # the end of the first of many cores
                    break
                told[name.strip()] = text.strip()
    except (OSError, ValueError):
        return None
    found = {name: told[name] for name in _TOLD if name in told}
    return found if len(found) == len(_TOLD) and _LIBRARY in getattr(os, "confstr_names", ()) else None
