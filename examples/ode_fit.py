"""Hares and lynxes: the equations of Lotka and Volterra fitted to pelts, by gradients through Runge–Kutta steps.

Prey grows and is eaten, u' = (a - b v) u; predators die and eat, v' = (-c + d u) v. The logarithms of both are
integrated in a `scan`, the sum of squares of their distances to the counted pelts is differentiated through all of
it, and what one compiled step does is one step of Adam. Newton's method with a compiled Hessian finds the last digits,
and the Hessian there gives the standard deviations. The fit is held against the posterior means of a well-known
analysis of the same data, which has weak priors too: B. Carpenter, Predator-Prey Population Dynamics: the
Lotka–Volterra model in Stan, 2018.

``python examples/ode_fit.py picture.png`` draws the fit as well; that needs matplotlib.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import tapejit as tj

DATA = Path(__file__).parent / "data" / "hare_lynx.csv"
NAMES = ("a", "b", "c", "d", "hares in 1900", "lynxes in 1900")
START = (0.5, 0.02, 0.5, 0.02, 30.0, 4.0)
PUBLISHED = (0.55, 0.028, 0.80, 0.024, 33.9, 5.9)
STEPS_A_YEAR = 8
LEARNING_RATE = 0.02

year, *pelts = np.loadtxt(DATA, delimiter=",", skiprows=4).T
log_pelts = np.log(np.array(pelts).T)


def slope(logs, rates):
    hares, lynxes = tj.exp(logs[0]), tj.exp(logs[1])
    return tj.stack([rates[0] - rates[1] * lynxes, -rates[2] + rates[3] * hares])


def runge_kutta(logs, rates):
    dt = 1 / STEPS_A_YEAR
    first = slope(logs, rates)
    second = slope(logs + 0.5 * dt * first, rates)
    third = slope(logs + 0.5 * dt * second, rates)
    fourth = slope(logs + dt * third, rates)
    return logs + dt / 6 * (first + 2 * (second + third) + fourth)


def trajectory(parameters, years):
    """Logarithms of both populations, eight times a year; `parameters` are logarithms, too."""
    rates = tj.exp(parameters[:4])
    _, logs = tj.scan(
        lambda logs, _: (runge_kutta(logs, rates), logs), parameters[4:], None, length=years * STEPS_A_YEAR
    )
    return logs


def squares(parameters):
    found = trajectory(parameters, len(year))[::STEPS_A_YEAR]
    return tj.sum((found - log_pelts) ** 2)


def descend(parameters, mean, spread, count):
    """One step of Adam: the next parameters and moments, and the sum of squares before it."""
    value, gradient = tj.value_and_grad(squares)(parameters)
    mean = 0.9 * mean + 0.1 * gradient
    spread = 0.99 * spread + 0.01 * gradient**2
    change = mean / (1 - 0.9**count) / (tj.sqrt(spread / (1 - 0.99**count)) + 1e-8)
    return parameters - LEARNING_RATE * change, mean, spread, value


descend_compiled = tj.compile(descend)
gradient_and_hessian = tj.compile(lambda parameters: (tj.grad(squares)(parameters), tj.hessian(squares)(parameters)))


def fit(steps):
    """The parameters' logarithms, their standard deviations and the sum of squares."""
    state = np.log(START), np.zeros(len(START)), np.zeros(len(START))
    for number in range(1, steps + 1):
        *state, value = descend_compiled(*state, float(number))
        if number == 1 or number % 50 == 0:
            print(f"step {number:>4}: sum of squares {float(value):.6f}")
    parameters = state[0].numpy()
    for _ in range(4):
        gradient, hessian = (found.numpy() for found in gradient_and_hessian(parameters))
        parameters = parameters - np.linalg.solve(hessian, gradient)
    print(f"Newton: sum of squares {float(squares(parameters)):.6f}, largest derivative {np.abs(gradient).max():.1e}")
    value = float(squares(parameters))
    variance = value / (log_pelts.size - len(START))
    return parameters, np.sqrt(np.diag(np.linalg.inv(0.5 * hessian)) * variance), value


def draw(path, parameters):
    from matplotlib.figure import Figure  # noqa: PLC0415 (only for the picture)

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    fitted = np.exp(trajectory(parameters, len(year) + 4).numpy()).T
    time = year[0] + np.arange(fitted.shape[1]) / STEPS_A_YEAR
    for name, counted, curve, color in zip(("hares", "lynxes"), pelts, fitted, ("tab:blue", "tab:red"), strict=True):
        left.plot(year, counted, "o", color=color, markersize=4, label=f"{name}, counted")
        left.plot(time, curve, color=color, label=f"{name}, fitted")
    left.set(xlabel="year", ylabel="pelts, in thousands", title="Hudson's Bay Company, 1900 to 1920", ylim=(0, 100))
    left.legend(fontsize=8, loc="upper center", ncols=2)
    right.plot(*pelts, "o-", color="gray", linewidth=0.6, markersize=4, label="counted")
    right.plot(*fitted, "k", label="fitted")
    right.set(xlabel="hares", ylabel="lynxes", title="One against the other")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main(steps=300, picture=None):
    parameters, deviations, value = fit(steps)
    found = np.exp(parameters)
    for row in zip(NAMES, found, found * deviations, PUBLISHED, strict=True):
        print("{:>15}: {:8.5f} ± {:.5f}, published {:g}".format(*row))
    if picture:
        draw(picture, parameters)
    return {"parameters": found, "deviations": found * deviations, "squares": value}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="draw the fit into this file; needs matplotlib")
    parser.add_argument("--steps", type=int, default=300, help="of Adam, before Newton's")
    chosen = parser.parse_args()
    if chosen.picture and not chosen.picture.parent.is_dir():
        parser.exit(2, f"there is no folder {chosen.picture.parent} for the picture\n")
    if chosen.picture and find_spec("matplotlib") is None:
        parser.exit(1, "the picture needs matplotlib: python -m pip install matplotlib\n")
    main(chosen.steps, chosen.picture)
