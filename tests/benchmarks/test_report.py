import json
from dataclasses import replace

from benchmarks import report
from tests.benchmarks import made


def lines_of(page: str, beginning: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(beginning)]


def test_all_targets_come_before_the_tables() -> None:
    headings = lines_of(report.markdown(made.run()), "## ")
    steps, others = ("fast", "alone"), ("Functions", "Agreement", "First calls", "Installed size", "Versions")
    assert headings == [f"## {name}" for name in ("Targets", *steps, *others)]


def test_a_step_has_its_time_and_its_ratio_to_the_first_engine() -> None:
    (line,) = lines_of(report.markdown(replace(made.run(), functions=())), "| tapejit_compiled | 1 µs")
    assert line == "| tapejit_compiled | 1 µs | 1 µs – 1 µs | 0.25 | 0 ns | 0 ns | note of tapejit_compiled |"


def test_an_engine_without_figures_says_why_and_breaks_no_table() -> None:
    (line,) = lines_of(report.markdown(made.run()), "| numpy | **missing**")
    assert line == "| numpy | **missing** | | | | | no ¦ in numpy |"


def test_every_line_of_a_table_has_as_many_cells() -> None:
    table: list[str] = []
    for line in report.markdown(made.run()).splitlines():
        table = [*table, line] if line.startswith("|") else []
        assert len({line.count("|") for line in table}) <= 1, table


def test_a_function_has_the_time_of_an_element() -> None:
    page = report.markdown(made.run())
    assert lines_of(page, "| exp_float32") == ["| exp_float32 | 1 ns | 2 ns | 2 ns | 0.50 | 0.50 | holds |"]
    assert lines_of(page, "| tan_float32") == ["| tan_float32 | 1 ns | 0.2 ns | 2 ns | 5.00 | 0.50 | **misses** |"]


def test_an_agreement_has_the_deviation_of_each_result_and_none_for_the_peer() -> None:
    page = report.markdown(made.run())
    table = page[page.index("### mixture") : page.index("### chaos")]
    assert lines_of(table, "| engine") == ["| engine | value | gradient |  |"]
    assert lines_of(table, "| tapejit_compiled") == ["| tapejit_compiled | 0 | 2.0e-14 | note of tapejit_compiled |"]
    assert lines_of(table, "| jax_jit") == []


def test_an_engine_that_was_not_compared_says_why() -> None:
    failed = replace(made.run(), agreements=[made.agreement("mixture", numpy=0.0, tapejit_compiled=None)])
    (line,) = lines_of(report.markdown(failed), "| tapejit_compiled | – | – |")
    assert line == "| tapejit_compiled | – | – | **not compared** died |"
    assert failed.wrong == ["mixture: tapejit_compiled failed: died"]


def test_a_first_call_tells_bytes_and_lines() -> None:
    outcome = made.first_calls("mlp_adam", "tapejit_compiled", ready=0.3)
    outcome.samples["ready"][0]["report"] |= {"intermediate_bytes": 3 * 2**20, "source_lines": 1234}
    ((workload, _),) = made.run().first_calls
    page = report.markdown(replace(made.run(), first_calls=[(workload, [outcome])]))
    assert lines_of(page, "| tapejit_compiled | – | 300 ms")[0].split(" | ")[-3:-1] == ["3 MiB", "1,234"]


def test_sizes_are_in_megabytes() -> None:
    assert "| tapejit | 180 | llvmlite 180 |" in report.markdown(made.run()).splitlines()


def test_what_is_written_is_a_page_figures_and_two_charts(tmp_path) -> None:
    written = report.write(made.run(), tmp_path / "new")
    assert sorted(path.name for path in written) == ["RESULTS.md", "functions.png", "results.json", "results.png"]
    assert all(path.stat().st_size for path in written)
    page = (tmp_path / "new" / "RESULTS.md").read_text()
    assert page.index("(results.png)") < page.index("## fast") < page.index("(functions.png)")
    figures = json.loads((tmp_path / "new" / "results.json").read_text())
    assert figures["workloads"]["fast"]["engines"]["jax_jit"]["median"] == 4e-6
    assert figures["workloads"]["fast"]["targets"][0]["found"] == 0.25


def test_a_part_that_was_not_measured_has_no_chart(tmp_path) -> None:
    written = report.write(replace(made.run(), functions=()), tmp_path)
    assert sorted(path.name for path in written) == ["RESULTS.md", "results.json", "results.png"]
