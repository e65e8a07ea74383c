"""The machine code before a kernel: it looks at a call by a plan and, if it is the one that it knows, runs the kernel.

One function for all plans (see `plans`), which Python calls as a built-in function whose ``self`` is the plan. It
holds the GIL all the time and runs none of the program's code but for `Kind.HOLDS`, which come first: so what it found
is still so when the kernel runs. Written with llvmlite's `ir` alone; reached through `door` only. Start reading at
`build`, below the steps.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import time
from collections.abc import Callable, Mapping

from llvmlite import ir

from .assembly import BuiltObject, assemble
from .instructions import I32, I64, Value, for_, variable
from .plans import ADDRESSABLE, MOST, WORDS, Field, Head, Kind, Word

_F32, _F64 = ir.FloatType(), ir.DoubleType()
_INFINITY = float("inf")


class _Steps:
    """Writes what each kind of step does. `step` is the address of the step at hand, as an integer.

    Parameters
    ----------
    b : ir.IRBuilder
        Where instructions go.
    plan, given, keywords : ir.Value
        Addresses of the plan, of the call's arguments, and of the tuple of the names that the last of them have.
    """

    def __init__(self, b: ir.IRBuilder, plan: Value, given: Value, keywords: Value) -> None:
        self.b = b
        self.plan = plan
        self.given = given
        self.keywords = keywords
        self.step: Value = None
        # Where to go if the call is another one, and if Python raised an exception.
        self.missed, self.failed = (b.append_basic_block(name) for name in ("missed", "failed"))

    # Memory

    def load(self, address: Value, index: Value | int, type_: ir.Type = I64) -> Value:
        """Element `index` of the elements of a type at an address."""
        return self.b.load(self._cell(address, index, type_))

    def store(self, value: Value, address: Value, index: Value | int) -> None:
        """Set element `index` of the elements at an address, which have the value's type."""
        self.b.store(value, self._cell(address, index, value.type))

    def _cell(self, address: Value, index: Value | int, type_: ir.Type) -> Value:
        place = I64(int(index)) if isinstance(index, int) else index
        return self.b.gep(self.b.inttoptr(address, type_.as_pointer()), [place])

    def word(self, name: Word) -> Value:
        """A word of the step."""
        return self.load(self.step, name)

    def call(self, function: Value, *arguments: Value) -> Value:
        """What a C function returns for integers or pointers."""
        type_ = ir.FunctionType(I64, [I64] * len(arguments))
        return self.b.call(self.b.inttoptr(function, type_.as_pointer()), arguments)

    # Requirements

    def require(self, condition: Value, otherwise: ir.Block | None = None) -> None:
        """Go on if a condition holds; else the call is another one."""
        going_on = self.b.append_basic_block()
        self.b.cbranch(condition, going_on, otherwise or self.missed)
        self.b.position_at_end(going_on)

    def same(self, found: Value, wanted: Value | int) -> None:
        """Require that two integers are equal."""
        self.require(self.b.icmp_unsigned("==", found, I64(wanted) if isinstance(wanted, int) else wanted))

    def made(self, function: Value, *arguments: Value) -> Value:
        """What a function of Python's returns: a reference that is ours now, or nothing after an exception."""
        found = self.call(function, *arguments)
        self.require(self.b.icmp_unsigned("!=", found, I64(0)), self.failed)
        return found

    def head(self, name: Head) -> Value:
        """A word of the plan's head."""
        return self.load(self.plan, name)

    def argument(self) -> Value:
        """The argument of the step, which must have its type."""
        found = self.load(self.given, self.word(Word.OBJECT))
        self.same(self.load(found, Field.TYPE), self.word(Word.TYPE))
        return found

    # Steps

    def array(self) -> None:
        """`Kind.ARRAY`: the kernel reads it where it is, which is safe as long as the call holds it."""
        thing, hop = self.argument(), self.word(Word.HOP)
        inside = self.b.icmp_unsigned("!=", hop, I64(0))
        # An object's first word is no address, but it can be read.
        array = self.b.select(inside, self.load(thing, hop), thing)
        self._looks(array)
        flags = self.b.zext(self.load(array, Field.FLAGS, I32), I64)
        self.same(self.b.and_(flags, I64(ADDRESSABLE)), ADDRESSABLE)
        self._tell(self.load(array, Field.DATA))

    def looks(self) -> None:
        """`Kind.LOOKS`."""
        self._looks(self.word(Word.OBJECT))

    def _looks(self, array: Value) -> None:
        self.same(self.load(array, Field.TYPE), self.word(Word.OTHER))
        self.same(self.load(array, Field.DTYPE), self.word(Word.WANTED))
        rank = self.b.sext(self.load(array, Field.RANK, I32), I64)
        self.same(rank, self.word(Word.LENGTH))
        shape, lengths = self.load(array, Field.SHAPE), self.word(Word.LENGTHS)
        for_(self.b, rank, lambda axis: self.same(self.load(shape, axis), self.load(lengths, axis)))

    def _tell(self, address: Value) -> None:
        """Note in the table where the kernel finds something."""
        self.store(address, self.head(Head.TABLE), self.word(Word.SLOT))

    def number(self) -> None:
        """`Kind.NUMBER`: eight bytes, of which the kernel reads those of the number's dtype."""
        self.store(self.load(self.argument(), Field.DATA), self.step, Word.CELL)

    def integer(self) -> None:
        """`Kind.INTEGER`, by PyLong_AsLongLongAndOverflow."""
        overflow = variable(self.b, I32(0))
        found = self.call(self.word(Word.FUNCTION), self.argument(), self.b.ptrtoint(overflow, I64))
        self.same(self.b.zext(self.b.load(overflow), I64), 0)
        self.store(found, self.step, Word.CELL)

    def list(self) -> None:
        """`Kind.LIST`: written as OTHER bytes each; floats that are too large for that are Python's affair."""
        found, length = self.argument(), self.word(Word.LENGTH)
        self.same(self.load(found, Field.SIZE), length)
        items, float_type = self.load(found, Field.ITEMS), self.word(Word.WANTED)
        for_(self.b, length, lambda i: self.same(self.load(self.load(items, i), Field.TYPE), float_type))
        address = self.word(Word.CELL)

        def narrow(i: Value) -> None:
            value = self.b.fptrunc(self.load(self.load(items, i), Field.DATA, _F64), _F32)
            finite = self.b.fcmp_ordered("!=", self.b.call(self._absolute(), [value]), _F32(_INFINITY))
            self.require(self.b.or_(finite, self.b.fcmp_unordered("uno", value, value)))
            self.store(value, address, i)

        def wide(i: Value) -> None:
            self.store(self.load(self.load(items, i), Field.DATA, _F64), address, i)

        with self.b.if_else(self.b.icmp_unsigned("==", self.word(Word.OTHER), I64(4))) as (then, otherwise):
            with then:
                for_(self.b, length, narrow)
            with otherwise:
                for_(self.b, length, wide)

    def _absolute(self) -> ir.Function:
        return self.b.module.declare_intrinsic("llvm.fabs", [_F32])

    def field(self) -> None:
        """`Kind.FIELD`."""
        self.same(self.load(self.word(Word.OBJECT), self.word(Word.HOP)), self.word(Word.WANTED))

    def found(self) -> None:
        """`Kind.FOUND`, by PyDict_GetItem and the like, which return borrowed references."""
        self.same(
            self.call(self.word(Word.FUNCTION), self.word(Word.OBJECT), self.word(Word.OTHER)), self.word(Word.WANTED)
        )

    def context(self) -> None:
        """`Kind.CONTEXT`, by PyContextVar_Get, which gives a reference or nothing."""
        place = variable(self.b, I64(0))
        asked = self.call(self.word(Word.FUNCTION), self.word(Word.OBJECT), I64(0), self.b.ptrtoint(place, I64))
        self.require(self.b.icmp_unsigned("==", self.b.trunc(asked, I32), I32(0)), self.failed)
        value = self.b.load(place)
        with self.b.if_then(self.b.icmp_unsigned("!=", value, I64(0))):
            self.call(self.head(Head.DROP), value)
        matches = [self.b.icmp_unsigned("==", value, self.word(name)) for name in (Word.WANTED, Word.OTHER)]
        self.require(self.b.or_(*matches))

    def holds(self) -> None:
        """`Kind.HOLDS`, by PyObject_CallNoArgs; an exception is raised to the caller."""
        answer = self.made(self.word(Word.FUNCTION), self.word(Word.OBJECT))
        self.call(self.head(Head.DROP), answer)
        self.same(answer, self.word(Word.WANTED))

    def is_same(self) -> None:
        """`Kind.SAME`."""
        self.same(self.load(self.given, self.word(Word.OBJECT)), self.word(Word.WANTED))

    def buffer(self) -> None:
        """`Kind.BUFFER`."""
        self._tell(self.load(self.load(self.word(Word.OBJECT), self.word(Word.HOP)), Field.DATA))

    def result(self) -> None:
        """`Kind.RESULT`."""
        self._prepare(self.word(Word.OBJECT))

    def update(self) -> None:
        """`Kind.UPDATE`."""
        variable, fits = self.word(Word.OBJECT), self.word(Word.FITS)
        hidden = self.b.icmp_unsigned("==", self.load(variable, self.word(Word.EXPOSED)), self.head(Head.FALSE))
        in_place = self.b.and_(hidden, self.b.icmp_unsigned("!=", fits, I64(0)))
        self.store(self.b.select(in_place, I64(0), I64(1)), self.step, Word.SWAPS)
        with self.b.if_else(in_place) as (then, otherwise):
            with then:
                self._tell(self.load(self.load(variable, self.word(Word.HOP)), Field.DATA))
            with otherwise:
                self._prepare(self.word(Word.MAKE))

    def _prepare(self, make: Value) -> None:
        """An array in the step's cell, which may have one from an earlier call."""
        with self.b.if_then(self.b.icmp_unsigned("==", self.word(Word.CELL), I64(0))):
            self.store(self.made(self.word(Word.FUNCTION), make), self.step, Word.CELL)
        self._tell(self.load(self.word(Word.CELL), Field.DATA))

    def name(self) -> None:
        """`Kind.NAME`."""
        place = self.b.add(self.word(Word.OBJECT), self.head(Head.IN_TUPLE))
        self.same(self.load(self.keywords, place), self.word(Word.WANTED))


