"""Attenuation of ultrasound in metal: a physical model fitted to NIST's measurements, with standard deviations.

The response of a reference block falls with the metal distance x in two ways: the beam is absorbed, exp(-b1 x), and it
spreads, 1 / (b2 + b3 x). The data set (Chwirut1, 214 observations), the model and the values that its fit should give
are those of NIST's Statistical Reference Datasets, which exist to test programs such as this one. One compiled step is
one iteration of Levenberg and Marquardt's method: Jacobian, normal equations, trial, and the decision on it.

``python examples/fit_physics.py picture.png`` draws the fit as well; that needs matplotlib.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import tapejit as tj

DATA = Path(__file__).parent / "data" / "chwirut1.csv"
START = (0.1, 0.01, 0.02)  # NIST's first, which is the worse one
CERTIFIED = (1.9027818370e-01, 6.1314004477e-03, 1.0530908399e-02)
CERTIFIED_DEVIATIONS = (2.1938557035e-02, 3.4500025051e-04, 7.9281847748e-04)
CERTIFIED_SUM_OF_SQUARES = 2.3844771393e03

distance, response = np.loadtxt(DATA, delimiter=",", skiprows=5).T

parameters = tj.Variable(np.array(START))
damping = tj.Variable(np.array(1e-3))


def model(x, b):
    """`b` has the parameters on its last axis."""
    return tj.exp(-b[..., 0] * x) / (b[..., 1] + b[..., 2] * x)


def sum_of_squares(x, y, b):
    return tj.sum((y - model(x, b)) ** 2)


def linearised(x, b):
    """The model's values and its Jacobian, shape (n, 3)."""
    rows = tj.broadcast_to(b, (len(x), 3))  # each observation has parameters of its own, so one reverse pass will do
    with tj.GradientTape() as tape:
        tape.watch(rows)
        values = model(x, rows)
    return values, tape.gradient(values, rows)


def iterate(x, y):
    """Go to the minimum of the linearised problem if that is an improvement; be bolder then, else more careful."""
    values, jacobian = linearised(x, parameters.read_value())
    normal = jacobian.T @ jacobian
    damped = normal + damping * tj.eye(3, dtype="float64") * normal
    trial = parameters + tj.linalg.solve(damped, jacobian.T @ (y - values))
    change = tj.max(tj.abs(trial / parameters - 1))
    better = sum_of_squares(x, y, trial) <= sum_of_squares(x, y, parameters) * (1 + 1e-12)  # but for rounding
    parameters.assign(tj.where(better, trial, parameters))
    damping.assign(tj.where(better, damping / 10, damping * 10))
    return change


iterate_compiled = tj.compile(iterate)


def fit(step):
    """The parameters, their standard deviations, the sum of squares and the number of iterations."""
    parameters.assign(START)
    damping.assign(1e-3)
    count = 1
    while step(distance, response) > 1e-11 and count < 100:
        count += 1
    _, jacobian = linearised(distance, parameters.read_value())
    squares = float(sum_of_squares(distance, response, parameters))
    variance = squares / (len(response) - len(START))
    deviations = np.sqrt(variance * np.diag(tj.linalg.inv(jacobian.T @ jacobian).numpy()))
    return parameters.numpy(), deviations, squares, count


def draw(path, found):
    from matplotlib.figure import Figure  # noqa: PLC0415 (only for the picture)

    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    grid = np.linspace(distance.min(), distance.max(), 400)
    above.plot(distance, response, "o", markersize=4, alpha=0.5, label="measured (NIST, Chwirut1)")
    above.plot(grid, model(grid, found).numpy(), "k", label="exp(−b₁x) / (b₂ + b₃x), fitted")
    above.set(ylabel="ultrasonic response", title="Attenuation of ultrasound in metal")
    above.legend()
    below.axhline(0, color="k", linewidth=1)
    below.plot(distance, response - model(distance, found).numpy(), "o", markersize=4, alpha=0.5)
    below.set(xlabel="metal distance x", ylabel="residual")
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main(picture=None):
    results = {"eager": fit(iterate), "compiled": fit(iterate_compiled)}
    for mode, (found, deviations, squares, count) in results.items():
        print(f"{mode}: {count} iterations, sum of squares {squares:.8f}, certified {CERTIFIED_SUM_OF_SQUARES:.8f}")
        for row in zip(found, deviations, CERTIFIED, CERTIFIED_DEVIATIONS, strict=True):
            print("  {:.10e} ± {:.10e}, certified {:.10e} ± {:.10e}".format(*row))
    if iterate_compiled.report()["eager_because"] is None:
        print(iterate_compiled.source())
    for name, figure in iterate_compiled.report().items():
        print(f"{name:>18}: {figure:.4f}" if isinstance(figure, float) else f"{name:>18}: {figure}")
    if picture:
        draw(picture, results["compiled"][0])
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="draw the fit into this file; needs matplotlib")
    chosen = parser.parse_args()
    if chosen.picture and not chosen.picture.parent.is_dir():
        parser.exit(2, f"there is no folder {chosen.picture.parent} for the picture\n")
    if chosen.picture and find_spec("matplotlib") is None:
        parser.exit(1, "the picture needs matplotlib: python -m pip install matplotlib\n")
    main(chosen.picture)
