"""Real processes: what the runner and the programs that it starts say to each other."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import machine
from benchmarks.first_calls import SITUATIONS, Bench
from benchmarks.registry import FIRST_CALLS, FUNCTIONS, STEPS
from benchmarks.runner import Options, run, run_together
from benchmarks.workload import Check

QUICK = Options({}, rounds=2, seconds=1e-4, patience=60.0)


def engines(workload, *names):
    return tuple(workload.engine(name) for name in names)


def test_engines_are_compared_and_then_timed() -> None:
    workload = STEPS["line_fit"]
    found = run(workload, engines(workload, "numpy", "tapejit_compiled"), QUICK)
    assert [(outcome.status, len(outcome.samples)) for outcome in found] == [("measured", 2)] * 2
    assert all(sample > 0 for outcome in found for sample in outcome.samples)


def test_one_that_disagrees_is_named_and_nothing_is_timed() -> None:
    workload = STEPS["line_fit"]
    wrong = dataclasses.replace(workload, check=Check(1, 0.0, 1e-9, lambda data: {"w": data["w"], "b": data["b"]}))
    (outcome,) = run(wrong, engines(workload, "numpy"), QUICK)
    assert (outcome.status, outcome.samples) == ("disagrees", [])
    assert outcome.detail.startswith("with the recorded result after 1 steps: w is off by 0.011")


def test_workloads_share_a_process_and_one_that_is_missing_does_not_end_it() -> None:
    jobs = [(FUNCTIONS[name], engines(FUNCTIONS[name], "numpy")) for name in ("digamma_float32", "exp_float32")]
    ((missing,), (measured,)) = run_together(jobs, QUICK)
    assert (missing.status, missing.detail, missing.samples) == ("missing", "NumPy has no digamma", [])
    assert (measured.status, len(measured.samples)) == ("measured", 2)


def test_one_that_is_not_installed_is_no_failure() -> None:
    workload = STEPS["line_fit"]
    absent = dataclasses.replace(workload.engine("numpy"), name="absent", needs="no_such_library")
    (outcome,) = run(workload, (absent,), QUICK)
    assert (outcome.status, outcome.detail) == ("not installed", "no module 'no_such_library' in its environment")


def test_an_engine_for_more_cores_than_there_are_is_not_possible(monkeypatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: [3])
    workload = STEPS["line_fit"]
    wide = dataclasses.replace(workload.engine("numpy"), cores=2)
    (outcome,) = run(workload, (wide,), dataclasses.replace(QUICK, core=3))
    assert outcome.status == "not possible"


@pytest.mark.parametrize(("count", "where"), [(1, {1}), (2, {1, 7}), (3, {1, 5, 7})])
def test_an_engine_for_several_cores_sits_on_the_chosen_one_and_the_last_others(monkeypatch, count, where) -> None:
    monkeypatch.setattr(machine, "cores", lambda: [0, 1, 5, 7])
    assert Options({}, core=1).pinned(count) == where
    assert Options({}, core=None).pinned(count) == set()


def test_a_program_is_timed_from_its_start_to_what_it_prints(tmp_path) -> None:
    workload = FIRST_CALLS["chain_300"]
    data = workload.inputs()
    np.savez(tmp_path / "inputs.npz", **data)
    engine = workload.engine("tapejit_compiled")
    bench = Bench(workload, tmp_path, QUICK)
    situations = {situation.name: situation for situation in SITUATIONS}
    first, second = (bench.call(engine, situations["process_stored"]) for _ in range(2))
    assert first["seconds"] > 0
    assert (first["report"]["from_cache"], second["report"]["from_cache"]) == (0, 1)
    json.dumps(second)
    session = workload.engine("numpy").prepare(data)
    session.step()
    with np.load(bench.result_of(engine)) as found:
        assert workload.check.differences(session.result(), dict(found)) == []
