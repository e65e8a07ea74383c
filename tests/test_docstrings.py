"""The examples in the package's docstrings, run with `tj` and `np` in scope."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

import tapejit as tj

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names() -> list[str]:
    found = (info.name for info in pkgutil.walk_packages(tj.__path__, prefix="tapejit."))
    return ["tapejit", *(name for name in found if not name.endswith("__main__"))]


def examples(module: ModuleType) -> Iterator[doctest.DocTest]:
    """Every docstring of `module` with an example, each once, whatever kind of object it stands on.

    A declaration is turned into an object of the family's by its decorator, and `doctest` alone looks only
    at functions and classes.
    """
    scope = {"tj": tj, "np": np}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, globs=scope)
    yield from (test for test in found if test.examples)
    seen = {test.name for test in found}
    parser = doctest.DocTestParser()
    for name, value in vars(module).items():
        full_name = f"{module.__name__}.{name}"
        if full_name in seen or getattr(value, "__module__", None) != module.__name__:
            continue
        text = inspect.getdoc(value)
        if text and text != inspect.getdoc(type(value)):
            test = parser.get_doctest(text, dict(scope), full_name, module.__file__, None)
            if test.examples:
                yield test


def run(test: doctest.DocTest) -> str:
    """Run the examples of one docstring and return what went wrong, empty if nothing did."""
    report: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=report.append)
    return "".join(report)


@pytest.mark.parametrize("name", module_names())
def test_examples_give_what_they_show(name: str) -> None:
    failures = [report for test in examples(importlib.import_module(name)) if (report := run(test))]
    assert not failures, "\n".join(failures)


def test_a_wrong_example_is_found_wherever_it_stands() -> None:
    class Declared:
        def __init__(self) -> None:
            self.__doc__ = ">>> tj.asarray(2.0).item() + 1\n7.0\n"
            self.__module__ = "synthetic"

    def function() -> None:
        """Give a wrong sum.

        >>> np.int64(1) + 1 == 3
        True
        """

    function.__module__ = "synthetic"
    module = ModuleType("synthetic")
    module.__dict__.update(declared=Declared(), function=function, __file__=__file__)
    reports = {test.name: run(test) for test in examples(module)}
    assert reports.keys() == {"synthetic.declared", "synthetic.function"}
    assert "Expected:\n    7.0\nGot:\n    3.0" in reports["synthetic.declared"]
    assert "Expected:\n    True\nGot:" in reports["synthetic.function"]


def test_the_package_shows_examples() -> None:
    shown = sum(len(test.examples) for name in module_names() for test in examples(importlib.import_module(name)))
    assert shown > 0
