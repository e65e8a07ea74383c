"""Attention with several heads."""

from math import sqrt
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from .layer import Layer, PartialShape, known
from .stochastic import Dropout


class MultiHeadAttention(Layer):
    """Weighted means of values, the weights being how well queries and keys match, several times side by side.

    A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.

    Parameters
    ----------
    num_heads : int
        How many.
    key_dim : int
        Length of the queries and keys of one head.
    value_dim : int, optional
        Length of the values of one head; by default `key_dim`.
    dropout : float
        In training so many of the weights are dropped.
    use_bias : bool
        Whether the projections have biases.
    output_shape : int, optional
        Length of the result; by default that of the queries that come in.
    kernel_initializer, bias_initializer : str or callable
        See `initializers`.
    seed : int, optional
        Of the generator that draws what is dropped.
    **options
        See `Layer`.
    """

    rank = 3

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = key_dim if value_dim is None else value_dim
        self.use_bias = use_bias
        self.width = output_shape
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.drop = Dropout(dropout, seed=seed)
        super().__init__(**options)

    def prepare(self, *args: Any) -> None:
        """See `Module`: the weights depend on the shapes of query, value and key."""
        if not self.built and args:
            shapes = [ops.asarray(each).shape for each in args if each is not None]
            self.keep("_others", (shapes[1] if len(shapes) > 1 else shapes[0], shapes[-1]))
            self.build_for((None, *shapes[0][1:]))

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        features = known(input_shape[-1], self, "last axis")
        values, keys = (shape[-1] for shape in getattr(self, "_others", (input_shape, input_shape)))
        heads, width = self.num_heads, self.width or features
        values, keys = known(values, self, "last axis of the values"), known(keys, self, "last axis of the keys")
        self.query_kernel, self.query_bias = self._projection("query", features, heads * self.key_dim)
        self.key_kernel, self.key_bias = self._projection("key", keys, heads * self.key_dim)
        self.value_kernel, self.value_bias = self._projection("value", values, heads * self.value_dim)
        self.output_kernel, self.output_bias = self._projection("output", heads * self.value_dim, width)

    def _projection(self, name: str, inputs: int, outputs: int) -> tuple[Any, Any]:
        kernel = self.add_weight(f"{name}_kernel", (inputs, outputs), self.kernel_initializer)
        return kernel, self.add_weight(f"{name}_bias", (outputs,), self.bias_initializer) if self.use_bias else None

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        return (*input_shape[:-1], self.width or input_shape[-1])

    def call(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:
        """The layer's result.

        Parameters
        ----------
        query : array_like, shape (batch, t, features)
            Who asks.
        value : array_like, shape (batch, s, features)
            What is averaged; by default the queries.
        key : array_like, shape (batch, s, features)
            What queries are compared with; by default the values.
        attention_mask : array_like of bool, shape (batch, t, s) or what broadcasts with it
            Who may look where.
        use_causal_mask : bool
            Whether nobody may look ahead.
        return_attention_scores : bool
            Whether the weights follow the result.

        Returns
        -------
        Tensor, shape (batch, t, features)
            With `return_attention_scores` in a tuple, followed by the weights, shape (batch, heads, t, s).
        """
        q = self.as_input(query)
        v = q if value is None else self.as_input(value)
        k = v if key is None else self.as_input(key)
        if v.shape[:2] != k.shape[:2] or q.shape[0] != v.shape[0]:
            raise ShapeError(
                at_user_line(
                    f"MultiHeadAttention {self.name!r}: query {q.shape}, value {v.shape} and key {k.shape} don't fit"
                )
            )
        queries = self._heads(q, self.query_kernel, self.query_bias) * (1.0 / sqrt(self.key_dim))
        keys = self._heads(k, self.key_kernel, self.key_bias)
        values = self._heads(v, self.value_kernel, self.value_bias)
        scores = ops.matmul(queries, ops.permute_dims(keys, (0, 1, 3, 2)))
        allowed = self._allowed(attention_mask, use_causal_mask, q.shape[1], v.shape[1])
        if allowed is not None:
            scores = ops.where(allowed, scores, -1e9 if scores.dtype.itemsize > 2 else -3e4)
        weights = ops.softmax(scores, axis=-1)
        mixed = ops.permute_dims(ops.matmul(self.drop(weights), values), (0, 2, 1, 3))
        joined = ops.reshape(mixed, (*mixed.shape[:2], self.num_heads * self.value_dim))
        out = ops.matmul(joined, self.output_kernel)
        out = out if self.output_bias is None else out + self.output_bias
        return (out, weights) if return_attention_scores else out

    def _heads(self, x: Tensor, kernel: Any, bias: Any) -> Tensor:
        """A projection, shape (batch, heads, time, length of one head)."""
        self.check_channels(x.shape[-1], kernel.shape[0])
        projected = ops.matmul(x, kernel)
        projected = projected if bias is None else projected + bias
        split = ops.reshape(projected, (*x.shape[:2], self.num_heads, kernel.shape[1] // self.num_heads))
        return ops.permute_dims(split, (0, 2, 1, 3))

    @staticmethod
    def _allowed(given: Any, causal: bool, times: int, length: int) -> Any:
        """Who may look where, to broadcast with (batch, heads, times, length)."""
        mask = None
        if given is not None:
            mask = ops.astype(ops.asarray(given), "bool")
            mask = ops.expand_dims(mask, -3) if len(mask.shape) == 3 else mask
        if causal:
            earlier = ops.expand_dims(ops.arange(times), 1) >= ops.arange(length)
            mask = earlier if mask is None else ops.logical_and(mask, earlier)
        return mask
