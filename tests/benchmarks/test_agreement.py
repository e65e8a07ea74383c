import dataclasses
from math import inf

import numpy as np
import pytest

from benchmarks.agreement import PEER, Agreement, deviation, deviations, run
from benchmarks.registry import STEPS
from benchmarks.runner import Options

QUICK = Options({}, rounds=2, seconds=1e-4, patience=60.0)


@pytest.mark.parametrize(
    ("found", "expected", "far"),
    [
        ([0.5, 0.0], [0.5, 1e-3], 1e-3),  # below one in all, differences count as they are
        ([300.0], [100.0], 0.5),
        ([-1.0], [1.0], 1.0),
        ([inf, -inf], [inf, -inf], 0.0),
        ([inf], [1.0], inf),
        ([np.nan], [1.0], inf),
        ([np.nan], [np.nan], inf),
        ([1.0], [1.0, 1.0], inf),
        ([], [], 0.0),
    ],
)
def test_deviations(found, expected, far) -> None:
    assert deviation(np.array(found), np.array(expected)) == far


def test_another_dtype_is_no_agreement() -> None:
    assert deviation(np.ones(2, np.float32), np.ones(2)) == inf


def test_a_result_that_is_missing_is_infinitely_far_away() -> None:
    assert deviations({"x": np.ones(1)}, {"x": np.ones(1), "y": np.ones(1)}) == {"x": 0.0, "y": inf}


def test_the_worst_result_has_a_name() -> None:
    found = Agreement(STEPS["line_fit"], [], {"numpy": {"w": 1e-15, "b": 1e-12}})
    assert found.worst("numpy") == ("b", 1e-12)
    assert found.worst("tapejit_compiled") is None


def test_engines_in_processes_of_their_own_are_compared_with_the_peer(monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.agreement.PEER", "numpy")
    workload = STEPS["logistic_posterior"]
    found = run(workload, [workload.engine("numpy"), workload.engine("tapejit_compiled")], QUICK)
    assert [(outcome.status, outcome.samples) for outcome in found.outcomes] == [("measured", [])] * 2
    assert found.deviations.keys() == {"tapejit_compiled"}
    assert found.deviations["tapejit_compiled"].keys() == {"log_posterior", "gradient"}
    assert max(found.deviations["tapejit_compiled"].values()) < 1e-13


def test_without_the_peer_nothing_is_compared() -> None:
    workload = STEPS["logistic_posterior"]
    absent = dataclasses.replace(workload.engine(PEER), needs="no_such_library")
    found = run(workload, [workload.engine("numpy"), absent], QUICK)
    assert [outcome.status for outcome in found.outcomes] == ["measured", "not installed"]
    assert found.deviations == {}
