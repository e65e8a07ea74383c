"""Names for the annotations of public operations.

Floor 4, lowest of the room: imports nothing of tapejit.
"""

from collections.abc import Sequence
from typing import Any

ArrayLike = Any
"""What an operation takes: a tensor, a variable, a NumPy array, a Python number, or a nest of these."""

DtypeLike = Any
"""What `numpy.dtype` takes: ``"float32"``, ``np.float64``, ``float``."""

Axis = int | Sequence[int] | None
"""One axis, several, or None for all of them; negative ones count from the back."""

ShapeLike = int | Sequence[int]
"""The lengths of the axes; an int stands for one axis."""
