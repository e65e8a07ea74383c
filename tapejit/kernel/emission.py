"""A loop plan as the text of one Python function, which Numba compiles and which also runs as it stands.

Start reading at `emit`. `_Emitter` walks the loop tree once; what a statement computes becomes nested expressions, with a
name for what is used twice or would nest too deeply. Accumulators are local variables where all axes of the result
lie outside of the reduction, else rows of an array; reductions over more than `BLOCK` terms write one partial
result a block, and the partial results are combined pairwise.
"""

import ast
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..graph import Input, Node
from ..lowering import Affine
from ..passes import Choose, Compute, Key, Leaf, Load, Loop, LoopPlan, Number, Place, measure
from ..passes.plan import BLOCK, Stage
from . import expressions as ex
from .layout import Layout, Slot, number_places
from .runtime import NAMES

_IDENTITY: dict[str, Callable[[np.dtype], Any]] = {
    "add": lambda dtype: dtype.type(0),
    "multiply": lambda dtype: dtype.type(1),
    "maximum": lambda dtype: -np.inf if dtype.kind == "f" else (np.iinfo(dtype).min if dtype.kind != "b" else False),
    "minimum": lambda dtype: np.inf if dtype.kind == "f" else (np.iinfo(dtype).max if dtype.kind != "b" else True),
    "or": lambda dtype: dtype.type(0),
    "and": lambda dtype: dtype.type(1),
}
_COMBINE = {
    "add": "accumulate",
    "multiply": "accumulate_product",
    "maximum": "maximum",
    "minimum": "minimum",
    "or": "logical_or",
    "and": "logical_and",
}
_PAIRWISE = {"add": "combine_pairwise", "multiply": "combine_pairwise_product"}
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Emitted:
    """The text of a kernel and how to call it."""

    name: str
    source: str
    layout: Layout
    constants: Mapping[str, np.generic]


def emit(plan: LoopPlan, name: str, names: Mapping[Node, str]) -> Emitted:
    """The kernel of a plan.

    Parameters
    ----------
    plan : LoopPlan
        What to emit.
    name : str
        Name of the function; the user's.
    names : mapping of Node to str
        The user's names of inputs and results, where known.
    """
    emitter = _Emitter(plan, names)
    body = emitter.body()
    function = identifier(name)
    header = [f"def {function}(table, stage, lo, hi):", *emitter.header()]
    source = "\n".join([header[0], *(_INDENT + line for line in (*header[1:], *body, "return OK"))]) + "\n"
    return Emitted(function, source, emitter.layout(), ex.special_constants())


def identifier(text: str) -> str:
    """`text` as a Python identifier."""
    cleaned = re.sub(r"\W+", "_", text).strip("_") or "value"
    if cleaned[0].isdigit() or keyword.iskeyword(cleaned):
        cleaned = "v_" + cleaned
    return cleaned


_RESERVED = {"table", "stage", "lo", "hi", "range", "min", *NAMES, *ex.special_constants()}
_LOOP_NAMES = "ijkmnp"


@dataclass(slots=True)
class _Scope:
    """The values that have a name here, and how often each key is wanted in this body."""

    known: dict[Any, str]
    uses: dict[Any, int]


