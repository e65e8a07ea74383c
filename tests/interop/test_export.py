"""Object files and headers for C: numbers, statuses, threads, what is frozen, what is refused; compiled where cc is."""

import ctypes
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, DtypeError, TapejitError
from tapejit.interop.c_header import c_identifier
from tapejit.kernel import objects

CC, CXX = shutil.which("cc"), shutil.which("c++")
needs_cc = pytest.mark.skipif(CC is None, reason="there is no C compiler, cc")
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(float)


def posterior(w: Any) -> Any:
    z = X @ w
    return tj.sum(Y * z - tj.softplus(z)) - 0.5 * tj.sum(w * w)


def picked(x: Any, i: Any, σ: Any, flag: Any, small: Any) -> Any:  # noqa: PLC2401 (what becomes of it)
    return {"a": x[i] * σ, "rest": [tj.where(flag, x, 0.0), x > 1, tj.astype(small, "int64") + 1]}


PICKED = (np.ones((3, 2), np.float32), 1, 0.5, True, np.int8(3))


def running(x: Any) -> Any:
    return tj.sort(tj.cumsum(tj.sin(x)))[::-1] @ tj.cumsum(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where three functions were exported to."""
    made: Path = tmp_path_factory.mktemp("export")
    tj.export(tj.value_and_grad(posterior), np.zeros(3), path=made / "posterior", results=("value", "gradient"))
    tj.export(picked, *PICKED, path=made / "picked.o")
    tj.export(tj.value_and_grad(running), np.zeros(20_000), path=str(made / "running.h"), name="swing")
    return made


@pytest.fixture(scope="module")
def library(folder: Path) -> ctypes.CDLL:
    """All three as a shared library."""
    return linked(folder / "posterior.o", folder / "picked.o", folder / "running.o")


def run(*command: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def linked(*objects: Path, more: tuple[str, ...] = ()) -> ctypes.CDLL:
    """A shared library, of which no code depends on where it is loaded, and in which nothing is missing."""
    target = objects[0].with_suffix(".so")
    checks = ("-Wl,-z,text", "-Wl,--no-undefined") if sys.platform == "linux" else ()
    run(CC, "-shared", "-fPIC", "-o", target, *objects, *checks, *more, "-lm")
    return ctypes.CDLL(str(target))


def at(array: np.ndarray) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def message(library: ctypes.CDLL, name: str, status: int) -> str:
    function = getattr(library, f"{name}_message")
    function.restype = ctypes.c_char_p
    return str(function(status).decode())


# --- files --------------------------------------------------------------------------------------------------


def test_the_header_says_names_types_shapes_and_statuses(folder: Path) -> None:
    text = (folder / "picked.h").read_text()
    prototype = text[text.index("int picked(") : text.index(");") + 2]
    assert (
        prototype
        == """int picked(
    const float *x, /* float32[3][2] */
    int64_t i,      /* int64 */
    double sigma,   /* float64 */
    bool flag,      /* bool */
    int8_t small,   /* int8 */
    double *a,      /* out: float64[2] */
    float *rest_0,  /* out: float32[3][2] */
    bool *rest_1,   /* out: bool[3][2] */
    int64_t *rest_2 /* out: int64 */
);"""
    )
    assert "PICKED_INDEXING_INDEX = 1 /* indexing: index … is out of range for an axis with length 3 */" in text
    assert 'extern "C" {' in text
    posterior_says = (folder / "posterior.h").read_text()
    assert " X, Y." in posterior_says
    assert re.search(r"workspace of \d+ bytes is on the stack", posterior_says)
    assert "on the stack" not in text
    assert re.search(r"#define SWING_WORKSPACE \d{6}", (folder / "running.h").read_text())


def test_an_object_needs_nothing_but_libm(folder: Path) -> None:
    for name in ("posterior", "picked", "running"):
        needed = set(objects.undefined_symbols((folder / f"{name}.o").read_bytes()))
        assert needed <= {*objects.ALLOWED_SYMBOLS, "__tls_get_addr", "_GLOBAL_OFFSET_TABLE_", "_tlv_bootstrap"}


def test_what_is_exported_is_described(tmp_path: Path) -> None:
    made = tj.export(running, np.zeros(20_000, ">f8"), path=tmp_path / "a-b.o")
    assert (made.object, made.header, made.name) == (tmp_path / "a-b.o", tmp_path / "a-b.h", "a_b")
    assert made.workspace >= 20_000 * 8
    assert f"A_B_WORKSPACE {made.workspace}\n" in made.header.read_text()
    assert sorted(tmp_path.iterdir()) == [made.header, made.object]


@pytest.mark.parametrize(
    ("text", "name"),
    [("x", "x"), ('batch["é"][0].y', "batch_e_0_y"), ("int", "int_"), ("λ₁", "lamda1"), ("2d", "v_2d"), ("[]", "v")],
)
def test_names_in_c(text: str, name: str) -> None:
    assert c_identifier(text) == name


# --- calls --------------------------------------------------------------------------------------------------


@needs_cc
def test_numbers_are_those_of_the_compiled_step_to_the_bit(library: ctypes.CDLL) -> None:
    step = tj.compile(tj.value_and_grad(posterior))
    for w in np.random.default_rng(1).normal(size=(5, 3)):
        value, gradient = np.empty(()), np.empty(3)
        assert library.posterior(at(w), at(value), at(gradient)) == 0
        for found, expected in zip((value, gradient), step(w), strict=True):
            np.testing.assert_array_equal(found, expected.numpy())


@needs_cc
def test_numbers_by_value_and_nests_of_all_dtypes(library: ctypes.CDLL) -> None:
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    for i, sigma, flag, small in ((0, 0.25, True, -128), (-1, 2.0, False, 127)):
        expected = tj.compile(picked)(x, i, np.float64(sigma), np.bool_(flag), np.int8(small))
        found = [np.empty(2), np.empty((3, 2), np.float32), np.empty((3, 2), bool), np.empty((), np.int64)]
        given = ctypes.c_int64(i), ctypes.c_double(sigma), ctypes.c_bool(flag), ctypes.c_int8(small)
        assert library.picked(at(x), *given, *map(at, found)) == 0
        for array, wanted in zip(found, (expected["a"], *expected["rest"]), strict=True):
            np.testing.assert_array_equal(array, wanted.numpy(), strict=True)


@needs_cc
def test_statuses_are_put_into_words_for_each_thread(library: ctypes.CDLL) -> None:
    together = threading.Barrier(4)

    def fail(index: int) -> str:
        results = [np.empty(2), np.empty((3, 2), np.float32), np.empty((3, 2), bool), np.empty((), np.int64)]
        given = ctypes.c_int64(index), ctypes.c_double(1), ctypes.c_bool(True), ctypes.c_int8(1)
        status = library.picked(at(PICKED[0]), *given, *map(at, results))
        together.wait()
        assert status == 1
        return message(library, "picked", status)

    indices = [3, -4, 10**12, -(2**63)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fail, indices)) == [
            f"indexing: index {index} is out of range for an axis with length 3" for index in indices
        ]
    assert [message(library, "picked", status) for status in (0, 2)] == ["OK", "picked: unknown status"]


@needs_cc
def test_a_large_workspace_is_the_callers(folder: Path, library: ctypes.CDLL) -> None:
    found = re.search(r"SWING_WORKSPACE (\d+)", (folder / "running.h").read_text())
    assert found is not None
    size = int(found[1])
    step = tj.compile(tj.value_and_grad(running))
    inputs = list(np.random.default_rng(2).normal(size=(4, 20_000)))
    expected = [[each.numpy() for each in step(x)] for x in inputs]

    def call(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient, workspace = np.empty(()), np.empty(20_000), np.empty(size + 1, np.uint8)
        for start in (0, 1):  # wherever it begins
            assert library.swing(at(x), at(value), at(gradient), at(workspace[start:])) == 0
        return value, gradient

    with ThreadPoolExecutor(4) as pool:
        for result, wanted in zip(pool.map(call, inputs), expected, strict=True):
            for one, other in zip(result, wanted, strict=True):
                np.testing.assert_array_equal(one, other)
    assert message(library, "swing", library.swing(at(inputs[0]), at(np.empty(())), at(np.empty(20_000)), None)) == (
        "the workspace is NULL"
    )


PROGRAM = """
#include "posterior.h"
#include "picked.h"
#include "running.h"
#include <stdio.h>
int main(void) {
    double w[3] = {0.5, -0.25, 0.125}, value, gradient[3];
    float x[6] = {1, 2, 3, 4, 5, 6}, rest_0[6];
    double a[2];
    bool rest_1[6];
    int64_t rest_2;
    int status = posterior(w, &value, gradient);
    printf("%s %.17g %.17g\\n", posterior_message(status), value, gradient[2]);
    status = picked(x, 7, 0.5, true, 3, a, rest_0, rest_1, &rest_2);
    printf("%d %s\\n", status == PICKED_INDEXING_INDEX, picked_message(status));
    return SWING_WORKSPACE < 1;
}
"""


@needs_cc
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [(CC, ("-std=c99", "-fPIE", "-pie")), pytest.param(CXX, ("-xc++", "-std=c++11"), marks=pytest.mark.skipif(
        CXX is None, reason="there is no C++ compiler, c++"))],
)  # fmt: skip
def test_a_program_in_c_and_one_in_cpp(folder: Path, compiler: str, flags: tuple[str, ...]) -> None:
    (folder / "main.c").write_text(PROGRAM)
    run(compiler, *STRICT, *flags, "-c", folder / "main.c", "-o", folder / "main.o")
    kernels = [folder / f"{name}.o" for name in ("main", "posterior", "picked", "running")]
    run(compiler, *kernels, "-o", folder / "main", "-lm")
    value, gradient = tj.compile(tj.value_and_grad(posterior))(np.array([0.5, -0.25, 0.125]))
    assert run(folder / "main").splitlines() == [
        f"OK {float(value):.17g} {float(gradient[2]):.17g}",
        "1 indexing: index 7 is out of range for an axis with length 3",
    ]


# --- what is captured, what is called -----------------------------------------------------------------------


@needs_cc
def test_what_is_captured_keeps_its_values(tmp_path: Path) -> None:
    model = tj.nn.Sequential([tj.nn.Dense(4, "tanh", input_shape=(3,)), tj.nn.Dense(2)])
    shift, scale = np.arange(12.0, dtype=np.float32).reshape(2, 6)[:, ::3], 0.5

    @tj.compile
    def predict(x: Any) -> Any:
        return (model(x) + shift) * scale

    x = np.array([[1, -2, 3], [0, 0.5, 1]], np.float32)
    before = predict(x).numpy()
    tj.export(predict, x, path=tmp_path / "predict")
    function = linked(tmp_path / "predict.o").predict
    shift[:], scale = 9, 2.0
    model.trainable_variables[0].assign(tj.zeros((3, 4)))
    found = np.empty((2, 2), np.float32)
    assert function(at(x), at(found)) == 0
    np.testing.assert_array_equal(found, before)
    said = (tmp_path / "predict.h").read_text().replace("\n * ", " ")
    named = re.search(r"was exported: (.*?)\.", said)
    assert named is not None
    assert {"scale", "shift"} < set(named[1].split(", "))


def spread(x: Any) -> Any:
    covariance = x @ x.mT + tj.eye(4, dtype="float64")
    root = tj.linalg.cholesky(covariance)
    return tj.sum(tj.linalg.solve(covariance, x)) + tj.linalg.slogdet(root)[1] + tj.linalg.eigh(covariance)[0][..., 0]


@needs_cc
def test_linear_algebra_is_in_the_object(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(2, 4, 4))
    summed = tj.value_and_grad(lambda x: tj.sum(spread(x)))
    made = tj.export(summed, x, path=tmp_path / "spread")
    assert "-lopenblas" not in made.header.read_text()
    value, gradient = np.empty(()), np.empty_like(x)
    library = linked(made.object)
    assert library.spread(at(x), at(value), at(gradient)) == 0
    for found, expected in zip((value, gradient), tj.compile(summed)(x), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-10)


@needs_cc
def test_a_matrix_that_fails_is_named(tmp_path: Path) -> None:
    tj.export(tj.linalg.cholesky, tj.TensorSpec((2, 3, 2, 2), "float64"), path=tmp_path / "factor")
    library = linked(tmp_path / "factor.o")
    x = np.broadcast_to(np.eye(2), (2, 3, 2, 2)).copy()
    x[1, 2] *= -1
    status = library.factor(at(x), at(np.empty_like(x)))
    with pytest.raises(np.linalg.LinAlgError) as caught:
        tj.compile(tj.linalg.cholesky)(x)
    assert str(caught.value).startswith(f"{message(library, 'factor', status)}; nothing")


RENAMED = """
void scipy_dsyevd_(char *, char *, int *, double *, int *, double *, double *, int *, int *, int *, int *, long, long);
void dsyevd_(char *job, char *half, int *n, double *a, int *lda, double *values, double *work, int *size, int *whole,
             int *count, int *info, long one, long other) {
    scipy_dsyevd_(job, half, n, a, lda, values, work, size, whole, count, info, one, other);
}
"""


@needs_cc
def test_with_blas_the_library_is_called(tmp_path: Path) -> None:
    import scipy_openblas32  # noqa: PLC0415 (a library, under names of its own)

    made = tj.export(lambda x: tj.linalg.eigh(x + x.mT), np.eye(3), path=tmp_path / "spectrum", blas=True)
    assert "dsyevd_" in made.needs
    assert "-lopenblas" in made.header.read_text()
    where = scipy_openblas32.get_lib_dir()
    more = (f"-L{where}", f"-Wl,-rpath,{where}", f"-l{scipy_openblas32.get_library()}")
    (tmp_path / "renamed.c").write_text(RENAMED)
    x, values, vectors = np.random.default_rng(4).normal(size=(3, 3)), np.empty(3), np.empty((3, 3))
    library = linked(made.object, tmp_path / "renamed.c", more=more)
    assert library.spectrum(at(x), at(values), at(vectors)) == 0
    np.testing.assert_allclose(values, np.linalg.eigvalsh(x + x.T), rtol=1e-12)


# --- what is refused ----------------------------------------------------------------------------------------


def sorted_by_numpy(x: Any) -> Any:
    return tj.numpy_function(np.sort, x, shape=3, dtype="float64")


def test_what_can_not_be_exported(tmp_path: Path) -> None:
    w, draws = tj.Variable(np.ones(3), name="w"), tj.random.Generator(0)
    cases: list[tuple[Callable[..., Any], type[Exception], str]] = [
        (sorted_by_numpy, CompileError, r"runs? in Python: numpy_function at .*test_export.py:\d+"),
        (lambda x: w.assign(x), TapejitError, "assigns w.*return the new value"),
        (lambda x: x + draws.normal(3), TapejitError, "draws from a random Generator.*as an argument"),
        (lambda x: x if x[0] > 0 else -x, CompileError, r"test_export.py"),
        (lambda x: (x, 3), TapejitError, "returns 3, which is not computed"),
    ]
    for function, error, words in cases:
        with pytest.raises(error, match=words):
            tj.export(function, np.zeros(3), path=tmp_path / "refused")
    with pytest.raises(DtypeError, match="argument1 must be an array of real numbers or a number, got 'here'"):
        tj.export(posterior, np.zeros(3), "here", path=tmp_path / "refused")
    with pytest.raises(DtypeError, match="w must be an array of real numbers or a number, got an array of complex128"):
        tj.export(posterior, np.zeros(3, complex), path=tmp_path / "refused")
    assert not list(tmp_path.iterdir())


def test_paths_and_names_that_do_not_do(tmp_path: Path) -> None:
    for path, error, words in (
        (tmp_path, IsADirectoryError, "is a folder; add the name"),
        (tmp_path / "nope" / "x", FileNotFoundError, "no folder"),
        (tmp_path / "x.so", ValueError, "not x.so; cc -shared"),
        (tmp_path / "exp.o", ValueError, "have a function exp already; pass another name="),
    ):
        with pytest.raises(error, match=words):
            tj.export(posterior, np.zeros(3), path=path)
    for more, words in (
        ({"name": "a-b"}, "'a-b' is no name for a function"),
        ({"results": ("a", "b")}, "has 1 results, for which"),
        ({"results": ("int",)}, "'int' is no name for a parameter"),
    ):
        with pytest.raises(ValueError, match=words):
            tj.export(posterior, np.zeros(3), path=tmp_path / "x", **more)
    assert not list(tmp_path.iterdir())
