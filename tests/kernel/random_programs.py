"""Random programs over the operations that kernels hold, for hypothesis.

A program is a list of instructions over a growing list of values: operations of all families, on values of several
dtypes and shapes (lengths 0 and 1 among them), with assignments to variables and reads of them in between, and
gradients up to the second order. While it is drawn its values are traced, so that their shapes and dtypes are known.
Start reading at `random_programs`; the operations are in `random_operations`.
"""

import os
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import tapejit as tj
from tapejit.aval import Aval
from tests.kernel.random_operations import FAMILIES, Draft, Draw, Function, Instruction, floating
from tests.kernel.random_regions import chosen, looped, repeated

LARGEST = 240
"""By default no value has more elements."""
FLOATS = ("float32", "float64")
REGIONS = (*(looped,) * 14, *(chosen,) * 3, *(repeated,) * 3)
"""Families of loops and branches: of every five operations two."""
LENGTHS = (0, 1, 2, 2, 3, 3, 5, 5, 17, 40, 1500)
"""Of axes; the last is longer than a block of a reduction."""


def examples(count: int) -> settings:
    """Settings for `count` programs, the same in every run; TAPEJIT_EXAMPLES asks for another number of new ones."""
    asked = os.environ.get("TAPEJIT_EXAMPLES")
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    new = asked is not None
    return settings(max_examples=int(asked or count), derandomize=not new, print_blob=new, suppress_health_check=slow)


@dataclass(frozen=True)
class RandomProgram:
    """What to run: instructions over values, of which the first are arguments and variables.

    `order` is that of the gradients, 0 for none; with `descend` the variables go a step down the gradient at the end.
    """

    arguments: tuple[Aval, ...]
    variables: tuple[Aval, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    targets: tuple[int, ...]
    order: int
    descend: bool

    def __repr__(self) -> str:
        lines = [f"arguments {', '.join(map(str, self.arguments))}; variables {', '.join(map(str, self.variables))}"]
        known = len(self.arguments) + len(self.variables)
        for instruction in self.instructions:
            assigns = instruction.variable is not None and instruction.inputs
            lines.append(f"{'' if assigns else f'{known} = '}{instruction.name} {instruction.inputs or ''}")
            known += not assigns
        lines.append(f"outputs {self.outputs}, targets {self.targets}, order {self.order}, descend {self.descend}")
        return "\n" + "\n".join(lines)

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """What hypothesis shows of a program that fails."""
        printer.text(repr(self))

    def draw(self, seed: int) -> list[np.ndarray]:
        """Arguments."""
        return _arrays(self.arguments, seed)

    def function(self) -> Function:
        """The program over fresh variables."""
        variables = [tj.Variable(array) for array in _arrays(self.variables, 1)]

        def run(*arguments: Any) -> list[Any]:
            sources = [each for each in (*arguments, *variables) if each.dtype.kind == "f"]
            with tj.GradientTape() as outer:
                with tj.GradientTape() as inner:
                    outer.watch([each for each in arguments if each.dtype.kind == "f"])
                    inner.watch([each for each in arguments if each.dtype.kind == "f"])
                    values = self._values(arguments, variables)
                    target = [tj.sum(tj.sin(values[i])) for i in self.targets]
                first = inner.gradient(target, sources) if self.order else [None] * len(sources)
                slopes = [tj.sum(tj.tanh(ct)) for ct in first if ct is not None]
            second = outer.gradient(slopes, sources) if self.order == 2 and slopes else []
            for variable, ct in zip(sources, first, strict=True):
                if self.descend and ct is not None and isinstance(variable, tj.Variable):
                    variable.assign_sub(0.125 * ct)
            return [values[i] for i in self.outputs] + [ct for ct in (*first, *second) if ct is not None]

        return run

    def _values(self, arguments: tuple[Any, ...], variables: list[tj.Variable]) -> list[Any]:
        values = [*arguments, *[variable.read_value() for variable in variables]]
        for each in self.instructions:
            operands = [values[i] for i in each.inputs]
            if each.function is not None:
                values.append(each.function(*operands))
            elif operands:
                variables[each.variable].assign(*operands)  # type: ignore[index]
            else:
                values.append(variables[each.variable].read_value())  # type: ignore[index]
        return values


def _arrays(avals: tuple[Aval, ...], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    draws = {
        "f": lambda shape: rng.uniform(-2, 2, shape),
        "i": lambda shape: rng.integers(-4, 5, shape),
        "b": lambda shape: rng.random(shape) < 0.5,
    }
    return [np.asarray(draws[aval.dtype.kind](aval.shape)).astype(aval.dtype) for aval in avals]


@st.composite
def random_programs(
    draw: Draw, largest: int = LARGEST, floats: tuple[str, ...] = FLOATS, regions: bool = False
) -> RandomProgram:
    """Programs whose values have at most `largest` elements, with floating arguments of the given dtypes.

    With `regions` they have loops and branches.
    """
    families = (*FAMILIES, *REGIONS) if regions else FAMILIES
    side = st.sampled_from([side for side in LENGTHS if side <= largest])
    shapes = st.lists(side, max_size=3).map(tuple).filter(lambda shape: prod(shape) <= largest)
    usual = draw(st.sampled_from(floats))  # so that most programs have one dtype
    dtypes = st.sampled_from([usual, usual, usual, *floats])
    typed = st.builds(lambda shape, dtype: Aval(shape, np.dtype(dtype)), shapes, dtypes)
    discrete = st.builds(
        lambda shape, dtype: Aval(shape, np.dtype(dtype)), shapes, st.sampled_from(["int32", "int64", "bool"])
    )
    arguments = (*draw(st.lists(typed, min_size=1, max_size=2)), *draw(st.lists(discrete, max_size=2)))
    draft = Draft(draw, arguments, tuple(draw(st.lists(typed, max_size=2))), largest)
    for _ in range(draw(st.sampled_from([1, 3, 5, 7, 9, 11, 13, 15, 17]))):
        if draft.variables and draw(st.integers(0, 5)) == 0:
            draft.touch()
            continue
        drawn = draft.one_of(families)(draft)
        if drawn is None or not draft.add(*drawn):
            draft.add("sin", tj.sin, (draft.pick(floating),))  # type: ignore[arg-type]
    count = len(draft.values)
    used = {i for instruction in draft.instructions for i in instruction.inputs}
    unused = [i for i in range(count) if i not in used]
    # Often all that was computed is wanted, so that little of a program is dead.
    outputs = draw(st.one_of(st.lists(st.integers(0, count - 1), max_size=3), st.just(unused), st.just(unused)))
    smooth = [i for i, value in enumerate(draft.values) if floating(value)]
    return RandomProgram(
        arguments,
        tuple(variable.aval for variable in draft.variables),
        tuple(draft.instructions),
        (*outputs, count - 1),
        (smooth[-1], draw(st.sampled_from(smooth))),
        draw(st.sampled_from([0, 1, 1, 2])),
        draw(st.booleans()),
    )
