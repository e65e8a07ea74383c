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

from .data import Dataset
from .errors import WeightsError, at_user_line
from .nn.members import all_members
from .nn.module import Module
from .optimizers import Optimizer
from .random import Generator
from .variable import Variable, holding

try:
    from safetensors import numpy as safetensors
except ModuleNotFoundError:  # which is said where it is needed
    safetensors = None  # type: ignore[assignment]

INSTALL = "python -m pip install 'tapejit[save]'"

METADATA = {"format": "tapejit", "version": "1"}
"""What a file says of itself; the version is that of the names in it."""


def save_weights(path: str | os.PathLike[str], target: Any) -> None:
    """Write the values of variables to a file.

    Parameters
    ----------
    path : path_like
        Of the file, by convention with the suffix ``.safetensors``.
    target : Module, Optimizer, Generator, Dataset, Variable, or dict, list or tuple of them
        What is saved, with all that is in it: weights, slots, states of generators and of shuffling, also of optimizers
        and data sets that are attributes of a module. What is needed to go on training as if it had not been stopped is
        ``{"model": model, "optimizer": optimizer}``, and the data set if it is shuffled.

    Raises
    ------
    WeightsError
        If there is nothing to save, or a variable holds strings.
    FileNotFoundError
        If there is no such folder.
    ModuleNotFoundError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> w = tj.Variable([1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tj.save_weights(f"{folder}/w.safetensors", {"w": w})
    ...     _ = w.assign([0.0, 0.0])
    ...     left = tj.load_weights(f"{folder}/w.safetensors", {"w": w})
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
        arrays = {name: np.array(variable.numpy(), order="C") for name, variable in found.items()}
    data = _safetensors().save(arrays, metadata=METADATA)
    place = Path(path).resolve()  # a link stays one
    if not place.parent.is_dir():
        raise FileNotFoundError(at_user_line(f"save_weights: there is no folder {place.parent} for {place.name}"))
    if place.is_dir():
        raise IsADirectoryError(at_user_line(f"save_weights: {place} is a folder"))
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


def load_weights(path: str | os.PathLike[str], target: Any, *, strict: bool = True) -> list[str]:
    """Assign the values in a file to variables.

    Parameters
    ----------
    path : path_like
        Of a file that `save_weights` wrote.
    target : Module, Optimizer, Generator, Dataset, Variable, or dict, list or tuple of them
        What was saved, or another object that is made alike. A model has its weights after a call, or with an
        ``input_shape``; an optimizer has its slots after ``optimizer.build(model.trainable_variables)``.
    strict : bool
        Whether everything has to fit, and nothing is assigned otherwise. If not, what has the same name, shape and
        dtype is assigned, and the rest left as it is: part of a file, or a model whose last layer is another one.

    Returns
    -------
    list of str
        The names of the variables that were left as they were.

    Raises
    ------
    WeightsError
        If the names, shapes or dtypes in the file are others, or nothing in it fits, or it is no file of weights.
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
    for variable in found.values():
        variable.numpy()  # a step that is being traced would take the file's numbers for constants: it ends here
    unlike = [name for name, variable in found.items() if name in arrays and not _is_alike(arrays[name], variable)]
    missing = [name for name in found if name not in arrays]
    more = sorted(name for name in arrays if name not in found)
    left = [*missing, *unlike]
    if len(left) == len(found) or (strict and (left or more)):
        wrong = [
            f"{name} is {arrays[name].dtype.name}{list(arrays[name].shape)} in it, and "
            f"{found[name].dtype.name}{list(found[name].shape)} here"
            for name in unlike
        ]
        said = [*wrong[:3], *([f"so are {len(wrong) - 3} more"] if len(wrong) > 3 else [])]
        said += [f"it has no {_few(missing)}"] if missing else []
        said += [f"it has {_few(more)}, for which there is no variable here"] if more else []
        way_out = _way_out(target, more) or ("strict=False takes what fits" if len(left) < len(found) else "")
        raise WeightsError(at_user_line(f"load_weights: {place} is of something else: {'; '.join([*said, way_out])}"))
    with holding(found.values()):
        for name, variable in found.items():
            if name not in left:
                variable.assign(arrays[name])
    return left


def _is_alike(array: np.ndarray, variable: Variable) -> bool:
    return (array.shape, array.dtype) == (variable.shape, variable.dtype)


def _safetensors() -> Any:
    if safetensors is None:
        raise ModuleNotFoundError(
            f"weights are saved with safetensors, which is not installed: {INSTALL}", name="safetensors"
        )
    return safetensors


def _way_out(target: Any, more: list[str]) -> str:
    """What may have been forgotten if the file has variables that are not here yet."""
    parts = list(_parts(target))
    parts += [value for part in parts if isinstance(part, Module) for value in vars(part).values()]
    if more and any(isinstance(part, Module) and not part.variables for part in parts):
        return "a model has its weights after a call, or with an input_shape"
    slots = any("slots/" in name for name in more)
    if slots and any(isinstance(part, Optimizer) and not part.built for part in parts):
        return "call optimizer.build(model.trainable_variables) before"
    return ""


def _parts(target: Any) -> Iterator[Any]:
    """What is in dicts, lists and tuples."""
    if isinstance(target, (dict, list, tuple)):
        for each in target.values() if isinstance(target, dict) else target:
            yield from _parts(each)
    else:
        yield target


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _named(target: Any) -> dict[str, Variable]:
    """The variables in what is saved, by path; one that is there twice has its first path.

    Of two with one path, such as those in ``{"a/b": x, "a": {"b": y}}``, the second has it with an apostrophe.
    """
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    for where, variable in _walk(target, ""):
        path = where or "value"
        if variable.key in seen:
            continue
        while path in found:
            path += "'"
        seen.add(variable.key)
        found[path] = variable
    return found


def _walk(target: Any, path: str) -> Iterator[tuple[str, Variable]]:
    prefix = f"{path}/" if path else ""
    if isinstance(target, Variable):
        yield path, target
    elif isinstance(target, Generator):
        yield f"{prefix}state", target.state
    elif isinstance(target, (Module, Optimizer, Dataset)):
        for name, variable in target.named_variables():
            yield prefix + name.replace(".", "/"), variable
        if isinstance(target, Module):
            yield from _beside_variables(target, prefix)
    elif isinstance(target, (dict, list, tuple)):
        pairs = target.items() if isinstance(target, dict) else enumerate(target)
        for key, each in pairs:
            yield from _walk(each, f"{prefix}{key}")
    else:
        raise TypeError(
            at_user_line(
                "weights are those of modules, optimizers, generators, data sets, variables, and dicts, lists or "
                f"tuples of them; got {type(target).__name__}{f' for {path}' if path else ''}"
            )
        )


def _beside_variables(module: Module, prefix: str) -> Iterator[tuple[str, Variable]]:
    """The state of optimizers and data sets that are attributes of a module, or of modules in it."""
    within = [(where, thing) for where, thing in all_members(module) if isinstance(thing, Module)]
    for where, part in [("", module), *within]:
        for name, value in vars(part).items():
            if isinstance(value, (Optimizer, Dataset)):
                inside = f"{where}.{name}".lstrip(".").replace(".", "/")
                yield from _walk(value, prefix + inside)
