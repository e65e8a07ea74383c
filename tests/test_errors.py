"""Exceptions are the built-in ones that a user would catch, and point at the user's line."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.IndexRangeError, IndexError),
        (errors.IndexRangeError, ValueError),
        (errors.DtypeError, TypeError),
        (errors.TapeError, RuntimeError),
        (errors.ConcretizationError, TypeError),
        (errors.CompileError, RuntimeError),
        (errors.TapejitWarning, UserWarning),
    ],
)
def test_each_is_also_what_a_user_would_catch(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)
    assert error is errors.TapejitWarning or issubclass(error, errors.TapejitError)


def line() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def raised(call: Callable[[], Any]) -> str:
    with pytest.raises(errors.TapejitError) as caught:
        call()
    return str(caught.value)


def test_messages_end_with_the_users_file_and_line() -> None:
    def call() -> None:
        tj.ones(2) + tj.ones(3)

    assert raised(call).endswith(f"(at {__file__}:{line() - 2})")


def test_messages_name_the_innermost_line_of_the_user() -> None:
    """Also where NumPy or a deep call of the library is between."""

    def call() -> None:
        np.concatenate([tj.ones((2, 1)), tj.ones((3, 2))], axis=1)

    message = raised(call)
    assert f"{__file__}:" in message or "numpy" in message


def test_there_is_a_location_only_where_there_is_a_user() -> None:
    assert errors.user_location().startswith(__file__)
    assert errors.at_user_line("what happened").startswith("what happened (at ")


def test_warnings_point_at_the_users_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tj.GradientTape() as tape:
            tape.watch([tj.constant(3)])
            expected = line() - 1
    assert [(Path(each.filename), each.lineno, each.category) for each in caught] == [
        (Path(__file__), expected, errors.TapejitWarning)
    ]


def test_a_message_of_an_error_does_not_hide_where_it_came_from() -> None:
    with pytest.raises(errors.ShapeError) as caught:
        tj.ones(2) + tj.ones(3)
    assert caught.value.__cause__ is None
