"""A line through six points, by gradient descent on the absolute error: y = 2 x - 1, up to the step size.

The same step runs eagerly, then compiled: the whole step becomes one kernel, printed at the end.
"""

import argparse
import random

import tapejit as tj

x_train = [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
y_train = [-3.0, -1.0, 1.0, 3.0, 5.0, 7.0]

w = tj.Variable(random.random(), trainable=True)
b = tj.Variable(random.random(), trainable=True)


def simple_loss(real_y, pred_y):
    return tj.abs(real_y - pred_y)


learning_rate = 0.001


def fit_data(real_x, real_y):
    with tj.GradientTape(persistent=True) as tape:
        reg_loss = simple_loss(real_y, w * real_x + b)
    w.assign_sub(tape.gradient(reg_loss, w) * learning_rate)
    b.assign_sub(tape.gradient(reg_loss, b) * learning_rate)


fit_data_compiled = tj.compile(fit_data)


def fit(step, start_w, start_b):
    w.assign(start_w)
    b.assign(start_b)
    for _ in range(500):
        step(x_train, y_train)
    return float(w), float(b)


def main():
    start = random.random(), random.random()
    results = {"eager": fit(fit_data, *start), "compiled": fit(fit_data_compiled, *start)}
    for mode, (found_w, found_b) in results.items():
        print(f"{mode:>8}: w = {found_w:.7f}, b = {found_b:.7f}")
    print(fit_data_compiled.source())
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
