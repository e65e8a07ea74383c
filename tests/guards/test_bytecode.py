"""Reading names off bytecode, on this Python and as Python 3.14 writes it."""

from __future__ import annotations

import argparse
import dis
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tapejit.guards.bytecode import Chain, Reads, Step, analyse, read_instructions


def written(chain: Chain) -> str:
    return chain.name + "".join(map(str, chain.steps))


def function(body: str, parameters: str = "self, x") -> Any:
    namespace: dict[str, Any] = {}
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    exec(f"def f({parameters}):\n{indented}", namespace)
    return namespace["f"]


def ends(body: str, parameters: str = "self, x") -> set[str]:
    return {written(chain) for chain in analyse(function(body, parameters).__code__).ends}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return self.a.b", {"self.a.b"}),
        ('return cfg["k"].c[0][-1]', {'cfg["k"].c[0][-1]'}),
        ("return self.f(x, y.z)", {"self.f", "x", "y.z"}),
        ("return f(*self.a, **self.b)", {"f", "self.a", "self.b"}),
        ("return f(k=self.a)", {"f", "self.a"}),
        ("o = self.o\nreturn o.a + o.b", {"self.o.a", "self.o.b"}),
        ("a, b = self.p, self.q\nreturn a.r + b.r", {"self.p.r", "self.q.r"}),
        ("o = self.o\no = self.p\nreturn o.a", {"self.o", "self.p"}),
        ("x = x.a\nreturn x.b", set()),
        ("return self.a[x]", {"self.a", "x"}),
        ("return self.a[1:2]", {"self.a"}),
        ("return f'{self.a} {cfg.b!r}'", {"self.a", "cfg.b"}),
        ("return -self.a < cfg.b", {"self.a", "cfg.b"}),
        ("if self.a:\n    return self.b\nreturn self.c", {"self.a", "self.b", "self.c"}),
        ("with self.a() as t:\n    return self.b", {"self.a", "self.b"}),
        (
            "try:\n    return self.a\nexcept ValueError:\n    return self.b",
            {"self.a", "self.b", "ValueError"},
        ),
        ("return getattr(self.a, 'b').c", {"getattr", "self.a.b.c", "self.a"}),
        ("return hasattr(self, 'b')", {"hasattr", "self", "self.b"}),
        ("for y in self.a:\n    x += y * self.b", {"self.a", "self.b"}),
        ("return getattr(self, x)", {"getattr", "self", "self.*", "x"}),
        ("return getattr(self.a, f'w{x}')", {"getattr", "self.a", "self.a.w*", "x"}),
        ("return hasattr(self, 'w' + str(x))", {"hasattr", "self", "self.w*", "str", "x"}),
        ("return vars(self)['a']", {"vars", "self", 'self.__dict__["a"]'}),
        ("return len(self.a)", {"len", "self.a.__len__"}),
        ("self.n += 1", set()),
        ("self.n += self.m", {"self.m"}),
        ("cfg.t['n'] += 1", set()),
        ("self.n = self.n + 1", {"self.n"}),
        ("self.n += 1\nreturn self.n", {"self.n"}),
        ("self.n = cfg.n\ncfg.n += 1", {"cfg.n"}),
        ("y = self.n\ny += 1\nreturn y", {"self.n"}),
    ],
)
def test_ends(body: str, expected: set[str]) -> None:
    assert ends(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("self.n += 1", {"self.n"}),
        ("self.a.n = x", {"self.a.n"}),
        ('cfg["n"] = x', {'cfg["n"]'}),
        ('self.cfg["n"] += 1', {'self.cfg["n"]'}),
        ("global g\ng = 1", {"g"}),
        ("del self.n", {"self.n"}),
        ("o = self.o\no.n = 1", {"self.o.n"}),
    ],
)
def test_stores(body: str, expected: set[str]) -> None:
    assert {written(chain) for chain in analyse(function(body).__code__).stores} == expected


def test_kinds_of_names() -> None:
    captured = 1

    def inner(parameter: Any) -> Any:
        return captured, parameter.a, globally  # type: ignore[name-defined]  # noqa: F821 - never run

    kinds = {written(chain): chain.kind for chain in analyse(inner.__code__).ends}
    assert kinds == {"captured": "cell", "parameter.a": "parameter", "globally": "global"}


def test_attributes_of_unknown_values_are_listed() -> None:
    reads = analyse(function("for y in self.a:\n    x = y.scale\nreturn x").__code__)
    assert list(reads.loose) == [Step.attribute("scale")]


def test_lines() -> None:
    reads = analyse(function("y = 1\nreturn self.a").__code__)
    assert reads.ends[Chain("parameter", "self", (Step.attribute("a"),))] == 3


def test_every_code_of_the_standard_library_can_be_read() -> None:
    def visit(code: Any) -> int:
        analyse(code)
        return 1 + sum(visit(constant) for constant in code.co_consts if hasattr(constant, "co_code"))

    for module in (dis, argparse, typing):
        with open(str(module.__file__), encoding="utf-8") as source:  # noqa: PTH123 - a module's file is a string
            assert visit(compile(source.read(), "module", "exec")) > 1


def synthetic(*instructions: tuple[Any, ...]) -> list[Any]:
    """Return instructions with the names of another Python: opname, argval, argrepr."""
    return [
        SimpleNamespace(
            opname=parts[0],
            opcode=dis.opmap.get(parts[0], dis.opmap["NOP"]),
            arg=parts[3] if len(parts) > 3 else 0,
            argval=parts[1] if len(parts) > 1 else None,
            argrepr=parts[2] if len(parts) > 2 else "",
            offset=2 * index,
            is_jump_target=False,
            positions=SimpleNamespace(lineno=7),
        )
        for index, parts in enumerate(instructions)
    ]


def read(instructions: list[Any], reader: Callable[..., Reads] = read_instructions) -> Reads:
    return reader(instructions, ("self", "x"), (), (), 1)


def test_python_314_subscripts_and_small_integers() -> None:
    reads = read(
        synthetic(
            ("LOAD_FAST_BORROW", "self"),
            ("LOAD_CONST", "lr", "'lr'"),
            ("BINARY_OP", 26, "[]", 26),
            ("LOAD_SMALL_INT", 0, "0"),
            ("BINARY_OP", 26, "[]", 26),
            ("STORE_FAST", "y"),
            ("LOAD_FAST_BORROW_LOAD_FAST_BORROW", ("y", "x")),
            ("BINARY_OP", 5, "*", 5),
            ("RETURN_VALUE",),
        )
    )
    assert {written(chain) for chain in reads.ends} == {'self["lr"][0]', "x"}
    assert set(reads.ends.values()) == {7}


def test_superinstructions() -> None:
    reads = read(
        synthetic(
            ("LOAD_FAST_LOAD_FAST", ("self", "x")),
            ("STORE_FAST_STORE_FAST", ("a", "b")),
            ("LOAD_FAST", "a"),
            ("STORE_FAST_LOAD_FAST", ("c", "b")),
            ("BINARY_OP", 0, "+"),
            ("SOMETHING_NEW",),
        )
    )
    assert {name: written(chain) for name, chain in reads.aliases.items()} == {
        "a": "x",
        "b": "self",
        "c": "x",
    }
    assert {written(chain) for chain in reads.ends} == {"self"}
