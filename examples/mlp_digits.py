"""A perceptron with one hidden layer on scikit-learn's handwritten digits: over 97 % of held-out digits are right.

All epochs run inside one call, `step.epochs`, which gathers the rows of shuffled batches in the kernel. From the second
time on, when the kernels are in the store, the whole program takes about a second.

``python examples/mlp_digits.py picture.png`` draws how it went and what is misread; that needs matplotlib.
Needs scikit-learn: python -m pip install scikit-learn
"""

import argparse
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import tapejit as tj

HELD_OUT = 450


def digits():
    """Images in [0, 1] and labels, shuffled; read from scikit-learn's file, as importing it takes a second."""
    found = find_spec("sklearn")
    if found is None:
        raise SystemExit("the digits come with scikit-learn: python -m pip install scikit-learn")
    with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    return table[:, :-1] / 16, table[:, -1].astype(np.int64)


images, labels = digits()
x_train, y_train, x_test, y_test = images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]

model = tj.nn.Sequential(
    [
        tj.nn.Dense(128, "relu", kernel_initializer=tj.nn.initializers.he_normal(seed=1), input_shape=(64,)),
        tj.nn.Dense(10, kernel_initializer=tj.nn.initializers.glorot_uniform(seed=2)),
    ]
)
optimizer = tj.optimizers.Adam(0.003)
loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)


@tj.compile
def train_step(x, y):
    with tj.GradientTape() as tape:
        logits = model(x, training=True)
        loss = loss_object(y, logits)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return {"loss": loss, "accuracy": tj.mean(tj.astype(tj.argmax(logits, axis=1) == y, "float32"))}


@tj.compile
def predict(x):
    return tj.argmax(model(x), axis=1)


def draw(path, history, guesses):
    from matplotlib.figure import Figure  # noqa: PLC0415 (only for the picture)

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.plot(history.means["loss"])
    axes.set(title="training", xlabel="epoch", ylabel="mean loss", yscale="log")
    wrong = np.flatnonzero(guesses != y_test)[:12]
    right.suptitle("misread held-out digits")
    for place, axes in zip([*wrong, *[None] * (12 - len(wrong))], right.subplots(3, 4).flat, strict=True):
        axes.axis("off")
        if place is not None:
            axes.imshow(x_test[place].reshape(8, 8), cmap="gray_r")
            axes.set_title(f"{y_test[place]} read as {guesses[place]}", fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main(epochs=60, picture=None):
    history = train_step.epochs(x_train, y_train, batch_size=32, epochs=epochs, shuffle=0)
    loss, right = (float(history.means[key][-1]) for key in ("loss", "accuracy"))
    guesses = predict(x_test).numpy()
    accuracy = float(np.mean(guesses == y_test))
    print(f"after {history.epochs} epochs: loss {loss:.4f}, {right:.1%} of the digits trained on right")
    print(f"{accuracy:.1%} of the held-out digits right")
    if picture:
        draw(picture, history, guesses)
    return {"history": history, "accuracy": accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="draw into this file; needs matplotlib")
    parser.add_argument("--epochs", type=int, default=60)
    chosen = parser.parse_args()
    if chosen.picture and not chosen.picture.parent.is_dir():
        parser.exit(2, f"there is no folder {chosen.picture.parent} for the picture\n")
    if chosen.picture and find_spec("matplotlib") is None:
        parser.exit(1, "the picture needs matplotlib: python -m pip install matplotlib\n")
    main(chosen.epochs, chosen.picture)
