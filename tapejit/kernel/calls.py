"""Statements that work on whole matrices or rows: one line with addresses, strides and lengths for each call."""

import numpy as np

from ..graph import Node
from ..lowering import Affine
from ..passes.access import Load, linear_index
from ..passes.loops import Leaf
from ..passes.statements import Operand, Statement, iteration
from . import blas
from . import expressions as ex
from .addresses import Addresses
from .layout import Failure, Slot
from .routines import ROUTINES, Scratch
from .text import Text
from .values import Values


def _scratch_of(statement: Statement) -> Scratch:
    """The workspace that a call needs while it runs."""
    call = statement.call
    assert call is not None
    return ROUTINES[call.routine.name].scratch(statement.node.inputs[0].aval.dtype, *call.lengths)


class Calls:
    """Writes these statements of one kernel."""

    def __init__(self, addresses: Addresses, values: Values, text: Text) -> None:
        self._addresses = addresses
        self._values = values
        self._text = text
        self._rows: dict[tuple[str, np.dtype, bool], str] = {}

    def product(self, leaf: Leaf) -> None:
        """A matrix product by the BLAS library."""
        statement = leaf.statement
        product = statement.product
        assert product is not None
        dtype = statement.node.aval.dtype.name
        address = self._function("cblas_?gemm", dtype)
        m, n, k = product.shape
        left = self._matrix(leaf, product.left, m if product.left.transposed else k)
        right = self._matrix(leaf, product.right, k if product.right.transposed else n)
        target = self._addresses.result(leaf, statement.node)
        flags = f"{int(product.left.transposed)}, {int(product.right.transposed)}"
        self._text.line(f"gemm_{dtype}({address}, {flags}, {m}, {n}, {k}, {left}, {right}, {target}, {n})")
        self._values.finish(statement.node)

    def routine(self, leaf: Leaf) -> None:
        """The call of a routine: library functions, operands with their strides, results, lengths, scratch."""
        statement = leaf.statement
        call = statement.call
        assert call is not None
        node, name = statement.node, call.routine.name
        dtype = node.inputs[0].aval.dtype
        arguments = [self._function(function, dtype.name) for function in ROUTINES[name].library]
        for load, core in zip(call.operands, call.routine.axes()[0], strict=True):
            pointer, strides = self._operand(leaf, load, len(core))
            arguments += [pointer, *map(str, strides)]
        arguments += [self._addresses.result(leaf, result) for result in call.results]
        arguments += map(str, call.lengths)
        arguments += [self._scratch(label, piece) for label, piece, _ in _scratch_of(statement)]
        line = f"{name}_{dtype.name}({', '.join(arguments)})"
        if call.routine.fault:
            failed = self._text.fresh("failed")
            self._text.line(f"{failed} = {line}")
            with self._text.block(f"if {failed} != 0:"):
                self._text.line(f"return {self._failure(leaf, node.inputs[0], call.routine.fault)}")
        else:
            self._text.line(line)
        for result in call.results:
            self._values.finish(result)

    def _failure(self, leaf: Leaf, matrices: Node, fault: str) -> str:
        """The status that says which of the matrices it was."""
        primitive = leaf.statement.node.primitive
        assert primitive is not None
        shape = matrices.aval.shape
        batch = shape[: len(leaf.statement.own_axes)]
        number = linear_index(iteration(batch)[1], batch)
        return self._addresses.status(Failure(primitive.name, shape, fault), self._affine(leaf, number))

    def _scratch(self, label: str, dtype: np.dtype) -> str:
        """Workspace that is free again after a call: large enough for each of the kernel's calls."""
        key = label, dtype, self._addresses.private
        if key not in self._rows:
            sizes = [
                count
                for leaf in self._addresses.plan.calls()
                for other, piece, count in _scratch_of(leaf.statement)
                if (other, piece) == (label, dtype)
            ]
            self._rows[key] = self._addresses.row(label, max(sizes), dtype)
        return self._rows[key]

    def _function(self, name: str, dtype: str) -> str:
        """The address of a library function for a dtype."""
        return f"table[{self._addresses.slot(Slot('library', name=blas.function_name(name, dtype)))}]"

    def _affine(self, leaf: Leaf, expression: Affine) -> str:
        return ex.unparse(ex.affine(expression, lambda axis: self._text.loops[id(leaf.variable[axis])]))

    def _operand(self, leaf: Leaf, load: Load, core: int) -> tuple[str, list[int]]:
        """Where an operand begins, and its strides along its `core` last axes, in the storage that its root has."""
        batch = len(leaf.statement.extents)
        linear = self._addresses.plan.places[load.root].linear(load)
        strides = dict(linear.terms)
        offset = Affine(linear.offset, tuple((axis, stride) for axis, stride in linear.terms if axis < batch))
        pointer = self._addresses.shifted(load.root, self._affine(leaf, offset))
        return pointer, [strides.get(batch + axis, 0) for axis in range(core)]

    def _matrix(self, leaf: Leaf, operand: Operand, columns: int) -> str:
        """Where a product's matrix begins, and the distance of its stored rows."""
        pointer, (down, across) = self._operand(leaf, operand.load, 2)
        return f"{pointer}, {max(across if operand.transposed else down, columns)}"