_WRITERS: Mapping[Kind, Callable[[_Steps], None]] = {
    Kind.ARRAY: _Steps.array,
    Kind.NUMBER: _Steps.number,
    Kind.INTEGER: _Steps.integer,
    Kind.LIST: _Steps.list,
    Kind.LOOKS: _Steps.looks,
    Kind.FIELD: _Steps.field,
    Kind.FOUND: _Steps.found,
    Kind.CONTEXT: _Steps.context,
    Kind.HOLDS: _Steps.holds,
    Kind.BUFFER: _Steps.buffer,
    Kind.RESULT: _Steps.result,
    Kind.SAME: _Steps.is_same,
    Kind.NAME: _Steps.name,
    Kind.UPDATE: _Steps.update,
}


def build(symbol: str) -> BuiltObject:
    """The function's object file.

    Parameters
    ----------
    symbol : str
        What to call it. Python calls it as ``PyObject *symbol(PyObject *self, PyObject *const *arguments, Py_ssize_t
        count, PyObject *keywords)``, with the flags ``METH_FASTCALL | METH_KEYWORDS``.
    """
    started = time.perf_counter()
    return assemble([_text("entrance")], symbol, "entrance", started)


def _text(name: str) -> str:
    """LLVM's text of the function, by Numba's convention."""
    module = ir.Module(name)
    cell = I64.as_pointer()
    function = ir.Function(module, ir.FunctionType(I32, [cell, cell, cell, I64, I64, I64]), name)
    answer, _, called, given, count, keywords = function.args
    b = ir.IRBuilder(function.append_basic_block("start"))
    plan = b.load(b.gep(called, [I64(int(Field.DATA))]))
    steps = _Steps(b, plan, given, keywords)
    steps.same(count, steps.head(Head.COUNT))
    named = variable(b, I64(0))
    with b.if_then(b.icmp_unsigned("!=", keywords, I64(0))):
        b.store(steps.load(keywords, Field.SIZE), named)
    steps.same(b.load(named), steps.head(Head.NAMES))
    for_(b, steps.head(Head.STEPS), lambda number: _step(steps, number))
    steps.same(_run(steps), 0)
    b.store(_Outcome(steps).returned(), answer)
    b.ret(I32(0))
    b.position_at_end(steps.missed)
    b.store(steps.call(steps.head(Head.HOLD), steps.head(Head.MISSED)), answer)
    b.ret(I32(0))
    b.position_at_end(steps.failed)
    b.store(I64(0), answer)
    b.ret(I32(0))
    return str(module)


