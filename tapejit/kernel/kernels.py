"""From a prepared graph to a loaded kernel: in memory, from the store, or built now.

Kernels are shared by all steps with the same graph signature. What a kernel reads like does not depend on where it came
from: its text is made from the plan again when someone asks.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..config import emits_source
from ..dataclass import dataclass
from ..errors import CompileError, TapejitError, warn
from ..forks import Rank, lock
from ..graph import Graph, Node, graph_signature
from . import door, objects
from .keys import make_key, source_is_known
from .layout import Layout
from .store import KernelStore

if TYPE_CHECKING:
    from .emission import Emitted


@dataclass(slots=True, weakref_slot=True, eq=False)
class Kernel:
    """Machine code and how to call it.

    Attributes
    ----------
    loaded : LoadedKernel
        The C function.
    layout : Layout
        Of its table.
    from_cache : bool
        Whether the code came from the store.
    compile_seconds, load_seconds : float
        What it cost in this process.
    """

    loaded: Any
    layout: Layout
    from_cache: bool
    compile_seconds: float
    load_seconds: float


@dataclass(slots=True)
class _Kernels:
    """The kernels of this process by graph signature, as long as a step has a use for them."""

    known: WeakValueDictionary[str, Kernel] = field(default_factory=WeakValueDictionary)
    lock: Any = field(default_factory=lambda: lock(Rank.CODE, threading.Lock))
    compilations: int = 0


_KERNELS = _Kernels()

_ENTRANCE = "tapejit_entrance"


@cache
def store() -> KernelStore:
    """The store of this process."""
    return KernelStore()


def compilations() -> int:
    """How many kernels this process has built."""
    return _KERNELS.compilations


def kernel_for(graph: Graph, name: str, names: Mapping[Node, str], cache: bool) -> Kernel:
    """The kernel of a prepared graph.

    Parameters
    ----------
    graph : Graph
        Prepared.
    name : str
        The user's name of the step, for the text.
    names : mapping of Node to str
        The user's names of values, for the text.
    cache : bool
        Whether the store on disk is used.

    Raises
    ------
    passes.split.NotLowerableError
        If the graph has an operation that kernels can't hold.
    """
    # What the readable source was compiled to is another kernel, though it computes the same.
    signature = graph_signature(graph) + ("-source" if emits_source() else "")
    kernel = _KERNELS.known.get(signature)  # without waiting for what another thread builds
    if kernel is not None:
        return kernel
    with _KERNELS.lock:
        kernel = _KERNELS.known.get(signature)
        if kernel is None:
            cache = cache and source_is_known()
            kernel = (_found(signature, graph) if cache else None) or _built(signature, graph, name, names, cache)
            _KERNELS.known[signature] = kernel
    return kernel


@cache
def entrance() -> Any:
    """The machine code that goes through plans, see `plans`: one `LoadedKernel` for all kernels."""
    return stored(_ENTRANCE, _ENTRANCE, lambda: door.entrance().build(_ENTRANCE))


def source_of(graph: Graph, name: str, names: Mapping[Node, str]) -> "Emitted":
    """The text of a graph's kernel in a user's names."""
    return door.emission().of_graph(graph, name, names)  # type: ignore[no-any-return]


def _found(signature: str, graph: Graph) -> Kernel | None:
    started = time.perf_counter()
    entry = store().get(make_key(signature, store()))
    if entry is None:
        return None
    header = entry.header
    try:
        layout = Layout.from_json(header["layout"])
        layout.check(graph)
        loaded = objects.load(entry.code, header["symbol"], tuple(header["symbols"]))
    # What is not the work of this version may be anything.
    except (TapejitError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        warn(f"a stored kernel can't be used and is compiled again: {error}")
        return None
    return Kernel(loaded, layout, True, 0.0, time.perf_counter() - started)


def _built(signature: str, graph: Graph, name: str, names: Mapping[Node, str], cache: bool) -> Kernel:
    started = time.perf_counter()
    symbol = f"tapejit_{signature[:24]}"
    try:
        with without_collections():
            emitted = source_of(graph, name, names)
            built = door.builder().build(
                emitted.source, emitted.name, symbol, emitted.constants, emitted.layout.fixed_slots()
            )
    except CompileError:  # a function of the user's is at fault
        raise
    except Exception as error:  # whatever the planner, Numba or LLVM raise, the step can still run eagerly
        raise CompileError(f"its kernel could not be built, which is a defect of tapejit: {error}") from error
    _KERNELS.compilations += 1
    compiled = time.perf_counter() - started
    if cache:
        header = {"symbol": symbol, "symbols": list(built.symbols), "layout": emitted.layout.to_json(), "name": name}
        store().put(make_key(signature, store()), header, built.code)
    loaded = objects.load(built.code, symbol, built.symbols)
    return Kernel(loaded, emitted.layout, False, compiled, loaded.seconds)


def machine_code(text: str, symbol: str) -> Any:
    """A C function of the package's own, of a kernel's type: from the store, or made now, without Numba.

    Parameters
    ----------
    text : str
        An LLVM module.
    symbol : str
        The function that it defines.

    Returns
    -------
    LoadedKernel
        Another one at each call.
    """
    return stored(text, symbol, lambda: door.assembler().assemble_whole(text, symbol))


def stored(signature: str, symbol: str, build: Callable[[], Any]) -> Any:
    """A function that is no step's kernel, loaded: from the store, or built now and kept there.

    Parameters
    ----------
    signature : str
        All that its code depends on, besides this package.
    symbol : str
        The function.
    build : callable
        Makes it, an `assembly.BuiltObject`.

    Returns
    -------
    LoadedKernel
    """
    with _KERNELS.lock:  # only one thread builds
        key = make_key(signature, store()) if source_is_known() else None
        entry = store().get(key) if key is not None else None
        if entry is not None:
            try:
                return objects.load(entry.code, symbol, tuple(entry.header["symbols"]))
            except (TapejitError, LookupError, TypeError, ValueError, RuntimeError) as error:
                warn(f"a stored kernel can't be used and is compiled again: {error}")
        built = build()
        if key is not None:
            header = {"symbol": symbol, "symbols": list(built.symbols), "layout": {}, "name": symbol}
            store().put(key, header, built.code)
        return objects.load(built.code, symbol, built.symbols)


@contextmanager
def without_collections() -> Iterator[None]:
    """Pause the garbage collector: it would walk all that Numba holds, while a build drops what it makes by itself."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
