"""Digits to look at in a terminal."""

from collections.abc import Sequence

import numpy as np

SHADES = " ░▒▓█"
PLAIN_SHADES = " .+%@"  # for terminals that have no more than ASCII
ABREAST = 5
GAP = 2


def as_text(images: np.ndarray, captions: Sequence[str], shades: str) -> str:
    """Images abreast, with a caption below each; a pixel is two characters, which is about square.

    Parameters
    ----------
    images : ndarray, shape (n, height, width, 1), floating
        In [0, 1].
    captions : sequence of str
        One for each image.
    shades : str
        Characters for 0 to 1.
    """
    levels = np.round(images[..., 0] * (len(shades) - 1)).astype(int)
    gap = " " * GAP
    rows = [gap.join("".join(2 * shades[level] for level in line) for line in row) for row in levels.swapaxes(0, 1)]
    return "\n".join(row.rstrip() for row in [*rows, gap.join(f"{each:^{2 * images.shape[2]}}" for each in captions)])


def caption(label: int, guess: int) -> str:
    """What a digit is, and what it was taken for."""
    return f"{label}" if guess == label else f"{label} read as {guess}"
