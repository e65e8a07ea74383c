"""Draws from Python's and NumPy's generators during a trace are noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapejit.guards import Recorder

RNG = np.random.default_rng(1)
STATE = np.random.RandomState(1)
TWISTER = np.random.Generator(np.random.MT19937(1))
OWN = random.Random(1)
HOLDER: dict[str, Any] = {"rng": RNG, "all": [RNG, OWN]}


def drew(function: Callable[[], object], library: str = "the_library") -> str | None:
    recorder = Recorder(is_library=lambda filename: library in filename, opaque=lambda value: False)
    with recorder.recording(function):
        function()
    return recorder.drew_random


def helper(rng: Any) -> object:
    return rng.random()


def cell(expression: str) -> Callable[[], object]:
    """Return a function of the user's that evaluates the expression."""
    function: Callable[[], object] = eval(compile(f"lambda: {expression}", "<cell>", "eval"), globals())
    return function


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("random.random()", "random.random() at "),
        ("random.Random(1).gauss(0, 1)", "random"),
        ("random.shuffle([1, 2, 3])", "random.shuffle() at "),
        ("OWN.choice([1, 2])", "OWN.choice() at "),
        ("random.SystemRandom().random()", "random"),
        ("np.random.rand()", "np.random.rand at "),
        ("np.random.normal()", "np.random.normal at "),
        ("np.random.default_rng().normal()", "np.random.default_rng() at "),
        ("np.random.default_rng(7).normal()", "np.random.default_rng() at "),
        ("np.random.Generator(np.random.PCG64(3)).random()", "np.random.PCG64() at "),
        ("RNG.normal()", "RNG"),
        ("STATE.rand()", "STATE"),
        ("TWISTER.random()", "TWISTER"),
        ('HOLDER["rng"].random()', 'HOLDER["rng"]'),
        ('helper(HOLDER["rng"])', 'HOLDER["rng"]'),
        ('[helper(g) for g in HOLDER["all"]]', ""),
        ("list(map(lambda _: random.random(), [1]))", "random.random() at "),
    ],
)
def test_draws(expression: str, words: str) -> None:
    found = drew(cell(expression))
    assert found is not None
    assert words in found
    assert "<cell>:1" in found or "test_random.py:" in found


@pytest.mark.parametrize(
    "expression",
    ["np.sum(np.ones(3))", "random.getstate()", "RNG.bit_generator", "random.Random(3)", "sorted([3, 1])"],
)
def test_no_draws(expression: str) -> None:
    assert drew(cell(expression)) is None


def test_draws_of_the_library_itself_do_not_count() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("import random\ndef seed():\n    return random.random()", "the_library.py", "exec"), namespace)
    assert drew(namespace["seed"]) is None
    assert drew(lambda: [namespace["seed"]()]) is None
