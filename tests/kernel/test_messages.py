"""What failed checks say, in pieces: the same as the exceptions of compiled steps."""

import pytest

from tapejit.errors import faulty_matrix
from tapejit.kernel.layout import Failure
from tapejit.kernel.messages import filled, pieces_of, shown, template

BEYOND = "the label at {place} is {index}, which is none of the 3 classes"


def said(failure: Failure, *details: int) -> str:
    return filled(template(pieces_of(failure)), details)


@pytest.mark.parametrize("index", [3, -4, -(2**63)])
def test_an_index(index: int) -> None:
    failure = Failure("indexing", (3,))
    assert said(failure, index) == f"indexing: index {index} is out of range for an axis with length 3"
    assert shown(pieces_of(failure)) == "indexing: index … is out of range for an axis with length 3"


@pytest.mark.parametrize(("shape", "number"), [((2, 3, 4, 4), 5), ((3, 4, 4), 1), ((1, 4, 4), 0), ((4, 4), 0)])
def test_a_matrix(shape: tuple[int, ...], number: int) -> None:
    failure = Failure("cholesky", shape, "not positive definite")
    assert said(failure, number) == faulty_matrix("cholesky", shape, number, "not positive definite")


def test_an_index_with_words_of_its_own() -> None:
    failure = Failure("take", (3, 4, 5), beyond=BEYOND)
    assert said(failure, 7, 13) == "the label at [2, 3] is 7, which is none of the 3 classes"
    assert shown(pieces_of(failure)) == "the label at […, …] is …, which is none of the 3 classes"


def test_a_text_without_numbers_stays() -> None:
    assert filled("{0:1:0} {braces}", ()) == "{0:1:0} {braces}"
