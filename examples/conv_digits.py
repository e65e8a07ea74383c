"""TensorFlow's convolution tutorial as it is written there, in three ways: eagerly, falling back, and compiled.

The tutorial's step appends ``loss_value.numpy()`` to a list. That runs eagerly; under `tj.compile` it falls back to
eager execution, with a warning that says what to do: return the loss. The third step does, and runs whole epochs in one
call.
The images are scikit-learn's handwritten digits, 8 × 8 pixels, and over 98 % of those held out are right in the end,
with a learning rate that starts higher than the tutorial's and decays, as the weights do; or MNIST from a folder with
its four IDX files: ``python examples/conv_digits.py --mnist FOLDER``.

``python examples/conv_digits.py picture.png`` draws how it went and the first filters; that needs matplotlib.
Needs scikit-learn, but for MNIST: python -m pip install scikit-learn
"""

import argparse
import gzip
import sys
import time
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import tapejit as tj

MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
HELD_OUT = 450


def digits():
    """Images in [0, 1] and labels, shuffled; read from scikit-learn's file, as importing it takes a second."""
    found = find_spec("sklearn")
    if found is None:
        raise SystemExit("the digits come with scikit-learn: python -m pip install scikit-learn")
    with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    images, labels = table[:, :-1].reshape(-1, 8, 8, 1) / 16, table[:, -1].astype(np.int64)
    return images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]


def read_idx(path):
    """An array from a file in the IDX format, which may be compressed: big-endian lengths, then unsigned bytes."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed.exists():
        raise SystemExit(f"there is neither {path} nor {packed.name}")
    data = path.read_bytes() if path.exists() else packed.read_bytes()
    if not path.exists():
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise SystemExit(f"{packed} can't be unpacked: {error}") from error
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise SystemExit(f"{path} is no IDX file of bytes: it begins with {data[:4].hex(' ')}")
    shape, start = np.frombuffer(data, ">i4", data[3], 4), 4 + 4 * data[3]
    if len(data) != start + shape.prod():
        raise SystemExit(
            f"{path} says {shape.prod()} bytes of shape {tuple(shape.tolist())}, and has {len(data) - start}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def mnist(folder):
    x_train, y_train, x_test, y_test = (read_idx(Path(folder) / name) for name in MNIST)
    for images, labels in ((x_train, y_train), (x_test, y_test)):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise SystemExit(f"images {images.shape} and labels {labels.shape} in {folder} don't belong together")
    x_train, x_test = (images[..., None].astype(np.float32) / 255 for images in (x_train, x_test))
    return x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64)


def build():
    def seeded(seed):
        return tj.nn.initializers.glorot_uniform(seed)

    model = tj.nn.Sequential(
        [
            tj.nn.Conv2D(16, [3, 3], activation="relu", input_shape=(None, None, 1), kernel_initializer=seeded(0)),
            tj.nn.Conv2D(16, [3, 3], activation="relu", kernel_initializer=seeded(1)),
            tj.nn.GlobalAveragePooling2D(),
            tj.nn.Dense(10, kernel_initializer=seeded(2)),
        ]
    )
    return model, tj.optimizers.Adam(), tj.losses.SparseCategoricalCrossentropy(from_logits=True)


def tutorial_step(model, optimizer, loss_object, loss_history):
    """The tutorial's."""

    def train_step(images, labels):
        with tj.GradientTape() as tape:
            logits = model(images, training=True)
            loss_value = loss_object(labels, logits)
        loss_history.append(loss_value.numpy().mean())
        grads = tape.gradient(loss_value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))

    return train_step


