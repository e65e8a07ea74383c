"""The programs in examples/ give what they promise; TensorFlow 2.21 gave the figures of the line fit."""

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tapejit as tj

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))

# Arguments for programs that would take seconds.
SHORTER = {
    "character_lstm": ("--steps", "10", "--draw", "50"),
    "conv_digits": ("--epochs", "1"),
    "mlp_digits": ("--epochs", "3"),
    "hmc_sampler": ("--draws", "1000"),
    "njit_samplers": ("--draws", "100"),
    "ode_fit": ("--steps", "100"),
}
DRAWING = ("conv_digits", "fit_physics", "hmc_sampler", "mlp_digits", "ode_fit")

# Start (w, b), and (w, b) after 500 steps.
RECORDED = (
    ((0.3, 0.1), (1.9939865, -1.0019997)),
    ((0.25, 0.75), (1.8289883, -0.4909989)),
    ((0.9, 0.5), (1.9839853, -0.9460003)),
)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_as_a_program(name: str) -> None:
    done = run(name, *SHORTER.get(name, ()))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_takes_what_its_help_names_and_nothing_else(name: str, tmp_path: Path) -> None:
    described, refused = run(name, "--help", folder=tmp_path), run(name, "--nonsense", folder=tmp_path)
    assert (described.returncode, described.stderr) == (0, "")
    assert described.stdout.startswith(f"usage: {name}.py")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "unrecognized arguments: --nonsense" in refused.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DRAWING)
