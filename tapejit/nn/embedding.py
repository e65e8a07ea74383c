"""Rows of a table by number."""

from typing import Any

from .. import ops
from ..errors import DtypeError, at_user_line
from ..tensor import Tensor
from .layer import Layer, PartialShape


class Embedding(Layer):
    """The rows of a trained table whose numbers come in.

    Parameters
    ----------
    input_dim : int
        How many rows there are.
    output_dim : int
        How long each is.
    embeddings_initializer : str or callable
        See `initializers`.
    embeddings_regularizer : str or callable, optional
        See `regularizers`.
    **options
        See `Layer`.

    Attributes
    ----------
    embeddings : Variable, shape (input_dim, output_dim)
        Once it is built.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "random_uniform",
        embeddings_regularizer: Any = None,
        **options: Any,
    ) -> None:
        if input_dim < 1 or output_dim < 1:
            raise ValueError(at_user_line(f"Embedding: lengths must be at least 1, got {input_dim} and {output_dim}"))
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:  # noqa: ARG002 (its weights don't depend on it)
        """See `Layer`."""
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        return (*input_shape, self.output_dim)

    def call(self, inputs: Any) -> Tensor:
        """The rows.

        Parameters
        ----------
        inputs : array_like, shape (...), integer
            Their numbers.

        Returns
        -------
        Tensor, shape (..., output_dim)
            One row for each number.

        Raises
        ------
        DtypeError
            If they are no integers.
        IndexRangeError
            If there is no such row.
        """
        numbers = ops.asarray(inputs)
        if numbers.dtype.kind not in "iu":
            raise DtypeError(
                at_user_line(f"Embedding {self.name!r} takes integers, the numbers of rows; got {numbers.dtype.name}")
            )
        return ops.take(self.embeddings, numbers, axis=0)
