"""Metrics: running figures whose state is in variables, with the names of Keras.

Written with the public API only. Start in `metric`, which has what all share.
"""

from .accuracy import Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from .confusion import Precision, Recall
from .metric import Mean, Metric, Sum

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "Metric",
    "Precision",
    "Recall",
    "SparseCategoricalAccuracy",
    "Sum",
]
