"""From the source text of a kernel to machine code: the module that imports Numba.

Reached through `door` only. Numba reads the loops and branches of the text; its straight lines, and every name of
`runtime.NAMES`, are given to it as LLVM instructions (see `outline` and `instructions`), which costs no type
inference. What Numba hands over is LLVM's text, which `assembly.assemble` turns into machine code: Numba's caches,
wrappers and run time take no part. Start reading at `build`, at the end.
"""

# Numba's functions and decorators carry no types.
# mypy: disable-error-code="no-untyped-call,untyped-decorator,attr-defined"

import ast
import functools
import operator
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, compiler, errors, typed_passes, types, untyped_passes
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext
from numba.core.imputils import lower_builtin
from numba.core.typing.context import BaseContext
from numba.core.typing.templates import AbstractTemplate, Registry, builtin_registry, infer_global, signature
from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401 - they register

from ..config import emits_source
from ..dataclass import dataclass
from ..errors import CompileError
from ..forks import Rank, look_after
from . import assembly, lapack, runtime, sorting, user_code, winograd
from .hints import with_loop_hints
from .instructions import (
    FLOATS,
    I8,
    I32,
    I64,
    OPERATIONS,
    Operation,
    Value,
    call_function,
    convert,
    extreme,
    kind,
    own_function,
    philox_word,
    truth,
    type_of,
    variable,
    while_,
)
from .outline import STRAIGHT, Block, Outline, marked, outline
from .parallel import MARK, SHORT
from .routines import ROUTINES
from .scalar_functions import ScalarFunction, known_functions
from .straight import Call, TextError, literal
from .targets import target_cpu
from .terms import terms_of
from .tile_shape import target_of
from .tiles import dot
from .vectors import multiply_add

NUMBA = {name: types.boolean if name == "bool" else getattr(types, name) for name in runtime.DTYPES}
_DTYPE_OF = {numba_type: dtype for dtype, numba_type in NUMBA.items()}
_INTEGERS = {NUMBA[name] for name in runtime.DTYPES if kind(name) in "biu"}
_TABLE = types.CPointer(types.int64)
_NAME_OF: dict[Any, str] = {
    **_DTYPE_OF,
    **{types.CPointer(numba_type): f"{dtype}*" for numba_type, dtype in _DTYPE_OF.items()},
    types.none: "nothing",
}
_NAMED: dict[str, Any] = {name: numba_type for numba_type, name in _NAME_OF.items()}
look_after(Rank.CODE, global_compiler_lock._lock)  # noqa: SLF001 (Numba leaves it as it is in a forked process)
_NOTHING = ir.Constant(I8.as_pointer(), None)  # what Numba makes of None


# --- how Numba learns the names -----------------------------------------------------------------------------


