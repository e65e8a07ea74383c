"""Whose file is it? The user's, the library's own, or an installed package's."""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import CodeType

__all__ = ["Origin", "Origins"]

#: What somebody types is theirs, even if it runs in a module's namespace as the examples in docstrings do.
_TYPED = ("<doctest", "<ipython", "<stdin", "<input", "<console", "<cell")

#: The guards' own frames are never the user's, whatever the library says.
_HERE = str(Path(__file__).parent) + os.sep


class Origin(Enum):
    """Where code comes from."""

    USER = "user"
    LIBRARY = "library"
    INSTALLED = "installed"


class Origins:
    """Classifies code by its file name, with a memory.

    Installed means: below one of *this interpreter's* directories for the standard library and for packages,
    as `sysconfig` and `site` name them. A folder of the user's that is merely called ``site-packages`` or
    ``lib`` is not.

    Parameters
    ----------
    is_library : callable
        Says of a file name whether the library that records owns it.
    """

    def __init__(self, is_library: Callable[[str], bool]) -> None:
        self._is_library = is_library
        self._known: dict[str, Origin] = {}
        self._installed = _installed_directories()

    def of_code(self, code: CodeType, namespace: Mapping[str, object]) -> Origin:
        """Return where `code` comes from.

        Code that a program generates (``<string>``) belongs to the module whose globals it runs in.
        """
        name = code.co_filename
        if name.startswith("<frozen"):
            return Origin.INSTALLED
        if name.startswith("<") and not name.startswith(_TYPED):
            name = str(namespace.get("__file__") or name)
        return self.of_file(name)

    def of_file(self, name: str) -> Origin:
        """Return where a file comes from."""
        origin = self._known.get(name)
        if origin is None:
            origin = self._known[name] = self._classify(name)
        return origin

    def _classify(self, name: str) -> Origin:
        if name.startswith(_HERE) or self._is_library(name):
            return Origin.LIBRARY
        if name.startswith("<"):
            return Origin.USER
        spellings = {str(Path(name).absolute()), os.path.realpath(name)}
        inside = any(path.startswith(self._installed) for path in spellings)
        return Origin.INSTALLED if inside else Origin.USER


def _installed_directories() -> tuple[str, ...]:
    """Return the interpreter's directories of installed code, each with a separator at its end."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [sysconfig.get_path(name) for name in names]
    # A virtual environment made by old tools replaces `site` by a module without these functions.
    if hasattr(site, "getsitepackages"):
        found += [*site.getsitepackages(), site.getusersitepackages()]
    spelled = {spelling for path in found if path for spelling in (str(Path(path).absolute()), os.path.realpath(path))}
    return tuple(sorted(spelling.rstrip(os.sep) + os.sep for spelling in spelled))
