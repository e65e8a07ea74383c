"""`Bar`: how far a long run is.

Floor 11, below `epochs`. Made by tqdm, where it is installed.
"""

import sys
import time
from typing import Any

from .kernel import door
from .pytree import flatten
from .tensor import Tensor

BAR_AFTER = 3.0
"""Seconds after which a run shows how far it is."""


class Bar:
    """A bar that shows how far a run is, once it has taken a while."""

    def __init__(self, count: int, wanted: bool | None) -> None:
        self._count = count
        self._started = time.monotonic()
        self._bar: Any = None
        self._wanted = sys.stderr is not None and sys.stderr.isatty() if wanted is None else wanted

    def is_due(self) -> bool:
        """Whether it is to be seen; from then on it is."""
        if self._wanted and self._bar is None and time.monotonic() - self._started > BAR_AFTER:
            self._open()
        return self._bar is not None

    def show(self, done: int, results: Any) -> None:
        """Say that so many epochs are done, with the numbers among the latest results."""
        if self._bar is None:
            return
        numbers = [leaf for leaf in flatten(results)[0] if isinstance(leaf, Tensor) and not leaf.shape]
        self._bar.set_postfix_str(", ".join(f"{float(number):.4g}" for number in numbers[:3]), refresh=False)
        self._bar.update(done - self._bar.n)

    def _open(self) -> None:
        make = door.progress_bar()
        if make is None:
            self._wanted = False
            return
        self._bar = make(total=self._count, unit="epoch")
        self._bar.start_t -= time.monotonic() - self._started

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
