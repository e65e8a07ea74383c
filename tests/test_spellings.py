"""Names that other libraries have for what is here: the message says what to use, and that is there."""

import importlib
import re
from types import ModuleType

import numpy as np
import pytest

import tapejit as tj
from tapejit import constants, ops
from tapejit.spellings import TABLES, advice, replacements

MODULES = [name for name in TABLES if name != "Tensor"]


def owner_of(name: str) -> ModuleType | type:
    return tj.Tensor if name == "Tensor" else importlib.import_module(name)


@pytest.mark.parametrize("owner", TABLES)
def test_what_is_advised_is_there_and_what_is_not_there_is_advised(owner: str) -> None:
    for name, use in replacements(owner).items():
        assert not hasattr(owner_of(owner), name), name
        for path in re.findall(r"\btj\.([\w.]+\w)", use):
            found: object = tj
            for part in path.split("."):
                found = getattr(found, part)
        if use.startswith("the operation of this name"):
            assert name in ops.__all__


@pytest.mark.parametrize(
    ("owner", "name", "use"),
    [
        ("tapejit", "reduce_sum", "tj.sum"),
        ("tapejit", "function", "tj.compile"),
        ("tapejit.nn", "conv2d", "tj.conv"),
        ("tapejit.random", "normal", "the methods of a generator, as in tj.random.Generator(seed).normal(shape)"),
        ("tapejit.ops.linalg", "matvec", "tj.matmul"),
    ],
)
def test_a_name_of_another_library(owner: str, name: str, use: str) -> None:
    with pytest.raises(AttributeError, match=rf"module '{owner}' has no attribute '{name}'; use {re.escape(use)}$"):
        getattr(owner_of(owner), name)


@pytest.mark.parametrize("owner", MODULES)
def test_a_name_that_nobody_has(owner: str) -> None:
    assert advice(owner, "nonsense") == ""
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        owner_of(owner).nonsense  # noqa: B018 (that is what fails)


def test_an_attribute_of_a_tensor() -> None:
    with pytest.raises(AttributeError, match=r"a Tensor has no attribute 'flatten'; use tj.ravel\(t\) \(at "):
        tj.constant([1.0]).flatten()
    with pytest.raises(AttributeError, match=r"a Variable has no attribute 'detach'; use tj.stop_gradient\(t\) \(at "):
        tj.Variable([1.0]).detach()


def test_constants_and_dtypes_are_numpys() -> None:
    for name in constants.__all__:
        ours, numpys = getattr(tj, name), getattr(np, name)
        assert ours is numpys or ours == numpys or np.isnan(ours)
    assert tj.constant([1.0], dtype=tj.float64)[tj.newaxis].dtype == "float64"
