from dataclasses import replace

import pytest

from benchmarks.run import Row, against_targets, spoken
from benchmarks.size import Size
from benchmarks.workload import Limit
from tests.benchmarks import made


@pytest.fixture
def rows() -> list[Row]:
    return against_targets(made.run())


def row(rows: list[Row], workload: str, at_most: str) -> Row:
    (found,) = (row for row in rows if row.workload == workload and row.at_most == at_most)
    return found


def test_steps_hold_miss_or_are_not_measured(rows) -> None:
    assert (row(rows, "fast", "0.5 × jax_jit").found, row(rows, "fast", "0.5 × jax_jit").verdict) == ("0.25 ×", "holds")
    assert row(rows, "fast", "0.1 × numpy").verdict == "**misses**"
    assert row(rows, "alone", "0.5 × jax_jit").verdict == "not measured"


def test_functions_are_one_row_for_each_peer_and_a_missing_one_is_no_success(rows) -> None:
    assert row(rows, "functions, per element", "1 × jax_jit") == Row(
        "functions, per element", "tapejit_compiled", "1 × jax_jit", "1 of 3, worst tan_float32: 5.00 ×", "**misses**"
    )
    by_numpy = row(rows, "functions, per element", "1 × numpy")  # which has no erf
    assert (by_numpy.found, by_numpy.verdict) == ("2 of 2, worst exp_float32: 0.50 ×", "holds")


def test_first_calls_are_held_against_seconds_or_against_another_figure(rows) -> None:
    assert row(rows, "mlp_adam, first call, ready", "400 ms").verdict == "holds"
    assert row(rows, "mlp_adam, first call, loaded, load_seconds", "20 ms").found == "15 ms"  # the loading alone
    assert row(rows, "mlp_adam, first call, process", "0.8 × jax_jit").found == "0.50 ×, 500 ms"
    stored = row(rows, "mlp_adam, first call, process_stored", "0.25 × jax_jit, process")
    assert (stored.found, stored.verdict) == ("0.40 ×, 400 ms", "**misses**")


def test_a_part_of_what_an_engine_reports_is_held_against_that_of_another_engine(monkeypatch) -> None:
    kept, every = (made.first_calls("mlp_adam", name, ready=0.3) for name in ("tapejit_all", "tapejit_every"))
    kept.samples["ready"][0]["report"]["intermediate_bytes"] = 50 * 2**20
    every.samples["ready"][0]["report"]["intermediate_bytes"] = 2**20
    limit = Limit(
        "mlp_adam", "tapejit_every", "ready", "intermediate_bytes", times=0.03, peer="tapejit_all", limit="why"
    )
    monkeypatch.setattr("benchmarks.run.LIMITS", (limit, replace(limit, times=0.01)))
    measured = replace(made.run(), first_calls=[(made.workload("mlp_adam"), [kept, every])])
    name = "mlp_adam, first call, ready, intermediate_bytes"
    holds, misses = (row(against_targets(measured), name, f"{times} × tapejit_all") for times in (0.03, 0.01))
    assert (holds.engine, holds.found, holds.verdict) == ("tapejit_every", "0.02 ×, 1 MiB", "holds")
    assert misses.verdict == "**misses**: why"


def test_agreements_hold_as_far_as_the_worst_result(rows) -> None:
    at_most = "1e-10 from jax_jit"
    holds, misses = (row(rows, f"{name}, agreement", at_most) for name in ("mixture", "chaos"))
    assert (holds.engine, holds.found, holds.verdict) == ("tapejit_compiled", "2.0e-14, gradient", "holds")
    assert (misses.found, misses.verdict) == ("3.0e-09, gradient", "**misses**")


def test_sizes_are_held_against_each_other(rows) -> None:
    assert row(rows, "installed size", "0.6 × jax").verdict == "holds"
    without = replace(made.run(), sizes=[Size("tapejit", {"llvmlite": 1}), Size("jax", why="no pip")])
    assert row(against_targets(without), "installed size", "0.6 × jax").verdict == "not measured"


def test_what_was_not_measured_has_no_rows() -> None:
    nothing = replace(made.run(), workloads=(), functions=(), first_calls=(), sizes=(), agreements=())
    assert against_targets(nothing) == []


def test_an_engine_that_lacks_something_spoils_no_run_and_one_that_disagrees_does() -> None:
    run = made.run()
    assert run.wrong == []
    _, (first, *_) = run.workloads[0]
    first.status, first.detail = "disagrees", "w is off"
    assert run.wrong == ["fast: numpy disagrees: w is off"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 µs"), (1e-9, "1 ns"), (2.5e-10, "0.25 ns")]
)
def test_times_are_spoken_in_a_fitting_unit(seconds, said) -> None:
    assert spoken(seconds) == said
