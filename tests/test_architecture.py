"""The layering of the package, held by a walk over its syntax trees.

Each rule is a function from the modules of a package to messages. It is run on `tapejit/` and on small
synthetic packages that break it, so a rule that has gone blind fails too.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tapejit"

# The floors, ground floor first; rooms that share a floor may see each other. A room is a module or a folder
# directly under tapejit/.
FLOORS = (
    ("constants", "dataclass", "errors", "rooms", "spellings"),
    ("by_name", "config", "forks"),
    ("aval",),
    ("lowering",),
    ("configurable", "pytree"),
    ("primitive",),
    ("families",),
    ("ops",),
    ("operators",),
    ("tensor",),
    ("variable",),
    ("batching",),
    ("tape", "random"),
    ("closures",),
    ("graph",),
    ("control",),
    ("functional",),
    ("passes",),
    ("kernel",),
    ("custom",),
    ("guards",),
    ("graph_function",),
    ("step",),
    ("nn", "losses", "optimizers", "data"),
    ("metrics", "saving"),
    ("interop", "testing"),
    ("__init__",),
    ("demo", "__main__"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

DOOR = "tapejit.kernel.door"  # the one module that imports inside functions
ROOMS = "tapejit.rooms"  # the one that imports by name: public rooms, when somebody asks for them
ONLY_IMPORTED_BY = {
    "numba": {"tapejit.kernel.build", "tapejit.kernel.numba_calls", "tapejit.kernel.user_code"},
    "llvmlite": {
        "tapejit.kernel.assembly",
        "tapejit.kernel.build",
        "tapejit.kernel.decompositions",
        "tapejit.kernel.entrance",
        "tapejit.kernel.epilogue",
        "tapejit.kernel.hints",
        "tapejit.kernel.instructions",
        "tapejit.kernel.lane_loops",
        "tapejit.kernel.lapack",
        "tapejit.kernel.mathlib.lanes",
        "tapejit.kernel.mathlib.linking",
        "tapejit.kernel.mathlib.scalars",
        "tapejit.kernel.mathlib.native",
        "tapejit.kernel.linear_algebra",
        "tapejit.kernel.numba_calls",
        "tapejit.kernel.object_files",
        "tapejit.kernel.targets",
        "tapejit.kernel.outline",
        "tapejit.kernel.packing",
        "tapejit.kernel.pools",
        "tapejit.kernel.row_loops",
        "tapejit.kernel.sorting",
        "tapejit.kernel.straight",
        "tapejit.kernel.terms",
        "tapejit.kernel.tiles",
        "tapejit.kernel.vector_lines",
        "tapejit.kernel.vectors",
        "tapejit.kernel.winograd",
    },
}
DATACLASS = "tapejit.dataclass"
VAGUE_NAMES = {"utils", "common", "base", "misc", "helpers"}
FILE_LINES = 550
FUNCTION_LINES = 65  # without the docstring

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    target: str  # a module, or a module and the name taken from it
    line: int
    in_function: bool


@dataclass(frozen=True)
class Module:
    path: str  # as in "tapejit/kernel/build.py"
    source: str
    tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", ast.parse(self.source))

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def room(self) -> str:
        return room_of(self.name)

    def imports(self) -> Iterator[Import]:
        yield from _imports(self, self.tree.body, in_function=False)


Package = Mapping[str, Module]  # by module name
Rule = Callable[[Package], Iterable[str]]


def room_of(name: str) -> str:
    """Return the room of a module's dotted name; the package itself is the room `__init__`."""
    return name.split(".")[1] if "." in name else "__init__"


def package_of(sources: Mapping[str, str]) -> Package:
    modules = (Module(path, source) for path, source in sources.items())
    return {module.name: module for module in modules}


def _imports(module: Module, nodes: Iterable[ast.AST], *, in_function: bool) -> Iterator[Import]:
    """Imports of a module, but for those that only a type checker sees."""
    for node in nodes:
        if isinstance(node, ast.If) and _is_for_type_checkers(node.test):
            yield from _imports(module, node.orelse, in_function=in_function)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            yield from (Import(f"{origin}.{alias.name}", node.lineno, in_function) for alias in node.names)
        else:
            inside = in_function or isinstance(node, Function | ast.Lambda)
            yield from _imports(module, ast.iter_child_nodes(node), in_function=inside)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"  # and not "not TYPE_CHECKING"


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.path.removesuffix(".py").split("/")[: -node.level]
    return ".".join([*parts, node.module] if node.module else parts)


