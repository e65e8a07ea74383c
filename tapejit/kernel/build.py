"""From the source text of a kernel to machine code: the only module that imports Numba.

Reached through `door` only. Numba reads the loops, branches and plain arithmetic of the text; every name of
`runtime.NAMES` is given to it as LLVM instructions, which costs no type inference. What Numba hands over is
LLVM's text, which `objects.assemble` turns into machine code: Numba's caches, wrappers and run time take no
part. Start reading at `build`, at the end; the instructions of each name come first.
"""

# Numba's functions and decorators carry no types.
# mypy: disable-error-code="no-untyped-call,untyped-decorator,attr-defined"

import functools
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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

from . import objects, runtime

Value = Any  # an `ir.Value`
Lower = Callable[..., Value]  # (builder, dtype of the operands, *operands) -> result

NUMBA = {name: types.boolean if name == "bool" else getattr(types, name) for name in runtime.DTYPES}
_DTYPE_OF = {numba_type: dtype for dtype, numba_type in NUMBA.items()}
_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_FLOATS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_INTEGERS = {NUMBA[name] for name in runtime.DTYPES if np.dtype(name).kind in "biu"}
_TABLE = types.CPointer(types.int64)
_NOTHING = ir.Constant(_I8.as_pointer(), None)  # what Numba makes of None


def _kind(dtype: str) -> str:
    return np.dtype(dtype).kind


def _type(dtype: str) -> ir.Type:
    """The LLVM type of a scalar in a register; a boolean is one bit there and one byte in memory."""
    return _FLOATS.get(dtype) or ir.IntType(1 if dtype == "bool" else 8 * np.dtype(dtype).itemsize)


def _number(dtype: str, value: float) -> Value:
    return ir.Constant(_type(dtype), value)


def _function(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: Value) -> Value:
    known = ir.FunctionType(result, [argument.type for argument in arguments])
    return b.call(cgutils.get_or_insert_function(b.module, known, name), arguments)


def _intrinsic(name: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, *arguments: Value) -> Value:
        return _function(b, f"llvm.{name}.f{8 * np.dtype(dtype).itemsize}", _type(dtype), *arguments)

    return lower


# --- what a name means: LLVM instructions -------------------------------------------------------------------


def _from_float(b: ir.IRBuilder, source: str, target: str, x: Value) -> Value:
    wide = 64 if target in {"uint32", "int64", "uint64"} else 32
    name = f"i{wide}.f{8 * np.dtype(source).itemsize}"
    result = _function(b, f"llvm.fptosi.sat.{name}", ir.IntType(wide), x)
    if target == "uint64":
        large = _function(b, f"llvm.fptoui.sat.{name}", _I64, x)
        return b.select(b.fcmp_ordered("<", x, _number(source, 2.0**63)), result, large)
    return b.trunc(result, _type(target))


def convert(b: ir.IRBuilder, source: str, target: str, x: Value) -> Value:
    """Instructions that cast a scalar of dtype `source` to `target`, as `runtime` does."""
    old, new, to = _kind(source), _kind(target), _type(target)
    if target == "bool":
        return truth(b, source, x)
    if old == "f":
        if new != "f":
            return _from_float(b, source, target, x)
        return b.fpext(x, to) if target == "float64" else b.fptrunc(x, to)
    if new == "f":
        return b.sitofp(x, to) if old == "i" else b.uitofp(x, to)
    if x.type.width >= to.width:
        return b.trunc(x, to)
    return b.sext(x, to) if old == "i" else b.zext(x, to)


