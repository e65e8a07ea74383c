"""What a user names when asking for derivatives: nests of tensors and variables, and nests that go with them."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..aval import PYTHON_NUMBERS, Aval, is_floating
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import NUMERIC
from ..lowering import Opaque
from ..primitive import Params, Primitive, Value
from ..pytree import TreeDef, flatten, flatten_up_to, unflatten
from ..variable import Variable


def tensor_or_variable(what: str, value: Any) -> Any:
    """`value`, which is a tensor or a variable.

    Raises
    ------
    DtypeError
        If it is something else; `what` says in the message what it should be.
    """
    kind = value.__class__  # a traced Python number says that it is one
    if kind not in PYTHON_NUMBERS and isinstance(value, (Value, Variable)):
        return value
    raise DtypeError(
        at_user_line(
            f"{what} must be a tensor or a variable, got {kind.__name__}; make one with tj.constant or tj.Variable"
        )
    )


def flat(what: str, nest: Any) -> tuple[list[Any], TreeDef]:
    """The members of a nest, which is more than None: a function that forgot its ``return`` gives that."""
    leaves, treedef = flatten(tensor_or_variable(what, nest) if nest is None else nest)
    return [tensor_or_variable(what, leaf) for leaf in leaves], treedef


def is_underivable(primitive: Primitive, outputs: Sequence[Value]) -> bool:
    """Whether it is a function of the user's of which nobody knows a derivative, though its results could have one."""
    return type(primitive.lowering) is Opaque and any(is_floating(output.dtype) for output in outputs)


def no_derivative(params: Params) -> str:
    """What to say where the derivative of such a function is asked for."""
    return at_user_line(
        f"numpy_function: nobody knows a derivative of {params['function'].name}; give it gradient= or "
        "numpy_gradient=, or tj.stop_gradient of its inputs where it counts as constant"
    )


def wants_zeros(unconnected: str | None) -> bool:
    """What the argument ``unconnected_gradients`` says.

    Raises
    ------
    ValueError
        If it is another word.
    """
    if unconnected not in (None, "none", "zero"):
        raise ValueError(at_user_line(f"unconnected_gradients must be 'none' or 'zero', got {unconnected!r}"))
    return unconnected == "zero"


def matched(
    what: str, treedef: TreeDef, primals: Sequence[Aval], given: Any, paths: Sequence[str], optional: bool = False
) -> list[Any]:
    """Tangents or cotangents of values, each of its value's shape and dtype.

    Parameters
    ----------
    what : str
        What they are, for messages.
    treedef : TreeDef
        The nest of the values.
    primals : sequence of Aval
        Their types.
    given : nest
        What the user gave for them.
    paths : sequence of str
        What to call the values in messages.
    optional : bool
        Whether None may stand for one, and comes back.

    Raises
    ------
    ShapeError, DtypeError
        If a nest, a shape or a dtype differs, or a value is not floating.
    """
    leaves = flatten_up_to(treedef, given)
    if leaves is None:
        raise ShapeError(
            at_user_line(f"{what} must have the nest of the values: {_nest(treedef)}, got {_nest(flatten(given)[1])}")
        )
    return [
        None if optional and leaf is None else _fitting(what, leaf, aval, path)
        for leaf, aval, path in zip(leaves, primals, paths, strict=True)
    ]


def _fitting(what: str, given: Any, primal: Aval, path: str) -> Any:
    if not is_floating(primal.dtype):
        raise DtypeError(
            at_user_line(
                f"{what}: {path} is {primal}, which is not differentiable; convert it with tj.astype(t, 'float32') "
                "first"
            )
        )
    number = isinstance(given, Value) and given.aval.weak and given.dtype.kind in NUMERIC
    written = number or type(given) in (int, float) or isinstance(given, (list, tuple))
    value = ops.asarray(given, primal.dtype if written else None)
    if value.shape != primal.shape:
        raise ShapeError(at_user_line(f"{what}: {path} has shape {primal.shape}, what is given for it {value.shape}"))
    if value.dtype != primal.dtype:
        raise DtypeError(
            at_user_line(
                f"{what}: {path} is {primal.dtype.name}, what is given for it {value.dtype.name}; convert it with "
                f"tj.astype(v, {primal.dtype.name!r})"
            )
        )
    return value.kept()


def _nest(treedef: TreeDef) -> str:
    """A nest in words."""
    return repr(unflatten(treedef, _Stars()))


class _Star:
    def __repr__(self) -> str:
        return "*"


class _Stars:
    """As many leaves as are asked for."""

    def __iter__(self) -> "_Stars":
        return self

    def __next__(self) -> _Star:
        return _Star()