class _Name:
    """What a name of the runtime stands for in the globals of a source that Numba compiles."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


# What a call has: the result's type, the arguments' types, lower(builder, *values).
Typed = tuple[Any, tuple[Any, ...], Callable[..., Value]]
Resolve = Callable[..., Typed]


def _register(name: str, resolve: Resolve) -> _Name:
    """Teach Numba a function: `resolve` types a call and says how it is lowered."""
    handle = _Name(name)
    lowerings: dict[Any, Callable[..., Value]] = {}

    def generic(_self: Any, given: tuple[Any, ...], _keywords: Mapping[str, Any]) -> Any:
        given = tuple(types.unliteral(argument) for argument in given)
        result, wanted, lower = resolve(*given)
        # Numba casts what is given to what is wanted; here that may only widen or narrow an integer.
        pairs = zip(given, wanted, strict=True) if len(given) == len(wanted) else [(None, types.int64)]
        if any(one != other and {one, other} - _INTEGERS for one, other in pairs):
            raise _wrong(name, given, f"takes ({', '.join(map(str, wanted))})")
        lowerings[wanted] = lower
        return signature(result, *wanted)

    template = type(f"Template_{name}", (AbstractTemplate,), {"key": handle, "generic": generic})
    infer_global(handle, types.Function(template))

    lower_builtin(handle, types.VarArg(types.Any))(lambda _, b, call, values: lowerings[call.args](b, *values))
    return handle


def _register_straight() -> _Name:
    """Teach Numba the calls of blocks; the first argument says which block of the text in `_Prepared.outlined`."""
    handle = _Name(STRAIGHT)

    def generic(_self: Any, given: tuple[Any, ...], _keywords: Mapping[str, Any]) -> Any:
        if not isinstance(given[0], types.IntegerLiteral):
            return None  # asked again with the number
        block = _prepared().block(given[0])
        written = [_NAMED[type_] for _, type_ in block.writes]
        result = written[0] if len(written) == 1 else types.BaseTuple.from_types(written) if written else types.none
        return signature(result, given[0], *[_NAMED[type_] for _, type_ in block.reads])

    def lower(context: CPUContext, b: ir.IRBuilder, call: Any, values: Any) -> Value:
        written = _prepared().block(call.args[0]).lower(b, *values[1:])
        if len(written) == 1:
            return written[0]
        return context.make_tuple(b, call.return_type, written) if written else _NOTHING

    members = {"key": handle, "generic": generic, "prefer_literal": True}
    infer_global(handle, types.Function(type("Template_straight", (AbstractTemplate,), members)))
    lower_builtin(handle, types.VarArg(types.Any))(lower)
    return handle


def _wrong(name: str, arguments: tuple[Any, ...], wants: str) -> Exception:
    given = ", ".join(str(argument) for argument in arguments)
    return errors.TypingError(f"{name}({given}): {wants}")


def _resolve_operation(name: str, operation: Operation) -> Resolve:
    def resolve(*given: Any) -> Typed:
        if len(given) != operation.arity or len(set(given)) != 1:
            raise _wrong(name, given, f"takes {operation.arity} operands of one dtype")
        dtype = _DTYPE_OF.get(given[0])
        if dtype is None or kind(dtype) not in operation.kinds:
            raise _wrong(name, given, f"takes dtypes of the kinds {operation.kinds!r}")
        return NUMBA[operation.result or dtype], given, lambda b, *values: operation.lower(b, dtype, *values)

    return resolve


def _resolve_cast(target: str) -> Resolve:
    def resolve(x: Any) -> Typed:
        return NUMBA[target], (x,), lambda b, value: convert(b, _DTYPE_OF[x], target, value)

    return resolve


def _resolve_select(condition: Any, chosen: Any, other: Any) -> Typed:
    if condition != types.boolean or chosen != other:
        raise _wrong("select", (condition, chosen, other), "takes a boolean and two operands of one dtype")
    return chosen, (condition, chosen, other), lambda b, flag, left, right: b.select(flag, left, right)


def _resolve_multiply_add(*given: Any) -> Typed:
    if len(given) != 3 or len(set(given)) != 1 or kind(_DTYPE_OF.get(given[0], "bool")) != "f":
        raise _wrong("multiply_add", given, "takes three floats of one dtype")
    fma = target_of(target_cpu()[1]).fma
    return given[0], given, lambda b, x, y, total: multiply_add(b, _DTYPE_OF[given[0]], x, y, total, fma)


def _resolve_combine(name: str) -> Resolve:
    """`runtime.combine_pairwise` as instructions: rows at distance 1, 2, 4, … are joined in pairs."""

    def resolve(pointer: Any, *_sizes: Any) -> Typed:
        prefix = "f" if kind(_DTYPE_OF[pointer.dtype]) == "f" else ""

        def lower(b: ir.IRBuilder, partials: Value, blocks: Value, width: Value) -> Value:
            slot = variable(b, I64(1))

            def level() -> None:
                step = b.load(slot)
                double = b.shl(step, I64(1))
                pairs = b.udiv(b.sub(b.add(blocks, step), I64(1)), double)  # (blocks - step) / double, upwards
                with cgutils.for_range(b, pairs) as pair, cgutils.for_range(b, width) as lane:
                    left = b.add(b.mul(b.mul(pair.index, double), width), lane.index)
                    right = b.add(left, b.mul(step, width))
                    target = b.gep(partials, [left])
                    both = b.load(target), b.load(b.gep(partials, [right]))
                    b.store(getattr(b, prefix + name)(*both), target)
                b.store(double, slot)

            while_(b, lambda: b.icmp_signed("<", b.load(slot), blocks), level)
            return _NOTHING

        return types.none, (pointer, types.int64, types.int64), lower

    return resolve


def _resolve_mark(parallel: list[ir.Block]) -> Resolve:
    def lower(b: ir.IRBuilder) -> Value:
        parallel.append(b.block)
        return _NOTHING

    return _fixed(types.none, (), lower)


def _fixed(result: Any, wanted: tuple[Any, ...], lower: Callable[..., Value]) -> Resolve:
    return lambda *_given: (result, wanted, lower)


def _at(dtype: str) -> Resolve:
    memory = (I8 if dtype == "bool" else type_of(dtype)).as_pointer()

    def lower(b: ir.IRBuilder, table: Value, slot: Value) -> Value:
        return b.inttoptr(b.load(b.gep(table, [slot])), memory)

    return _fixed(types.CPointer(NUMBA[dtype]), (_TABLE, types.int64), lower)


def _span(b: ir.IRBuilder, stage: Value, index: Value, lo: Value, hi: Value, n: Value) -> Value:
    every, mine = b.icmp_signed("==", stage, I64(runtime.RUN_ALL)), b.icmp_signed("==", stage, index)
    first = b.select(every, I64(0), b.select(mine, lo, I64(0)))
    last = b.select(every, n, b.select(mine, hi, I64(0)))
    return cgutils.pack_array(b, [first, last])


def _status(b: ir.IRBuilder, table: Value, slot: Value, code: Value, detail: Value) -> Value:
    b.store(detail, b.gep(table, [slot]))
    return code


def _gemm(dtype: str) -> Resolve:
    scalar, matrix = type_of(dtype), type_of(dtype).as_pointer()
    parameters = [I32] * 6 + [scalar, matrix, I32, matrix, I32, scalar, matrix, I32]
    cblas = ir.FunctionType(ir.VoidType(), parameters).as_pointer()

    def lower(b: ir.IRBuilder, address: Value, *values: Value) -> Value:
        trans_a, trans_b, m, n, k, a, lda, right, ldb, c, ldc = (
            b.trunc(value, I32) if value.type == I64 else value for value in values
        )
        # CblasRowMajor; CblasNoTrans, CblasTrans
        flags = [b.add(flag, I32(111)) for flag in (trans_a, trans_b)]
        arguments = [I32(101), *flags, m, n, k, scalar(1), a, lda, right, ldb, scalar(0), c, ldc]
        b.call(b.inttoptr(address, cblas), arguments)
        return _NOTHING

    number, pointer = types.int64, types.CPointer(NUMBA[dtype])
    return _fixed(types.none, (*[number] * 6, pointer, number, pointer, number, pointer, number), lower)


def _dot(dtype: str) -> Resolve:
    def lower(b: ir.IRBuilder, x: Value, x_first: Value, x_step: Value, *others: Value) -> Value:
        y, y_first, *rest = others
        terms = terms_of([literal(value) for value in (x_step, *rest)])
        return dot(b, dtype, terms, b.gep(x, [x_first]), b.gep(y, [y_first]), target_of(target_cpu()[1]))

    number, pointer = types.int64, types.CPointer(NUMBA[dtype])
    wanted = (pointer, number, number, pointer, number, number, number)
    return lambda *given: (NUMBA[dtype], (*wanted, *[number] * (len(given) - len(wanted))), lower)


def _resolve_routine(name: str, dtype: str) -> Resolve:
    """A routine for whole rows or matrices, as a function of the kernel's own."""

    def lower(b: ir.IRBuilder, *values: Value) -> Value:
        if name in winograd.ROUTINES:
            return winograd.ROUTINES[name](b, dtype, target_of(target_cpu()[1]), *values)
        write = {**lapack.ROUTINES, **sorting.ROUTINES}[name]
        return own_function(b, f"{name}_{dtype}", values, lambda inner, *given: write(inner, dtype, *given))

    return lambda *given: (types.int64, given, lower)


