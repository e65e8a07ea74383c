"""Optimizers: from gradients to the next values of variables, with the names and defaults of Keras.

Written with the public API only. `optimizer` has what all share (start there), `schedules` learning rates that
change, `rates` and `pairs` what an optimizer is given, `clipping` what bounds gradients; the other modules hold one
family of published update rules each.
"""

from typing import TYPE_CHECKING

from ..rooms import opening

if TYPE_CHECKING:
    from . import schedules
    from .adam import Adam, Adamax, AdamW, Nadam
    from .adaptive import Adadelta, Adagrad, RMSprop
    from .clipping import clip_by_global_norm, clip_by_norm, global_norm
    from .lion import Lion
    from .optimizer import Optimizer
    from .sgd import SGD
else:
    __getattr__ = opening(
        __name__,
        {
            "adam": ("Adam", "Adamax", "AdamW", "Nadam"),
            "adaptive": ("Adadelta", "Adagrad", "RMSprop"),
            "clipping": ("clip_by_global_norm", "clip_by_norm", "global_norm"),
            "lion": ("Lion",),
            "optimizer": ("Optimizer",),
            "schedules": (),
            "sgd": ("SGD",),
        },
    )

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "clip_by_global_norm",
    "clip_by_norm",
    "global_norm",
    "schedules",
]


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted(__all__)
