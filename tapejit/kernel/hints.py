"""What LLVM is told about loops that it could not find out, or would take too long over.

* A body that calls functions of `mathlib` has work enough for the processor as it is: no copies of it are written out.
  (Nor are the last elements of a row masked, but where LLVM does it by itself, in rows of less than 16: that made rows
  of 31 elements faster by a quarter, others slower, and long ones by 10 to 45 %.)
* LLVM writes out several copies of a vectorised body, so that the processor has more to do at a time. A large body has
  enough for that, and its copies would take several times as long to compile. Enormous ones are not vectorised at all:
  the forward and backward pass of a chain of some thousand operations would keep the vectoriser busy for half a minute.
* A short loop that sums up, or goes along memory, is made of vectors before it is written out. LLVM would do it the
  other way round, and then make vectors of the loop around it, with an element of each row in them, which it has to
  gather and scatter.
* Iterations that don't meet in memory are said not to (`parallel`).

Works on the modules that Numba hands over, whichever emitter they come from. Loops that are written out in vectors
already are marked by `as_written`.
"""

# llvmlite's classes carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Collection, Sequence

from llvmlite import ir

from .mathlib.linking import is_vectorised

LARGE_BODY = 192
"""Bodies with at least as many calls and floating-point operations are vectorised without copies."""

ENORMOUS_BODY = 4096
"""Bodies with at least as many are not vectorised."""

_COUNTED = frozenset(("fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "call"))
_ONE_COPY = ('!"llvm.loop.interleave.count", i32 1', '!"llvm.loop.unroll.disable"')
_SCALAR = '!"llvm.loop.vectorize.enable", i1 false'
_ONCE = '!"llvm.loop.unroll.disable"'
_VECTORS_FIRST = (_ONCE, '!"llvm.loop.vectorize.followup_vectorized", !{!"llvm.loop.isvectorized", i32 1}')
_FIRST_ID = 1_000_000  # beyond the numbers that llvmlite gives


class _AccessGroup:
    """Loads and stores of a loop whose iterations don't meet in memory: metadata that stands for nothing but itself."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_reference(self) -> str:
        """How loads and stores refer to it."""
        return f"!{self.number}"

    def definition(self) -> str:
        """The line that makes it."""
        return f"!{self.number} = distinct !{{}}\n"


class _LoopId:
    """The name of a loop, as metadata, with what holds for the loop."""

    def __init__(self, hints: Sequence[str]) -> None:
        self.number = _FIRST_ID
        self.hints = hints

    @property
    def following(self) -> int:
        """The first number that is free again."""
        return self.number + 1 + len(self.hints)

    def get_reference(self) -> str:
        """How the branch refers to it."""
        return f"!{self.number}"

    def definition(self) -> str:
        """A name that names itself, which llvmlite can't write, and the hints."""
        own = self.number
        members = ", ".join(f"!{number}" for number in range(own, self.following))
        lines = [f"!{own} = distinct !{{{members}}}"]
        lines += [f"!{own + 1 + place} = !{{{hint}}}" for place, hint in enumerate(self.hints)]
        return "\n".join(lines) + "\n"


def as_written(latch: ir.Instruction) -> None:
    """Mark the branch that closes a loop whose body is not to be changed: it is in vectors, and large enough."""
    latch.set_metadata("llvm.loop", _LoopId((_ONCE, _SCALAR)))


def with_loop_hints(module: ir.Module, parallel: Collection[ir.Block], short: Collection[ir.Block]) -> str:
    """The module's text, with what is known of its innermost loops.

    Parameters
    ----------
    module : ir.Module
        As Numba wrote it.
    parallel : collection of ir.Block
        The bodies of loops whose iterations don't meet in memory.
    short : collection of ir.Block
        The bodies of short loops that are made of vectors before they are written out.
    """
    ids: list[_LoopId] = []
    groups: list[_AccessGroup] = []
    for function in module.functions:
        for block in function.blocks:
            hints = _body_hints(block) if _ends_plainly(block) else []
            if block in short and not hints and _ends_plainly(block):
                hints += _VECTORS_FIRST
            if block in parallel and _ends_plainly(block):
                groups.append(_AccessGroup(2 * _FIRST_ID + len(groups)))
                _gather(block, groups[-1])
                hints.append(f'!"llvm.loop.parallel_accesses", {groups[-1].get_reference()}')
            if hints and _leads_to(block.terminator.operands[0], block):
                block.terminator.set_metadata("llvm.loop", _LoopId(hints))
            found = getattr(block.terminator, "metadata", {}).get("llvm.loop")
            if found is not None:
                found.number = ids[-1].following if ids else _FIRST_ID
                ids.append(found)
    return f"{module}\n" + "".join(each.definition() for each in [*ids, *groups])


def _ends_plainly(block: ir.Block) -> bool:
    """Whether a block goes on to one other block, as the body of a loop does."""
    branch = block.terminator
    return isinstance(branch, ir.Branch) and branch.opname == "br" and not isinstance(branch, ir.ConditionalBranch)


def _gather(body: ir.Block, group: _AccessGroup) -> None:
    """Put all that a body loads and stores into a group, but for local variables: LLVM makes registers of these."""
    for instruction in body.instructions:
        if instruction.opname in {"load", "store"}:
            address = instruction.operands[-1]
            if not isinstance(address, ir.AllocaInstr):
                instruction.set_metadata("llvm.access.group", group)


def _body_hints(block: ir.Block) -> list[str]:
    """What holds for a loop if this block is its body."""
    counted = [instruction for instruction in block.instructions if instruction.opname in _COUNTED]
    if len(counted) >= ENORMOUS_BODY:
        return [_SCALAR]
    own = any(instruction.opname == "call" and is_vectorised(instruction.callee.name) for instruction in counted)
    return [*_ONE_COPY] if own or len(counted) >= LARGE_BODY else []


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