def test_a_picture_in_a_folder_that_is_not_there_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    done = run(name, "nope/x.png", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "there is no folder nope for the picture\n"


@pytest.mark.parametrize(
    ("name", "module", "way"),
    [
        ("softmax_digits", "sklearn", "scikit-learn"),
        ("conv_digits", "sklearn", "scikit-learn"),
        ("mlp_digits", "sklearn", "scikit-learn"),
        ("fit_lbfgs", "scipy", "scikit-learn"),
        ("estimator", "sklearn", "scikit-learn"),
        ("njit_samplers", "scipy", "scipy"),
        *((name, "matplotlib", "matplotlib") for name in DRAWING),
    ],
)
def test_what_is_not_installed_is_named_with_the_way(name: str, module: str, way: str, tmp_path: Path) -> None:
    arguments = ["picture.png"] if module == "matplotlib" else []
    program = (
        f"import sys, runpy; sys.modules[{module!r}] = None; sys.argv = ['example', *{arguments!r}];"
        f"runpy.run_path({str(EXAMPLES / name)!r} + '.py', run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith(f": python -m pip install {way}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_table_names_it(name: str) -> None:
    assert f"`{name}.py` |" in (EXAMPLES / "README.md").read_text()


def test_first_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    results = list(load("first_gradient").main().values())
    assert [None if result is None else result.numpy() for result in results] == [6.0, None, 6.0, 6.0]
    assert capsys.readouterr().out.splitlines()[1].endswith("x not watched: None")


@pytest.mark.parametrize(("start", "end"), RECORDED)
@pytest.mark.parametrize("mode", ["fit_data", "fit_data_compiled"])
def test_the_line_fit(start: tuple[float, float], end: tuple[float, float], mode: str) -> None:
    program: Any = load("fit_line")
    np.testing.assert_allclose(program.fit(getattr(program, mode), *start), end, rtol=0, atol=1e-6)
    if mode == "fit_data_compiled":
        report = program.fit_data_compiled.report()
        assert (report["eager_because"], report["traces"]) == (None, 1)
        assert (report["loop_nests"], report["matrix_products"], report["intermediate_bytes"]) == (1, 0, 0)
        assert program.fit_data_compiled.source().startswith("def fit_data(")
        # What tapejit adds, such as the ones that the reverse pass starts with, is known when the kernel is built.
        inputs = [node for node in program.fit_data_compiled.graph().splitlines() if node.endswith("# number")]
        assert inputs == ["learning_rate: float32[]  # number"] * 2


def test_a_changed_learning_rate_is_seen_and_compiles_nothing() -> None:
    program: Any = load("fit_line")
    program.fit(program.fit_data_compiled, 0.3, 0.1)
    before = program.fit_data_compiled.report()
    program.learning_rate = 0.002
    compiled = program.fit(program.fit_data_compiled, 0.3, 0.1)
    after = program.fit_data_compiled.report()
    assert after["traces"] == before["traces"] + 1
    assert after["compilations"] == before["compilations"]
    assert compiled == program.fit(program.fit_data, 0.3, 0.1)


def test_digits() -> None:
    program: Any = load("softmax_digits")
    results = program.main()
    for _, accuracy in results.values():
        assert accuracy >= 0.93
    assert results["eager"][1] == results["compiled"][1]
    assert results["eager"][0] == pytest.approx(results["compiled"][0], rel=1e-5)
    report = program.train_compiled.report()
    assert (report["eager_because"], report["matrix_products"]) == (None, 2)


def test_a_perceptron_on_digits(tmp_path: Path) -> None:
    program: Any = load("mlp_digits")
    results = program.main(picture=tmp_path / "digits.png")
    assert results["accuracy"] >= 0.97
    assert results["history"].means["loss"].shape == (60,)
    assert program.train_step.report()["eager_because"] is None
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def test_the_convolution_tutorial(tmp_path: Path) -> None:
    program: Any = load("conv_digits")
    images, labels, *_ = program.digits()
    small = np.round(255 * images[:64, :, :, 0])
    for name, array in zip(program.MNIST, (small, labels[:64], small, labels[:64]), strict=True):
        write_idx(tmp_path / name, array)
    packed = tmp_path / program.MNIST[0]
    packed.with_name(f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    results = program.main(epochs=2, folder=tmp_path, picture=tmp_path / "conv.png", steps=2)
    np.testing.assert_allclose(results["losses"]["compiled"], results["losses"]["eager"], rtol=1e-4)
    assert results["losses"]["falling back"] == results["losses"]["eager"]
    assert "train_step runs eagerly from now on" in results["warning"]
    assert "Return it from the step" in results["warning"]
    means = results["history"].means.numpy()
    assert means[1] < means[0] < 2.5  # it knows of ten classes
    assert (tmp_path / "conv.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("images", None, "there is neither .*images nor images.gz"),
        ("images", b"\x89PNG", "images is no IDX file of bytes: it begins with 89 50 4e 47"),
        ("images", b"\0\0\x08\1\0\0\0\5abc", r"says 5 bytes of shape \(5,\), and has 3"),
        ("images.gz", b"\x1f\x8bnonsense", "images.gz can't be unpacked"),
    ],
)
def test_a_file_of_images_that_is_none(name: str, data: bytes | None, said: str, tmp_path: Path) -> None:
    program: Any = load("conv_digits")
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SystemExit, match=said):
        program.read_idx(tmp_path / "images")


def test_images_and_labels_that_do_not_belong_together(tmp_path: Path) -> None:
    program: Any = load("conv_digits")
    for name, shape in zip(program.MNIST, ((3, 2, 2), (2,), (1, 2, 2), (1,)), strict=True):
        write_idx(tmp_path / name, np.zeros(shape))
    with pytest.raises(SystemExit, match=r"images \(3, 2, 2\) and labels \(2,\)"):
        program.mnist(tmp_path)


def test_a_run_that_was_stopped_goes_on_with_the_same_numbers() -> None:
    results = load("resume").main()
    assert results["losses"] == results["expected"]
    assert results["same"]
    assert results["losses"][-1] < results["losses"][0] / 2


def test_the_book_of_options() -> None:
    program: Any = load("black_scholes")
    results = program.main(500)
    expected = program.closed_formulas(*program.book(500))
    for mode in ("eager", "compiled"):
        for found, closed in zip(results[mode], expected, strict=True):
            np.testing.assert_allclose(found.numpy(), closed, rtol=1e-11, atol=1e-11)
    report = program.greeks_compiled.report()
    assert (report["eager_because"], report["traces"]) == (None, 1)
    assert (report["loop_nests"], report["matrix_products"], report["intermediate_bytes"]) == (1, 0, 0)
    assert program.greeks_compiled.source().startswith("def greeks(")


def test_the_textbook_formulas_against_a_published_price() -> None:
    # J. C. Hull, Options, Futures, and Other Derivatives, example 15.6: S = 42, K = 40, r = 10 %, σ = 20 %, six months.
    program: Any = load("black_scholes")
    call, put = (program.closed_formulas(sign, 42.0, 40.0, 0.5, 0.1, 0.2)[0] for sign in (1.0, -1.0))
    assert (round(float(call), 2), round(float(put), 2)) == (4.76, 0.81)


def test_the_measurements_are_nists_to_every_digit() -> None:
    program: Any = load("fit_physics")
    header = program.DATA.read_text().splitlines()[:4]
    assert any("NIST/ITL Statistical Reference Datasets" in line for line in header)
    assert len(program.response) == 214
    x, (b1, b2, b3) = program.distance, program.CERTIFIED
    squares = np.sum((program.response - np.exp(-b1 * x) / (b2 + b3 * x)) ** 2)
    assert f"{squares:.10e}" == f"{program.CERTIFIED_SUM_OF_SQUARES:.10e}"


def test_the_physical_model() -> None:
    program: Any = load("fit_physics")
    for found, deviations, squares, iterations in program.main().values():
        np.testing.assert_allclose(found, program.CERTIFIED, rtol=1e-9)
        np.testing.assert_allclose(deviations, program.CERTIFIED_DEVIATIONS, rtol=1e-9)
        assert squares == pytest.approx(program.CERTIFIED_SUM_OF_SQUARES, rel=1e-10)
        assert iterations < 30
    report = program.iterate_compiled.report()
    assert (report["eager_because"], report["traces"]) == (None, 1)


def test_the_picture_of_the_physical_model(tmp_path: Path) -> None:
    program: Any = load("fit_physics")
    path = tmp_path / "fit.png"
    program.draw(path, np.array(program.CERTIFIED))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_counted_pelts_are_all_there() -> None:
    program: Any = load("ode_fit")
    hares, lynxes = program.pelts
    assert (program.year[0], program.year[-1], len(program.year)) == (1900, 1920, 21)
    assert (round(hares.sum(), 1), round(lynxes.sum(), 1)) == (715.7, 423.5)


def test_hares_and_lynxes(tmp_path: Path) -> None:
    program: Any = load("ode_fit")
    results = program.main(100, tmp_path / "fit.png")
    # By JAX in float64: the same steps, Newton's method until the gradient was below 1e-12.
    expected = (5.40159338e-01, 2.71653919e-02, 7.96386580e-01, 2.36946716e-02, 3.46024089e01, 5.84450022e00)
    deviations = (0.05916291, 0.00384493, 0.0839375, 0.00328956, 2.80630619, 0.48298271)
    np.testing.assert_allclose(results["parameters"], expected, rtol=1e-8)
    np.testing.assert_allclose(results["deviations"], deviations, rtol=1e-5)
    assert results["squares"] == pytest.approx(2.0186626805330743, rel=1e-12)
    assert np.all(np.abs(results["parameters"] - program.PUBLISHED) < deviations)
    assert program.descend_compiled.report()["eager_because"] is None
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_eight_schools(tmp_path: Path) -> None:
    program: Any = load("hmc_sampler")
    results = program.main(1000, tmp_path / "posterior.png")
    draws = results["draws"]
    errors = draws.std(axis=(0, 1)) / np.sqrt(results["sizes"])
    assert np.all(np.abs(draws.mean(axis=(0, 1)) - results["expected"]) < 4 * errors)
    assert np.all(results["sizes"] > 300)
    assert 0.7 < results["accepted"].mean() < 0.99
    assert program.sample_compiled.report()["eager_because"] is None
    assert (tmp_path / "posterior.png").read_bytes().startswith(b"\x89PNG")


def test_the_posterior_by_quadrature_is_the_published_one() -> None:
    # What Stan's users get for this model with these priors.
    mean, spread, *schools = load("hmc_sampler").by_quadrature()
    assert (round(mean, 1), round(spread, 1), round(max(schools), 1)) == (4.4, 3.6, 6.3)


@pytest.mark.parametrize(("again", "size"), [(0.0, 20_000), (0.6, 5_000), (-0.5, 60_000)])
def test_the_effective_size_of_an_autoregressive_sequence(again: float, size: float) -> None:
    noise = np.random.default_rng(0).normal(size=(5000, 4))
    draws = np.zeros_like(noise)
    for now in range(1, len(draws)):
        draws[now] = again * draws[now - 1] + noise[now]
    assert load("hmc_sampler").effective_size(draws) == pytest.approx(size, rel=0.1)


def test_a_rhyme_is_learnt() -> None:
    program: Any = load("character_lstm")
    results = program.main(steps=60, drawn=50)
    assert results["losses"][0] == pytest.approx(np.log(28), abs=0.2)  # at first it knows nothing of 28 characters
    assert np.mean(results["losses"][-10:]) < 1.5
    assert len(results["recited"]) == 50
    assert set(results["recited"]) <= set(program.RHYME.read_text())
    assert (results["report"]["eager_because"], results["report"]["traces"]) == (None, 1)


def test_a_reader_who_stops_early_recites_what_it_has_learnt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program: Any = load("character_lstm")
    windows, calls = program.Text.windows, iter(range(3))

    def stopped(text: Any, random: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return windows(text, random)

    monkeypatch.setattr(program.Text, "windows", stopped)
    results = program.main(steps=60, drawn=50)
    assert (len(results["losses"]), len(results["recited"])) == (3, 50)
    assert "stopped after 3 steps" in capsys.readouterr().out


def test_njit_samplers_give_what_gradients_by_hand_give() -> None:
    program: Any = load("njit_samplers")
    ours, by_hand = program.main(2000).values()
    np.testing.assert_allclose(ours["draws"], by_hand["draws"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours["mode"], by_hand["mode"], rtol=1e-8)
    assert (ours["accepted"], ours["steps"]) == (by_hand["accepted"], by_hand["steps"])
    assert 0.8 < ours["accepted"] < 1
    assert 5 < ours["steps"] < 20
    np.testing.assert_allclose(tj.grad(program.log_posterior)(ours["mode"]).numpy(), 0, atol=1e-8)
    deviations = np.sqrt(np.diag(np.linalg.inv(-tj.hessian(program.log_posterior)(ours["mode"]).numpy())))
    assert np.all(np.abs(ours["draws"].mean(axis=0) - ours["mode"]) < deviations)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler, cc")
def test_a_program_in_c_finds_the_certified_values(tmp_path: Path) -> None:
    program: Any = load("export_c")
    results = program.main(tmp_path, "cc")
    count, b = results["python"]
    np.testing.assert_allclose(b, program.CERTIFIED, rtol=1e-9)
    assert results["c"][0].startswith(f"{count} steps")
    assert results["c"][1:4] == [f"b{number} {value:.17g}" for number, value in enumerate(b, 1)]
    rest = program.residual(b, 7)
    assert float(results["c"][4].split(": ")[1]) == pytest.approx(float(rest), rel=1e-12)
    assert results["failed"] == "indexing: index 214 is out of range for an axis with length 214"


def test_without_a_c_compiler_the_example_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("export_c").main(tmp_path, None) is None
    assert "There is no C compiler" in capsys.readouterr().out
    assert (tmp_path / "newton.o").is_file()


def test_lbfgs_needs_fewer_evaluations_with_gradients() -> None:
    program: Any = load("fit_lbfgs")
    (ours, parameters, few, *_), (theirs, same, many, *_) = program.main().values()
    assert ours.success
    assert theirs.fun == pytest.approx(ours.fun, rel=1e-9)
    np.testing.assert_allclose(same["weights"], parameters["weights"], atol=1e-4)
    assert few == ours.nfev < 60
    assert many > 20 * few


@pytest.mark.filterwarnings("ignore:descend was traced:tapejit.errors.TapejitWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_estimator_keeps_scikit_learns_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of its checks some need pandas or a setting; the data of the others have many shapes, each of which is a trace.
    from sklearn.utils.estimator_checks import check_estimator  # noqa: PLC0415 (half a second)

    program: Any = load("estimator")
    monkeypatch.setitem(sys.modules, program.__name__, program)  # pickles look for its class there
    checks = check_estimator(program.PoissonRegression(), on_fail=None)
    assert [(check["check_name"], check["exception"]) for check in checks if check["status"] == "failed"] == []
    assert sum(check["status"] == "passed" for check in checks) > 40
    ours, theirs = program.main().values()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_the_second_gradient_says_how() -> None:
    t = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = t**2
    tape.gradient(y, t)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, t)
