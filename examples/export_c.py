"""A program in C that fits a model with exact derivatives, and needs neither Python nor tapejit when it runs.

``tj.export`` writes two functions as object files with headers: a damped step of Newton's method, linear solve and all,
and a residual that checks its index. The C compiler links them with ``examples/c/fit_metal.c``; the program finds the
values that NIST certifies for the measurements of ``fit_physics.py``, which are in the object. The same loop in Python,
over the same function, comes to the same numbers.

``python examples/export_c.py FOLDER`` keeps the files. Needs a C compiler: cc, or the one that $CC names.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import tapejit as tj

HERE = Path(__file__).parent
START = (0.1, 0.01, 0.02)
CERTIFIED = (1.9027818370e-01, 6.1314004477e-03, 1.0530908399e-02)

distance, response = np.loadtxt(HERE / "data" / "chwirut1.csv", delimiter=",", skiprows=5).T


def model(b, x):
    return tj.exp(-b[0] * x) / (b[1] + b[2] * x)


def residuals(b):
    return response - model(b, distance)


def newton(b, damping):
    """Where the damped step leads to, and the sums of squares before and after it."""
    rest, jacobian = residuals(b), tj.jacobian(residuals)(b)
    normal = jacobian.T @ jacobian
    damped = normal + damping * tj.eye(3, dtype="float64") * normal
    trial = b - tj.linalg.solve(damped, jacobian.T @ rest)
    return {"trial": trial, "before": tj.sum(rest**2), "after": tj.sum(residuals(trial) ** 2)}


def residual(b, observation):
    x, y = (tj.constant(column)[observation] for column in (distance, response))
    return y - model(b, x)


def export(folder):
    """Both functions, as object files."""
    made = tj.export(newton, np.zeros(3), 0.0, path=folder / "newton")
    return made, tj.export(residual, np.zeros(3), 0, path=folder / "residual", results=("rest",))


def compile_with(compiler, folder, exported):
    """Path of the program."""
    program = folder / "fit_metal"
    sources = [HERE / "c" / "fit_metal.c", *(each.object for each in exported)]
    subprocess.run([compiler, "-O2", f"-I{folder}", *sources, "-o", program, "-lm"], check=True)
    return program


def by_python():
    """The loop of the C program."""
    step, b, damping = tj.compile(newton), np.array(START), 1e-3
    count, change = 0, np.inf
    while change > 1e-11 and count < 200:
        count += 1
        found = {name: value.numpy() for name, value in step(b, np.float64(damping)).items()}
        change = np.max(np.abs(found["trial"] / b - 1))
        better = found["after"] <= found["before"]
        b, damping = (found["trial"], damping / 10) if better else (b, damping * 10)
    return count, b


def main(folder, compiler):
    exported = export(folder)
    header = exported[0].header.read_text()
    print(header[header.index("/* Returns") :].partition("\n\n")[0])
    if compiler is None:
        print("There is no C compiler: no cc on the path, and $CC names none. The object files are as good without it.")
        return None
    program = compile_with(compiler, folder, exported)
    arguments = [program, *map(str, START)]
    lines = subprocess.run([*arguments, "7"], capture_output=True, text=True, check=True).stdout.splitlines()
    count, b = by_python()
    print("C:     ", lines[0])
    print(f"Python:  {count} steps")
    for line, ours, certified in zip(lines[1:4], b, CERTIFIED, strict=True):
        print(f"{line}, in Python {ours:.17g}, certified {certified:.10e}")
    print(lines[4])
    failed = subprocess.run([*arguments, "214"], capture_output=True, text=True, check=False)
    print(f"of observation 214, status {failed.returncode}: {failed.stderr.strip()}")
    return {"c": lines, "python": (count, b), "failed": failed.stderr.strip()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the object files, headers and the program go")
    chosen = parser.parse_args().folder
    found_compiler = shutil.which(os.environ.get("CC", "cc"))
    if chosen is None:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary), found_compiler)
    else:
        chosen.mkdir(parents=True, exist_ok=True)
        main(chosen, found_compiler)
