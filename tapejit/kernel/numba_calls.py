"""Kernels as functions of Numba's: called from compiled code, with a table and a workspace of their own for each call.

Imports Numba; reached through `door` only. The table is on the caller's stack, and so is a workspace of at most
`STACK_BYTES`; a larger one comes from a pool. A call takes no memory and no lock. Start reading at `function_for`.
"""

# Numba's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined,misc,no-any-return,untyped-decorator"

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, errors, sigutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..aval import Shape
from ..dataclass import dataclass
from ..errors import IndexRangeError
from .layout import Failure
from .memory import ALIGNMENT, side_by_side
from .messages import filled, pieces_of, template
from .pools import Pool

STACK_BYTES = 1 << 16
"""A larger workspace comes from a pool."""

_WORD = ir.IntType(64)
_KERNEL = ir.FunctionType(_WORD, [_WORD] * 4)
_RUN_ALL = -1


@dataclass(frozen=True, slots=True)
class Operand:
    """An argument or a result: what to call it, its type, and its slot in the table (None where it is not read)."""

    name: str
    shape: Shape
    dtype: np.dtype
    slot: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a function needs to call a kernel.

    Parameters
    ----------
    name : str
        Of the function.
    address : int
        Of the kernel.
    constants : mapping of int to int
        The slots of the table that are the same at each call.
    slots : int
        How many slots there are.
    arguments, results : sequence of Operand
        In order.
    details : sequence of int
        The slots where a failed check writes.
    memory : sequence of (int, int)
        Slots of workspaces, and how many bytes each has.
    failures : sequence of Failure
        What status n + 1 says.
    pool : Pool or None
        Where all workspaces come from if they are too large for the stack.
    """

    name: str
    address: int
    constants: dict[int, int]
    slots: int
    arguments: Sequence[Operand]
    results: Sequence[Operand]
    details: Sequence[int]
    memory: Sequence[tuple[int, int]]
    failures: Sequence[Failure]
    pool: Pool | None

    def __reduce__(self) -> Any:
        """Pickled it may be, as Numba does when it looks for a caller on disk, but not loaded: it has addresses."""
        return _refuse, (self.name,)


def _refuse(name: str) -> None:
    raise TypeError(f"{name} was made by tapejit.to_numba, which code that was pickled can't follow; make it again")


class CheckError(IndexRangeError):
    """A check that failed in compiled code, which gives a `messages.template` and the details."""

    def __init__(self, text: str, *details: int) -> None:
        super().__init__(filled(text, details))


class MatrixError(np.linalg.LinAlgError):
    """A matrix that was none for an operation in compiled code."""

    def __init__(self, text: str, *details: int) -> None:
        super().__init__(filled(text, details))


def function_for(plan: Plan, *, out: bool) -> Any:
    """A function that Numba compiles, without Python and the GIL.

    Parameters
    ----------
    plan : Plan
        What to call.
    out : bool
        Whether arrays that are results are the caller's, passed behind the arguments, instead of new ones.
    """
    arrays = [result for result in plan.results if result.shape]
    scalars = [result for result in plan.results if not result.shape]
    # The names of what is not the user's begin with the package's, so that no parameter hides them.
    lines = []
    checked = [*plan.arguments, *(arrays if out else ())]
    lines.append(f"    tapejit_place = tapejit_misfit(({''.join(f'{each.name}, ' for each in checked)}))")
    lines.append("    if tapejit_place >= 0:")
    lines.append("        tapejit_refuse(tapejit_place)")
    if not out:
        lines += [f"    {each.name} = tapejit_np.empty({each.shape}, tapejit_np.{each.dtype.name})" for each in arrays]
    given = "".join(f"{each.name}, " for each in plan.arguments)
    written = "".join(f"{each.name}, " for each in arrays)
    lines.append(f"    tapejit_found = tapejit_invoke(({given}), ({written}))")
    lines.append("    if tapejit_found[0] != 0:")
    lines.append("        tapejit_fail(tapejit_found[0], tapejit_found[1], tapejit_found[2])")
    values = {each.name: f"tapejit_found[{3 + number}]" for number, each in enumerate(scalars)}
    wanted = [values.get(each.name, each.name) for each in plan.results if not (out and each.shape)]
    lines.append(f"    return {', '.join(wanted) or None}")
    parameters = ", ".join(each.name for each in (*plan.arguments, *(arrays if out else ())))
    text = f"def {plan.name}({parameters}):\n" + "\n".join(lines) + "\n"
    pairs = _pairs(checked, len(plan.arguments))
    unfit = [f"{plan.name}: {each.name} must have the shape {each.shape}" for each in checked]
    unfit += [f"{plan.name}: {checked[one].name} overlaps {checked[other].name}" for one, other in pairs]
    scope = {
        "tapejit_np": np,
        "tapejit_misfit": _misfit(plan.name, checked, len(plan.arguments)),
        "tapejit_refuse": _raising("number", [f"ValueError({text!r})" for text in unfit]),
        "tapejit_invoke": _invocation(plan, scalars, arrays),
        "tapejit_fail": _raising("number, detail, place", ["", *map(_raised, plan.failures)]),
    }
    exec(compile(text, f"<{plan.name} for Numba>", "exec"), scope)
    return numba.njit(nogil=True)(scope[plan.name])


def _raised(failure: Failure) -> str:
    """The exception that says what failed."""
    message = pieces_of(failure)
    details = "" if all(isinstance(piece, str) for piece in message) else ", detail, place"
    return f"{'MatrixError' if failure.fault else 'CheckError'}({template(message)!r}{details})"


def _raising(parameters: str, raised: Sequence[str]) -> Any:
    """A function that raises what its ``number`` stands for."""
    lines = [f"    if number == {number}:\n        raise {text}" for number, text in enumerate(raised) if text]
    lines.append("    raise RuntimeError('the kernel failed')")
    scope: dict[str, Any] = {"CheckError": CheckError, "MatrixError": MatrixError}
    exec(compile(f"def raising({parameters}):\n" + "\n".join(lines) + "\n", "<errors>", "exec"), scope)
    return numba.njit(nogil=True)(scope["raising"])


def _pairs(operands: Sequence[Operand], count: int) -> list[tuple[int, int]]:
    """Which arrays may not overlap: those that are written, which come behind `count` others, with any before them."""
    sizes = [math.prod(each.shape) if each.shape else 0 for each in operands]
    return [(one, other) for one in range(count, len(operands)) for other in range(one) if sizes[one] and sizes[other]]


def _misfit(title: str, operands: Sequence[Operand], count: int) -> Any:
    """``misfit(values)``: the number of what is wrong with arrays, -1 if nothing is.

    First come those with other shapes than expected, by their places, then the `_pairs` that overlap. That compiled
    code passes values of the right types is held when it is compiled.
    """

    @intrinsic
    def misfit(_: Any, values: Any) -> Any:
        for place, (operand, given) in enumerate(zip(operands, values, strict=True)):
            _check_type(title, operand, given, written=place >= count)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = ir.Constant(_WORD, -1)
            arrays = {}
            for place, operand in enumerate(operands):
                if operand.shape:
                    value = builder.extract_value(arguments[0], place)
                    arrays[place] = context.make_array(signature.args[0][place])(context, builder, value)
            for number, pair in enumerate(_pairs(operands, count), len(operands)):
                begins = [builder.ptrtoint(arrays[place].data, _WORD) for place in pair]
                sizes = [math.prod(operands[place].shape) * operands[place].dtype.itemsize for place in pair]
                ends = [builder.add(begin, ir.Constant(_WORD, size)) for begin, size in zip(begins, sizes, strict=True)]
                overlap = builder.and_(
                    builder.icmp_unsigned("<", begins[0], ends[1]), builder.icmp_unsigned("<", begins[1], ends[0])
                )
                found = builder.select(overlap, ir.Constant(_WORD, number), found)
            for place, array in reversed(arrays.items()):
                lengths = cgutils.unpack_tuple(builder, array.shape)
                for length, wanted in zip(lengths, operands[place].shape, strict=True):
                    differs = builder.icmp_signed("!=", length, ir.Constant(_WORD, wanted))
                    found = builder.select(differs, ir.Constant(_WORD, place), found)
            return found

        return types.int64(values), generate

    return misfit


def _invocation(plan: Plan, scalars: Sequence[Operand], arrays: Sequence[Operand]) -> Any:
    """``invoke(arguments, arrays)`` calls the kernel; it returns the status, two details, scalar results."""
    kinds = [numba.from_dtype(each.dtype) for each in scalars]

    @intrinsic
    def invoke(_: Any, arguments: Any, written: Any) -> Any:
        result = types.Tuple([types.int64] * 3 + kinds)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return _Call(plan, context, builder, signature).generate(values, scalars, arrays, kinds)

        return result(arguments, written), generate

    return invoke


def _check_type(title: str, operand: Operand, given: Any, *, written: bool) -> None:
    """Hold that compiled code passes what the kernel takes."""
    wanted = numba.from_dtype(operand.dtype)
    if not operand.shape:
        fits = isinstance(given, types.Boolean) if operand.dtype.kind == "b" else isinstance(given, types.Number)
        if operand.dtype.kind in "iu":
            fits = isinstance(given, types.Integer)
        if not fits or isinstance(given, types.Complex):
            raise errors.TypingError(f"{title}: {operand.name} must be a number, {wanted}; got {given}")
        return
    is_array = isinstance(given, types.Array)
    if not (is_array and given.dtype == wanted and given.ndim == len(operand.shape) and given.layout == "C"):
        way = ""
        if is_array and given.ndim == len(operand.shape):
            way = " (np.ascontiguousarray makes one)" if given.dtype == wanted else f" (.astype(np.{wanted}) makes one)"
        raise errors.TypingError(
            f"{title}: {operand.name} must be a C-contiguous array of {wanted} with {len(operand.shape)} axes, shape "
            f"{operand.shape}; got {given}{way}"
        )
    if written and not given.mutable:
        raise errors.TypingError(f"{title}: {operand.name} is written to, and must not be read-only; got {given}")


class _Call:
    """Writes the instructions of one call."""

    def __init__(self, plan: Plan, context: Any, builder: Any, signature: Any) -> None:
        self.plan = plan
        self.context = context
        self.builder = builder
        self.signature = signature

    def generate(
        self, values: Sequence[Any], scalars: Sequence[Operand], arrays: Sequence[Operand], kinds: Sequence[Any]
    ) -> Any:
        builder, plan = self.builder, self.plan
        table = cgutils.alloca_once(builder, _WORD, size=max(plan.slots, 1))
        for slot, number in plan.constants.items():
            self._store(table, slot, ir.Constant(_WORD, number))
        for place, operand in enumerate(plan.arguments):
            value = builder.extract_value(values[0], place)
            if operand.slot is not None:
                self._store(table, operand.slot, self._address(value, operand, self.signature.args[0][place]))
        for place, operand in enumerate(arrays):
            if operand.slot is not None:
                value = builder.extract_value(values[1], place)
                self._store(table, operand.slot, self._address(value, operand, self.signature.args[1][place]))
        places = []
        for operand, kind in zip(scalars, kinds, strict=True):
            places.append(cgutils.alloca_once(builder, self.context.get_data_type(kind)))
            if operand.slot is not None:
                self._store(table, operand.slot, builder.ptrtoint(places[-1], _WORD))
        status = self._status(table)
        loaded = [self._loaded(kind, place) for kind, place in zip(kinds, places, strict=True)]
        slots = [plan.details[0], plan.details[-1]] if plan.details else []
        details = [builder.load(builder.gep(table, [ir.Constant(_WORD, slot)])) for slot in slots]
        details = details or [ir.Constant(_WORD, 0)] * 2
        return self.context.make_tuple(builder, self.signature.return_type, [status, *details, *loaded])

    def _loaded(self, kind: Any, place: Any) -> Any:
        value = self.builder.load(place)
        return self.context.data_model_manager[kind].from_data(self.builder, value)

    def _store(self, table: Any, slot: int, value: Any) -> None:
        self.builder.store(value, self.builder.gep(table, [ir.Constant(_WORD, slot)]))

    def _address(self, value: Any, operand: Operand, kind: Any) -> Any:
        """Where an operand's numbers are."""
        builder, context = self.builder, self.context
        if operand.shape:
            return builder.ptrtoint(context.make_array(kind)(context, builder, value).data, _WORD)
        wanted = numba.from_dtype(operand.dtype)
        number = context.cast(builder, value, kind, wanted)
        place = cgutils.alloca_once(builder, context.get_data_type(wanted))
        builder.store(context.data_model_manager[wanted].as_data(builder, number), place)
        return builder.ptrtoint(place, _WORD)

    def _status(self, table: Any) -> Any:
        """What the kernel returns, with its workspaces on the stack or from the pool."""
        builder, plan = self.builder, self.plan
        offsets, size = side_by_side([count for _, count in plan.memory])

        def call(start: Any) -> Any:
            for (slot, _), offset in zip(plan.memory, offsets, strict=True):
                self._store(table, slot, builder.add(start, ir.Constant(_WORD, offset)))
            # An address that Numba knows of, so that it doesn't keep callers on disk.
            address = self.context.add_dynamic_addr(builder, plan.address, info=plan.name)
            kernel = builder.bitcast(address, _KERNEL.as_pointer())
            numbers = [builder.ptrtoint(table, _WORD), *(ir.Constant(_WORD, each) for each in (_RUN_ALL, 0, 0))]
            return builder.call(kernel, numbers)

        if plan.pool is not None:
            return plan.pool.use(self.context, builder, call)
        # Bytes, not an array of bytes: Numba would fill the latter with zeros, element by element.
        place = cgutils.alloca_once(builder, ir.IntType(8), size=size + ALIGNMENT)
        above = builder.add(builder.ptrtoint(place, _WORD), ir.Constant(_WORD, ALIGNMENT - 1))
        return call(builder.and_(above, ir.Constant(_WORD, -ALIGNMENT)))


