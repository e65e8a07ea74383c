"""What LLVM is told about loops, so that the time of compiling does not grow with the square of their size.

LLVM writes out several copies of a vectorised body, so that the processor has more to do at a time. A large body has
enough for that, and its copies would take several times as long to compile. Two kinds of bodies are not vectorised at
all: enormous ones (the forward and backward pass of a chain of some thousand operations would keep the vectoriser busy
for half a minute), and those with many calls of scalar functions, each of which would be written out for every lane.
Works on the modules that Numba hands over, whichever emitter they come from.
"""

# llvmlite's classes carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Iterator

from llvmlite import ir

from .mathlib.linking import is_vectorised

LARGE_BODY = 192
"""Bodies with at least as many calls and floating-point operations are vectorised without copies."""

ENORMOUS_BODY = 4096
"""Bodies with at least as many are not vectorised."""

MANY_CALLS = 32
"""Bodies with at least as many calls of scalar functions, such as ``exp``, are not vectorised."""

_VECTORS = ("fabs", "sqrt", "floor", "ceil", "rint", "copysign", "maximum", "minimum", "fptosi", "fptoui")
_COUNTED = frozenset(("fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "call"))
_ALONE = '!"llvm.loop.interleave.count", i32 1'
_SCALAR = '!"llvm.loop.vectorize.enable", i1 false'
_FIRST_ID = 1_000_000  # beyond the numbers that llvmlite gives


class _LoopId:
    """The name of a loop, as metadata, with what holds for the loop."""

    def __init__(self, number: int, hint: str) -> None:
        self.number = number
        self.hint = hint

    def get_reference(self) -> str:
        """How the branch refers to it."""
        return f"!{self.number}"

    def definition(self) -> str:
        """A name that names itself, which llvmlite can't write, and the hint."""
        own, hint = self.number, self.number + 1
        return f"!{own} = distinct !{{!{own}, !{hint}}}\n!{hint} = !{{{self.hint}}}\n"


def with_loop_hints(module: ir.Module) -> str:
    """The module's text, with the hint at each large innermost loop."""
    ids: list[_LoopId] = []
    for function in module.functions:
        for latch, hint in _large_bodies(function):
            ids.append(_LoopId(_FIRST_ID + 2 * len(ids), hint))
            latch.terminator.set_metadata("llvm.loop", ids[-1])
    return f"{module}\n" + "".join(each.definition() for each in ids)


def _large_bodies(function: ir.Function) -> Iterator[tuple[ir.Block, str]]:
    """Large blocks that may be the body of a loop, with their hints."""
    for block in function.blocks:
        branch = block.terminator
        if isinstance(branch, ir.Branch) and branch.opname == "br" and not isinstance(branch, ir.ConditionalBranch):
            counted = [instruction for instruction in block.instructions if instruction.opname in _COUNTED]
            calls = sum(map(_is_scalar_call, counted))
            if max(len(counted) / LARGE_BODY, calls / MANY_CALLS) >= 1 and _leads_to(branch.operands[0], block):
                yield block, _SCALAR if len(counted) >= ENORMOUS_BODY or calls >= MANY_CALLS else _ALONE


def _is_scalar_call(instruction: ir.Instruction) -> bool:
    """Whether a function is called that has no form for vectors."""
    if instruction.opname != "call" or is_vectorised(instruction.callee.name):
        return False
    return not instruction.callee.name.removeprefix("llvm.").startswith(_VECTORS)


def _leads_to(header: ir.Block, body: ir.Block) -> bool:
    """Whether the branch to `header` may close a loop; where it does not, LLVM ignores the hint."""
    reached = {header}
    stack = [header]
    while stack:
        terminator = stack.pop().terminator
        targets = {target for target in (terminator.operands if terminator else ()) if isinstance(target, ir.Block)}
        stack.extend(targets - reached)
        reached |= targets
    return body in reached
