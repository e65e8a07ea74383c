"""Operations that hold regions, as loops and branches around the lines of their bodies.

Numbers that are carried on are local variables, assigned at the end of each iteration; arrays are where the result is
to be, with a second one where the next value can't be written over the old one: then two pointers change places. Start
reading at `Regions.region`.
"""

from collections.abc import Callable, Sequence

from ..graph import Literal, Node
from ..lowering import Affine, ScanRegion, SwitchRegion
from ..passes.bodies import Borrowed, RegionCall
from ..passes.body_plans import BodyPlan
from ..passes.loops import Item, Leaf
from . import expressions as ex
from .addresses import Addresses
from .text import Text
from .values import Values


class Regions:
    """Writes these statements of one kernel.

    Parameters
    ----------
    addresses : Addresses
        The pointers of the kernel.
    values : Values
        The names of numbers.
    text : Text
        The lines.
    write : callable
        Writes the items of a body.
    """

    def __init__(
        self, addresses: Addresses, values: Values, text: Text, write: Callable[[Sequence[Item]], None]
    ) -> None:
        self._addresses = addresses
        self._values = values
        self._text = text
        self._write = write

    def region(self, leaf: Leaf) -> None:
        """A region operation at its place."""
        region = leaf.statement.region
        assert region is not None
        bodies = self._addresses.plan.bodies[leaf]
        known: dict[Node, Node] = {}  # several bodies may read the same
        for borrowed in (borrowed for body in bodies for borrowed in body.body.borrowed if not borrowed.step):
            other = known.get(borrowed.source)
            if other is not None and other.aval == borrowed.stand_in.aval and not borrowed.offset:
                self._stand_for(borrowed.stand_in, other)
            else:
                self._borrow(borrowed, "")
                known.setdefault(borrowed.source, borrowed.stand_in)
        if isinstance(region.lowering, SwitchRegion):
            self._switch(region, bodies)
        elif isinstance(region.lowering, ScanRegion):
            self._scan(region, bodies[0])
        else:
            self._while(region, *bodies)
        for result in region.results:
            self._values.finish(result)

    # Loops

    def _scan(self, region: RegionCall, body: BodyPlan) -> None:
        length = region.params["length"]
        bounds = f"{length - 1}, -1, -1" if region.params["reverse"] else str(length)
        self._start(region, body)
        with self._text.counting("t", bounds) as index:
            self._name_index(body, index)
            for borrowed in body.body.borrowed:
                if borrowed.step:
                    self._borrow(borrowed, index)
            results = region.results[len(body.carries) :]
            for target, result in zip(body.outputs, results, strict=True):
                if target.aval.shape:
                    self._addresses.bind(target, self._moved(result, index, target))
            self._write(body.items)
            for target, result in zip(body.outputs, results, strict=True):
                if not target.aval.shape:
                    pointer = self._addresses.pointer(result)
                    self._text.line(f"{pointer}[{index}] = {self._values.number(target)}")
            self._advance(body)
        self._end(region, body, swaps=length)

    def _name_index(self, body: BodyPlan, index: str) -> None:
        """The index as a value, where the body reads it: the loop's variable is none in plain Python."""
        node, graph = body.body.index, body.body.graph
        read = {value for each in graph.nodes() for value in each.inputs}.union(graph.roots)
        if node is not None and node in read:
            name = self._text.fresh("index")
            self._text.line(f"{name} = int64({index})")
            self._values.name(node, name)

    def _while(self, region: RegionCall, condition: BodyPlan, body: BodyPlan) -> None:
        self._start(region, body)
        for one, other in zip(condition.carries, body.carries, strict=True):
            self._stand_for(one.stand_in, other.stand_in)
        with self._text.block("while True:"):
            self._write(condition.items)
            with self._text.block(f"if not {self._values.number(condition.outputs[0])}:"):
                self._text.line("break")
            self._write(body.items)
            self._advance(body)
        self._end(region, body, swaps=None)

    def _start(self, region: RegionCall, body: BodyPlan) -> None:
        """The first values of what is carried on."""
        for carry, first, result in zip(body.carries, region.initial, region.results, strict=False):
            label = self._addresses.label(carry.stand_in)
            if isinstance(first, Borrowed):
                name = self._text.fresh(label)
                self._text.line(f"{name} = {self._element(first, '')}")
                self._values.name(carry.stand_in, name)
                continue
            pointer, target = self._addresses.pointer(result), carry.target
            if carry.spare is not None:
                name, following = self._text.fresh(label), self._text.fresh(f"{label}_next")
                self._text.line(f"{name} = {pointer}")
                self._text.line(f"{following} = {self._addresses.pointer(carry.spare)}")
                pointer = name
                assert target is not None
                self._addresses.bind(target, following)
            elif target is not None:
                self._addresses.bind(target, pointer)
            self._addresses.bind(carry.stand_in, pointer)

    def _advance(self, body: BodyPlan) -> None:
        """The next values become the current ones, all at once."""
        pairs: list[tuple[str, str]] = []
        for carry in body.carries:
            if carry.target is None:
                continue
            if not carry.stand_in.aval.shape:
                pairs.append((self._values.number(carry.stand_in), self._values.number(carry.target)))
            elif carry.spare is not None:
                current, following = self._addresses.pointer(carry.stand_in), self._addresses.pointer(carry.target)
                self._text.line(f"{current}, {following} = {following}, {current}")
        pairs = [(current, following) for current, following in pairs if current != following]
        assigned = {current for current, _ in pairs}
        if any(following in assigned for _, following in pairs):
            targets, values = zip(*pairs, strict=True)
            self._text.line(f"{', '.join(targets)} = {', '.join(values)}")
        else:
            for current, following in pairs:
                self._text.line(f"{current} = {following}")

    def _end(self, region: RegionCall, body: BodyPlan, swaps: int | None) -> None:
        """What was carried on last is the result; `swaps` is how often arrays changed places, if it is known."""
        for carry, result in zip(body.carries, region.results, strict=False):
            if not result.aval.shape:
                self._settle(result, self._values.number(carry.stand_in))
            elif carry.spare is not None and (swaps is None or swaps % 2):
                with self._text.counting("i", str(result.aval.size)) as index:
                    value = f"{self._addresses.pointer(carry.stand_in)}[{index}]"
                    self._text.line(f"{self._addresses.pointer(result)}[{index}] = {value}")

    # Branches

    def _switch(self, region: RegionCall, branches: Sequence[BodyPlan]) -> None:
        assert region.selector is not None
        index = self._text.fresh("branch")
        self._text.line(f"{index} = {self._element(region.selector, '')}")
        numbers = {
            node: self._text.fresh(self._addresses.label(node)) for node in region.results if not node.aval.shape
        }
        last = len(branches) - 1
        for number, branch in enumerate(branches):
            head = f"{'elif' if number else 'if'} {index} == {number}:" if number < last or not last else "else:"
            with self._text.block(head):
                for target, result in zip(branch.outputs, region.results, strict=True):
                    if target.aval.shape:
                        self._addresses.bind(target, self._addresses.pointer(result))
                self._write(branch.items)
                for target, result in zip(branch.outputs, region.results, strict=True):
                    if result in numbers:
                        self._text.line(f"{numbers[result]} = {self._values.number(target)}")
        for result, name in numbers.items():
            self._settle(result, name)

    # Values that go in and out

    def _settle(self, result: Node, name: str) -> None:
        """A number that is a result goes where others look for it."""
        if self._addresses.plan.places[result].kind == "local":
            self._values.name(result, name)
        else:
            self._text.line(f"{self._addresses.pointer(result)}[0] = {name}")

    def _borrow(self, borrowed: Borrowed, index: str) -> None:
        """What a body reads, before the loop or at an index."""
        stand_in = borrowed.stand_in
        if borrowed.is_scalar:
            text = self._element(borrowed, index)
            if not text.isidentifier():
                name = self._text.fresh(self._label(borrowed.source, index))
                self._text.line(f"{name} = {text}")
                text = name
            self._values.name(stand_in, text)
        elif borrowed.step:
            self._addresses.bind(stand_in, self._moved(borrowed.source, index, borrowed.source, borrowed.step))
        else:
            self._addresses.bind(stand_in, self._addresses.pointer(borrowed.source))

    def _element(self, borrowed: Borrowed, index: str) -> str:
        """The text of a number."""
        source = borrowed.source
        if isinstance(source.op, Literal):
            return ex.unparse(ex.literal(source.op.value, source.op.dtype))
        if not source.aval.shape:
            return self._values.number(source)
        place = ex.affine(Affine(borrowed.offset, ((0, borrowed.step),) if borrowed.step else ()), lambda _: index)
        return ex.unparse(ex.element(self._addresses.pointer(source), place))

    def _moved(self, array: Node, index: str, named: Node, step: int | None = None) -> str:
        """A pointer to where an array is at an index, one slice of the result `named` after the other by default."""
        by = ex.affine(Affine.axis(0, named.aval.size if step is None else step), lambda _: index)
        name = self._text.fresh(self._label(named, index))
        self._text.line(f"{name} = shifted({self._addresses.pointer(array)}, {ex.unparse(by)})")
        return name

    def _label(self, node: Node, index: str) -> str:
        label = self._addresses.label(node)
        return f"{label}_{index}" if index else label

    def _stand_for(self, node: Node, other: Node) -> None:
        """A node is the same as another one."""
        if node.aval.shape:
            self._addresses.bind(node, self._addresses.pointer(other))
        else:
            self._values.name(node, self._values.number(other))
