"""`GradientTape`: records operations and gives gradients, with the names and semantics of TensorFlow's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import ops
from ..aval import Shape, is_floating
from ..errors import ShapeError, TapeError, at_user_line, warn
from ..families import ALL
from ..primitive import Value, add_tape, current, in_role, remove_tape
from ..pytree import LEAF, TreeDef, flatten, flatten_up_to, unflatten
from ..tensor import Ones
from ..variable import TRAINED, Variable
from .jacobians import batch_jacobian_rows, checked_chunk, jacobian_rows
from .recording import Recording
from .requests import flat, tensor_or_variable, wants_zeros
from .reverse import pull_back


class GradientTape:
    """Records what is computed from variables and watched tensors inside its ``with`` block.

    Parameters
    ----------
    persistent : bool
        Whether `gradient` may be called more than once; the records are then kept until the tape is gone.
    watch_accessed_variables : bool
        Whether trainable variables are watched by themselves when they are read.

    Notes
    -----
    A tape belongs to the thread that entered it. It may be entered again after it was left, and goes on recording.

    Examples
    --------
    >>> x = tj.Variable(3.0)
    >>> with tj.GradientTape() as tape:
    ...     y = x**2
    >>> tape.gradient(y, x).numpy()
    array(6., dtype=float32)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = bool(persistent)
        self._watch_accessed = bool(watch_accessed_variables)
        self._recording: Recording = Recording(self._watch_accessed)
        self._heard: Recording | None = None  # what listens to this thread's operations while the tape is active
        self._freed = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse copies: what is recorded is about the tensors of this process.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(at_user_line("a GradientTape can't be copied or pickled; take its gradients, and send those"))

    def __enter__(self) -> "GradientTape":
        if self._heard is not None:
            raise ValueError(at_user_line("the tape is recording already: it can be entered again after it was left"))
        if self._freed:
            self._recording, self._freed = Recording(self._watch_accessed), False
        TRAINED.rely()
        self._resume()
        return self

    def __exit__(self, *error: object) -> None:
        self._pause()

    def _resume(self, under: Any = None) -> None:
        if self._heard is None:
            self._heard = self._recording
            add_tape(self._heard, under=under)

    def _pause(self) -> Any:
        """Stop listening; returns where `_resume` goes on."""
        if self._heard is None:
            return None
        under = remove_tape(self._heard)
        self._heard = None
        return under

    def watch(self, tensor: Any) -> None:
        """Follow tensors or variables from now on.

        Parameters
        ----------
        tensor : Tensor, Variable or nest of them
            Floating ones; integer, boolean and string ones are not differentiable: a warning, and their gradient is
            None.

        Raises
        ------
        TypeError
            If something is neither a tensor nor a variable.
        TapeError
            If the tape's records were freed by its first gradient and it was not entered again.
        """
        if self._freed:
            raise TapeError(at_user_line("GradientTape.watch: the tape's records were freed; enter it again first"))
        for value in flat("GradientTape.watch: what you watch", tensor)[0]:
            if is_floating(value.dtype):
                self._recording.watch(value)
            else:
                way = "" if value.dtype.kind in "US" else "; convert it with tj.astype(t, 'float32') first"
                warn(
                    f"GradientTape.watch: a tensor of dtype {value.dtype.name} is not differentiable, its gradient is "
                    f"None{way}"
                )

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """A block in which this tape records nothing."""
        if self._heard is None:
            raise TapeError(at_user_line("stop_recording: the tape is not recording"))
        under = self._pause()
        try:
            yield
        finally:
            if not self._freed:
                self._resume(under)

    def reset(self) -> None:
        """Forget all that was recorded and watched, and go on recording where the tape is active."""
        if self._heard is None or self._heard is self._recording:
            self._recording.forget()
        else:  # its records were freed while it is active
            self._pause()
            self._recording = Recording(self._watch_accessed)
            self._resume()
        self._freed = False

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that are watched, in the order in which they were made."""
        variables = self._recording.variables
        return tuple(variables[key] for key in sorted(variables))

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str | None = None,
    ) -> Any:
        """The gradient of the sum of the target's elements with respect to the sources.

        Parameters
        ----------
        target : Tensor, Variable or nest of them
            Of any shape; a nest means the sum over its members.
        sources : Tensor, Variable or nest of them
            Watched, or computed from something watched.
        output_gradients : array_like or nest, optional
            Weights of the target's elements, of the target's shape.
        unconnected_gradients : {None, "none", "zero"}
            What a source gets that the target does not depend on: None, or zeros of its shape and dtype.

        Returns
        -------
        nest of Tensor or None
            Like `sources`; each of its source's shape and dtype.

        Raises
        ------
        TapeError
            If the tape is not persistent and a gradient was taken already.
        """
        zero = unconnected_gradients is not None and wants_zeros(unconnected_gradients)
        if self._freed or not self._persistent:
            self._begin("gradient")
        records = self._recording.records
        if isinstance(target, Value) and output_gradients is None and is_floating(target.dtype):
            seeds = {target.key: current().interpreter.filled(1, target.shape, target.dtype)}
        else:
            seeds = _seeds(target, output_gradients)
        if isinstance(sources, (Value, Variable)):
            result = _result(pull_back(records, seeds, (sources.key,)), sources, zero)
        else:
            wanted, treedef = flat("gradient: a source", sources)
            found = pull_back(records, seeds, [source.key for source in wanted])
            result = unflatten(treedef, [_result(found, source, zero) for source in wanted])
        if not self._persistent:
            self._end()
        return result

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: str | None = None,
        chunk_size: int | None = None,
    ) -> Any:
        """The derivative of each element of the target by each element of the sources.

        Parameters
        ----------
        target : Tensor or Variable
            Of any shape.
        sources : Tensor, Variable or nest of them
            As in `gradient`.
        unconnected_gradients : {None, "none", "zero"}
            As in `gradient`.
        chunk_size : int, optional
            How many elements of the target to differentiate at once. By default all: that takes the memory of as many
            reverse passes.

        Returns
        -------
        nest of Tensor or None
            Like `sources`; each of shape ``target.shape + source.shape``.

        Raises
        ------
        ShapeError
            If `chunk_size` is not positive.
        """
        zero, chunk = wants_zeros(unconnected_gradients), checked_chunk("jacobian", chunk_size)
        self._begin("jacobian")
        value = tensor_or_variable("jacobian: the target", target)
        _is_differentiable("jacobian", value)
        wanted, treedef = flat("jacobian: a source", sources)
        rows = jacobian_rows(self._recording.records, value, [source.key for source in wanted], chunk)
        self._end()
        return unflatten(
            treedef, [_shaped(each, value.shape, source, zero) for each, source in zip(rows, wanted, strict=True)]
        )

    def batch_jacobian(self, target: Any, source: Any, unconnected_gradients: str | None = None) -> Any:
        """The Jacobian of each row of the target by the same row of the source.

        Parameters
        ----------
        target : Tensor, shape (b, ...)
            Row i may depend on row i of the source only; other dependences are added up.
        source : Tensor or Variable, shape (b, ...)
            As in `gradient`.
        unconnected_gradients : {None, "none", "zero"}
            As in `gradient`.

        Returns
        -------
        Tensor or None
            Shape ``(b, *target.shape[1:], *source.shape[1:])``.

        Raises
        ------
        ShapeError
            If the first axes differ.
        """
        zero = wants_zeros(unconnected_gradients)
        value = tensor_or_variable("batch_jacobian: the target", target)
        _is_differentiable("batch_jacobian", value)
        by = tensor_or_variable("batch_jacobian: the source", source)
        if not value.shape or not by.shape or value.shape[0] != by.shape[0]:
            raise ShapeError(
                at_user_line(f"batch_jacobian: target {value.shape} and source {by.shape} must share their first axis")
            )
        self._begin("batch_jacobian")
        rows = batch_jacobian_rows(self._recording.records, value, by.key)
        self._end()
        shape = (*value.shape, *by.shape[1:])
        if rows is None:
            return in_role("zeros")(shape, by.dtype) if zero and by.dtype.kind in ALL else None
        return in_role("reshape")(ops.moveaxis(rows, 0, 1), shape)

    def _begin(self, operation: str) -> None:
        if self._freed:
            raise TapeError(
                at_user_line(
                    f"GradientTape.{operation}: the tape's records were freed by its first gradient; make it with "
                    "GradientTape(persistent=True) to take more than one"
                )
            )
        if self._heard is not None and not self._persistent and self._heard in current().tapes:
            self._pause()  # not if another thread is recording

    def _end(self) -> None:
        if not self._persistent:
            self._freed = True
            self._recording = self._recording.without_records()


def _seeds(nest: Any, output_gradients: Any) -> dict[int, Any]:
    """Cotangents of the differentiable targets; a target named twice counts twice."""
    targets, treedef = flat("gradient: a target", nest)
    given = _weights(targets, treedef, output_gradients)
    seeds: dict[int, Any] = {}
    for target, weight in zip(targets, given, strict=True):
        if not _is_differentiable("gradient", target):
            continue
        seed = _seed(target, weight)
        seeds[target.key] = seeds[target.key] + seed if target.key in seeds else seed
    return seeds


def _is_differentiable(operation: str, target: Any) -> bool:
    """Whether a target has derivatives; there is a warning if not."""
    if is_floating(target.dtype):
        return True
    warn(f"{operation}: a target of dtype {target.dtype.name} is not differentiable; its gradients are None")
    return False


def _weights(targets: list[Any], treedef: TreeDef, output_gradients: Any) -> list[Any]:
    """For each target its weights: an array, (nested) lists of numbers, or None for ones."""
    if output_gradients is None:
        return [None] * len(targets)
    if treedef == LEAF and _is_nest_of_one(output_gradients, targets[0].shape):
        return list(output_gradients)
    given = flatten_up_to(treedef, output_gradients)
    if given is not None:
        return given
    if len(targets) == 1 and not isinstance(output_gradients, (list, tuple, dict)):
        return [output_gradients]
    nests = "" if all(child == LEAF for child in treedef.children) else ", with the same nests inside"
    raise ShapeError(
        at_user_line(
            "gradient: output_gradients must have the nest of the targets: "
            f"{_in_words(treedef)}{nests}; got {_in_words(flatten(output_gradients)[1])}"
        )
    )


def _in_words(nest: TreeDef) -> str:
    if not nest.children:
        return "one array or number"
    members = f"with the keys {', '.join(map(repr, nest.keys))}" if nest.keys else f"of {len(nest.children)}"
    return f"a {getattr(nest.kind, '__name__', nest.kind)} {members}"


def _is_nest_of_one(value: Any, shape: Shape) -> bool:
    """Whether the weights of one target come in a list of their own rather than as a list of numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 1 and (value[0] is None or np.shape(value[0]) == shape)


def _seed(target: Any, weight: Any) -> Any:
    if weight is None:
        return in_role("ones")(target.shape, target.dtype)
    value = ops.asarray(weight, target.dtype)
    if value.shape != target.shape:
        raise ShapeError(
            at_user_line(f"gradient: output_gradients of shape {value.shape} for a target of shape {target.shape}")
        )
    return value


def _result(found: dict[int, Any], source: Any, zero: bool) -> Any:
    ct = found.get(source.key)
    if ct is None:
        return in_role("zeros")(source.shape, source.dtype) if zero and source.dtype.kind in ALL else None
    return ct.settled() if type(ct) is Ones else ct


def _shaped(rows: Any, target: Shape, source: Any, zero: bool) -> Any:
    """A Jacobian with the axes of its target and its source."""
    shape = (*target, *source.shape)
    if rows is None:
        return in_role("zeros")(shape, source.dtype) if zero and source.dtype.kind in ALL else None
    return in_role("reshape")(rows, shape)
