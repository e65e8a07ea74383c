"""A picture of a training in a file; the one module here that needs matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .digits import Digits
from .pictures import caption

DOWN, ACROSS = 4, 7


def draw(path: Path, losses: np.ndarray, digits: Digits, guesses: np.ndarray) -> None:
    """Draw the mean loss of each epoch, and held-out digits, the misread ones first."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(2, 3))
    left, right = halves
    curve = left.subplots()
    curve.plot(losses)
    curve.set(title="training", xlabel="epoch", ylabel="mean loss", yscale="log")
    labels = digits.held_out_labels
    wrong = np.flatnonzero(guesses != labels)
    shown = np.concatenate([wrong, np.flatnonzero(guesses == labels)])[: DOWN * ACROSS]
    right.suptitle(f"held-out digits: {len(wrong)} of {len(labels)} are misread")
    for place, axes in zip(shown, right.subplots(DOWN, ACROSS).flat, strict=True):
        axes.axis("off")
        axes.imshow(digits.held_out_images[place, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
        color = "firebrick" if guesses[place] != labels[place] else "black"
        axes.set_title(caption(labels[place], guesses[place]), fontsize=8, color=color)
    figure.savefig(path, dpi=120)
