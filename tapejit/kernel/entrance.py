"""The machine code before a kernel: it looks at a call by a plan and, if it is the one that it knows, runs the kernel.

One function for all plans (see `plans`), which Python calls as a built-in function whose ``self`` is the plan. It
holds the GIL all the time and runs none of the program's code but for `Kind.HOLDS`, which come first: so what it found
is still so when the kernel runs. Written with llvmlite's `ir` alone; reached through `door` only. Start reading at
`text`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping

from llvmlite import ir

from .instructions import I32, I64, Value, for_, variable
from .plans import ADDRESSABLE, MAX_RESULTS, WORDS, Field, Head, Kind, Word

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
        """`Kind.RESULT`: an array in the step's cell, which may have one from a call that its kernel refused."""
        with self.b.if_then(self.b.icmp_unsigned("==", self.word(Word.CELL), I64(0))):
            self.store(self.made(self.word(Word.FUNCTION), self.word(Word.OBJECT)), self.step, Word.CELL)
        self._tell(self.load(self.word(Word.CELL), Field.DATA))

    def name(self) -> None:
        """`Kind.NAME`."""
        place = self.b.add(self.word(Word.OBJECT), I64(int(Field.NAMES)))
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
}


def text(name: str) -> str:
    """LLVM's text of the function, for `objects.assemble`.

    Parameters
    ----------
    name : str
        What to call it. Python calls it as ``PyObject *name(PyObject *self, PyObject *const *arguments, Py_ssize_t
        count, PyObject *keywords)``, with the flags ``METH_FASTCALL | METH_KEYWORDS``.
    """
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
    steps.same(steps.call(steps.head(Head.KERNEL), steps.head(Head.TABLE), I64(-1), I64(0), I64(0)), 0)
    b.store(_returned(steps), answer)
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


def _returned(steps: _Steps) -> Value:
    """What the call returns: the plan's object, the one tensor, or a tuple of them."""
    b = steps.b
    count = steps.head(Head.RESULTS)
    first = b.sub(steps.head(Head.STEPS), count)
    # Python may collect garbage where an object is made, and so call this very plan: its cells are free by then.
    arrays = variable(b, ir.Constant(ir.ArrayType(I64, MAX_RESULTS), None))
    held = b.ptrtoint(arrays, I64)

    def take(number: Value) -> None:
        step = _address(steps, b.add(first, number))
        steps.store(steps.load(step, Word.CELL), held, number)
        steps.store(I64(0), step, Word.CELL)

    def wrap(number: Value) -> None:
        tensor = steps.made(steps.head(Head.ALLOCATE), steps.head(Head.TENSOR), I64(0))
        steps.store(steps.load(held, number), tensor, steps.head(Head.ARRAY))
        steps.store(steps.made(steps.head(Head.CALL), steps.head(Head.NEW_KEY)), tensor, steps.head(Head.KEY))
        steps.store(tensor, held, number)

    for_(b, count, take)
    for_(b, count, wrap)
    answer = variable(b, steps.load(held, 0))
    is_one = b.icmp_unsigned("!=", steps.head(Head.IS_ONE), I64(0))
    with b.if_then(b.not_(is_one)), b.if_else(b.icmp_unsigned("==", count, I64(0))) as (none, some):
        with none:
            b.store(steps.call(steps.head(Head.HOLD), steps.head(Head.DONE)), answer)
        with some:
            several = steps.made(steps.head(Head.NEW_TUPLE), count)
            for_(b, count, lambda n: steps.store(steps.load(held, n), several, b.add(n, I64(int(Field.NAMES)))))
            b.store(several, answer)
    return b.load(answer)
