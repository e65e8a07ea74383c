"""What statements compute, as expressions: each value once, with a name for what is used again or would nest deeply.

Start reading at `Values.of`. A value that does not change in a loop is computed before it (`Values.hoist`).
"""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

from ..dataclass import dataclass
from ..graph import Input, Node
from ..lowering import Affine, Pointwise
from ..passes.access import Choose, Compute, Dot, Expression, Fetch, Key, Load, Number, operands_of
from ..passes.loops import Item, Leaf, Loop, leaves
from . import expressions as ex
from .addresses import Addresses
from .text import Text


@dataclass(slots=True)
class _Scope:
    """The values that have a name in one body, and how often each is wanted by its statements.

    `rows` has names of positions: where a computed index leads, the stride and the length of the axis with it.
    """

    known: dict[Key, str]
    uses: dict[Key, int]
    rows: dict[tuple[Key, int, int], str] = field(default_factory=dict)


class Values:
    """Names and texts of values, body by body.

    Keys of values are in terms of loops here (see `Leaf.in_loops`), so that statements of one body compare.
    """

    def __init__(self, addresses: Addresses, text: Text) -> None:
        self._addresses = addresses
        self._text = text
        self._scopes: list[_Scope] = []
        self._scalars: dict[Node, str] = {}
        self._done: set[Node] = set()
        self._parts = Counter(node for leaf in addresses.plan.leaves for node in leaf.statement.results)

    def enter(self, items: Sequence[Item]) -> None:
        """Open the body that holds `items`."""
        self._scopes.append(_Scope({}, _use_counts(items)))

    def leave(self) -> None:
        """Close the innermost body, and forget its names."""
        self._scopes.pop()

    def of(self, leaf: Leaf) -> ast.expr:
        """The text of what a statement stores or combines at the current index."""
        wanted = leaf.statement.value
        assert wanted is not None
        # What is stored is named by `settle`, if it has to be.
        return self._text_of(leaf, wanted, name_it=bool(leaf.statement.reduced))

    def factor(self, leaf: Leaf) -> ast.expr:
        """The text of what the result before is multiplied by, in a recurrence."""
        assert leaf.statement.factor is not None
        return self._text_of(leaf, leaf.statement.factor, name_it=True)

    def settle(self, leaf: Leaf, value: str) -> None:
        """Give a finished value its place, and remember it for what follows in this body."""
        node = leaf.statement.node
        place = self._addresses.plan.places[node]
        name = value if value.isidentifier() else None
        local = place.kind == "local"
        if name is None and (local or self._scopes[-1].uses.get(_own_key(leaf), 0)):
            name = self._text.fresh(self._addresses.label(node))
            self._text.line(f"{name} = {value}")
        if local:
            assert name is not None
            self._scalars[node] = name
        else:
            self._text.line(f"{self._addresses.element(leaf)} = {name or value}")
        if name is not None:
            self._scopes[-1].known[_own_key(leaf)] = name
        self.finish(node)

    def name(self, node: Node, name: str) -> None:
        """A number has a name already."""
        self._scalars[node] = name

    def number(self, node: Node) -> str:
        """The text of a stored value without axes: the name that it has, or its element."""
        return self._scalars.get(node) or self._addresses.number(node) or f"{self._addresses.pointer(node)}[0]"

    def finish(self, node: Node) -> None:
        """Note that a stored value is complete, or one more part of it."""
        self._parts[node] -= 1
        if self._parts[node] == 0:
            self._done.add(node)

    def hoist(self, loop: Loop) -> None:
        """Compute before `loop` what its statements want that does not change in it."""
        inside = list(leaves([loop]))
        if any(around.extent == 0 for leaf in inside for around in leaf.loops):
            return  # what is never computed must not be loaded either
        for leaf in inside:
            values = leaf.statement.values
            fixed = self._fixed(leaf)
            changing = [expression for key, expression in values.items() if key not in fixed]
            wanted = {operand for expression in changing for operand in operands_of(expression)}
            if leaf.statement.value is not None and leaf.statement.reduced:
                wanted.add(leaf.statement.value)
            for key in values:
                worth = isinstance(values[key], Compute) and key in fixed and key in wanted
                if worth and self._lookup(_in_loops(key, leaf)) is None:
                    self._text_of(leaf, key, name_it=True, always=True)
            self._hoist_rows(leaf, fixed)

    def _hoist_rows(self, leaf: Leaf, fixed: set[Key]) -> None:
        """Compute where fixed indices lead, so that what is read or written from there on lies side by side."""
        statement = leaf.statement
        fetches = [each for each in (*statement.values.values(), statement.target) if isinstance(each, Fetch)]
        for fetch in fetches:
            for key, stride, length in fetch.dynamic:
                if key in fixed and stride > 1 and self._row(leaf, key, stride, length) is None:
                    index = self._text_of(leaf, key, name_it=True, always=True)
                    name = self._text.fresh("row")
                    position = ex.scaled(ex.counted_from_front(self._as_index(key, index), length), stride)
                    self._text.line(f"{name} = {ex.unparse(position)}")
                    self._scopes[-1].rows[_in_loops(key, leaf), stride, length] = name

    def _row(self, leaf: Leaf, key: Key, stride: int, length: int) -> str | None:
        """The name of the position that a computed index leads to, if it was computed before."""
        wanted = _in_loops(key, leaf), stride, length
        return next((scope.rows[wanted] for scope in reversed(self._scopes) if wanted in scope.rows), None)

    def _fixed(self, leaf: Leaf) -> set[Key]:
        """The values of a statement that are known in the current body; none that a condition guards."""
        fixed: set[Key] = set()
        conditional = _conditional(leaf)
        for key, expression in leaf.statement.values.items():
            if isinstance(expression, Load):
                ready = isinstance(expression.root.op, Input) or expression.root in self._done
                known = ready and self._open(leaf, expression.linear) and key not in conditional
            elif isinstance(expression, Fetch):
                known = False
            elif isinstance(expression, Compute):
                primitive = expression.node.primitive
                assert primitive is not None
                assert isinstance(primitive.lowering, Pointwise)
                own_index = "axis" in primitive.lowering.expression
                known = all(operand in fixed for operand in expression.operands) and not (
                    own_index and not all(self._open(leaf, part) for part in expression.index)
                )
            else:
                known = isinstance(expression, Number)
            if known:
                fixed.add(key)
        return fixed

    def _open(self, leaf: Leaf, index: Affine) -> bool:
        return all(id(leaf.variable[axis]) in self._text.loops for axis, _ in index.terms)

    # Texts

    def _text_of(self, leaf: Leaf, wanted: Key, name_it: bool, always: bool = False) -> ast.expr:
        """The text of one value; `name_it` if it may get a name itself, `always` if it must."""
        values = leaf.statement.values
        texts: dict[Key, ast.expr] = {}
        conditional = _conditional(leaf)
        for key in self._needed(leaf, wanted):
            expression = values[key]
            known = self._lookup(_in_loops(key, leaf))
            if known is not None:
                texts[key] = ex.name(known)
                continue
            tree = self._expression(leaf, expression, texts)
            if not isinstance(expression, Number) and not isinstance(tree, ast.Name) and key not in conditional:
                again = self._scopes[-1].uses.get(_in_loops(key, leaf), 0) > 1
                inner = key != wanted
                if (again and (inner or name_it)) or (inner and not ex.is_simple(tree)) or (not inner and always):
                    tree = ex.name(self._named(leaf, key, tree))
            texts[key] = tree
        return texts[wanted]

    def _needed(self, leaf: Leaf, wanted: Key) -> list[Key]:
        """The keys that the text of `wanted` is made of, operands first; not what is behind a name."""
        values = leaf.statement.values
        seen = {wanted}
        stack = [wanted]
        while stack:
            key = stack.pop()
            if self._lookup(_in_loops(key, leaf)) is None:
                fresh = [operand for operand in operands_of(values[key]) if operand not in seen]
                seen.update(fresh)
                stack.extend(fresh)
        return [key for key in values if key in seen]

    def _named(self, leaf: Leaf, key: Key, tree: ast.expr) -> str:
        """A local variable for a value."""
        expression = leaf.statement.values[key]
        shown = expression.node if isinstance(expression, Compute) else key[0]  # what is behind a view
        wanted = self._addresses.label(shown) + ("_value" if isinstance(tree, ast.Subscript) else "")
        name = self._text.fresh(wanted)
        self._text.line(f"{name} = {ex.unparse(tree)}")
        self._scopes[-1].known[_in_loops(key, leaf)] = name
        return name

    def _lookup(self, key: Key) -> str | None:
        """The name of a value that was computed before, here or in an enclosing body."""
        for scope in reversed(self._scopes):
            if key in scope.known:
                return scope.known[key]
        return None

    def _expression(self, leaf: Leaf, expression: Expression, texts: Mapping[Key, ast.expr]) -> ast.expr:
        """One expression over its operands' texts."""
        if isinstance(expression, Load):
            return self._load(leaf, expression)
        if isinstance(expression, Number):
            return ex.literal(expression.value, expression.value.dtype)
        if isinstance(expression, Choose):
            return self._choose(leaf, expression, texts)
        if isinstance(expression, Fetch):
            return self._fetched(leaf, expression, texts)
        if isinstance(expression, Dot):
            return self._dot(leaf, expression)
        operands = tuple(texts[key] for key in expression.operands)
        return ex.compute(expression, operands, lambda axis: self._affine(leaf, expression.index[axis]))

    def _affine(self, leaf: Leaf, expression: Affine) -> ast.expr:
        """An index expression at the current index."""
        return ex.affine(expression, lambda axis: self._text.loops[id(leaf.variable[axis])])

    def _load(self, leaf: Leaf, load: Load) -> ast.expr:
        """An element of a stored value."""
        name = self._scalars.get(load.root) or self._addresses.number(load.root)
        if name is not None:
            return ex.name(name)
        place = self._addresses.plan.places[load.root]
        return ex.element(self._addresses.pointer(load.root), self._affine(leaf, place.linear(load)))

    def _dot(self, leaf: Leaf, dot: Dot) -> ast.expr:
        """The sum that an element of a product is: for each operand where it begins, and in which steps it goes on."""
        arguments: list[ast.expr] = []
        own = len(leaf.variable)
        steps = []
        for load in (dot.left, dot.right):
            linear = self._addresses.plan.places[load.root].linear(load)
            start = Affine(linear.offset, tuple((axis, factor) for axis, factor in linear.terms if axis < own))
            factors = dict(linear.terms)
            steps.append([factors.get(own + term, 0) for term in range(len(dot.lengths))])
            arguments += [ex.name(self._addresses.pointer(load.root)), self._affine(leaf, start)]
        *outer, (left, right, count) = _merged(list(zip(*steps, dot.lengths, strict=True)))
        arguments = [*arguments[:2], ast.Constant(left), *arguments[2:], ast.Constant(right), ast.Constant(count)]
        arguments += [ast.Constant(number) for each in outer for number in each]
        return ex.call(f"dot_{leaf.statement.node.aval.dtype.name}", *arguments)

    def fetch(self, leaf: Leaf, target: Fetch) -> ast.expr:
        """The text of an element at a computed index."""
        texts = {key: self._text_of(leaf, key, name_it=True) for key in target.operands}
        return self._fetched(leaf, target, texts)

    def _fetched(self, leaf: Leaf, fetch: Fetch, texts: Mapping[Key, ast.expr]) -> ast.expr:
        place = self._affine(leaf, fetch.linear)
        for key, stride, length in fetch.dynamic:
            row = self._row(leaf, key, stride, length)
            if row is None:
                index = ex.counted_from_front(self._as_index(key, texts[key]), length)
                place = ex.add(place, ex.scaled(index, stride))
            else:
                place = ex.add(place, ex.name(row))
        return ex.element(self._addresses.pointer(fetch.root), place)

    def _as_index(self, key: Key, index: ast.expr) -> ast.expr:
        """The name of an index, as an int64."""
        if key[0].aval.dtype.name != "int64":
            index = ex.call("int64", index)
        if isinstance(index, ast.Name):
            return index
        name = self._text.fresh("index")
        self._text.line(f"{name} = {ex.unparse(index)}")
        return ex.name(name)

    def _choose(self, leaf: Leaf, expression: Choose, texts: Mapping[Key, ast.expr]) -> ast.expr:
        """``arm if low <= index < high else …``."""
        result = ex.literal(expression.fill, expression.fill.dtype)
        for conditions, key in reversed(expression.arms):
            tests: list[ast.expr] = [
                ast.Compare(ast.Constant(low), [ast.LtE(), ast.Lt()], [self._affine(leaf, index), ast.Constant(high)])
                for index, low, high in conditions
            ]
            if not tests:
                result = texts[key]
                continue
            test = tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)
            result = ast.IfExp(test, texts[key], result)
        return result


