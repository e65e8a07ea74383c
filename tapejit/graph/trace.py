"""Tracing: running a user's function with tensors that have no numbers, to learn what it computes.

`Trace` is an interpreter like `tensor.Eager`; instead of computing it appends nodes. Everything that the function
takes from outside becomes an input: variables and arrays by reference, Python numbers as entries of the constant
table. Only numbers in tapejit's own rules are literals of the graph.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from types import CellType
from typing import Any

import numpy as np

from .. import ops
from ..aval import PYTHON_NUMBERS, Aval, Shape, in_dtype
from ..errors import ConcretizationError, at_user_line, user_location
from ..lowering import Pointwise
from ..primitive import Flow, Params, Primitive, Rule, Value, current, in_role, new_key
from ..pytree import flatten
from ..tensor import Tensor, plain_array, to_tensor
from ..variable import Variable
from .evaluate import evaluate
from .ir import Builder, Graph, Input, Node, in_order
from .origin import HERE, Place, place_of

READ_AGAIN = Primitive(
    name="read",
    inputs=("x", "variable"),
    impl=lambda x, variable: x,
    rule=lambda x, variable: x,
    vjp={"variable": Rule(lambda ct: ct, ("ct",), Flow.MOVING)},
    lowering=Pointwise("x", cost=0),
    cases=(),
    jvp=lambda inputs, tangents, output, params: tangents[1],
)
"""A variable's value after it was assigned: to a tape that is the variable, whatever the value was made of."""


_KEPT = (
    "a tensor of a trace that is over was used: it has no numbers. A compiled step must not keep its tensors (in a "
    "list or an attribute); return them, or assign them to a Variable"
)


class TracedTensor(Tensor):
    """A tensor of a trace: it has a shape and a dtype, but no numbers before the step runs."""

    __slots__ = ("node", "trace")

    def __init__(self, trace: "Trace", node: Node) -> None:
        self.trace = trace
        self.node = node
        self.key = new_key()

    @property
    def aval(self) -> Aval:
        """Shape and dtype together."""
        return self.node.avals[0]

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.node.avals[0].shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.node.avals[0].dtype

    def numpy(self) -> np.ndarray:
        """Not to be had while the step is traced.

        Raises
        ------
        ConcretizationError
            Always, naming the user's line and the way out.
        """
        self.check_in_time()
        raise self.trace.refusal(
            ConcretizationError(
                at_user_line(
                    f"the value of a traced tensor ({self.aval}) was asked for: it has none before the step runs. "
                    "Return it from the step and look at it outside, or use tj.where or tj.cond instead of an if, "
                    "tj.while_loop instead of a while"
                )
            )
        )

    @property
    def array(self) -> np.ndarray:  # type: ignore[override] # nobody writes it
        """None; eager operations that ask for it met a tensor that outlived its trace."""
        self.check_in_time()
        raise AttributeError("a traced tensor has no array")

    def check_in_time(self) -> None:
        """Hold that a step is being traced.

        Raises
        ------
        ConcretizationError
            If the tensor was kept after its trace.
        """
        if not current().interpreter.traces:
            raise ConcretizationError(at_user_line(self.trace.kept_after()))

    def __index__(self) -> int:
        return self.trace.concrete_number(self)

    def __int__(self) -> int:
        return self.trace.concrete_number(self)

    def __bool__(self) -> bool:
        if self.size != 1:
            return super().__bool__()
        return bool(self.trace.concrete_number(self))

    def __repr__(self) -> str:
        return f"TracedTensor(shape={self.shape}, dtype={self.dtype.name})"

    def __format__(self, spec: str) -> str:
        self.numpy()
        return ""

    def __str__(self) -> str:
        return str(self.numpy())

    def __reduce__(self) -> Any:
        self.numpy()


