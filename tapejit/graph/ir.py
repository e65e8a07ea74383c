"""Nodes, interned and immutable, and graphs of them.

A graph is purely functional: what a step assigns is a list of (variable, new value) beside its outputs. Walks are
iterative, so that deep graphs never meet the recursion limit.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..aval import Aval
from ..dataclass import dataclass
from ..primitive import Primitive


@dataclass(frozen=True, slots=True)
class Input:
    """A value that comes from outside at each call.

    `kind` is "argument" (of the step), "variable", "capture" (an array or tensor of the user's, by reference) or
    "number" (a Python number of the user's program: an entry of the kernel's constant table); `position` counts
    within the kind.
    """

    kind: str
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that belongs to the program's structure; compared by type and bits."""

    bits: bytes
    dtype: np.dtype

    @classmethod
    def of(cls, number: Any, dtype: np.dtype) -> "Literal":
        """The literal of a number in a dtype."""
        return cls(np.array(number, dtype).tobytes(), dtype)

    @property
    def value(self) -> Any:
        """The number as a NumPy scalar."""
        return np.frombuffer(self.bits, self.dtype)[0]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the results of an operation that has several."""

    index: int


Op = Primitive | Input | Literal | Part


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value of a graph. Made by `Builder` only; equal nodes are the same object.

    `avals` has one entry for each result; `where` is the user's file and line that first asked for it.
    """

    op: Op
    inputs: tuple["Node", ...]
    params: tuple[tuple[str, Any], ...]
    avals: tuple[Aval, ...]
    where: str = ""

    @property
    def aval(self) -> Aval:
        """Shape and dtype of the (first) result."""
        return self.avals[0]

    @property
    def primitive(self) -> Primitive | None:
        """The primitive, None for inputs, literals and parts."""
        return self.op if isinstance(self.op, Primitive) else None

    def __repr__(self) -> str:
        name = self.op.name if isinstance(self.op, Primitive) else repr(self.op)
        return f"<node {name}: {self.aval}>"


class Builder:
    """Makes nodes, each distinct one once."""

    def __init__(self) -> None:
        self._known: dict[Any, Node] = {}
        self._made: set[Node] = set()

    def input(self, kind: str, position: int, aval: Aval) -> Node:
        """The input node of this kind and position."""
        return self._intern(Input(kind, position), (), (), (aval,), "")

    def literal(self, number: Any, dtype: np.dtype) -> Node:
        """A 0-d literal."""
        return self._intern(Literal.of(number, dtype), (), (), (Aval((), dtype),), "")

    def apply(self, primitive: Primitive, inputs: tuple[Node, ...], params: Mapping[str, Any], where: str = "") -> Node:
        """The application of a primitive, with the avals of its type rule."""
        result = primitive.rule(*[node.avals[0] for node in inputs], **params)
        avals = result if primitive.multiple else (result,)
        return self._intern(primitive, inputs, tuple(sorted(params.items())), avals, where)

    def part(self, node: Node, index: int) -> Node:
        """One result of an operation with several."""
        return self._intern(Part(index), (node,), (), (node.avals[index],), "")

    def again(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """The same operation on other inputs."""
        if isinstance(node.op, Primitive):
            return self.apply(node.op, inputs, dict(node.params), node.where)
        return self._intern(node.op, inputs, node.params, node.avals, node.where)

    def _intern(
        self,
        op: Op,
        inputs: tuple[Node, ...],
        params: tuple[tuple[str, Any], ...],
        avals: tuple[Aval, ...],
        where: str,
    ) -> Node:
        # Parameters compare by type too: 1 is not True.
        typed = tuple([(name, type(value), value) for name, value in params]) if params else ()
        key = (op if not isinstance(op, Primitive) else id(op), tuple(map(id, inputs)), typed)
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node(op, inputs, params, avals, where)
            self._made.add(node)
        return node

    def made(self, node: Node) -> bool:
        """Whether the node is one of its own."""
        return node in self._made


@dataclass(frozen=True, slots=True)
class Graph:
    """What a step computes.

    Parameters
    ----------
    inputs : tuple of Node
        All inputs of all kinds: arguments, variables, captures, numbers, each in order of position.
    outputs : tuple of Node
        Results, in order.
    updates : tuple of (Node, Node)
        For each variable that is assigned its input node and its new value.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[tuple[Node, Node], ...]

    @property
    def roots(self) -> tuple[Node, ...]:
        """All that must be computed."""
        return (*self.outputs, *(value for _, value in self.updates))

    def nodes(self) -> list[Node]:
        """All nodes in an order in which inputs precede their users; the same for equal graphs."""
        return in_order((*self.inputs, *self.roots))

    def rebuilt(self, builder: Builder, rewrite: Any) -> "Graph":
        """The graph with each node replaced by ``rewrite(node, new_inputs)``, from the inputs on.

        `rewrite` returns a node of `builder`, or None for the same operation on the new inputs. Nodes that `builder`
        made itself stay as they are where nothing changes.
        """
        new: dict[Node, Node] = {}
        for node in self.nodes():
            inputs = tuple([new[value] for value in node.inputs])
            found = rewrite(node, inputs)
            if found is None:
                found = node if inputs == node.inputs and builder.made(node) else builder.again(node, inputs)
            new[node] = found
        return Graph(
            tuple(new[node] for node in self.inputs),
            tuple(new[node] for node in self.outputs),
            tuple((new[variable], new[value]) for variable, value in self.updates),
        )

    def pruned(self) -> "Graph":
        """Without updates that leave a variable as it is."""
        changed = tuple((variable, value) for variable, value in self.updates if variable is not value)
        return Graph(self.inputs, self.outputs, changed)


def in_order(roots: Iterable[Node], known: Iterable[Node] = ()) -> list[Node]:
    """The nodes that `roots` depend on, inputs first, depth first from left to right.

    What is `known` is left out, with all that only it depends on.
    """
    seen = set(known)
    order: list[Node] = []
    for root in roots:
        stack: list[tuple[Node, Iterator[Node]]] = []
        if root not in seen:
            seen.add(root)
            stack.append((root, iter(root.inputs)))
        while stack:
            node, rest = stack[-1]
            for following in rest:
                if following not in seen:
                    seen.add(following)
                    stack.append((following, iter(following.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def users_of(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """For each node those that read it."""
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        users.setdefault(node, [])
        for value in node.inputs:
            users.setdefault(value, []).append(node)
    return users
