"""`export`: functions of tapejit's, with their gradients, as object files and headers for C and C++ programs."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..errors import at_user_line, name_of
from ..graph import Input
from ..kernel import door, objects
from ..kernel.kernels import source_of
from ..kernel.memory import ALIGNMENT, side_by_side
from ..kernel.messages import Message, pieces_of, shown
from .c_header import Declared, Header, c_identifier, header
from .tracing import Function, distinct, traced

STACK_BYTES = 1 << 16
"""A larger workspace is the caller's."""

_OBJECTS = (".o", ".obj")
_SUFFIXES = (*_OBJECTS, ".h")
_LIBRARIES = (".a", ".dll", ".dylib", ".lib", ".so")


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote.

    Attributes
    ----------
    object, header : Path
        The files.
    name : str
        Of the C function.
    needs : tuple of str
        The functions outside of the object that it calls: the C library's mathematics, and BLAS and LAPACK by their
        standard names.
    workspace : int
        How many bytes the caller has to pass; 0 for none.
    """

    object: Path
    header: Path
    name: str
    needs: tuple[str, ...]
    workspace: int


def export(
    function: Callable[..., Any],
    /,
    *examples: Any,
    path: str | os.PathLike[str],
    name: str | None = None,
    results: Sequence[str] | None = None,
    blas: bool = False,
) -> Exported:
    """Compile a function to an object file with a C header, which need neither Python nor tapejit.

    Parameters
    ----------
    function : callable
        Written with tapejit's operations, such as ``tj.value_and_grad(f)``, a compiled step or a layer.
    *examples : array_like, TensorSpec, or nests of them
        Arguments like those that it will get: of their shapes and dtypes; Python floats stand for float64 numbers, ints
        for int64. Each array is a pointer in C, each number is passed by value, a nest is as many parameters as it has
        leaves.
    path : path_like
        Where the files go: ``"build/posterior"``, or ``"build/posterior.o"``, makes ``build/posterior.o`` and
        ``build/posterior.h``.
    name : str, optional
        What the C function is called; by default as the files.
    results : sequence of str, optional
        What the parameters that results are written to are called, nests flattened; by default after their places in
        the nest that the function returns: keys, fields, or ``result_0``, ``result_1``.
    blas : bool
        Whether the object calls BLAS and LAPACK (with 32-bit integers, such as OpenBLAS) for `tapejit.linalg` and for
        products of matrices larger than 512 × 512, instead of bringing functions of its own for them.

    Returns
    -------
    Exported
        The paths, and which functions of other libraries the object calls.

    Raises
    ------
    CompileError
        If a part of the function can't be compiled; it names the operation and your line.
    DtypeError
        If an example is none of numbers.
    TapejitError
        If the function assigns a variable or draws random numbers.
    ValueError
        If a name is none in C, `results` has not as many as there are, or `path` is that of a library.
    OSError
        If a file can't be written.

    Notes
    -----
    The C function takes the arguments, then for each result where to write it, and returns a status: 0, or which check
    failed; ``NAME_message(status)`` puts that into words, with the index. It allocates nothing, and any number of
    threads may be in it. Its workspace is on the stack; one of more than 64 KiB is a last parameter,
    ``NAME_WORKSPACE`` bytes of the caller's that no other call uses meanwhile.

    What the function captures is in the object as constants with the values of now: arrays, Python numbers, Variables.
    Pass as an argument what shall vary. The code is position-independent, for executables and shared libraries. It is
    for this CPU; with ``TAPEJIT_CPU=x86-64-v3`` in the environment, for all of that level. Programs are linked with
    ``-lm`` alone; with `blas` also with the library of which it calls functions, which `Exported.needs` and the header
    name: ``-lopenblas``. That is faster where matrices are large.

    Examples
    --------
    >>> import tempfile
    >>> def bowl(x, center):
    ...     return tj.sum((x - center) ** 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = tj.export(
    ...         tj.value_and_grad(bowl), np.zeros(3), 0.0, path=f"{folder}/bowl", results=("value", "gradient")
    ...     )
    ...     text = made.header.read_text()
    >>> print(text[text.index("int bowl") : text.index(");") + 2])
    int bowl(
        const double *x,  /* float64[3] */
        double center,    /* float64 */
        double *value,    /* out: float64 */
        double *gradient  /* out: float64[3] */
    );
    """
    object_path, header_path = _paths(path)
    chosen = _function_name(name, header_path.stem)
    found = traced("export", function, examples)
    declared = _declared(found, results)
    files = door.object_files()
    _, size = side_by_side([count for _, count in found.memory()])
    workspace = size + ALIGNMENT if size > STACK_BYTES else 0
    on_stack = 0 if workspace else size
    statuses = _statuses(chosen, found, given=workspace > 0)
    libraries = sorted({slot.name for slot in found.layout.slots if slot.kind == "library"})
    bundled = () if blas else libraries
    entry = _entry(found, chosen, declared, [message for _, message in statuses], workspace > 0, bundled)
    made = files.object_file(source_of(found.traced.graph, found.title, found.traced.names), entry)
    texts = [(status, shown(message)) for status, message in statuses]
    told = Header(
        chosen,
        name_of(function),
        made.target,
        declared,
        workspace,
        on_stack,
        texts,
        _frozen(found),
        libraries if blas else (),
    )
    object_path.write_bytes(made.code)
    header_path.write_text(header(told), encoding="utf-8")
    return Exported(object_path, header_path, chosen, made.needs, workspace)


def _paths(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The object file and the header."""
    given = Path(path)
    if given.is_dir() or not given.name:
        raise IsADirectoryError(at_user_line(f"export: {given} is a folder; add the name of the files"))
    if not given.parent.is_dir():
        raise FileNotFoundError(at_user_line(f"export: there is no folder {given.parent}"))
    if given.suffix in _LIBRARIES:
        raise ValueError(
            at_user_line(
                f"export writes an object file and a header, not {given.name}; cc -shared or ar makes a library of it"
            )
        )
    suffix = given.suffix if given.suffix in _SUFFIXES else ""
    stem = given.name.removesuffix(suffix)
    return given.with_name(stem + (suffix if suffix in _OBJECTS else ".o")), given.with_name(f"{stem}.h")


def _function_name(name: str | None, stem: str) -> str:
    """What the C function is called."""
    chosen = c_identifier(stem) if name is None else name
    if name is not None and c_identifier(name) != name:
        raise ValueError(at_user_line(f"export: {name!r} is no name for a function in C"))
    if chosen in objects.ALLOWED_SYMBOLS or chosen == "main":
        raise ValueError(at_user_line(f"export: C programs have a function {chosen} already; pass another name="))
    return chosen


def _declared(found: Function, results: Sequence[str] | None) -> list[Declared]:
    """The parameters: arguments, then results."""
    outputs = found.layout.outputs
    if results is not None:
        if isinstance(results, str) or len(results) != len(outputs):
            raise ValueError(
                at_user_line(f"export: {found.title} has {len(outputs)} results, for which results={results!r}")
            )
        wrong = [each for each in results if c_identifier(each) != each]
        if wrong:
            raise ValueError(at_user_line(f"export: results: {wrong[0]!r} is no name for a parameter in C"))
    given = [c_identifier(each.name) for each in found.arguments]
    returned = list(results) if results is not None else map(c_identifier, found.result_names())
    names = distinct([*given, *returned], taken=("workspace",))
    arguments = [
        Declared(name, each.example.dtype.name, each.example.shape, is_result=False)
        for name, each in zip(names, found.arguments, strict=False)
    ]
    return arguments + [
        Declared(name, dtype, tuple(shape), is_result=True)
        for name, (shape, dtype) in zip(names[len(given) :], outputs, strict=True)
    ]


def _statuses(name: str, found: Function, *, given: bool) -> list[tuple[str, Message]]:
    """Names of statuses from 0 on, and what they say."""
    failures = found.layout.failures
    codes = distinct([f"{each.operation} {each.fault or 'index'}" for each in failures])
    upper = name.upper()
    statuses: list[tuple[str, Message]] = [(f"{upper}_OK", ("OK",))]
    statuses += [
        (f"{upper}_{c_identifier(code).upper()}", pieces_of(each)) for code, each in zip(codes, failures, strict=True)
    ]
    if given:
        statuses.append((f"{upper}_NO_WORKSPACE", ("the workspace is NULL",)))
    return statuses


def _entry(
    found: Function,
    name: str,
    declared: Sequence[Declared],
    messages: Sequence[Message],
    given: bool,
    bundled: Sequence[str],
) -> Any:
    """How C calls the kernel."""
    files, slots = door.object_files(), found.layout.slots
    count = len(found.arguments)
    places = [found.place("argument", number) for number in range(count)]
    places += [found.place("output", number) for number in range(len(declared) - count)]
    parameters = [
        files.Parameter(each.dtype, each.by_value, place) for each, place in zip(declared, places, strict=True)
    ]
    constants = {}
    for index, slot in enumerate(slots):
        array = found.executable.contents(slot)
        if array is not None:
            constants[index] = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()
    libraries = {index: slot.name for index, slot in enumerate(slots) if slot.kind == "library"}
    memory = found.memory()
    return files.Entry(
        name, len(slots), parameters, constants, libraries, bundled, memory, given, found.details(), messages
    )


def _frozen(found: Function) -> list[str]:
    """What the user calls the things that are in the object as constants."""
    named = [
        text
        for node, text in found.traced.names.items()
        if isinstance(node.op, Input) and node.op.kind in ("capture", "variable", "number")
    ]
    return sorted(set(named))
