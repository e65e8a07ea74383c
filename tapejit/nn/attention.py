"""Attention with several heads."""

from collections.abc import Sequence
from functools import reduce
from math import prod, sqrt
from typing import Any

from .. import ops
from ..aval import Shape
from ..errors import ShapeError, at_user_line
from ..random import Generator
from ..tensor import Tensor
from . import initializers, regularizers
from .calls import form_of
from .layer import Layer, PartialShape, at_least_one, known
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
        See `initializers`; the inputs of a kernel are what it sums over, its outputs the heads together.
    kernel_regularizer, bias_regularizer : str or callable, optional
        See `regularizers`.
    seed : int or Generator, optional
        Of the generator that draws what is dropped, or that generator.
    **options
        See `Layer`.

    Attributes
    ----------
    query_kernel, key_kernel, value_kernel : Variable, shape (features, heads, length of one head)
        Once it is built.
    output_kernel : Variable, shape (heads, length of one head, features)
        Once it is built.
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
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        seed: int | Generator | None = None,
        **options: Any,
    ) -> None:
        own = {"num_heads": num_heads, "key_dim": key_dim, "value_dim": key_dim if value_dim is None else value_dim}
        self.num_heads, self.key_dim, self.value_dim = at_least_one("MultiHeadAttention", **own)
        self.use_bias = use_bias
        self.width = None if output_shape is None else at_least_one("MultiHeadAttention", output_shape=output_shape)[0]
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.drop = Dropout(dropout, seed=seed, dtype=options.get("dtype")) if dropout else None
        super().__init__(**options)

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `Module`: the weights depend on the shapes of query, value and key."""
        if self.built:
            return
        inputs = form_of(type(self)).inputs(args, kwargs)
        query = self.taken(inputs.get("query")).shape
        value = self.taken(inputs["value"]).shape if "value" in inputs else query
        key = self.taken(inputs["key"]).shape if "key" in inputs else value
        self.keep("_others", (value, key))
        self.build_for((None, *query[1:]))

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        features = known(input_shape[-1], self, "last axis")
        values, keys = (shape[-1] for shape in getattr(self, "_others", (input_shape, input_shape)))
        heads = self.num_heads
        self.query_kernel, self.query_bias = self._projection("query", features, (heads, self.key_dim))
        self.key_kernel, self.key_bias = self._projection("key", keys, (heads, self.key_dim))
        self.value_kernel, self.value_bias = self._projection("value", values, (heads, self.value_dim))
        width = (self.width or features,)
        self.output_kernel, self.output_bias = self._projection("attention_output", (heads, self.value_dim), width)

    def _projection(self, name: str, inputs: Any, outputs: tuple[int, ...]) -> tuple[Any, Any]:
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)

        def as_matrix(shape: Shape, dtype: Any) -> Any:
            return ops.reshape(self.kernel_initializer((prod(inputs), prod(outputs)), dtype), shape)

        kernel = self.add_weight(f"{name}/kernel", (*inputs, *outputs), as_matrix, regularizer=self.kernel_regularizer)
        if not self.use_bias:
            return kernel, None
        return kernel, self.add_weight(
            f"{name}/bias", outputs, self.bias_initializer, regularizer=self.bias_regularizer
        )

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        return (*input_shape[:-1], self.width or input_shape[-1])

    def call(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
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
        query_mask : array_like of bool, shape (batch, t), optional
            Who asks at all.
        value_mask, key_mask : array_like of bool, shape (batch, s), optional
            Where one may look.
        attention_mask : array_like of bool, shape (batch, t, s) or what broadcasts with it, optional
            Who may look where; also (batch, heads, t, s).
        return_attention_scores : bool
            Whether the weights follow the result.
        use_causal_mask : bool
            Whether nobody may look ahead.

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
                at_user_line(f"{self.described}: query {q.shape}, value {v.shape} and key {k.shape} don't fit")
            )
        queries = self._heads(q, self.query_kernel, self.query_bias) * (1.0 / sqrt(self.key_dim))
        keys = self._heads(k, self.key_kernel, self.key_bias)
        values = self._heads(v, self.value_kernel, self.value_bias)
        scores = ops.matmul(queries, ops.permute_dims(keys, (0, 1, 3, 2)))
        sides = ((query_mask, 2), (value_mask, 1), (key_mask, 1))
        masks = [ops.expand_dims(ops.asarray(mask), axis) for mask, axis in sides if mask is not None]
        allowed = self._allowed([*masks, attention_mask], use_causal_mask, q.shape[1], v.shape[1])
        if allowed is not None:
            self._check_mask(allowed.shape, scores.shape)
            scores = ops.where(allowed, scores, -1e9 if scores.dtype.itemsize > 2 else -3e4)
        weights = ops.softmax(scores, axis=-1)
        if masks or attention_mask is not None:  # someone may not look anywhere
            weights = ops.where(allowed, weights, 0.0)
        weights = weights if self.drop is None else self.drop(weights)
        mixed = ops.permute_dims(ops.matmul(weights, values), (0, 2, 1, 3))
        joined = ops.reshape(mixed, (*mixed.shape[:2], self.num_heads * self.value_dim))
        out = ops.matmul(joined, ops.reshape(self.output_kernel, (joined.shape[2], -1)))
        out = out if self.output_bias is None else out + self.output_bias
        return (out, weights) if return_attention_scores else out

    def _heads(self, x: Tensor, kernel: Any, bias: Any) -> Tensor:
        """A projection, shape (batch, heads, time, length of one head)."""
        features, heads, length = kernel.shape
        self.check_channels(x.shape, features)
        projected = ops.matmul(x, ops.reshape(kernel, (features, heads * length)))
        projected = projected if bias is None else projected + ops.reshape(bias, (heads * length,))
        return ops.permute_dims(ops.reshape(projected, (*x.shape[:2], heads, length)), (0, 2, 1, 3))

    def _check_mask(self, shape: Shape, scores: Shape) -> None:
        pairs = zip(reversed(shape), reversed(scores), strict=False)
        if len(shape) > len(scores) or any(one not in (1, other) for one, other in pairs):
            raise ShapeError(
                at_user_line(f"{self.described}: masks of shape {shape} for scores (batch, heads, t, s) {scores}")
            )

    @staticmethod
    def _allowed(given: Sequence[Any], causal: bool, times: int, length: int) -> Any:
        """Who may look where, to broadcast with (batch, heads, times, length)."""
        masks = [ops.astype(ops.asarray(mask), "bool") for mask in given if mask is not None]
        masks = [ops.expand_dims(mask, -3) if len(mask.shape) == 3 else mask for mask in masks]
        if causal:
            masks.append(ops.expand_dims(ops.arange(times), 1) >= ops.arange(length))
        return reduce(ops.logical_and, masks) if masks else None
