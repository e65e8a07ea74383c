"""Rows of a table by number."""

from typing import Any

from .. import ops
from ..errors import DtypeError, IndexRangeError, at_user_line
from ..tensor import Tensor
from . import initializers, regularizers
from .layer import Layer, PartialShape, at_least_one


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
    mask_zero : bool
        False: masks are handed to the layers that take one.
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
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        *,
        mask_zero: bool = False,
        **options: Any,
    ) -> None:
        if mask_zero:
            raise ValueError(
                at_user_line("Embedding: mask_zero can't be True; hand mask=numbers != 0 to the recurrent layer")
            )
        self.input_dim, self.output_dim = at_least_one("Embedding", input_dim=input_dim, output_dim=output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
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
        numbers = self.taken(inputs)
        if numbers.dtype.kind not in "iu":
            raise DtypeError(
                at_user_line(f"{self.described} takes integers, the numbers of rows; got {numbers.dtype.name}")
            )
        try:
            return ops.take(self.embeddings, numbers, axis=0)
        except IndexRangeError:  # eagerly; a compiled step says it with the user's line
            array, rows = numbers.numpy(), self.input_dim
            wrong = array[(array < -rows) | (array >= rows)][0]
            raise IndexRangeError(at_user_line(f"{self.described} has {rows} rows, there is no row {wrong}")) from None
