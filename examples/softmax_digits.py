"""Softmax regression on scikit-learn's handwritten digits, with a tape: about 94 % of held-out digits are right.

Needs scikit-learn: python -m pip install scikit-learn
"""

import argparse

import numpy as np

import tapejit as tj

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: python -m pip install scikit-learn") from None

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
images, labels = (images[order] / 16).astype(np.float32), labels[order]
x_train, y_train, x_test, y_test = images[450:], labels[450:], images[:450], labels[:450]

w = tj.Variable(tj.zeros((64, 10)))
b = tj.Variable(tj.zeros(10))
learning_rate = 0.5


def train(x, y):
    with tj.GradientTape() as tape:
        logits = x @ w + b
        chosen = tj.sum(tj.one_hot(y, 10) * logits, axis=1)
        loss = tj.mean(tj.logsumexp(logits, axis=1) - chosen)
    ct_w, ct_b = tape.gradient(loss, [w, b])
    w.assign_sub(learning_rate * ct_w)
    b.assign_sub(learning_rate * ct_b)
    return loss


train_compiled = tj.compile(train)


def fit(step):
    w.assign(tj.zeros((64, 10)))
    b.assign(tj.zeros(10))
    for _ in range(200):
        loss = step(x_train, y_train)
    right = tj.argmax(x_test @ w + b, axis=1) == y_test
    return float(loss), float(tj.mean(tj.astype(right, "float64")))


def main():
    results = {"eager": fit(train), "compiled": fit(train_compiled)}
    for mode, (loss, accuracy) in results.items():
        print(f"{mode:>8}: loss {loss:.4f}, {accuracy:.1%} of the held-out digits right")
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
