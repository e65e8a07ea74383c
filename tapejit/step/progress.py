"""`Bar`: how far a long run is.

Below `epochs`. Made by tqdm, where it is installed.
"""

import sys
import time
from typing import Any

from ..kernel import door
from ..pytree import flatten
from ..tensor import Tensor

BAR_AFTER = 3.0
"""Seconds after which a run shows how far it is, once an epoch is over."""

STEPS_AFTER = 6.0
"""Seconds after which it shows steps, if no epoch is over by then."""


class Bar:
    """A bar that shows how far a run is, once it has taken a while: in epochs, or in steps if these take that long.

    Parameters
    ----------
    epochs : int
        How many there will be at most.
    steps : int
        How many each has.
    wanted : bool, optional
        Whether to show it; by default if standard error is a terminal.
    """

    def __init__(self, epochs: int, steps: int, wanted: bool | None) -> None:
        self._epochs, self._steps = epochs, steps
        self._started = time.monotonic()
        self._bar: Any = None
        self._unit = steps  # how many steps it goes on by
        self._wanted = sys.stderr is not None and sys.stderr.isatty() if wanted is None else wanted

    def is_due(self) -> bool:
        """Whether it is to be seen; from then on it is."""
        if self._wanted and self._bar is None and self._seconds() > BAR_AFTER:
            self._open("epoch")
        return self._bar is not None

    def show(self, epochs: int, results: Any) -> None:
        """Say that so many epochs are done, with the numbers among the latest results."""
        if self._bar is None:
            return
        numbers = [leaf for leaf in flatten(results)[0] if isinstance(leaf, Tensor) and not leaf.shape]
        self._bar.set_postfix_str(", ".join(f"{float(number):.4g}" for number in numbers[:3]), refresh=False)
        self.tick(epochs * self._steps)

    def tick(self, steps: int) -> None:
        """Say that so many steps are done."""
        if self._wanted and self._bar is None and self._seconds() > STEPS_AFTER:
            self._unit = 1
            self._open("step")
        if self._bar is not None:
            self._bar.update(steps // self._unit - self._bar.n)

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _open(self, unit: str) -> None:
        make = door.progress_bar()
        if make is None:
            self._wanted = False
            return
        self._bar = make(total=self._epochs * self._steps // self._unit, unit=unit)
        self._bar.start_t -= self._seconds()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