class _Emitter:
    def __init__(self, plan: LoopPlan, names: Mapping[Node, str]) -> None:
        self.plan = plan
        self.names = names
        self.lines: list[str] = []
        self.depth = 0
        self.taken = set(_RESERVED)
        self.loop_names: dict[int, str] = {}
        self.scopes: list[_Scope] = []
        self.pointers: dict[Node, str] = {}
        self.scalars: dict[Node, str] = {}
        self.slots: list[Slot] = []
        self.prologue: list[str] = []
        self.workspace = plan.workspace
        self.workspace_views: dict[tuple[str, int], str] = {}
        inputs = [node for node in plan.graph.inputs if _kind(node) == "number"]
        self.number_places = number_places([node.aval.dtype.name for node in inputs])
        self.partials: dict[tuple[int, int], str] = {}
        self.accumulators: dict[tuple[Node, int], str] = {}
        self.open_blocks: dict[Node, str] = {}

    # Names and slots

    def fresh(self, wanted: str) -> str:
        """A name like `wanted` that nothing else has."""
        base = identifier(wanted)
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def slot(self, slot: Slot) -> int:
        """The table index of a slot."""
        if slot not in self.slots:
            self.slots.append(slot)
        return self.slots.index(slot)

    def label(self, node: Node) -> str:
        """What to call a value."""
        if node in self.names:
            return self.names[node]
        if node.primitive is not None:
            return node.primitive.name
        return _kind(node)

    def pointer(self, node: Node) -> str:
        """The pointer to a stored value, taken from the table in the prologue."""
        if node not in self.pointers:
            place = self.plan.places[node]
            if place.kind == "workspace":
                name = self.in_workspace(self.label(node), place.slot, node.aval.dtype)
            else:
                name = self._outer_pointer(node, place)
            self.pointers[node] = name
        return self.pointers[node]

    def _outer_pointer(self, node: Node, place: Place) -> str:
        dtype = node.aval.dtype.name
        if place.kind != "input":
            number = self.slot(Slot(place.kind, place.slot))
            wanted = self.label(node) if place.kind == "output" else self._update_name(place.slot)
        elif _kind(node) == "number":
            number = self.slot(Slot("numbers", dtype=dtype))
            for other, pointer in self.pointers.items():
                if _kind(other) == "number" and other.aval.dtype == node.aval.dtype:
                    return pointer
            wanted = "constant"
        else:
            number = self.slot(Slot(_kind(node), node.op.position))  # type: ignore[union-attr]
            wanted = self.label(node)
        name = self.fresh(wanted)
        self.prologue.append(f"{name} = {dtype}_at(table, {number})")
        return name

    def _update_name(self, position: int) -> str:
        return self.label(self.plan.graph.updates[position][0]) + "_next"

    def in_workspace(self, wanted: str, offset: int, dtype: np.dtype) -> str:
        """A pointer to the workspace at a byte offset."""
        base = self.workspace_views.get((dtype.name, 0))
        if base is None:
            base = self.workspace_views[dtype.name, 0] = self.fresh(f"workspace_{dtype.name}")
            self.prologue.append(f"{base} = {dtype.name}_at(table, {self.slot(Slot('workspace'))})")
        name = self.fresh(wanted)
        self.prologue.append(f"{name} = shifted({base}, {offset // dtype.itemsize})")
        return name

    # The whole

    def header(self) -> list[str]:
        """Comments that say what is what, and the prologue."""
        graph = self.plan.graph
        described = [
            f"{self.label(node)}: {node.aval}"
            for node in graph.inputs
            if _kind(node) != "number" and (node in self.pointers or node in self.scalars)
        ]
        lines = ["# " + ", ".join(described)] if described else []
        results = [f"{self.label(node)}: {node.aval}" for node in graph.outputs]
        if results:
            lines.append("# returns " + ", ".join(results))
        for (variable, _), fits in zip(graph.updates, self.plan.in_place, strict=True):
            lines.append(f"# assigns {self.label(variable)}: {variable.aval}{' in place' if fits else ''}")
        numbers = [self.label(node) for node in graph.inputs if _kind(node) == "number" and node in self.pointers]
        if numbers:
            lines.append("# constants: " + ", ".join(numbers))
        return lines + self.prologue

    def body(self) -> list[str]:
        """All stages."""
        for number, stage in enumerate(self.plan.stages):
            self.stage(number, stage)
        return self.lines

    def stage(self, number: int, stage: Stage) -> None:
        """One stage, behind a test where there are several."""
        several = len(self.plan.stages) > 1
        self.scopes = []
        if several and stage.split is None:
            self.line(f"if stage == RUN_ALL or stage == {number}:")
            self.depth += 1
        split = (stage.split, number) if several and stage.split is not None else None
        self.items(list(stage.items), split)
        if several and stage.split is None:
            self.depth -= 1

    def line(self, text: str) -> None:
        """One line of the body."""
        self.lines.append(_INDENT * self.depth + text)

    def items(self, items: list[Any], split: tuple[Loop, int] | None = None) -> None:
        """What stands in one body, in order."""
        self.scopes.append(_Scope({}, _use_counts(items)))
        for item in items:
            if isinstance(item, Leaf):
                self.leaf(item)
            else:
                self.loop(item, split[1] if split and split[0] is item else None)
        self.scopes.pop()

    # Loops

    def loop(self, loop: Loop, stage: int | None) -> None:
        """A loop, with what has to happen before and after it for the reductions over it."""
        over = [leaf for leaf in _leaves(loop) if loop in leaf.reduced()]
        variable = self.loop_names[id(loop)] = self.fresh(_LOOP_NAMES[min(self.loop_depth(), 5)])
        blocked = loop.extent > BLOCK and any(leaf.statement.combine in _PAIRWISE for leaf in over)
        for leaf in over:
            self.start(leaf, loop, blocked)
        if blocked:
            self.blocks(loop, variable, over)
        else:
            self.line(f"for {variable} in range({self.bounds(loop, stage)}):")
            self.inside(loop)
        for leaf in over:
            self.finish(leaf, loop, blocked)
        self.taken.discard(variable)

    def loop_depth(self) -> int:
        """How many loops are open."""
        return len(self.scopes) - 1

    def bounds(self, loop: Loop, stage: int | None) -> str:
        """The arguments of ``range``."""
        if stage is None:
            return str(loop.extent)
        first, last = self.fresh("first"), self.fresh("last")
        self.line(f"{first}, {last} = span(stage, {stage}, lo, hi, {loop.extent})")
        return f"{first}, {last}"

    def inside(self, loop: Loop) -> None:
        """The body of a loop whose head was written."""
        self.depth += 1
        self.items(loop.body)
        self.depth -= 1

    def blocks(self, loop: Loop, variable: str, over: list[Leaf]) -> None:
        """A loop in blocks, each of which leaves a row of partial results."""
        block = self.fresh("block")
        count = -(-loop.extent // BLOCK)
        self.line(f"for {block} in range({count}):")
        self.depth += 1
        summed = [leaf for leaf in over if leaf.statement.combine in _PAIRWISE]
        for leaf in summed:
            self.clear(leaf, loop, block)
        last = f"{block} * {BLOCK} + {BLOCK}"
        stop = last if loop.extent % BLOCK == 0 else f"min({last}, {loop.extent})"
        self.line(f"for {variable} in range({block} * {BLOCK}, {stop}):")
        self.inside(loop)
        for leaf in summed:
            if not self.array_axes(leaf, loop):
                self.line(f"{self.partial(leaf, loop)}[{block}] = {self.accumulator(leaf, loop)}")
        self.depth -= 1
        self.taken.discard(block)

    # Reductions

    def array_axes(self, leaf: Leaf, loop: Loop) -> tuple[int, ...]:
        """The result's axes whose loops lie inside of a loop that is reduced over: the accumulator has them."""
        at = leaf.loops.index(loop)
        return tuple(
            axis for axis, own in enumerate(leaf.own_variables()) if own is not None and leaf.loops.index(own) > at
        )

    def accumulator(self, leaf: Leaf, loop: Loop) -> str:
        """The local variable that accumulates over `loop`."""
        node = leaf.statement.node
        reduced = leaf.reduced()
        key = (node, id(loop))
        if key not in self.accumulators:
            outermost = loop is reduced[0]
            name = self.fresh(self.label(node) if outermost else self.label(node) + "_part")
            self.accumulators[key] = name
        return self.accumulators[key]

    def identity(self, leaf: Leaf) -> str:
        """Where a reduction starts."""
        dtype = leaf.statement.node.aval.dtype
        combine = leaf.statement.combine
        assert combine is not None
        return ex.unparse(ex.literal(_IDENTITY[combine](dtype), dtype))

    def start(self, leaf: Leaf, loop: Loop, blocked: bool) -> None:
        """Before a loop that is reduced over."""
        pairwise = blocked and leaf.statement.combine in _PAIRWISE
        if pairwise:
            return
        if not self.array_axes(leaf, loop):
            self.line(f"{self.accumulator(leaf, loop)} = {self.identity(leaf)}")
        elif loop is leaf.reduced()[0]:
            self.over_axes(leaf, loop, lambda: f"{self.stored(leaf)} = {self.identity(leaf)}")

    def clear(self, leaf: Leaf, loop: Loop, block: str) -> None:
        """Before a block."""
        if not self.array_axes(leaf, loop):
            self.line(f"{self.accumulator(leaf, loop)} = {self.identity(leaf)}")
        elif loop is leaf.reduced()[0]:
            self.open_blocks[leaf.statement.node] = block
            self.over_axes(leaf, loop, lambda: f"{self.stored(leaf)} = {self.identity(leaf)}")

    def partial(self, leaf: Leaf, loop: Loop) -> str:
        """The pointer to a reduction's partial results, one row a block."""
        key = (id(leaf), id(loop))
        if key not in self.partials:
            node = leaf.statement.node
            rows = -(-loop.extent // BLOCK)
            size = rows * self.width(leaf, loop) * node.aval.dtype.itemsize
            self.partials[key] = self.in_workspace(self.label(node) + "_blocks", self.workspace, node.aval.dtype)
            self.workspace += -(-size // 64) * 64
        return self.partials[key]

    def width(self, leaf: Leaf, loop: Loop) -> int:
        """Elements of one row of partial results."""
        return prod(leaf.statement.node.aval.shape[axis] for axis in self.array_axes(leaf, loop))

    def finish(self, leaf: Leaf, loop: Loop, blocked: bool) -> None:
        """After a loop that was reduced over: combine blocks, then hand the result on."""
        combine = leaf.statement.combine
        assert combine is not None
        array = self.array_axes(leaf, loop)
        outermost = loop is leaf.reduced()[0]
        if blocked and combine in _PAIRWISE and (not array or outermost):
            partial, rows = self.partial(leaf, loop), -(-loop.extent // BLOCK)
            self.line(f"{_PAIRWISE[combine]}({partial}, {rows}, {self.width(leaf, loop)})")
            if not array:
                self.line(f"{self.accumulator(leaf, loop)} = {partial}[0]")
            else:
                del self.open_blocks[leaf.statement.node]
                self.over_axes(leaf, loop, lambda: f"{self.stored(leaf)} = {partial}[{self.row_index(leaf, loop)}]")
        if array:
            return
        if not outermost:
            outer = leaf.reduced()[leaf.reduced().index(loop) - 1]
            self.combine_into(leaf, outer, self.accumulator(leaf, loop))
        else:
            self.settle(leaf, self.accumulator(leaf, loop))

    def combine_into(self, leaf: Leaf, loop: Loop, value: str) -> None:
        """Combine a value into the accumulator that belongs to `loop`."""
        function = _COMBINE[leaf.statement.combine or ""]
        target = self.stored(leaf) if self.array_axes(leaf, loop) else self.accumulator(leaf, loop)
        self.line(f"{target} = {function}({target}, {value})")

    def over_axes(self, leaf: Leaf, loop: Loop, text: Callable[[], str]) -> None:
        """`text` for each element of the row that accumulates over `loop`."""
        depth, opened = self.depth, []
        for axis in self.array_axes(leaf, loop):
            own = leaf.own_variables()[axis]
            assert own is not None
            variable = self.loop_names[id(own)] = self.fresh(_LOOP_NAMES[min(self.loop_depth() + len(opened), 5)])
            opened.append(variable)
            self.line(f"for {variable} in range({own.extent}):")
            self.depth += 1
        self.line(text())
        self.depth = depth
        self.taken.difference_update(opened)

    def stored(self, leaf: Leaf) -> str:
        """The element of a statement's storage at the current index."""
        node = leaf.statement.node
        block = self.open_blocks.get(node)
        if block is not None:
            loop = leaf.reduced()[0]
            row = self.row_index(leaf, loop)
            return f"{self.partial(leaf, loop)}[{block} * {self.width(leaf, loop)} + {row}]"
        return f"{self.pointer(node)}[{self.place_index(leaf, self.plan.places[node].axes)}]"

    def row_index(self, leaf: Leaf, loop: Loop) -> str:
        """The position in a row of partial results."""
        return self.place_index(leaf, self.array_axes(leaf, loop))

    def place_index(self, leaf: Leaf, axes: tuple[int, ...]) -> str:
        """The position in a storage that has only `axes`."""
        shape = leaf.statement.node.aval.shape
        variables = leaf.own_variables()
        terms, stride = [], 1
        for axis in reversed(axes):
            loop = variables[axis]
            if loop is not None:
                terms.append((id(loop), stride))
            stride *= shape[axis]
        return ex.unparse(ex.affine(Affine(0, tuple(terms)), self.loop_names.__getitem__))

    # Statements

    def leaf(self, leaf: Leaf) -> None:
        """One statement at its place."""
        statement = leaf.statement
        if statement.product is not None:
            self.product(leaf)
            return
        assert statement.value is not None
        value = self.value(leaf, statement.value)
        if statement.reduced:
            self.combine_into(leaf, leaf.reduced()[-1], ex.unparse(value))
        else:
            self.settle(leaf, ex.unparse(value), ex.is_simple(value) and isinstance(value, ast.Name))

    def settle(self, leaf: Leaf, value: str, is_name: bool = False) -> None:
        """Give a finished value its place, and remember it for what follows in this body."""
        node = leaf.statement.node
        place = self.plan.places[node]
        name = value if is_name or value.isidentifier() else None
        if place.kind == "local":
            if name is None:
                name = self.fresh(self.label(node))
                self.line(f"{name} = {value}")
            self.scalars[node] = name
            self.know(leaf, name)
            return
        if name is None and self.scopes[-1].uses.get(self.own_key(leaf), 0):
            name = self.fresh(self.label(node))
            self.line(f"{name} = {value}")
        self.line(f"{self.stored(leaf)} = {name or value}")
        if name is not None:
            self.know(leaf, name)

    def own_key(self, leaf: Leaf) -> Any:
        """The key under which the statements of the same body ask for what this one stores."""
        index = tuple(
            Affine() if loop is None else Affine(0, ((id(loop), 1),)) for loop in leaf.own_variables()
        )
        return leaf.statement.node, index

    def know(self, leaf: Leaf, name: str) -> None:
        """Let later statements of this body use `name`."""
        self.scopes[-1].known[self.own_key(leaf)] = name

    def product(self, leaf: Leaf) -> None:
        """A call of the BLAS library."""
        statement = leaf.statement
        assert statement.product is not None
        dtype = statement.node.aval.dtype.name
        address = self.slot(Slot("library", name={"float32": "cblas_sgemm", "float64": "cblas_dgemm"}[dtype]))
        texts = []
        for operand in (statement.product.left, statement.product.right):
            offset = ex.unparse(ex.affine(operand.offset, lambda axis: self.loop_names[id(leaf.variable[axis])]))
            base = self.pointer(operand.root)
            texts.append(f"{base if offset == '0' else f'shifted({base}, {offset})'}, {operand.leading}")
        m, n, k = statement.product.shape
        index = self.place_index(leaf, self.plan.places[statement.node].axes)
        base = self.pointer(statement.node)
        target = base if index == "0" else f"shifted({base}, {index})"
        flags = f"{statement.product.left.transposed}, {statement.product.right.transposed}"
        self.line(f"gemm_{dtype}(table[{address}], {flags}, {m}, {n}, {k}, {texts[0]}, {texts[1]}, {target}, {n})")

    # Values

    def value(self, leaf: Leaf, wanted: Key) -> ast.expr:
        """The text of a value; names are given to what is used again."""
        texts: dict[Key, ast.expr] = {}
        conditional = _conditional(leaf, wanted)
        for key, expression in leaf.statement.values.items():
            known = self.lookup(_in_loops(key, leaf))
            if known is not None:
                texts[key] = ex.name(known)
                continue
            tree = self.text(leaf, expression, texts)
            again = self.scopes[-1].uses.get(_in_loops(key, leaf), 0) > 1
            atom = isinstance(tree, (ast.Name, ast.Constant)) or isinstance(expression, Number)
            own = key == wanted and not leaf.statement.reduced  # `settle` names it if it has to
            if not (atom or own or key in conditional) and (again or (key != wanted and not ex.is_simple(tree))):
                tree = ex.name(self.named(leaf, key, tree))
            texts[key] = tree
        return texts[wanted]

    def named(self, leaf: Leaf, key: Key, tree: ast.expr) -> str:
        """A local variable for a value."""
        name = self.fresh(self.label(key[0]) + ("_value" if isinstance(tree, ast.Subscript) else ""))
        self.line(f"{name} = {ex.unparse(tree)}")
        self.scopes[-1].known[_in_loops(key, leaf)] = name
        return name

    def lookup(self, key: Any) -> str | None:
        """The name of a value that was computed before, here or in an enclosing body."""
        for scope in reversed(self.scopes):
            if key in scope.known:
                return scope.known[key]
        return None

    def text(self, leaf: Leaf, expression: Any, texts: Mapping[Key, ast.expr]) -> ast.expr:
        """One expression over its operands' texts."""
        if isinstance(expression, Load):
            return self.load(leaf, expression)
        if isinstance(expression, Number):
            return ex.literal(expression.value, expression.value.dtype)
        if isinstance(expression, Choose):
            return self.choose(leaf, expression, texts)
        assert isinstance(expression, Compute)
        operands = tuple(texts[key] for key in expression.operands)
        return ex.compute(expression, operands, lambda axis: self.affine(leaf, expression.index[axis]))

    def affine(self, leaf: Leaf, expression: Affine) -> ast.expr:
        """An index expression at the current index."""
        return ex.affine(expression, lambda axis: self.loop_names[id(leaf.variable[axis])])

    def load(self, leaf: Leaf, load: Load) -> ast.expr:
        """An element of a stored value."""
        node = load.root
        if node in self.scalars:
            return ex.name(self.scalars[node])
        if _kind(node) == "number":
            place = self.number_places[node.op.position]  # type: ignore[union-attr]
            return ex.element(self.pointer(node), ast.Constant(place[1]))
        axes = self.plan.places[node].axes
        if len(axes) == len(node.aval.shape):
            return ex.element(self.pointer(node), self.affine(leaf, load.linear))
        assert load.index is not None
        total, stride = Affine(), 1
        for axis in reversed(axes):
            total = total + load.index[axis].scaled(stride)
            stride *= node.aval.shape[axis]
        return ex.element(self.pointer(node), self.affine(leaf, total))

    def choose(self, leaf: Leaf, expression: Choose, texts: Mapping[Key, ast.expr]) -> ast.expr:
        """``arm if low <= index < high else …``."""
        result = ex.literal(expression.fill, expression.fill.dtype)
        for conditions, key in reversed(expression.arms):
            tests: list[ast.expr] = [
                ast.Compare(ast.Constant(low), [ast.LtE(), ast.Lt()], [self.affine(leaf, index), ast.Constant(high)])
                for index, low, high in conditions
            ]
            if not tests:
                result = texts[key]
                continue
            test = tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)
            result = ast.IfExp(test, texts[key], result)
        return result

    # The layout

    def layout(self) -> Layout:
        """How to call the kernel."""
        graph = self.plan.graph
        variables = [node for node in graph.inputs if _kind(node) == "variable"]
        return Layout(
            slots=tuple(self.slots),
            numbers=self.number_places,
            outputs=tuple((node.aval.shape, node.aval.dtype.name) for node in graph.outputs),
            in_place=self.plan.in_place,
            updates=tuple(variables.index(variable) for variable, _ in graph.updates),
            workspace=self.workspace,
            stages=len(self.plan.stages),
            report=measure(self.plan, self.workspace),
        )


def _kind(node: Node) -> str:
    return node.op.kind if isinstance(node.op, Input) else ""


def _in_loops(key: Key, leaf: Leaf) -> Any:
    """A key in terms of loops, so that statements of one body compare."""
    return key[0], leaf.in_loops(key[1])


def _conditional(leaf: Leaf, wanted: Key) -> set[Key]:
    """Values that only the arms of a choice want: elsewhere their index may be out of bounds."""
    arms: set[Key] = set()
    always = {wanted}
    for expression in leaf.statement.values.values():
        if isinstance(expression, Choose):
            arms.update(expression.operands)
        elif isinstance(expression, Compute):
            always.update(expression.operands)
    return arms - always


def _leaves(loop: Loop) -> list[Leaf]:
    found: list[Leaf] = []
    stack: list[Any] = [loop]
    while stack:
        item = stack.pop()
        if isinstance(item, Leaf):
            found.append(item)
        else:
            stack.extend(reversed(item.body))
    return found


def _use_counts(items: list[Any]) -> dict[Any, int]:
    """How often each value is wanted by the statements of one body, each distinct user counted once."""
    counts: dict[Any, int] = {}
    users: set[Any] = set()
    for item in items:
        if not isinstance(item, Leaf) or item.statement.value is None:
            continue
        if item.statement.reduced:
            value = _in_loops(item.statement.value, item)
            counts[value] = counts.get(value, 0) + 1
        for key, expression in item.statement.values.items():
            user = _in_loops(key, item)
            if user in users:
                continue
            users.add(user)
            for operand in getattr(expression, "operands", ()):
                wanted = _in_loops(operand, item)
                counts[wanted] = counts.get(wanted, 0) + 1
    return counts