def imported_module(target: str, package: Package) -> str:
    """Return the module that an import's target lives in: the target itself, or what it is taken from."""
    parent = target.rpartition(".")[0]
    return target if target in package or parent not in package else parent


def inner_imports(module: Module, package: Package) -> Iterator[tuple[Import, str]]:
    for found in module.imports():
        if found.target.split(".")[0] == "tapejit":
            yield found, imported_module(found.target, package)


def functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def length(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


# ---- the rules


def every_module_is_on_a_floor(package: Package) -> Iterator[str]:
    for module in package.values():
        if module.room not in FLOOR_OF:
            yield (
                f"{module.path}: '{module.room}' is on no floor; add it to FLOORS in "
                f"tests/test_architecture.py, just above everything that it imports"
            )


def imports_point_down(package: Package) -> Iterator[str]:
    for module in package.values():
        for found, target in inner_imports(module, package):
            own, other = FLOOR_OF.get(module.room), FLOOR_OF.get(room_of(target))
            if own is not None and other is not None and other > own:
                yield (
                    f"{module.path}:{found.line}: '{module.room}' (floor {own}) imports {found.target} from "
                    f"'{room_of(target)}' (floor {other}), which is above it"
                )


def imports_make_no_circle(package: Package) -> Iterator[str]:
    graph = {
        name: {target for found, target in inner_imports(module, package) if not found.in_function}
        for name, module in package.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "modules import each other in a circle: " + " ← ".join(error.args[1])


def imports_stand_at_the_top(package: Package) -> Iterator[str]:
    for module in package.values():
        if module.name == DOOR:
            continue
        for found in module.imports():
            if found.in_function:
                yield f"{module.path}:{found.line}: imports {found.target} inside a function; only {DOOR} may"
        for node in ast.walk(module.tree) if module.name != ROOMS else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                yield f"{module.path}:{node.lineno}: imports through a call; only {DOOR} and {ROOMS} may import late"


def the_compiler_stays_in_its_room(package: Package) -> Iterator[str]:
    for module in package.values():
        for found in module.imports():
            library = found.target.split(".")[0]
            allowed = ONLY_IMPORTED_BY.get(library)
            if allowed is not None and module.name not in allowed:
                yield f"{module.path}:{found.line}: imports {library}; only {', '.join(sorted(allowed))} may"


def dataclasses_are_written_late(package: Package) -> Iterator[str]:
    for module in package.values():
        for found in module.imports():
            if found.target == "dataclasses.dataclass" and module.name != DATACLASS:
                yield f"{module.path}:{found.line}: takes dataclass from dataclasses; {DATACLASS} has a faster one"


def files_are_short(package: Package) -> Iterator[str]:
    for module in package.values():
        lines = len(module.source.splitlines())
        if lines > FILE_LINES:
            yield f"{module.path}: {lines} lines; {FILE_LINES} at most: look for the second idea in it"


def functions_are_short(package: Package) -> Iterator[str]:
    for module in package.values():
        for function in functions(module):
            if length(function) > FUNCTION_LINES:
                yield (
                    f"{module.path}:{function.lineno}: {function.name} has {length(function)} lines without "
                    f"its docstring; {FUNCTION_LINES} at most: look for the idea that is hiding in it"
                )


def exceptions_are_named(package: Package) -> Iterator[str]:
    for module in package.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{module.path}:{node.lineno}: a bare except also catches Ctrl-C; name what is expected"


def names_say_something(package: Package) -> Iterator[str]:
    for module in package.values():
        for part in VAGUE_NAMES.intersection(part.strip("_") for part in module.name.split(".")):
            yield f"{module.path}: '{part}' doesn't say what is in it; name the idea"


def modules_say_what_they_are_for(package: Package) -> Iterator[str]:
    for module in package.values():
        if not ast.get_docstring(module.tree):
            yield f"{module.path}: no docstring; say what the module is for and where to start reading"


def rooms_stand(package: Package) -> Iterator[str]:
    rooms = {module.room for module in package.values()}
    for room in FLOOR_OF:
        if room not in rooms:
            yield f"'{room}' is in FLOORS, but not in tapejit/; take it out"


RULES: tuple[Rule, ...] = (
    every_module_is_on_a_floor,
    imports_point_down,
    imports_make_no_circle,
    imports_stand_at_the_top,
    the_compiler_stays_in_its_room,
    dataclasses_are_written_late,
    files_are_short,
    functions_are_short,
    exceptions_are_named,
    names_say_something,
    modules_say_what_they_are_for,
    rooms_stand,
)


# ---- the rules on the package


@pytest.fixture(scope="module")
def tapejit_package() -> Package:
    root = PACKAGE.parent
    return package_of({path.relative_to(root).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule, tapejit_package: Package) -> None:
    broken = list(rule(tapejit_package))
    assert not broken, "\n" + "\n".join(broken)


def test_importing_tapejit_loads_no_compiler() -> None:
    program = "import sys, tapejit; print(*sorted({'numba', 'llvmlite'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


# ---- the rules on packages that break them, and on their nearest neighbours that don't


def long_function(lines: int) -> str:
    return '"""Doc."""\ndef f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * (lines - 1)


BREAKS: tuple[tuple[Rule, dict[str, str], str], ...] = (
    (every_module_is_on_a_floor, {"tapejit/attic.py": ""}, "'attic' is on no floor; add it to FLOORS"),
    (every_module_is_on_a_floor, {"tapejit/attic/box.py": ""}, "'attic' is on no floor"),
    (
        imports_point_down,
        {"tapejit/aval.py": "import tapejit.ops", "tapejit/ops/__init__.py": ""},
        "tapejit/aval.py:1: 'aval' (floor 2) imports tapejit.ops from 'ops'",
    ),
    (
        imports_point_down,
        {"tapejit/aval.py": "from tapejit.tensor import Tensor", "tapejit/tensor.py": ""},
        "imports tapejit.tensor.Tensor from 'tensor'",
    ),
    (
        imports_point_down,
        {"tapejit/tape/record.py": "from ..graph import ir", "tapejit/graph/ir.py": ""},
        "imports tapejit.graph.ir from 'graph'",
    ),
    (
        imports_point_down,
        {"tapejit/tape/__init__.py": "from .. import step", "tapejit/step.py": ""},
        "imports tapejit.step from 'step'",
    ),
    (
        imports_point_down,
        {"tapejit/nn/dense.py": "import tapejit as tj", "tapejit/__init__.py": ""},
        "imports tapejit from '__init__'",
    ),
    (
        imports_point_down,
        {"tapejit/aval.py": "from tapejit import Tensor", "tapejit/__init__.py": ""},
        "imports tapejit.Tensor from '__init__'",
    ),
    (
        imports_point_down,
        {"tapejit/kernel/door.py": "def f():\n    import tapejit.step", "tapejit/step.py": ""},
        "imports tapejit.step from 'step'",
    ),
    (
        imports_make_no_circle,
        {"tapejit/ops/a.py": "from tapejit.ops import b", "tapejit/ops/b.py": "from .a import f"},
        "in a circle: tapejit.ops",
    ),
    (
        imports_make_no_circle,
        {
            "tapejit/ops/__init__.py": "from tapejit.ops.a import f",
            "tapejit/ops/a.py": "from tapejit.ops import g",
        },
        "in a circle: tapejit.ops",
    ),
    (
        imports_stand_at_the_top,
        {"tapejit/ops/a.py": "def f():\n    import math"},
        "a.py:2: imports math inside",
    ),
    (
        imports_stand_at_the_top,
        {"tapejit/step.py": "class C:\n    def f(self):\n        if 1:\n            from x import y"},
        "x.y",
    ),
    (
        imports_stand_at_the_top,
        {"tapejit/step.py": "import importlib\nm = importlib.import_module('x')"},
        "through a call",
    ),
    (imports_stand_at_the_top, {"tapejit/step.py": "m = __import__('numba')"}, "through a call"),
    (
        the_compiler_stays_in_its_room,
        {"tapejit/kernel/targets.py": "import numba"},
        "imports numba; only tapejit.kernel.build",
    ),
    (
        the_compiler_stays_in_its_room,
        {"tapejit/kernel/store.py": "from llvmlite import binding"},
        "imports llvmlite; only",
    ),
    (
        the_compiler_stays_in_its_room,
        {"tapejit/kernel/door.py": "def f():\n    import numba.core"},
        "imports numba; only",
    ),
    (
        dataclasses_are_written_late,
        {"tapejit/step.py": "from dataclasses import dataclass, field"},
        "step.py:1: takes dataclass from dataclasses",
    ),
    (files_are_short, {"tapejit/step.py": "x = 1\n" * (FILE_LINES + 1)}, "551 lines"),
    (functions_are_short, {"tapejit/step.py": long_function(FUNCTION_LINES + 1)}, "f has 66 lines"),
    (
        exceptions_are_named,
        {"tapejit/step.py": "try:\n    f()\nexcept:\n    pass"},
        "step.py:3: a bare except",
    ),
    (names_say_something, {"tapejit/ops/helpers.py": ""}, "'helpers' doesn't say"),
    (names_say_something, {"tapejit/ops/_utils.py": ""}, "'utils' doesn't say"),
    (names_say_something, {"tapejit/common/x.py": ""}, "'common' doesn't say"),
    (modules_say_what_they_are_for, {"tapejit/step.py": "x = 1"}, "tapejit/step.py: no docstring"),
    (rooms_stand, {"tapejit/step.py": ""}, "'errors' is in FLOORS, but"),
)

KEEPS: tuple[tuple[Rule, dict[str, str]], ...] = (
    (
        every_module_is_on_a_floor,
        {"tapejit/__init__.py": "", "tapejit/__main__.py": "", "tapejit/ops/linalg.py": ""},
    ),
    (
        imports_point_down,
        {"tapejit/step.py": "import numpy\nfrom tapejit.aval import Aval", "tapejit/aval.py": ""},
    ),
    (imports_point_down, {"tapejit/nn/dense.py": "from tapejit import losses", "tapejit/losses.py": ""}),
    (
        imports_point_down,
        {
            "tapejit/aval.py": "import typing as t\nif t.TYPE_CHECKING:\n    from tapejit.tensor import T",
            "tapejit/tensor.py": "",
        },
    ),
    (
        imports_make_no_circle,
        {
            "tapejit/kernel/door.py": "def build():\n    from tapejit.kernel import build",
            "tapejit/kernel/build.py": "from tapejit.kernel import door",
        },
    ),
    (
        imports_make_no_circle,
        {"tapejit/ops/__init__.py": "from .a import f", "tapejit/ops/a.py": "from ..aval import A"},
    ),
    (
        imports_stand_at_the_top,
        {"tapejit/kernel/door.py": "def build():\n    from tapejit.kernel import build"},
    ),
    (
        imports_stand_at_the_top,
        {"tapejit/ops/a.py": "try:\n    import math\nexcept ImportError:\n    math = None"},
    ),
    (imports_stand_at_the_top, {"tapejit/rooms.py": "def f(name):\n    return import_module(name)"}),
    (the_compiler_stays_in_its_room, {"tapejit/kernel/build.py": "import numba\nimport llvmlite.ir"}),
    (
        dataclasses_are_written_late,
        {"tapejit/step.py": "from dataclasses import field\nfrom .dataclass import dataclass"},
    ),
    (files_are_short, {"tapejit/step.py": "x = 1\n" * FILE_LINES}),
    (functions_are_short, {"tapejit/step.py": long_function(FUNCTION_LINES)}),
    (exceptions_are_named, {"tapejit/step.py": "try:\n    f()\nexcept ValueError:\n    pass"}),
    (names_say_something, {"tapejit/ops/elementwise.py": ""}),
)


@pytest.mark.parametrize(("rule", "sources", "message"), BREAKS)
def test_a_rule_finds_what_breaks_it(rule: Rule, sources: dict[str, str], message: str) -> None:
    assert any(message in found for found in rule(package_of(sources))), list(rule(package_of(sources)))


@pytest.mark.parametrize(("rule", "sources"), KEEPS)
def test_a_rule_lets_pass_what_keeps_it(rule: Rule, sources: dict[str, str]) -> None:
    assert not list(rule(package_of(sources)))


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


def test_rooms_stand_once_each_is_there() -> None:
    sources = {f"tapejit/{room}.py": "" for room in FLOOR_OF}
    assert not list(rooms_stand(package_of(sources)))