def compiled_step(model, optimizer, loss_object):
    """The same, with the loss as its result."""

    @tj.compile(strict=True)
    def train_step(images, labels):
        with tj.GradientTape() as tape:
            logits = model(images, training=True)
            loss_value = loss_object(labels, logits)
        grads = tape.gradient(loss_value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
        return loss_value

    return train_step


def first_losses(images, labels, steps, batch_size):
    """The first losses of each way, which are the same, and what the warning says."""
    batches = [slice(start, start + batch_size) for start in range(0, steps * batch_size, batch_size)]
    losses, said = {}, ""
    for way in ("eager", "falling back", "compiled"):
        parts, history = build(), []
        if way == "compiled":
            step = compiled_step(*parts)
            history = [float(step(images[rows], labels[rows])) for rows in batches]
        else:
            step = tutorial_step(*parts, history)
            step = tj.compile(step) if way == "falling back" else step
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for rows in batches:
                    step(images[rows], labels[rows])
            said = str(caught[0].message) if caught else said
        losses[way] = [float(loss) for loss in history]
    return losses, said


def accuracy(model, images, labels):
    predict = tj.compile(lambda x: tj.argmax(model(x), axis=1))
    count = min(len(images), 500)
    right = [predict(images[i : i + count]).numpy() == labels[i : i + count] for i in range(0, len(images), count)]
    return float(np.mean(np.concatenate(right)))


def draw(path, losses, kernels):
    from matplotlib.figure import Figure  # noqa: PLC0415 (only for the picture)

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.plot(losses)
    axes.set(title="training", xlabel="epoch", ylabel="mean loss", yscale="log")
    right.suptitle("filters of the first layer: red < 0 < blue")
    largest = np.abs(kernels).max()
    for number, axes in enumerate(right.subplots(4, 4).flat):
        axes.set(xticks=[], yticks=[])
        axes.imshow(kernels[:, :, 0, number], cmap="RdBu", vmin=-largest, vmax=largest)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main(epochs=None, folder=None, picture=None, steps=3, batch_size=32):
    x_train, y_train, x_test, y_test = mnist(folder) if folder else digits()
    losses, said = first_losses(x_train, y_train, steps, batch_size)
    for way, values in losses.items():
        print(f"{way:>12}: first losses {', '.join(f'{value:.4f}' for value in values)}")
    print(f"the warning: {said}\n")

    epochs = epochs or (3 if folder else 200)
    model, _, loss_object = build()
    rate, decay = (0.005, None) if folder else (0.015, 0.02)
    schedule = tj.optimizers.schedules.CosineDecay(rate, epochs * (len(x_train) // batch_size))
    step = compiled_step(model, tj.optimizers.Adam(schedule, weight_decay=decay), loss_object)
    started = time.perf_counter()

    def report(epoch, loss):
        if sys.stderr.isatty():
            end = "\n" if epoch + 1 == epochs else ""
            print(f"\repoch {epoch + 1} of {epochs}: mean loss {float(loss):.4f}", end=end, file=sys.stderr)

    # Rows that are left over fill a batch in another epoch: a smaller batch would be a kernel of its own.
    options = {"batch_size": batch_size, "shuffle": 0, "drop_remainder": True}
    try:
        history = step.epochs(x_train, y_train, epochs=epochs, callback=report, **options)
    except KeyboardInterrupt as stopped:  # Ctrl-C: what has been learnt by then is there
        history = stopped.history
        if not history.epochs:
            raise SystemExit("stopped before the first epoch was done") from None
    taken = time.perf_counter() - started
    right = accuracy(model, x_test, y_test)
    print(f"{history.epochs} epochs in {taken:.1f} s, mean loss {float(history.means[-1]):.4f}")
    print(f"{right:.1%} of the held-out digits right")
    if picture:
        draw(picture, history.means.numpy(), model.layers[0].kernel.numpy())
    return {"losses": losses, "warning": said, "history": history, "accuracy": right}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="draw into this file; needs matplotlib")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="with the four IDX files, compressed or not")
    parser.add_argument("--epochs", type=int, help="200 on the digits, 3 on MNIST by default")
    chosen = parser.parse_args()
    if chosen.picture and not chosen.picture.parent.is_dir():
        parser.exit(2, f"there is no folder {chosen.picture.parent} for the picture\n")
    if chosen.picture and find_spec("matplotlib") is None:
        parser.exit(1, "the picture needs matplotlib: python -m pip install matplotlib\n")
    main(chosen.epochs, chosen.mnist, chosen.picture)
