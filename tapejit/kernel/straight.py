"""Straight lines of a kernel's text as LLVM instructions: types found in one pass, no inference.

`Scalars` goes through assignments in order, once to learn the types of names and once more, with a builder, to emit.
Types are dtype names, with a star for pointers to them. Used by `outline`; `vectors` does the same for several indices
at once.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir

from ..dataclass import dataclass
from .instructions import I8, Value, convert, kind, truth, type_of

# From a function's name and its operands' types to the result's type, the types that it wants, and its instructions.
Call = tuple[str, tuple[str, ...], Callable[..., Value]]
Resolve = Callable[..., Call]

_ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_BITWISE = {ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


class TextError(Exception):
    """The text is not a kernel's: a defect of the emission."""


@dataclass(frozen=True, slots=True)
class Typed:
    """An operand: its type, and its value where instructions are emitted.

    Of several indices at once, `value` is a vector with a lane for each, or else the scalar in the first lane, which
    grows by `step` from lane to lane.
    """

    type: str
    value: Value = None
    step: int = 0

    @property
    def is_pointer(self) -> bool:
        """Whether it is the address of elements."""
        return self.type.endswith("*")


@dataclass(frozen=True, slots=True)
class Known:
    """What names mean in all of a text.

    Parameters
    ----------
    resolve : Resolve
        What is known of the functions that the text calls.
    constants : mapping of str to NumPy scalar
        Typed constants by name.
    addresses : mapping of str to ast.expr
        Names that stand for an expression over the table which never changes.
    """

    resolve: Resolve
    constants: Mapping[str, np.generic]
    addresses: Mapping[str, ast.expr]