def _resolve_user(function: ScalarFunction, linked: dict[str, str], failures: list[CompileError]) -> Resolve:
    """A function of the user's; its LLVM module is `linked`, unless it can't be made."""

    def resolve(*given: Any) -> Typed:
        if len(given) != len(function.inputs) or len(set(given)) != 1 or given[0] not in _DTYPE_OF:
            raise _wrong(function.name, given, f"takes {len(function.inputs)} operands of one dtype")
        dtypes = tuple(_DTYPE_OF[each] for each in given)
        result = dtypes[0] if function.result is None else function.result.name
        try:
            text, symbol = user_code.compiled(function, dtypes, result)
        except CompileError as error:
            failures.append(error)
            raise
        linked[symbol] = text
        return NUMBA[result], given, lambda b, *values: call_function(b, symbol, type_of(result), *values)

    return resolve


def _register_boolean_cells() -> None:
    """Numba reads a pointer to booleans as bytes; make it one bit in a register, as elsewhere."""
    cells = types.CPointer(types.boolean)

    def read(_context: Any, b: ir.IRBuilder, _called: Any, values: Any) -> Value:
        return truth(b, "uint8", b.load(b.gep(values[0], [values[1]])))

    def write(_context: Any, b: ir.IRBuilder, called: Any, values: Any) -> None:
        value = truth(b, _DTYPE_OF[called.args[2]], values[2])
        b.store(b.zext(value, I8), b.gep(values[0], [values[1]]))

    lower_builtin(operator.getitem, cells, types.Integer)(read)
    lower_builtin(operator.setitem, cells, types.Integer, types.Any)(write)


