"""Stopping and going on: a run that is resumed from a checkpoint gives the same numbers as one that never stopped.

What is saved is all that the next step depends on: the model's weights, the optimizer's state, and the generator that
the noise in the points comes from. The order of the batches follows from the number of the epoch. The checkpoint is
moved to its place when it is complete, so a run that is killed at any moment leaves a whole one.

Needs safetensors: python -m pip install 'tapejit[save]'
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import tapejit as tj

EPOCHS, STOPPED_AFTER = 6, 3
CHECKPOINT = "checkpoint.safetensors"

rng = np.random.default_rng(0)
centres = rng.normal(size=(4, 8))
labels = rng.integers(4, size=400)
points = (centres[labels] + rng.normal(size=(400, 8))).astype(np.float32)


class Training:
    """A model, and all that its training changes."""

    def __init__(self):
        self.model = tj.nn.Sequential([tj.nn.Dense(16, "relu", input_shape=(8,)), tj.nn.Dense(4)])
        self.optimizer = tj.optimizers.Adam(0.01)
        self.optimizer.build(self.model.trainable_variables)
        self.noise = tj.random.Generator(1)
        self.loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.epoch = tj.Variable(0)

    @tj.compile
    def step(self, x, y):
        with tj.GradientTape() as tape:
            value = self.loss(y, self.model(x + 0.1 * self.noise.normal(x.shape)))
        gradients = tape.gradient(value, self.model.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return value

    def run(self, last, folder=None):
        """Epochs up to the last one, with a checkpoint after each if there is a folder; the mean losses."""
        losses = []
        while int(self.epoch) < last:
            history = self.step.epochs(points, labels, batch_size=32, shuffle=int(self.epoch))
            losses.append(float(history.means[0]))
            self.epoch.assign_add(1)
            if folder is not None:
                tj.save_weights(folder / CHECKPOINT, self.state())
        return losses

    def state(self):
        return {"model": self.model, "optimizer": self.optimizer, "noise": self.noise, "epoch": self.epoch}


def main(folder=None):
    start = Training()  # all runs begin with its weights
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(folder or temporary)
        tj.save_weights(folder / CHECKPOINT, start.state())
        whole, stopped, resumed = Training(), Training(), Training()
        for training in (whole, stopped):
            tj.load_weights(folder / CHECKPOINT, training.state())
        expected = whole.run(EPOCHS)
        losses = stopped.run(STOPPED_AFTER, folder)
        tj.load_weights(folder / CHECKPOINT, resumed.state())  # as another process would
        losses += resumed.run(EPOCHS, folder)
    same = all(
        np.array_equal(one, other) for one, other in zip(whole.model.variables, resumed.model.variables, strict=True)
    )
    for epoch, (one, other) in enumerate(zip(expected, losses, strict=True)):
        mark = "  resumed here" if epoch == STOPPED_AFTER else ""
        print(f"epoch {epoch}: mean loss {one:.6f} in one go, {other:.6f} with a stop{mark}")
    print(f"the weights are {'equal to the last bit' if same else 'not equal'}")
    return {"expected": expected, "losses": losses, "same": same}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="keep the checkpoint there")
    chosen = parser.parse_args()
    if chosen.folder and not chosen.folder.is_dir():
        parser.exit(2, f"there is no folder {chosen.folder} for the checkpoint\n")
    main(chosen.folder)