def _merged(terms: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The steps and lengths of axes that are summed over, those as one that go on in both operands as one axis does."""
    found = [terms[-1]]
    for left, right, count in reversed(terms[:-1]):
        x, y, inner = found[0]
        if (left, right) == (x * inner, y * inner):
            found[0] = x, y, inner * count
        else:
            found.insert(0, (left, right, count))
    return found


def _in_loops(key: Key, leaf: Leaf) -> Key:
    return key[0], leaf.in_loops(key[1])


def _own_key(leaf: Leaf) -> Key:
    """The key under which the statements of the same body ask for what this one stores."""
    return leaf.statement.node, leaf.own_index()


def _conditional(leaf: Leaf) -> set[Key]:
    """Values that only the arms of choices want: elsewhere their index may be out of bounds."""
    statement = leaf.statement
    if not any(isinstance(expression, Choose) for expression in statement.values.values()):
        return set()
    always: set[Key] = set()
    stack = statement.wanted()
    while stack:
        key = stack.pop()
        if key not in always:
            always.add(key)
            if not isinstance(statement.values[key], Choose):
                stack.extend(operands_of(statement.values[key]))
    return set(statement.values) - always


def _use_counts(items: Sequence[Item]) -> dict[Key, int]:
    """How often each value stands in the text of one body, each distinct user counted once."""
    counts: dict[Key, int] = {}
    users: set[Key] = set()
    for item in items:
        if not isinstance(item, Leaf) or item.statement.value is None:
            continue
        if item.statement.reduced or isinstance(item.statement.values[item.statement.value], Load):
            value = _in_loops(item.statement.value, item)
            counts[value] = counts.get(value, 0) + 1
        if item.statement.factor is not None:
            factor = _in_loops(item.statement.factor, item)
            counts[factor] = counts.get(factor, 0) + 1
        for key, expression in item.statement.values.items():
            user = _in_loops(key, item)
            if user in users:
                continue
            users.add(user)
            operands = operands_of(expression)
            times = ex.occurrences(expression) if isinstance(expression, Compute) else (1,) * len(operands)
            for operand, count in zip(operands, times, strict=True):
                wanted = _in_loops(operand, item)
                counts[wanted] = counts.get(wanted, 0) + count
    return counts
