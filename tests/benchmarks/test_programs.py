"""The programs of the agreement table give JAX's numbers, which are recorded, and their gradients are differences."""

import numpy as np
import pytest

from benchmarks.agreement import AT_MOST, deviation
from benchmarks.registry import AGREEMENT
from tests.benchmarks.jax_numbers import NUMBERS, digests

SLOW = {("diagonal_lstm", "tapejit_eager")}

# The value, and for each argument that it is differentiated by the derivative's name.
GRADIENTS = {
    "gaussian_mixture": ("log_likelihood", {"weights": "by_weights", "means": "by_means", "factors": "by_factors"}),
    "diagonal_lstm": ("loss", {"layers": "by_layers", "ends": "by_ends"}),
    "pendulum": ("misfit", {"parameters": "by_parameters"}),
    "hmc_step": (
        "energy_error",
        {"position": "by_position", "momentum": "by_momentum", "step_size": "by_step_size"},
    ),
}


def test_all_programs_are_recorded() -> None:
    assert NUMBERS.keys() == AGREEMENT.keys()


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        (name, engine)
        for name in AGREEMENT
        for engine in ("numpy", "tapejit_compiled", "tapejit_eager")
        if (name, engine) not in SLOW
    ],
)
def test_the_numbers_are_jaxs(name, engine) -> None:
    found, expected = digests(AGREEMENT[name], engine), NUMBERS[name]
    assert found.keys() == expected.keys()
    for result, numbers in expected.items():
        assert deviation(np.array(found[result]), np.array(numbers)) < AT_MOST, result


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_gradient_is_what_differences_say(name) -> None:
    workload, (value, by) = AGREEMENT[name], GRADIENTS[name]
    data = workload.inputs()
    draw, step = np.random.default_rng(1), 1e-5
    directions = {argument: draw.normal(size=data[argument].shape) for argument in by}

    def results(distance: float):
        moved = {argument: data[argument] + distance * along for argument, along in directions.items()}
        session = workload.engine("tapejit_compiled").prepare({**data, **moved})
        session.step()
        return session.result()

    here = results(0.0)
    slope = sum(np.sum(here[by[argument]] * along) for argument, along in directions.items())
    difference = (results(step)[value] - results(-step)[value]) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-6)