def _register_division() -> None:
    """Numba's division has a branch for zero, which does nothing here but cut the body of a loop in two."""

    def divide(_context: Any, b: ir.IRBuilder, _called: Any, values: Any) -> Value:
        return b.fdiv(*values)

    for dtype in FLOATS:
        lower_builtin(operator.truediv, NUMBA[dtype], NUMBA[dtype])(divide)


@functools.cache
def _operators() -> Registry:
    """One registry: Numba asks at each compilation, and would add everything in another one again."""
    chosen = Registry()
    chosen.functions = [one for one in builtin_registry.functions if not hasattr(one, "_overload_func")]
    chosen.globals = builtin_registry.globals
    return chosen


class _Types(BaseContext):
    """Numba's typing of operators, loops and tuples; its overloads would load all that it knows of NumPy."""

    def _load_builtins(self) -> None:
        self.install_registry(_operators())


class _Target(CPUContext):
    """Numba's instructions for the same, without its run time."""

    def _nothing(self, *_more: Any) -> None:
        pass

    load_additional_registries = post_lowering = _nothing


@dataclass(slots=True)
class _Prepared:
    """What all builds share: Numba's two contexts, what is known of functions, the globals of a source for Numba."""

    typing: BaseContext
    target: CPUContext
    resolvers: Mapping[str, Resolve]
    names: Mapping[str, object]
    parallel: list[ir.Block]  # of what is being built: the bodies of loops whose iterations don't meet in memory
    short: list[ir.Block]  # and of short ones that sum up
    outlined: Outline | None = None  # what is being built
    linked: dict[str, str] = field(default_factory=dict)  # what it calls of the user's: LLVM modules
    handles: dict[str, _Name] = field(default_factory=dict)  # what Numba knows of the user's functions
    failures: list[CompileError] = field(default_factory=list)  # of these, which Numba would hide

    def resolver(self, name: str) -> Resolve | None:
        """What is known of a function."""
        function = known_functions().get(name)
        return self.resolvers.get(name) if function is None else _resolve_user(function, self.linked, self.failures)

    def names_in(self, text: ast.Module) -> Mapping[str, object]:
        """The globals of a text: of the user's functions those that Numba will meet."""
        for tree in ast.walk(text):
            if isinstance(tree, ast.Name) and tree.id in known_functions() and tree.id not in self.handles:
                resolve = self.resolver(tree.id)
                assert resolve is not None
                self.handles[tree.id] = _register(tree.id, resolve)
                self.typing.refresh()
                self.target.refresh()
        return {**self.names, **self.handles}

    def resolve(self, name: str, *given: str) -> Call:
        """As `straight.Resolve`: a call in terms of dtype names."""
        resolver = self.resolver(name)
        if resolver is None:
            raise TextError(f"{name} is no function of kernels")
        try:
            result, wanted, lower = resolver(*[_NAMED[type_] for type_ in given])
        except errors.TypingError as error:
            raise TextError(str(error)) from error
        return _NAME_OF[result], tuple(_NAME_OF[one] for one in wanted), lower

    def block(self, number: types.IntegerLiteral) -> Block:
        """A block of what is being built."""
        assert self.outlined is not None
        return self.outlined.blocks[number.literal_value]