class Scalars:
    """Assignments, one after the other.

    Parameters
    ----------
    known : Known
        What names mean in all of the text.
    scope : dict
        The other names; assignments add theirs.
    builder : ir.IRBuilder, optional
        Where instructions go; without one only types are found.
    """

    def __init__(
        self,
        known: Known,
        scope: dict[str, Typed],
        builder: ir.IRBuilder | None,
    ) -> None:
        self._known = known
        self._scope = scope
        self._builder = builder
        self._found: dict[str, Typed] = {}  # the addresses that were asked for

    def statement(self, statement: ast.stmt) -> None:
        """An assignment to a name or an element, or a call for what it does.

        Raises
        ------
        TextError
            If the line is something else, or its operands do not fit.
        """
        match statement:
            case ast.Assign([ast.Name(name)], value):
                self._scope[name] = self.value(value)
            case ast.Assign([ast.Subscript(pointer, index)], value):
                self._store(self.value(pointer), self.value(index), self.value(value))
            case ast.Expr(ast.Call() as call):
                self.value(call)
            case _:
                raise TextError(f"not a straight line: {ast.unparse(statement)}")

    # Memory

    def _store(self, pointer: Typed, index: Typed, value: Typed) -> None:
        stored = self._converted(value, pointer.type[:-1]).value
        if self._builder is not None:
            cell = self._builder.gep(pointer.value, [index.value])
            self._builder.store(self._builder.zext(stored, I8) if pointer.type == "bool*" else stored, cell)

    def _load(self, pointer: Typed, index: Typed, fixed: bool = False) -> Typed:
        if not pointer.is_pointer or index.type != "int64":
            raise TextError(f"{pointer.type}[{index.type}]")
        type_ = pointer.type[:-1]
        if self._builder is None:
            return Typed(type_)
        cell = self._builder.load(self._builder.gep(pointer.value, [index.value]))
        if fixed:
            _never_changes(cell)
        return Typed(type_, truth(self._builder, "uint8", cell) if type_ == "bool" else cell)

    # Expressions

    def value(self, tree: ast.expr) -> Typed:
        """The value of an expression."""
        method = self._EXPRESSIONS.get(type(tree))
        if method is None:
            raise TextError(f"not known in kernels: {ast.unparse(tree)}")
        return method(self, tree)

    def _name(self, tree: ast.Name) -> Typed:
        name = tree.id
        if name in self._scope:
            return self._scope[name]
        if name in self._known.constants:
            constant = self._known.constants[name]
            return self._number(constant.dtype.name, constant.item())
        if name not in self._known.addresses:
            raise TextError(f"{name} has no value")
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._address(self._known.addresses[name])
        return found

    def _address(self, tree: ast.expr) -> Typed:
        if isinstance(tree, ast.Subscript):
            return self._load(self.value(tree.value), self.value(tree.slice), fixed=True)
        found = self.value(tree)
        for part in getattr(found.value, "operands", ()):  # the pointer comes out of a load of the table
            if isinstance(part, ir.LoadInstr):
                _never_changes(part)
        return found

    def _constant(self, tree: ast.Constant) -> Typed:
        value = tree.value
        if isinstance(value, bool):
            return self._number("bool", value)
        if isinstance(value, int):
            return self._number("int64", value)
        if isinstance(value, float):
            return self._number("float64", value)
        raise TextError(f"not a number: {value!r}")

    def _number(self, dtype: str, value: Any) -> Typed:
        return Typed(dtype, ir.Constant(type_of(dtype), value) if self._builder is not None else None)

    def _subscript(self, tree: ast.Subscript) -> Typed:
        return self._load(self.value(tree.value), self.value(tree.slice))

    def _call(self, tree: ast.Call) -> Typed:
        assert isinstance(tree.func, ast.Name)
        operands = [self.value(argument) for argument in tree.args]
        result, wanted, lower = self._known.resolve(tree.func.id, *[operand.type for operand in operands])
        if self._builder is None:
            return Typed(result)
        given = [self._converted(one, type_) for one, type_ in zip(operands, wanted, strict=True)]
        return self._applied(tree.func.id, given, result, lower)

    def _applied(self, _name: str, given: Sequence[Typed], result: str, lower: Callable[..., Value]) -> Typed:
        """What a function gives; `lower` are its instructions for scalars."""
        return Typed(result, lower(self._builder, *(operand.value for operand in given)))

    def _binary(self, tree: ast.BinOp) -> Typed:
        left, right = self._alike(self._widened(self.value(tree.left)), self._widened(self.value(tree.right)))
        floating = kind(left.type) == "f"
        name = _ARITHMETIC.get(type(tree.op)) or ("" if floating else _BITWISE.get(type(tree.op), ""))
        if not name or (name == "div" and not floating):
            raise TextError(f"not known for {left.type}: {ast.unparse(tree)}")
        if self._builder is None:
            return Typed(left.type)
        return self._arithmetic(f"f{name}" if floating else name, left, right)

    def _arithmetic(self, instruction: str, left: Typed, right: Typed) -> Typed:
        return Typed(left.type, getattr(self._builder, instruction)(left.value, right.value))

    def _unary(self, tree: ast.UnaryOp) -> Typed:
        operand = self._widened(self.value(tree.operand))
        if self._builder is None:
            return operand
        if isinstance(tree.op, ast.USub):
            return self._negative(operand)
        if isinstance(tree.op, ast.Invert) and kind(operand.type) in "iu":
            return self._inverted(operand)
        raise TextError(f"not known for {operand.type}: {ast.unparse(tree)}")

    def _inverted(self, operand: Typed) -> Typed:
        assert self._builder is not None
        return Typed(operand.type, self._builder.not_(operand.value))

    def _negative(self, operand: Typed) -> Typed:
        assert self._builder is not None
        negative = self._builder.fneg if kind(operand.type) == "f" else self._builder.neg
        return Typed(operand.type, negative(operand.value))

    def _compare(self, tree: ast.Compare) -> Typed:
        operands = [self.value(part) for part in (tree.left, *tree.comparators)]
        flags = []
        for operator, one, other in zip(tree.ops, operands, operands[1:], strict=False):
            left, right = self._alike(one, other)
            if self._builder is not None:
                flags.append(self._compared(_COMPARISONS[type(operator)], left, right))
        return self._all(flags)

    def _compared(self, how: str, left: Typed, right: Typed) -> Value:
        assert self._builder is not None
        if kind(left.type) == "f":
            compare = self._builder.fcmp_unordered if how == "!=" else self._builder.fcmp_ordered
        else:
            compare = self._builder.icmp_signed if kind(left.type) == "i" else self._builder.icmp_unsigned
        return compare(how, left.value, right.value)

    def _both(self, tree: ast.BoolOp) -> Typed:
        # Conditions on indices only: they have no effects, so that all may be computed.
        return self._all([self.value(part).value for part in tree.values], isinstance(tree.op, ast.Or))

    def _all(self, flags: list[Value], any_: bool = False) -> Typed:
        if self._builder is None:
            return Typed("bool")
        result = flags[0]
        for flag in flags[1:]:
            result = (self._builder.or_ if any_ else self._builder.and_)(result, flag)
        return Typed("bool", result)

    def _choice(self, tree: ast.IfExp) -> Typed:
        """``arm if condition else other``: only one arm is computed, as the other may be out of bounds."""
        condition = self.value(tree.test)
        b = self._builder
        if b is None:
            return self._alike(self.value(tree.body), self.value(tree.orelse))[0]
        arms, ends = [], []
        known = dict(self._found)
        with b.if_else(condition.value) as (then, otherwise):
            for branch, arm in ((then, tree.body), (otherwise, tree.orelse)):
                with branch:
                    arms.append(self.value(arm))
                    ends.append(b.block)
                self._found = dict(known)  # what one arm found is not known in the other, nor after it
        result = b.phi(type_of(arms[0].type))
        for arm_value, end in zip(arms, ends, strict=True):
            result.add_incoming(arm_value.value, end)
        return Typed(arms[0].type, result)

    # Types

    def _widened(self, operand: Typed) -> Typed:
        """Booleans count as integers in arithmetic."""
        return self._converted(operand, "int64") if operand.type == "bool" else operand

    def _alike(self, left: Typed, right: Typed) -> tuple[Typed, Typed]:
        if left.type != right.type:
            raise TextError(f"operands of different types: {left.type} and {right.type}")
        return left, right

    def _converted(self, operand: Typed, type_: str) -> Typed:
        """The operand as another type, which only integers and booleans become by themselves."""
        if operand.type == type_:
            return operand
        if operand.is_pointer or type_.endswith("*") or {kind(operand.type), kind(type_)} - set("biu"):
            raise TextError(f"{operand.type} where {type_} is wanted")
        return self._cast(operand, type_) if self._builder is not None else Typed(type_)

    def _cast(self, operand: Typed, type_: str) -> Typed:
        return Typed(type_, convert(self._builder, operand.type, type_, operand.value))

    _EXPRESSIONS: ClassVar[Mapping[type, Callable[..., Typed]]] = {
        ast.Name: _name,
        ast.Constant: _constant,
        ast.Subscript: _subscript,
        ast.Call: _call,
        ast.BinOp: _binary,
        ast.UnaryOp: _unary,
        ast.Compare: _compare,
        ast.BoolOp: _both,
        ast.IfExp: _choice,
    }


def _never_changes(load: Value) -> None:
    """Tell LLVM that a load gives the same wherever it stands, so that it leaves the loops around it."""
    load.set_metadata("invariant.load", load.module.add_metadata([]))


def literal(value: Value) -> int:
    """A number that the text gives: instructions depend on it.

    Raises
    ------
    TextError
        If it is computed.
    """
    if isinstance(value, ir.Constant):
        return int(value.constant)
    if isinstance(value, ir.Instruction) and value.opname == "sub":  # what Numba makes of a negative one
        return literal(value.operands[0]) - literal(value.operands[1])
    raise TextError(f"{value} where a literal is wanted")
