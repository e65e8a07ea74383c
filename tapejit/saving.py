"""Weights in files: `save_weights` and `load_weights`, in the safetensors format.

What is saved is named by its path, so that a file of another model is told from the right one. A file is written
beside its place and then moved there: whoever reads it finds the old one or the new one.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np

from .errors import WeightsError, at_user_line
from .nn.module import Module
from .optimizers import Optimizer
from .random import Generator
from .variable import Variable, holding

try:
    from safetensors import numpy as safetensors
except ModuleNotFoundError:  # which is said where it is needed
    safetensors = None  # type: ignore[assignment]

INSTALL = "python -m pip install 'tapejit[save]'"


def save_weights(path: str | os.PathLike[str], target: Any) -> None:
    """Write the values of variables to a file.

    Parameters
    ----------
    path : path_like
        Of the file, by convention with the suffix ``.safetensors``.
    target : Module, Optimizer, Generator, Variable, or dict, list or tuple of them
        What is saved, with all that is in it: weights, slots, states of generators. What is needed to go on training as
        if it had not been stopped is ``{"model": model, "optimizer": optimizer}``.

    Raises
    ------
    WeightsError
        If there is nothing to save, or a variable holds strings.
    ModuleNotFoundError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> w = tj.Variable([1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tj.save_weights(f"{folder}/w.safetensors", {"w": w})
    ...     _ = w.assign([0.0, 0.0])
    ...     tj.load_weights(f"{folder}/w.safetensors", {"w": w})
    >>> w.tolist()
    [1.0, 2.0]
    """
    found = _named(target)
    if not found:
        raise WeightsError(at_user_line("save_weights: there is no variable; a model has none before it was called"))
    strings = [name for name, variable in found.items() if variable.dtype.kind not in "biuf"]
    if strings:
        raise WeightsError(at_user_line(f"save_weights: {strings[0]} has dtype {found[strings[0]].dtype.name}"))
    with holding(found.values()):
        arrays = {name: np.array(variable.buffer, order="C") for name, variable in found.items()}
    data = _safetensors().save(arrays, metadata={"format": "tapejit"})
    place = Path(path)
    beside = place.with_name(f".{place.name}.{os.getpid()}.{get_ident()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load_weights(path: str | os.PathLike[str], target: Any) -> None:
    """Assign the values in a file to variables.

    Nothing is assigned unless all fit.

    Parameters
    ----------
    path : path_like
        Of a file that `save_weights` wrote.
    target : Module, Optimizer, Generator, Variable, or dict, list or tuple of them
        What was saved, or another object that is made alike.

    Raises
    ------
    WeightsError
        If the names, shapes or dtypes in the file are others, or it is no file of weights.
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If safetensors is not installed.
    """
    reader, place = _safetensors(), Path(path)
    content = place.read_bytes()
    try:
        arrays: Mapping[str, np.ndarray] = reader.load(content)
    except Exception as error:  # of a class that the package has not made public
        raise WeightsError(at_user_line(f"load_weights: {place} is no file of weights: {error}")) from error
    found = _named(target)
    _check_names(place, sorted(arrays), list(found))
    for name, variable in found.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (variable.shape, variable.dtype):
            raise WeightsError(
                at_user_line(
                    f"load_weights: {name} is {array.dtype.name}{list(array.shape)} in {place}, and "
                    f"{variable.dtype.name}{list(variable.shape)} here"
                )
            )
    with holding(found.values()):
        for name, variable in found.items():
            variable.assign(arrays[name])


def _safetensors() -> Any:
    if safetensors is None:
        raise ModuleNotFoundError(
            f"weights are saved with safetensors, which is not installed: {INSTALL}", name="safetensors"
        )
    return safetensors


def _check_names(place: Path, saved: list[str], here: list[str]) -> None:
    missing = [name for name in here if name not in saved]
    more = [name for name in saved if name not in here]
    if not (missing or more):
        return
    told = []
    if missing:
        told.append(f"it has no {_few(missing)}")
    if more:
        told.append(f"it has {_few(more)}, for which there is no variable here")
    raise WeightsError(
        at_user_line(f"load_weights: {place} is of something else: {'; '.join(told)}{_way_out(more, here)}")
    )


def _way_out(more: list[str], here: list[str]) -> str:
    """What may have been forgotten if the file has variables that are not here yet."""
    slots = [name for name in more if "slots/" in name]
    if slots and any(name.endswith("iterations") for name in here):
        return "; call optimizer.build(model.trainable_variables) before"
    if [name for name in more if name not in slots]:
        return "; a model has its weights after a call, or with an input_shape"
    return ""


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _named(target: Any) -> dict[str, Variable]:
    """The variables in what is saved, by path; one that is there twice has its first path."""
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    for path, variable in _walk(target, ""):
        if variable.key not in seen:
            seen.add(variable.key)
            found[path or "value"] = variable
    return found


def _walk(target: Any, path: str) -> Iterator[tuple[str, Variable]]:
    prefix = f"{path}/" if path else ""
    if isinstance(target, Variable):
        yield path, target
    elif isinstance(target, Generator):
        yield f"{prefix}state", target.state
    elif isinstance(target, (Module, Optimizer)):
        for name, variable in target.named_variables():
            yield prefix + name.replace(".", "/"), variable
    elif isinstance(target, (dict, list, tuple)):
        pairs = target.items() if isinstance(target, dict) else enumerate(target)
        for key, each in pairs:
            yield from _walk(each, f"{prefix}{key}")
    else:
        raise TypeError(
            at_user_line(
                f"weights are those of modules, optimizers, generators, variables, and dicts, lists or tuples of them; "
                f"got {type(target).__name__}"
            )
        )