@functools.cache
def _prepared() -> _Prepared:
    """Register everything, once."""
    resolvers: dict[str, Resolve] = {
        "select": _resolve_select,
        "shifted": lambda at, _: (at, (at, types.int64), lambda b, base, by: b.gep(base, [by])),
        "span": _fixed(types.UniTuple(types.int64, 2), (types.int64,) * 5, _span),
        "status": _fixed(types.int64, (_TABLE, *[types.int64] * 3), _status),
        "min": _fixed(types.int64, (types.int64,) * 2, lambda b, *two: extreme("minimum")(b, "int64", *two)),
        "max": _fixed(types.int64, (types.int64,) * 2, lambda b, *two: extreme("maximum")(b, "int64", *two)),
        "philox_word": _fixed(types.uint64, (types.uint64, types.uint64, types.int64, types.int64), philox_word),
        "multiply_add": _resolve_multiply_add,
        "combine_pairwise": _resolve_combine("add"),
        "combine_pairwise_product": _resolve_combine("mul"),
        **{f"gemm_{dtype}": _gemm(dtype) for dtype in FLOATS},
        **{f"dot_{dtype}": _dot(dtype) for dtype in FLOATS},
        **{
            f"{name}_{dtype}": _resolve_routine(name, dtype)
            for name, routine in ROUTINES.items()
            for dtype in runtime.DTYPES
            if kind(dtype) in routine.kinds
        },
        **{name: _resolve_operation(name, operation) for name, operation in OPERATIONS.items()},
        **{f"{dtype}_at": _at(dtype) for dtype in runtime.DTYPES},
        **{dtype if dtype != "bool" else "bool_": _resolve_cast(dtype) for dtype in runtime.DTYPES},
    }
    parallel: list[ir.Block] = []
    short: list[ir.Block] = []
    resolvers[MARK], resolvers[SHORT] = _resolve_mark(parallel), _resolve_mark(short)
    names: dict[str, object] = {name: _register(name, resolve) for name, resolve in resolvers.items()}
    names |= {STRAIGHT: _register_straight(), "OK": runtime.OK, "RUN_ALL": runtime.RUN_ALL, "lanes": range}
    _register_boolean_cells()
    _register_division()
    typing = _Types()
    target = _Target(typing)
    target.refresh()
    return _Prepared(typing, target, resolvers, names, parallel, short)


# --- from source to machine code ----------------------------------------------------------------------------


class _Text(CPUCodeLibrary):
    """Keeps the LLVM modules that Numba hands over, instead of compiling them."""

    modules: list[ir.Module]

    def add_ir_module(self, ir_module: ir.Module) -> None:
        self.modules.append(ir_module)


class _Compiler(compiler.CompilerBase):
    """Numba's pipeline without what kernels never contain: closures, `with`, arrays, literals."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("tapejit")
        for room, names in (
            (untyped_passes, "TranslateByteCode FixupArgs IRProcessing ReconstructSSA"),
            (typed_passes, "NopythonTypeInference PreLowerStripPhis IRLegalization NativeLowering"),
        ):
            for name in names.split():
                passes.add_pass(getattr(room, name), name)
        passes.finalize()
        return [passes]


def build(
    source: str,
    name: str,
    symbol: str,
    constants: Mapping[str, np.generic],
    fixed: Iterable[int] = (),
    finish: Callable[[list[str], str, str, float], Any] = assembly.assemble,
) -> Any:
    """Compile one kernel.

    Parameters
    ----------
    source : str
        Text that defines ``name(table, stage, lo, hi)``; it may use `runtime.NAMES` and `constants`.
    name : str
        The function's name in the text.
    symbol : str
        Its name in the object file, a C identifier.
    constants : mapping of str to NumPy scalar
        Further globals of the text. A literal in the text would cost more compile time.
    fixed : iterable of int
        Table slots of arrays that do not change while the kernel runs: constant tables.
    finish : callable
        What becomes of the LLVM modules, with the parameters of `assembly.assemble`.

    Returns
    -------
    assembly.BuiltObject
        Or what `finish` gives.

    Raises
    ------
    straight.TextError, numba.core.errors.NumbaError
        The text is not a kernel; the message shows the line.
    CompileError
        If a function of the user's can't be a part of it.
    UnknownSymbol
        The kernel calls something that is not allowed.
    """
    started = time.perf_counter()
    with global_compiler_lock:
        prepared = _prepared()
        prepared.parallel.clear()
        prepared.short.clear()
        prepared.linked.clear()
        prepared.failures.clear()
        text = marked(source)
        if not emits_source():
            prepared.outlined = outline(text, prepared.resolve, constants, frozenset(fixed))
        function = runtime.define(source, name, prepared.names_in(text), constants, text)
        flags: Any = compiler.Flags()
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_compile = True
        flags.error_model = "numpy"
        library = _Text(prepared.target.codegen(), name)
        library.modules = []
        number, given = types.int64, (_TABLE, types.int64, types.int64, types.int64)
        try:
            made = compiler.compile_extra(
                prepared.typing, prepared.target, function, given, number, flags, {}, library=library,
                pipeline_class=_Compiler,
            )  # fmt: skip
        except errors.NumbaError:
            if prepared.failures:
                raise prepared.failures[0] from None
            raise
        finally:
            prepared.outlined = None
        written = [with_loop_hints(module, prepared.parallel, prepared.short) for module in library.modules]
        texts = [*map(cgutils.normalize_ir_text, written), *prepared.linked.values()]
        return finish(texts, symbol, made.fndesc.llvm_func_name, started)