class TracedNumber(TracedTensor):
    """A traced Python number: among its like it computes as Python does, and it takes the dtype of arrays it meets.

    What Python can do with a number and a graph can't (format it, look it up, round it) needs its value.
    """

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What `isinstance` is told: the type of the number that stands here when the step runs."""
        return _PYTHON_TYPES[self.node.aval.dtype.kind]

    @property
    def aval(self) -> Aval:
        """Weak: what it meets decides on the dtype."""
        return Aval((), self.node.aval.dtype, weak=True)

    def settled(self) -> TracedTensor:
        """The number as an array of its own dtype."""
        return TracedTensor(self.trace, self.node)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if all(map(_is_number, inputs)):  # NumPy computes with Python numbers in their own dtypes
            inputs = tuple(_settled(self.trace, operand) for operand in inputs)
        return TracedTensor.__array_ufunc__(self, ufunc, method, *inputs, **kwargs)

    def __getattr__(self, name: str) -> Any:
        kind: type = self.__class__
        return self.trace.concrete_number(self) if hasattr(kind, name) else TracedTensor.__getattr__(self, name)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self


_PYTHON_TYPES = {dtype.kind: kind for kind, dtype in PYTHON_NUMBERS.items()}


def _is_number(value: Any) -> bool:
    return type(value) in PYTHON_NUMBERS or type(value) is TracedNumber


def _python_operator(operation: Callable[..., Any], reflected: bool = False) -> Any:
    """An operator that among Python numbers computes in their own dtypes and gives a number again."""

    def method(self: TracedNumber, *others: Any) -> Any:
        if not all(map(_is_number, others)):
            return operation(*others, self) if reflected else operation(self, *others)
        operands = [self, *others][:: -1 if reflected else 1]
        result = operation(*[_settled(self.trace, operand) for operand in operands])
        return TracedNumber(result.trace, result.node)

    return method


def _python_value(array_operator: Any = None) -> Any:
    """An operator that among integers has no equal in a graph; with arrays it is `array_operator`."""

    def method(self: TracedNumber, *others: Any) -> Any:
        numbers = all(map(_is_number, others))
        if array_operator is None or (numbers and all(isinstance(each, int) for each in (self, *others))):
            return self.trace.concrete_number(self)
        return array_operator(self, *others)

    return method


def _settled(trace: "Trace", operand: Any) -> Any:
    if type(operand) is TracedNumber:
        return operand.settled()
    return trace.number(operand, PYTHON_NUMBERS[type(operand)])


for _name, _operation in {
    "add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide, "floordiv": ops.floor_divide,
    "mod": ops.remainder, "pow": ops.power, "and": ops.bitwise_and, "or": ops.bitwise_or, "xor": ops.bitwise_xor,
}.items():  # fmt: skip
    setattr(TracedNumber, f"__{_name}__", _python_operator(_operation))
    setattr(TracedNumber, f"__r{_name}__", _python_operator(_operation, reflected=True))
for _name, _operation in {
    "neg": ops.negative, "pos": ops.positive, "abs": ops.abs, "lt": ops.less, "le": ops.less_equal,
    "gt": ops.greater, "ge": ops.greater_equal, "eq": ops.equal, "ne": ops.not_equal, "invert": ops.bitwise_invert,
}.items():  # fmt: skip
    setattr(TracedNumber, f"__{_name}__", _python_operator(_operation))
for _name in ("pow", "rpow"):  # ``2 ** -1`` is 0.5 in Python
    setattr(TracedNumber, f"__{_name}__", _python_value(getattr(TracedNumber, f"__{_name}__")))
for _name in (
    "lshift", "rlshift", "rshift", "rrshift", "round", "trunc", "floor", "ceil", "float", "complex", "hash", "format",
    "str",
):  # fmt: skip
    setattr(TracedNumber, f"__{_name}__", _python_value())


class SpecializeError(ConcretizationError):
    """Python needs the value of an integer argument: the step must be traced again with it as a constant."""

    def __init__(self, message: str, positions: tuple[int, ...]) -> None:
        super().__init__(message)
        self.positions = positions


class Trace:
    """The interpreter that builds a graph, and what the graph's inputs stand for.

    Attributes
    ----------
    variables, captures, numbers : list
        What the inputs of these kinds are: `Variable` objects, arrays (by reference), Python numbers.
    created : list of Variable
        The variables that were made while tracing.
    """

    traces = True
    outer = None

    def __init__(self, arguments: tuple[Aval, ...]) -> None:
        self.builder = Builder()
        self.place = ""  # the user's line, where it is not the one that is running
        self.arguments = [
            self.builder.input("argument", i, Aval(aval.shape, aval.dtype)) for i, aval in enumerate(arguments)
        ]
        self._weak = [aval.weak for aval in arguments]
        self.variables: list[Variable] = []
        self.created: list[Variable] = []
        self.captures: list[np.ndarray] = []
        self.numbers: list[float] = []
        self._inputs: dict[str, list[Node]] = {"variable": [], "capture": [], "number": []}
        self._known: dict[int, Node] = {}
        self._written: dict[tuple[Place, int, np.dtype], Value] = {}
        self._held: list[Any] = []  # what is known by address must live as long as the trace
        self._values: dict[int, tuple[Variable, Node]] = {}
        self._first: dict[int, Node] = {}  # the inputs of variables, by key
        self._tensors: dict[int, Value] = {}
        self._refusal: ConcretizationError | None = None

    def argument(self, position: int) -> TracedTensor:
        """The traced tensor of an argument."""
        kind = TracedNumber if self._weak[position] else TracedTensor
        return kind(self, self.arguments[position])

    # The interpreter

    def bind(self, primitive: Primitive, inputs: tuple[Any, ...], params: Params) -> Any:
        """Nodes instead of numbers."""
        nodes = tuple(map(self.node_of, inputs))
        node = self.builder.apply(primitive, nodes, params, self.place or user_location())
        if primitive.multiple:
            return tuple(TracedTensor(self, self.builder.part(node, i)) for i in range(len(node.avals)))
        return TracedTensor(self, node)

    def node_of(self, value: Value) -> Node:
        """The node of a tensor; one that was made outside of the trace becomes a capture."""
        if isinstance(value, TracedTensor):
            if value.trace is not self:
                raise ConcretizationError(at_user_line(value.trace.kept_after()))
            return value.node
        node = self._capture(value.array, value)  # type: ignore[attr-defined]
        self._tensors.setdefault(node.op.position, value)  # type: ignore[union-attr]
        return node

    def lift(self, value: Any, borrow: bool) -> Value:
        """Arrays are captured by reference; the rest is as in eager mode."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return TracedTensor(self, self._capture(plain_array(value), value))
        return value if isinstance(value, Value) else to_tensor(value, borrow)

    def number(self, number: float, dtype: np.dtype) -> Value:
        """A literal if tapejit wrote the number, an entry of the constant table if the user did."""
        place = HERE if isinstance(number, (bool, np.bool_)) else place_of(number, sys._getframe(1))
        if place is HERE:
            return TracedTensor(self, self.builder.literal(number, dtype))
        if place is None:
            return self.user_number(number, dtype)
        # Written once, as in a loop over variables, it is one number, and what is computed from it is computed once.
        key = place, id(number), dtype
        if key not in self._written:
            self._written[key] = self.user_number(number, dtype)
        return self._written[key]

    def user_number(self, number: float, dtype: np.dtype) -> Value:
        """A number of the user's program."""
        in_dtype(number, dtype)  # raises what eager mode would
        return TracedTensor(self, self._input("number", Aval((), dtype), self.numbers, number))

    def filled(self, number: float, shape: Shape, dtype: np.dtype) -> Value:
        """A broadcast literal, or entry of the constant table."""
        element = self.number(number, dtype)
        return in_role("broadcast")(element, shape) if shape else element

    def read(self, variable: Variable) -> TracedTensor:
        """The variable's value at this point of the program."""
        node, first = self._state(variable)[1], self._first[variable.key]
        return TracedTensor(self, node if node is first else self.builder.apply(READ_AGAIN, (node, first), {}))

    def assign(self, variable: Variable, value: Value) -> None:
        """The variable's value from this point of the program on."""
        self._state(variable)
        self._values[variable.key] = (variable, self.node_of(value))

    def create(self, variable: Variable, initial: Value) -> None:
        """A variable made while tracing persists: its first value is computed now.

        Raises
        ------
        ConcretizationError
            If that value depends on the step's arguments.
        """
        array = self._compute(self.node_of(initial))
        variable.replace(np.array(array), exposed=False)
        self.created.append(variable)

    # Inputs

    def _input(self, kind: str, aval: Aval, things: list[Any], thing: Any) -> Node:
        node = self.builder.input(kind, len(things), aval)
        things.append(thing)
        self._inputs[kind].append(node)
        return node

    def _capture(self, array: np.ndarray, owner: Any) -> Node:
        node = self._known.get(id(owner))
        if node is None:
            self._held.append(owner)
            aval = Aval(array.shape, array.dtype.newbyteorder("="))
            node = self._known[id(owner)] = self._input("capture", aval, self.captures, array)
        return node

    def captured_tensor(self, position: int) -> Value:
        """The tensor that was captured, which a tape may be watching, or one that borrows the array."""
        found = self._tensors.get(position)
        return to_tensor(self.captures[position], borrow=True) if found is None else found

    def is_hidden_in(self, thing: Any) -> bool:
        """Whether an object that is no nest holds tensors of this trace, or would make some when it is asked."""
        if isinstance(thing, (Iterator, Awaitable)):
            return True
        cells = [cell.cell_contents for cell in getattr(thing, "__closure__", None) or () if cell != CellType()]
        held = [*getattr(thing, "__dict__", {}).values(), *cells]
        return any(isinstance(leaf, TracedTensor) and leaf.trace is self for leaf in flatten(held)[0])

    def borrows(self, array: np.ndarray) -> bool:
        """Whether the array, or one that shares its memory, was captured by reference."""
        roots = {id(_memory(owner)) for owner in (*self._held, *self.captures) if isinstance(owner, np.ndarray)}
        return id(_memory(array)) in roots

    def typed_numbers(self) -> list[tuple[np.dtype, float]]:
        """The Python numbers with the dtypes that they took."""
        dtypes = [node.aval.dtype for node in self._inputs["number"]]
        return list(zip(dtypes, self.numbers, strict=True))

    def _state(self, variable: Variable) -> tuple[Variable, Node]:
        state = self._values.get(variable.key)
        if state is None and variable.dtype.kind not in "biuf":
            raise self.refusal(ConcretizationError(at_user_line("a variable of strings has no place in a kernel")))
        if state is None:
            node = self._input("variable", variable.aval, self.variables, variable)
            state = self._values[variable.key] = (variable, node)
            self._first[variable.key] = node
        return state

    def _compute(self, node: Node) -> np.ndarray:
        if any(needed in self.arguments for needed in in_order((node,))):
            raise ConcretizationError(
                at_user_line(
                    "a Variable made inside a compiled step takes its first value from an argument, which has no value "
                    "while the step is traced; make the variable outside"
                )
            )
        arguments = [np.zeros(input_.aval.shape, input_.aval.dtype) for input_ in self.arguments]
        buffers = [variable.buffer for variable in self.variables]
        return evaluate(self._graph((node,), ()), [*arguments, *buffers, *self.captures, *self.numbers])[0][0]

    def concrete_number(self, tensor: TracedTensor) -> int:
        """The value of a number that Python needs now.

        Raises
        ------
        SpecializeError
            If it depends on Python numbers among the arguments only, so that tracing with their values helps.
        ConcretizationError
            Otherwise.
        """
        tensor.check_in_time()
        positions = self.weak_positions(tensor.node)
        if not positions:
            tensor.numpy()
        raise self.refusal(SpecializeError("an argument is used as a Python number", positions or ()))

    def weak_positions(self, node: Node) -> tuple[int, ...] | None:
        """Where the Python numbers are among the arguments that a value depends on alone; None if on more."""
        sources = [source.op for source in in_order((node,)) if isinstance(source.op, Input)]
        positions = tuple(op.position for op in sources if op.kind == "argument")
        others = any(op.kind not in ("argument", "number") for op in sources)
        return None if others or not all(self._weak[position] for position in positions) else positions

    def kept_after(self) -> str:
        """What to say of a tensor that was kept after the trace."""
        return _KEPT

    def refusal(self, error: ConcretizationError) -> ConcretizationError:
        """The error, which stands even if the program catches it: what it did then holds for no other call."""
        self._refusal = self._refusal or error
        return error

    # The result

    def finish(self, outputs: list[Any]) -> Graph:
        """The graph of everything that was traced.

        Parameters
        ----------
        outputs : list of Value
            What the function returned.

        Raises
        ------
        ConcretizationError
            If the program asked for a value in vain and went on.
        """
        if self._refusal is not None:
            raise self._refusal
        nodes = tuple(map(self.node_of, outputs))
        updates = tuple(
            (self._inputs["variable"][position], self._values[variable.key][1])
            for position, variable in enumerate(self.variables)
        )
        return self._graph(nodes, updates).pruned()

    def _graph(self, outputs: tuple[Node, ...], updates: tuple[tuple[Node, Node], ...]) -> Graph:
        inputs = (*self.arguments, *self._inputs["variable"], *self._inputs["capture"], *self._inputs["number"])
        return Graph(inputs, outputs, updates)


def _memory(array: np.ndarray) -> np.ndarray:
    """The array that the memory belongs to."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