@dataclass(frozen=True, slots=True)
class CType:
    """A type of C's: "number", "pointer" (to numbers) or "void" (nothing, or a pointer to it), and of which dtype."""

    kind: str
    dtype: np.dtype | None

    def __str__(self) -> str:
        if self.kind == "void":
            return "void"
        return f"CPointer({self.dtype})" if self.kind == "pointer" else str(self.dtype)


def parsed_signature(signature: Any) -> tuple[CType, list[CType]]:
    """The result and the parameters of a C function.

    Parameters
    ----------
    signature : str or signature
        As `numba.cfunc` takes it.

    Raises
    ------
    ValueError
        If it is none, or has other types than numbers and pointers to them.
    """
    try:
        given, result = sigutils.normalize_signature(signature)
    except Exception as error:  # noqa: BLE001 - a text is evaluated as Python, so it may be any
        raise ValueError(str(error) or type(error).__name__) from None
    if result is None:
        raise ValueError("it does not say what is returned")
    return _c_type(result), [_c_type(each) for each in given]


def _c_type(given: Any) -> CType:
    if given in (types.void, types.voidptr, types.CPointer(types.void)):
        return CType("void", None)
    kind, number = ("pointer", given.dtype) if isinstance(given, types.CPointer) else ("number", given)
    if isinstance(number, (types.Integer, types.Float, types.Boolean)):
        return CType(kind, as_dtype(number))
    raise ValueError(f"{given} is no number, and no pointer to numbers")


def c_function(function: Any, signature: Any, text: str) -> Any:
    """A function of C's that calls one of `function_for`.

    Parameters
    ----------
    function : numba dispatcher
        What it calls.
    signature : str or signature
        As `numba.cfunc` takes it.
    text : str
        A Python function ``entry`` of these arguments, in terms of ``function``, ``carray`` and ``np``.
    """
    scope = {"function": function, "carray": numba.carray, "np": np}
    exec(compile(text, "<entry of C's>", "exec"), scope)
    return numba.cfunc(signature)(scope["entry"])