def _step(steps: _Steps, number: Value) -> None:
    """One step, whatever its kind."""
    b = steps.b
    steps.step = _address(steps, number)
    after = b.append_basic_block("after")
    switch = b.switch(steps.word(Word.KIND), after)
    for kind, write in _WRITERS.items():
        block = b.append_basic_block(kind.name.lower())
        switch.add_case(I64(int(kind)), block)
        b.position_at_end(block)
        write(steps)
        b.branch(after)
    b.position_at_end(after)


def _address(steps: _Steps, number: Value) -> Value:
    return steps.b.add(steps.plan, steps.b.mul(steps.b.add(number, I64(1)), I64(8 * WORDS)))


def _run(steps: _Steps) -> Value:
    """The status of the kernel."""
    b, state = steps.b, variable(steps.b, I64(0))
    releases = b.icmp_unsigned("!=", steps.head(Head.SAVE), I64(0))
    with b.if_then(releases):
        b.store(steps.call(steps.head(Head.SAVE)), state)
    status = steps.call(steps.head(Head.KERNEL), steps.head(Head.TABLE), I64(-1), I64(0), I64(0))
    with b.if_then(releases):
        steps.call(steps.head(Head.RESTORE), b.load(state))
    return status


class _Outcome:
    """Writes what follows a kernel's success: variables take their values, results become tensors.

    Where an object is made or let go Python may run other code, and so call this very plan. So all cells of the plan
    are settled first, and what they had stands on the stack.
    """

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps
        self.b = steps.b
        self.results, self.updates = steps.head(Head.RESULTS), steps.head(Head.UPDATES)
        places = variable(self.b, ir.Constant(ir.ArrayType(I64, 2 * MOST), None))
        self.arrays = self.b.ptrtoint(places, I64)
        self.dropped = self.b.add(self.arrays, I64(8 * MOST))

    def returned(self) -> Value:
        """What the call returns: the plan's object, the one tensor, or a tuple of them."""
        b, steps = self.b, self.steps
        for_(b, self.updates, self._swap)
        for_(b, self.results, self._take)
        for_(b, self.updates, self._drop)
        for_(b, self.results, self._wrap)
        answer = variable(b, steps.load(self.arrays, 0))
        with b.if_then(b.icmp_unsigned("==", self.results, I64(0))):
            b.store(steps.call(steps.head(Head.HOLD), steps.head(Head.DONE)), answer)
        with b.if_then(b.icmp_unsigned("<", steps.head(Head.IS_ONE), self.results)):
            b.store(self._tuple(), answer)
        return b.load(answer)

    def _from_last(self, number: Value, count: Value) -> Value:
        """The step that stands so far from the end, plus a number."""
        return _address(self.steps, self.b.add(self.b.sub(self.steps.head(Head.STEPS), count), number))

    def _swap(self, number: Value) -> None:
        """The buffer that was written becomes the variable's; its old one serves the next call if nobody holds it."""
        b, steps = self.b, self.steps
        step = self._from_last(number, b.add(self.results, self.updates))
        steps.store(I64(0), self.dropped, number)
        with b.if_then(b.icmp_unsigned("!=", steps.load(step, Word.SWAPS), I64(0))):
            owner, place, flag = (steps.load(step, word) for word in (Word.OBJECT, Word.HOP, Word.EXPOSED))
            old, exposed, hidden = steps.load(owner, place), steps.load(owner, flag), steps.head(Head.FALSE)
            steps.store(steps.load(step, Word.CELL), owner, place)
            steps.store(steps.call(steps.head(Head.HOLD), hidden), owner, flag)
            steps.call(steps.head(Head.DROP), exposed)
            alone = b.icmp_unsigned("==", steps.load(old, Field.REFERENCES, I32), I32(1))
            is_like = b.and_(alone, b.icmp_unsigned("==", exposed, hidden))
            steps.store(b.select(is_like, old, I64(0)), step, Word.CELL)
            steps.store(b.select(is_like, I64(0), old), self.dropped, number)

    def _drop(self, number: Value) -> None:
        old = self.steps.load(self.dropped, number)
        with self.b.if_then(self.b.icmp_unsigned("!=", old, I64(0))):
            self.steps.call(self.steps.head(Head.DROP), old)

    def _take(self, number: Value) -> None:
        """A result out of the cell of its step."""
        step = self._from_last(number, self.results)
        self.steps.store(self.steps.load(step, Word.CELL), self.arrays, number)
        self.steps.store(I64(0), step, Word.CELL)

    def _wrap(self, number: Value) -> None:
        """A tensor with a result."""
        steps = self.steps
        tensor = steps.made(steps.head(Head.ALLOCATE), steps.head(Head.TENSOR), I64(0))
        steps.store(steps.load(self.arrays, number), tensor, steps.head(Head.ARRAY))
        steps.store(steps.made(steps.head(Head.CALL), steps.head(Head.NEW_KEY)), tensor, steps.head(Head.KEY))
        steps.store(tensor, self.arrays, number)

    def _tuple(self) -> Value:
        b, steps = self.b, self.steps
        made = steps.made(steps.head(Head.NEW_TUPLE), self.results)
        items = steps.head(Head.IN_TUPLE)
        for_(b, self.results, lambda n: steps.store(steps.load(self.arrays, n), made, b.add(n, items)))
        return made
