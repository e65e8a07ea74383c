from benchmarks import chart
from benchmarks.registry import WORKLOADS
from tests.benchmarks import made


def test_a_line_has_the_ratios_to_all_that_were_measured() -> None:
    fast, alone = chart.lines(made.run().workloads)
    assert (fast.label, fast.ratios) == ("fast", {"numpy": 0.25, "jax_jit": 0.25})
    assert fast.targets == {"jax_jit": 0.5, "numpy": 0.1}
    assert (alone.label, alone.ratios) == ("alone", {})


def test_what_runs_eagerly_is_held_against_what_does_too() -> None:
    assert chart.comparable("tapejit_compiled", "torch_eager")
    assert chart.comparable("tapejit_eager", "torch_eager")
    assert not chart.comparable("tapejit_eager", "jax_jit")
    assert not chart.comparable("tapejit_eager", "torch_eager_at_once")
    assert not chart.comparable("tapejit_compiled", "tapejit_eager")


def test_every_engine_is_of_a_library_that_has_a_marker() -> None:
    assert {chart.library(engine.name) for each in WORKLOADS.values() for engine in each.engines} == set(chart.PEERS)


def test_the_footer_names_the_commit_and_the_versions() -> None:
    assert chart.footer(made.run()).splitlines() == [
        "a processor, one core; commit abc, today",
        "tapejit 1.0, JAX 1.0, NumPy 1.0",
    ]
