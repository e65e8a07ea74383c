"""What TensorFlow, Keras, JAX, PyTorch and NumPy call things that have another name here, for messages.

Floor 0. Who asks a module or a tensor for a name that it doesn't have is told what to use: `advice` finds it.
"""

from collections.abc import Callable
from typing import Any

# Names, and what to use in their place.
_MODULE = """
reduce_sum: tj.sum
reduce_mean: tj.mean
reduce_max amax: tj.max
reduce_min amin: tj.min
reduce_prod: tj.prod
reduce_any: tj.any
reduce_all: tj.all
reduce_logsumexp: tj.logsumexp
reduce_variance: tj.var
reduce_std: tj.std
cast: tj.astype
transpose permute: tj.permute_dims
concatenate cat: tj.concat
convert_to_tensor array: tj.constant
range: tj.arange
fill: tj.full
empty: tj.zeros
identity: tj.eye for a matrix, tj.constant for a copy
clip_by_value clamp: tj.clip
clip_by_norm: tj.optimizers.clip_by_norm
clip_by_global_norm: tj.optimizers.clip_by_global_norm
global_norm: tj.optimizers.global_norm
gather_nd: t[i, j]
scatter_nd tensor_scatter_nd_add: tj.scatter_add
tensor_scatter_nd_update: tj.scatter_set
boolean_mask: t[mask]
function jit: tj.compile
case switch_case: tj.switch
map_fn: tj.map
foldl: tj.scan
vectorized_map: tj.vmap
py_function numpy_callback pure_callback: tj.numpy_function
recompute_grad remat: tj.checkpoint
jacrev: tj.jacobian
jacfwd: tj.jacobian(f, mode="forward")
no_grad: tj.stop_gradient, or tape.stop_recording()
absolute: tj.abs
mul: tj.multiply
sub: tj.subtract
div truediv true_divide: tj.divide
add_n: sum
mod: tj.remainder
arcsin: tj.asin
arccos: tj.acos
arctan: tj.atan
arctan2: tj.atan2
arcsinh: tj.asinh
arccosh: tj.acosh
arctanh: tj.atanh
rint: tj.round
degrees: tj.rad2deg
radians: tj.deg2rad
flatten: tj.ravel
fliplr flipud reverse: tj.flip
unique: tj.unique_values
invert bitwise_not: tj.bitwise_invert
left_shift: tj.bitwise_left_shift
right_shift: tj.bitwise_right_shift
shape: t.shape
rank: t.ndim
size: t.size
numpy: t.numpy()
print: print of what the step returns
is_tensor: isinstance(t, tj.Tensor)
Module: tj.nn.Module
keras: tj.nn, tj.losses, tj.metrics and tj.optimizers
layers: tj.nn
math lax: tj itself, which has the operations
lbeta gammaln: tj.lgamma
inv det solve cholesky qr svd eigh pinv slogdet logdet: tj.linalg
save: tj.save_weights
load: tj.load_weights
train: tj.save_weights and tj.load_weights for checkpoints
set_seed manual_seed PRNGKey key: tj.random.Generator(seed)
"""
_NN = """
conv1d conv2d conv3d convolution: tj.conv
conv2d_transpose: tj.conv_transpose
depthwise_conv2d: tj.depthwise_conv
max_pool max_pool2d: tj.max_pool
avg_pool avg_pool2d: tj.average_pool
softmax_cross_entropy_with_logits: tj.losses.CategoricalCrossentropy(from_logits=True)
sparse_softmax_cross_entropy_with_logits: tj.losses.SparseCategoricalCrossentropy(from_logits=True)
sigmoid_cross_entropy_with_logits: tj.losses.BinaryCrossentropy(from_logits=True)
dropout: tj.nn.Dropout
embedding_lookup: tj.take
layers: tj.nn itself, which has the layers
Model: tj.nn.Module
Lambda: the function itself, which tj.nn.Sequential takes as a layer
Concatenate: tj.concat
Add Subtract Multiply: the operator
Permute: tj.permute_dims
RepeatVector UpSampling1D UpSampling2D: tj.repeat
ZeroPadding1D ZeroPadding2D: tj.pad
Rescaling: scale * x + offset
TimeDistributed: the layer itself, if it is a tj.nn.Dense, or tj.vmap
Bidirectional: two layers, one with go_backwards=True, and tj.concat
GRUCell LSTMCell SimpleRNNCell RNN: tj.scan
"""
_LINALG = """
logdet: tj.linalg.slogdet, whose second result it is
matvec: tj.matmul
adjoint: tj.matrix_transpose
trace diag eye cross einsum kron: the operation of this name in tj
diag_part: tj.diagonal
band_part: tj.tril and tj.triu
normalize l2_normalize: x / tj.linalg.norm(x)
dot inner vdot: the operation of this name in tj
"""
_RANDOM = """
normal uniform gamma poisson truncated_normal categorical exponential randn rand randint integers shuffle permutation \
choice: the methods of a generator, as in tj.random.Generator(seed).normal(shape)
set_seed seed default_rng RandomState PRNGKey key split: tj.random.Generator(seed)
"""
_TENSOR = """
flatten: tj.ravel(t)
transpose permute: tj.permute_dims(t, axes), or t.T
view: tj.reshape(t, shape)
detach: tj.stop_gradient(t)
backward: tape.gradient(t, sources)
grad: tape.gradient(t, sources)
copy clone: t itself, which never changes, or t.numpy().copy()
fill: tj.full_like(t, value)
value: v.read_value()
"""


TABLES = {
    "tapejit": _MODULE,
    "tapejit.nn": _NN,
    "tapejit.ops.linalg": _LINALG,
    "tapejit.random": _RANDOM,
    "Tensor": _TENSOR,
}


def replacements(owner: str) -> dict[str, str]:
    """For each name that `owner` doesn't have, what to use."""
    rows = [line.partition(": ") for line in TABLES.get(owner, "").strip().splitlines()]
    return {name: use for names, _, use in rows for name in names.split()}


def advice(owner: str, name: str) -> str:
    """The end of a message about a name that `owner` doesn't have: what to use, if that is known."""
    use = replacements(owner).get(name)
    return f"; use {use}" if use else ""


def missing(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that has all its names already."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        raise AttributeError(f"module {module!r} has no attribute {name!r}{advice(module, name)}")

    return __getattr__