def truth(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    """Instructions for ``x != 0``; NaN is true."""
    if dtype == "bool":
        return x
    zero = _number(dtype, 0)
    return b.fcmp_unordered("!=", x, zero) if _kind(dtype) == "f" else b.icmp_unsigned("!=", x, zero)


def _less(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    compare = {"f": b.fcmp_ordered, "i": b.icmp_signed}.get(_kind(dtype), b.icmp_unsigned)
    return compare("<", x, y)


def _absolute(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    if _kind(dtype) == "f":
        return _intrinsic("fabs")(b, dtype, x)
    return b.select(_less(b, dtype, x, _number(dtype, 0)), b.neg(x), x)


def _sign(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    zero, one = _number(dtype, 0), _number(dtype, 1)
    # 0 has the sign +0 whatever its own, and NaN stays.
    rest = b.select(b.fcmp_ordered("==", x, zero), zero, x) if _kind(dtype) == "f" else zero
    below = b.select(_less(b, dtype, x, zero), _number(dtype, -1), rest)
    return b.select(_less(b, dtype, zero, x), one, below)


def _extreme(name: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
        if _kind(dtype) == "f":
            return _intrinsic(name)(b, dtype, x, y)
        return b.select(_less(b, dtype, *((y, x) if name == "maximum" else (x, y))), x, y)

    return lower


def _sigmoid(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    one = _number(dtype, 1)
    small = _intrinsic("exp")(b, dtype, b.fneg(_intrinsic("fabs")(b, dtype, x)))
    return b.fdiv(b.select(b.fcmp_ordered(">=", x, _number(dtype, 0)), one, small), b.fadd(one, small))


def _softplus(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    small = _intrinsic("exp")(b, dtype, b.fneg(_intrinsic("fabs")(b, dtype, x)))
    return b.fadd(_intrinsic("maximum")(b, dtype, x, _number(dtype, 0)), _libm("log1p")(b, dtype, small))


def _libm(name: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, *arguments: Value) -> Value:
        result = _function(b, name + ("f" if dtype == "float32" else ""), _type(dtype), *arguments)
        result.callee.attributes.add("readnone")  # nobody reads errno: calls may be moved and merged
        result.callee.attributes.add("nounwind")
        return result

    return lower


def _float_divmod(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> tuple[Value, Value]:
    """NumPy's ``npy_divmod``: the remainder has the divisor's sign, the quotient is rounded to an integer."""
    zero, one = _number(dtype, 0), _number(dtype, 1)
    rest = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, rest), y)
    nonzero = truth(b, dtype, rest)
    moved = b.and_(nonzero, b.xor(_less(b, dtype, y, zero), _less(b, dtype, rest, zero)))
    unmoved = b.select(nonzero, rest, _intrinsic("copysign")(b, dtype, zero, y))
    modulus = b.select(moved, b.fadd(rest, y), unmoved)
    quotient = b.select(moved, b.fsub(quotient, one), quotient)
    floor = _intrinsic("floor")(b, dtype, quotient)
    floor = b.select(_less(b, dtype, _number(dtype, 0.5), b.fsub(quotient, floor)), b.fadd(floor, one), floor)
    plain = b.fdiv(x, y)
    floor = b.select(truth(b, dtype, quotient), floor, _intrinsic("copysign")(b, dtype, zero, plain))
    # By zero: x / 0 (inf or NaN) and NaN.
    defined = truth(b, dtype, y)
    return b.select(defined, floor, plain), b.select(defined, modulus, rest)


def _integer_divmod(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> tuple[Value, Value]:
    """Floored division; by zero both results are 0, the smallest integer by -1 wraps."""
    zero, one = _number(dtype, 0), _number(dtype, 1)
    signed = _kind(dtype) == "i"
    by_zero = b.icmp_unsigned("==", y, zero)
    negates = b.icmp_signed("==", y, _number(dtype, -1)) if signed else _I1(0)
    safe = b.select(b.or_(by_zero, negates), one, y)
    quotient, rest = (b.sdiv(x, safe), b.srem(x, safe)) if signed else (b.udiv(x, safe), b.urem(x, safe))
    moved = b.and_(b.icmp_unsigned("!=", rest, zero), _less(b, dtype, b.xor(rest, y), zero))
    quotient = b.select(negates, b.neg(x), b.select(moved, b.sub(quotient, one), quotient))
    rest = b.select(moved, b.add(rest, y), rest)
    return b.select(by_zero, zero, quotient), b.select(by_zero, zero, rest)


def _divmod(part: int) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
        return (_float_divmod if _kind(dtype) == "f" else _integer_divmod)(b, dtype, x, y)[part]

    return lower


def _power(b: ir.IRBuilder, dtype: str, x: Value, exponent: Value) -> Value:
    if _kind(dtype) == "f":
        return _intrinsic("pow")(b, dtype, x, exponent)
    one, zero = _number(dtype, 1), _number(dtype, 0)
    slots = [cgutils.alloca_once_value(b, start) for start in (one, x, exponent)]

    def step() -> None:
        result, square, left = (b.load(slot) for slot in slots)
        b.store(b.select(b.trunc(left, _I1), b.mul(result, square), result), slots[0])
        b.store(b.mul(square, square), slots[1])
        b.store(b.lshr(left, one), slots[2])

    _while(b, lambda: b.icmp_unsigned("!=", b.load(slots[2]), zero), step)
    result = b.load(slots[0])
    # The powers of 1 and -1 are the same upwards and downwards.
    unit = b.icmp_unsigned("==", _absolute(b, dtype, x), one)
    return b.select(b.or_(unit, b.not_(_less(b, dtype, exponent, zero))), result, zero)


def _while(b: ir.IRBuilder, condition: Callable[[], Value], body: Callable[[], None]) -> None:
    test, inside, after = (b.append_basic_block(name) for name in ("while", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    b.cbranch(condition(), inside, after)
    b.position_at_end(inside)
    body()
    b.branch(test)
    b.position_at_end(after)


def _accumulate(name: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, accumulator: Value, x: Value) -> Value:
        if _kind(dtype) != "f":
            return {"add": b.add, "mul": b.mul}[name](accumulator, x)
        if name == "add" and isinstance(x, ir.Instruction) and x.opname == "fmul":
            # A product that feeds the sum may be fused into it; its other users lack the flag.
            x.flags[:] = ["contract"]
        # `nsz` lets the lanes start at zero: a sum of -0.0 alone may become 0.0.
        return {"add": b.fadd, "mul": b.fmul}[name](accumulator, x, flags=("reassoc", "nsz", "contract"))

    return lower


class Operation(NamedTuple):
    """One scalar function; ``lower(builder, dtype, *operands)`` emits it and returns the result."""

    arity: int  # operands, all of one dtype
    kinds: str  # the kinds of dtypes that it takes, by NumPy's letters
    lower: Lower
    result: str | None = None  # the result's dtype; None for that of the operands


def _size(how: str) -> Lower:
    return lambda b, dtype, x: b.fcmp_ordered(how, _absolute(b, dtype, x), _number(dtype, np.inf))


def _logical(name: str) -> Lower:
    return lambda b, dtype, *operands: getattr(b, name)(*(truth(b, dtype, x) for x in operands))


_INTRINSICS = "exp log sqrt sin cos tan tanh sinh cosh asin acos atan floor ceil rint"
OPERATIONS: Mapping[str, Operation] = {
    **{name: Operation(1, "f", _intrinsic(name)) for name in _INTRINSICS.split()},
    **{name: Operation(1, "f", _libm(name)) for name in ("expm1", "log1p", "erf")},
    "atan2": Operation(2, "f", _intrinsic("atan2")),
    "fmod": Operation(2, "f", lambda b, _, x, y: b.frem(x, y)),
    "sigmoid": Operation(1, "f", _sigmoid),
    "softplus": Operation(1, "f", _softplus),
    "power": Operation(2, "iuf", _power),
    "absolute": Operation(1, "biuf", _absolute),
    "sign": Operation(1, "iuf", _sign),
    "maximum": Operation(2, "biuf", _extreme("maximum")),
    "minimum": Operation(2, "biuf", _extreme("minimum")),
    "floor_divide": Operation(2, "iuf", _divmod(0)),
    "remainder": Operation(2, "iuf", _divmod(1)),
    "isnan": Operation(1, "f", lambda b, _, x: b.fcmp_unordered("uno", x, x), "bool"),
    "isinf": Operation(1, "f", _size("=="), "bool"),
    "isfinite": Operation(1, "f", _size("<"), "bool"),
    **{f"logical_{name}": Operation(2, "biuf", _logical(f"{name}_"), "bool") for name in ("and", "or")},
    "logical_xor": Operation(2, "biuf", _logical("xor"), "bool"),
    "logical_not": Operation(1, "biuf", _logical("not_"), "bool"),
    "accumulate": Operation(2, "iuf", _accumulate("add")),
    "accumulate_product": Operation(2, "iuf", _accumulate("mul")),
}


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

    lower_builtin(handle, types.VarArg(types.Any))(
        lambda _, b, call, values: lowerings[call.args](b, *values)
    )
    return handle


def _wrong(name: str, arguments: tuple[Any, ...], wants: str) -> Exception:
    given = ", ".join(str(argument) for argument in arguments)
    return errors.TypingError(f"{name}({given}): {wants}")


def _resolve_operation(name: str, operation: Operation) -> Resolve:
    def resolve(*given: Any) -> Typed:
        if len(given) != operation.arity or len(set(given)) != 1:
            raise _wrong(name, given, f"takes {operation.arity} operands of one dtype")
        dtype = _DTYPE_OF.get(given[0])
        if dtype is None or _kind(dtype) not in operation.kinds:
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


def _resolve_combine(name: str) -> Resolve:
    """`runtime.combine_pairwise` as instructions: rows at distance 1, 2, 4, … are joined in pairs."""

    def resolve(pointer: Any, *_sizes: Any) -> Typed:
        prefix = "f" if _kind(_DTYPE_OF[pointer.dtype]) == "f" else ""

        def lower(b: ir.IRBuilder, partials: Value, blocks: Value, width: Value) -> Value:
            slot = cgutils.alloca_once_value(b, _I64(1))

            def level() -> None:
                step = b.load(slot)
                double = b.shl(step, _I64(1))
                pairs = b.udiv(
                    b.sub(b.add(blocks, step), _I64(1)), double
                )  # (blocks - step) / double, upwards
                with cgutils.for_range(b, pairs) as pair, cgutils.for_range(b, width) as lane:
                    left = b.add(b.mul(b.mul(pair.index, double), width), lane.index)
                    right = b.add(left, b.mul(step, width))
                    target = b.gep(partials, [left])
                    both = b.load(target), b.load(b.gep(partials, [right]))
                    b.store(getattr(b, prefix + name)(*both), target)
                b.store(double, slot)

            _while(b, lambda: b.icmp_signed("<", b.load(slot), blocks), level)
            return _NOTHING

        return types.none, (pointer, types.int64, types.int64), lower

    return resolve


def _fixed(result: Any, wanted: tuple[Any, ...], lower: Callable[..., Value]) -> Resolve:
    return lambda *_given: (result, wanted, lower)


def _at(dtype: str) -> Resolve:
    memory = (_I8 if dtype == "bool" else _type(dtype)).as_pointer()

    def lower(b: ir.IRBuilder, table: Value, slot: Value) -> Value:
        return b.inttoptr(b.load(b.gep(table, [slot])), memory)

    return _fixed(types.CPointer(NUMBA[dtype]), (_TABLE, types.int64), lower)


def _span(b: ir.IRBuilder, stage: Value, index: Value, lo: Value, hi: Value, n: Value) -> Value:
    every, mine = b.icmp_signed("==", stage, _I64(runtime.RUN_ALL)), b.icmp_signed("==", stage, index)
    first = b.select(every, _I64(0), b.select(mine, lo, _I64(0)))
    last = b.select(every, n, b.select(mine, hi, _I64(0)))
    return cgutils.pack_array(b, [first, last])


def _status(b: ir.IRBuilder, table: Value, slot: Value, code: Value, detail: Value) -> Value:
    b.store(detail, b.gep(table, [slot]))
    return code


def _gemm(dtype: str) -> Resolve:
    scalar, matrix = _type(dtype), _type(dtype).as_pointer()
    parameters = [_I32] * 6 + [scalar, matrix, _I32, matrix, _I32, scalar, matrix, _I32]
    cblas = ir.FunctionType(ir.VoidType(), parameters).as_pointer()

    def lower(b: ir.IRBuilder, address: Value, *values: Value) -> Value:
        trans_a, trans_b, m, n, k, a, lda, right, ldb, c, ldc = (
            b.trunc(value, _I32) if value.type == _I64 else value for value in values
        )
        # CblasRowMajor; CblasNoTrans, CblasTrans
        flags = [b.add(flag, _I32(111)) for flag in (trans_a, trans_b)]
        arguments = [_I32(101), *flags, m, n, k, scalar(1), a, lda, right, ldb, scalar(0), c, ldc]
        b.call(b.inttoptr(address, cblas), arguments)
        return _NOTHING

    number, pointer = types.int64, types.CPointer(NUMBA[dtype])
    return _fixed(types.none, (*[number] * 6, pointer, number, pointer, number, pointer, number), lower)


def _register_boolean_cells() -> None:
    """Numba reads a pointer to booleans as bytes; make it one bit in a register, as elsewhere."""
    cells = types.CPointer(types.boolean)

    def read(_context: Any, b: ir.IRBuilder, _called: Any, values: Any) -> Value:
        return truth(b, "uint8", b.load(b.gep(values[0], [values[1]])))

    def write(_context: Any, b: ir.IRBuilder, called: Any, values: Any) -> None:
        value = truth(b, _DTYPE_OF[called.args[2]], values[2])
        b.store(b.zext(value, _I8), b.gep(values[0], [values[1]]))

    lower_builtin(operator.getitem, cells, types.Integer)(read)
    lower_builtin(operator.setitem, cells, types.Integer, types.Any)(write)


class _Types(BaseContext):
    """Numba's typing of operators, loops and tuples; its overloads would load all that it knows of NumPy."""

    def _load_builtins(self) -> None:
        chosen = Registry()
        chosen.functions = [one for one in builtin_registry.functions if not hasattr(one, "_overload_func")]
        chosen.globals = builtin_registry.globals
        self.install_registry(chosen)


class _Target(CPUContext):
    """Numba's instructions for the same, without its run time."""

    def _nothing(self, *_more: Any) -> None:
        pass

    load_additional_registries = post_lowering = _nothing


@functools.cache
def _prepared() -> tuple[BaseContext, CPUContext, Mapping[str, object]]:
    """Register everything, once; Numba's two contexts, and the globals of a source that it compiles."""
    resolvers: dict[str, Resolve] = {
        "select": _resolve_select,
        "shifted": lambda at, _: (at, (at, types.int64), lambda b, base, by: b.gep(base, [by])),
        "span": _fixed(types.UniTuple(types.int64, 2), (types.int64,) * 5, _span),
        "status": _fixed(types.int64, (_TABLE, *[types.int64] * 3), _status),
        "min": _fixed(types.int64, (types.int64,) * 2, lambda b, *two: _extreme("minimum")(b, "int64", *two)),
        "max": _fixed(types.int64, (types.int64,) * 2, lambda b, *two: _extreme("maximum")(b, "int64", *two)),
        "combine_pairwise": _resolve_combine("add"),
        "combine_pairwise_product": _resolve_combine("mul"),
        **{f"gemm_{dtype}": _gemm(dtype) for dtype in _FLOATS},
        **{name: _resolve_operation(name, operation) for name, operation in OPERATIONS.items()},
        **{f"{dtype}_at": _at(dtype) for dtype in runtime.DTYPES},
        **{dtype if dtype != "bool" else "bool_": _resolve_cast(dtype) for dtype in runtime.DTYPES},
    }
    names: dict[str, object] = {name: _register(name, resolve) for name, resolve in resolvers.items()}
    _register_boolean_cells()
    typing = _Types()
    target = _Target(typing)
    target.refresh()
    return typing, target, names | {"OK": runtime.OK, "RUN_ALL": runtime.RUN_ALL}


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


def build(source: str, name: str, symbol: str, constants: Mapping[str, np.generic]) -> objects.BuiltObject:
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

    Returns
    -------
    objects.BuiltObject

    Raises
    ------
    numba.core.errors.NumbaError
        The text is not a kernel; the message shows the line.
    UnknownSymbol
        The kernel calls something that is not allowed.
    """
    started = time.perf_counter()
    with global_compiler_lock:
        typing, target, names = _prepared()
        function = runtime.define(source, name, names, constants)
        flags: Any = compiler.Flags()
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_compile = True
        flags.error_model = "numpy"
        library = _Text(target.codegen(), name)
        library.modules = []
        number, given = types.int64, (_TABLE, types.int64, types.int64, types.int64)
        made = compiler.compile_extra(
            typing, target, function, given, number, flags, {}, library=library, pipeline_class=_Compiler
        )
        texts = [cgutils.normalize_ir_text(str(module)) for module in library.modules]
        return objects.assemble(texts, symbol, made.fndesc.llvm_func_name, started)
